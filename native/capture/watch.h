/* What the graph holds, as long as we are connected: START asks it without waiting, and our own links follow it.
 *
 * Only what comes and goes is told, so it wakes us when another program plays or a device is plugged, else never.
 * Nothing is bound: what is bound on this connection could hold it up. */
#pragma once
#include "nodes.h"

#define MAX_PORTS 1024
#define MAX_LINKS 512

struct port {
    uint32_t id, node, index; /* the index counts the ports of one direction of a node */
    bool is_output, is_monitor;
};

struct link {
    uint32_t id, output_port, input_port, input_node;
};

struct watch {
    struct pw_registry *registry;
    struct spa_hook hook;
    uint32_t manager; /* id of the default metadata, which live and die with the session manager */
    uint32_t node_count, port_count, link_count;
    struct node nodes[MAX_NODES];
    struct port ports[MAX_PORTS];
    struct link links[MAX_LINKS];
    void (*changed)(void *data); /* a port, a link or the session manager came or went */
    void *data;
};

/* Whoever syncs with the server afterwards knows all that is there. */
void watch_begin(struct watch *w, struct pw_core *core);

/* Forget the graph; twice is fine. */
void watch_end(struct watch *w);

/* Tell whether there is a microphone, or the very device that is asked for, which may be a loudspeaker. */
bool watch_hears(const struct watch *w, const char *target);

/* Tell whether a session manager is there; it may be too busy to link anything. */
bool watch_is_managed(const struct watch *w);

/* Tell whether a node has a port that can be linked into. */
bool watch_has_inputs(const struct watch *w, uint32_t node);

/* Find a port by its id. NULL when it is not there. */
const struct port *watch_port(const struct watch *w, uint32_t id);
