#define _GNU_SOURCE
#include "nodes.h"
#include <stdlib.h>
#include <string.h>

uint32_t number(const struct spa_dict *props, const char *key)
{
    const char *text = props ? spa_dict_lookup(props, key) : NULL;
    return text ? (uint32_t)strtoul(text, NULL, 10) : SPA_ID_INVALID;
}

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

void note_node(struct node *nodes, uint32_t *count, uint32_t id, const struct spa_dict *props)
{
    const char *name = props ? spa_dict_lookup(props, PW_KEY_NODE_NAME) : NULL;
    const char *class = props ? spa_dict_lookup(props, PW_KEY_MEDIA_CLASS) : NULL;
    if (!name || !class || *count == MAX_NODES) return;
    const bool is_source = begins(class, "Audio/Source") || begins(class, "Audio/Duplex");
    const bool is_sink = begins(class, "Audio/Sink");
    if (!is_source && !is_sink) return;
    const char *description = spa_dict_lookup(props, PW_KEY_NODE_DESCRIPTION);
    const char *priority = spa_dict_lookup(props, PW_KEY_PRIORITY_SESSION);
    struct node *n = &nodes[(*count)++];
    n->id = id;
    n->is_source = is_source;
    n->is_sink = is_sink;
    n->priority = priority ? (int32_t)strtol(priority, NULL, 10) : 0;
    copy_text(n->name, name);
    copy_text(n->description, description ? description : name);
}

static int on_property(void *data, uint32_t subject, const char *key, const char *type, const char *value)
{
    struct survey *s = data;
    (void)subject;
    (void)type;
    /* The value is {"name":"NODE"}; node names hold no quotes. */
    if (!key || strcmp(key, "default.audio.source") != 0 || !value) return 0;
    const char *name = strstr(value, "\"name\"");
    const char *open = name ? strchr(name + strlen("\"name\""), '"') : NULL;
    const char *end = open ? strchr(open + 1, '"') : NULL;
    if (end) snprintf(s->default_name, TEXT_BYTES, "%.*s", (int)(end - open - 1), open + 1);
    return 0;
}

static const struct pw_metadata_events metadata_events = {PW_VERSION_METADATA_EVENTS, .property = on_property};

static void bind_metadata(struct survey *s, uint32_t id, const struct spa_dict *props)
{
    const char *name = props ? spa_dict_lookup(props, PW_KEY_METADATA_NAME) : NULL;
    if (s->metadata || !name || strcmp(name, "default") != 0) return;
    s->metadata = pw_registry_bind(s->registry, id, PW_TYPE_INTERFACE_Metadata, PW_VERSION_METADATA, 0);
    if (!s->metadata) return;
    spa_zero(s->metadata_hook);
    pw_metadata_add_listener(s->metadata, &s->metadata_hook, &metadata_events, s);
}

static void on_global(void *data, uint32_t id, uint32_t permissions, const char *type, uint32_t version,
                      const struct spa_dict *props)
{
    struct survey *s = data;
    (void)permissions;
    (void)version;
    if (!strcmp(type, PW_TYPE_INTERFACE_Node))
        note_node(s->nodes, &s->node_count, id, props);
    else if (!strcmp(type, PW_TYPE_INTERFACE_Link) && number(props, PW_KEY_LINK_INPUT_NODE) == s->our_node)
        s->linked_node = number(props, PW_KEY_LINK_OUTPUT_NODE);
    else if (!strcmp(type, PW_TYPE_INTERFACE_Metadata) && s->wants_default)
        bind_metadata(s, id, props);
}

static const struct pw_registry_events registry_events = {PW_VERSION_REGISTRY_EVENTS, .global = on_global};

void survey_end(struct survey *s)
{
    if (!s->registry) return;
    if (s->metadata) {
        spa_hook_remove(&s->metadata_hook);
        pw.proxy_destroy((struct pw_proxy *)s->metadata);
        s->metadata = NULL;
    }
    spa_hook_remove(&s->registry_hook);
    spa_hook_remove(&s->core_hook);
    pw.proxy_destroy((struct pw_proxy *)s->registry);
    s->registry = NULL;
}

/* One round brings the objects, a second one the values of the metadata that was bound in the first. */
static void on_survey_done(void *data, uint32_t id, int seq)
{
    struct survey *s = data;
    if (id != PW_ID_CORE || seq != s->seq) return;
    if (s->wants_default && s->round++ == 0) {
        s->seq = pw_core_sync(s->core, PW_ID_CORE, 0);
        return;
    }
    survey_end(s);
    s->answered(s, s->data);
}

static const struct pw_core_events survey_events = {PW_VERSION_CORE_EVENTS, .done = on_survey_done};

void survey_begin(struct survey *s, struct pw_core *core)
{
    survey_end(s);
    s->core = core;
    s->round = 0;
    s->node_count = 0;
    s->linked_node = SPA_ID_INVALID;
    s->registry = pw_core_get_registry(core, PW_VERSION_REGISTRY, 0);
    if (!s->registry) return;
    spa_zero(s->registry_hook);
    spa_zero(s->core_hook);
    pw_registry_add_listener(s->registry, &s->registry_hook, &registry_events, s);
    pw_core_add_listener(core, &s->core_hook, &survey_events, s);
    s->seq = pw_core_sync(core, PW_ID_CORE, 0);
}
