/* Links of our own from a microphone into our stream, where no session manager makes them. They go with our
 * connection, so nothing of them outlives us. */
#pragma once
#include "watch.h"

#define MAX_OWN_LINKS 16

struct own_link {
    struct pw_proxy *proxy;
    uint32_t output_port, input_port;
};

struct links {
    bool wanted;
    char target[TEXT_BYTES], heard[TEXT_BYTES];
    uint32_t count;
    struct own_link own[MAX_OWN_LINKS];
};

/* How many ports a stream of ours needs for the source that would be linked: 1 or 2. */
uint32_t links_channels(const struct watch *w, const char *target, const char *heard);

/* Link the node from now on, as far as its ports are there: from the source called `target`, else the one called
 * `heard`, else the one that a session manager would choose. False when there is no source to link. */
bool links_want(struct links *l, const struct watch *w, struct pw_core *core, uint32_t node, const char *target,
                const char *heard);

/* The graph has changed: link what is missing, or give way to links that somebody else has made. */
void links_follow(struct links *l, const struct watch *w, struct pw_core *core, uint32_t node);

/* Remove our links; twice is fine. Before the connection ends. */
void links_end(struct links *l);
