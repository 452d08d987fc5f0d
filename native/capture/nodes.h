/* The microphones and loudspeakers of the graph, and a survey of them for a question. */
#pragma once
#include "libpipewire.h"
#include <stdint.h>
#include <stdio.h>

#define MAX_NODES 128
#define TEXT_BYTES 256

struct node {
    uint32_t id;
    int32_t priority; /* the session manager's: the highest is the default, unless the user chose */
    bool is_source, is_sink;
    char name[TEXT_BYTES];
    char description[TEXT_BYTES];
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

/* The number that a property holds; SPA_ID_INVALID when it is not there. */
uint32_t number(const struct spa_dict *props, const char *key);

/* Add a node to a list, if it is a device that can be recorded from and there is room. */
void note_node(struct node *nodes, uint32_t *count, uint32_t id, const struct spa_dict *props);

/* Look anew; `answered` is called once, from the loop, after which the survey has ended. */
void survey_begin(struct survey *s, struct pw_core *core);

/* Stop looking, without an answer; twice is fine. */
void survey_end(struct survey *s);
