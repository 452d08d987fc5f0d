/* The microphones and loudspeakers of the graph: watched while connected, and surveyed for a question. */
#pragma once
#include "libpipewire.h"
#include <stdint.h>
#include <stdio.h>

#define MAX_NODES 128
#define TEXT_BYTES 256

struct node {
    uint32_t id;
    bool is_source, is_sink;
    char name[TEXT_BYTES];
    char description[TEXT_BYTES];
};

/* Which sources and sinks there are, as long as we are connected: START asks it without waiting. Only what
 * comes and goes is told, so it wakes us when another program plays or a device is plugged, else never. */
struct watch {
    struct pw_registry *registry;
    struct spa_hook hook;
    uint32_t node_count;
    struct node nodes[MAX_NODES];
};

/* A look at the graph: made for a question, gone with the answer. */
struct survey {
    struct pw_core *core;
    struct pw_registry *registry; /* NULL: not looking */
    struct pw_metadata *metadata;
    struct spa_hook core_hook, registry_hook, metadata_hook;
    bool wants_default;
    int seq, round;
    uint32_t our_node, linked_node, node_count;
    char default_name[TEXT_BYTES];
    struct node nodes[MAX_NODES];
    void (*answered)(struct survey *s, void *data);
    void *data;
};

static inline void copy_text(char *to, const char *from)
{
    snprintf(to, TEXT_BYTES, "%s", from ? from : "");
}

/* Whoever syncs with the server afterwards knows all that is there. */
void watch_begin(struct watch *w, struct pw_core *core);

/* Forget the nodes; twice is fine. */
void watch_end(struct watch *w);

/* Tell whether there is a microphone, or the very device that is asked for, which may be a loudspeaker. */
bool watch_hears(const struct watch *w, const char *target);

/* Look anew; `answered` is called once, from the loop, after which the survey has ended. */
void survey_begin(struct survey *s, struct pw_core *core);

/* Stop looking, without an answer; twice is fine. */
void survey_end(struct survey *s);
