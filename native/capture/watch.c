#define _GNU_SOURCE
#include "watch.h"
#include <string.h>

static void note_port(struct watch *w, uint32_t id, const struct spa_dict *props)
{
    const char *format = props ? spa_dict_lookup(props, PW_KEY_FORMAT_DSP) : NULL;
    const char *direction = props ? spa_dict_lookup(props, PW_KEY_PORT_DIRECTION) : NULL;
    if (!format || !direction || !strstr(format, "audio") || w->port_count == MAX_PORTS) return;
    const char *monitor = spa_dict_lookup(props, PW_KEY_PORT_MONITOR);
    w->ports[w->port_count++] = (struct port){
        .id = id,
        .node = number(props, PW_KEY_NODE_ID),
        .index = number(props, PW_KEY_PORT_ID),
        .is_output = !strcmp(direction, "out"),
        .is_monitor = monitor && !strcmp(monitor, "true"),
    };
}

static void note_link(struct watch *w, uint32_t id, const struct spa_dict *props)
{
    if (w->link_count == MAX_LINKS) return;
    w->links[w->link_count++] = (struct link){
        .id = id,
        .output_port = number(props, PW_KEY_LINK_OUTPUT_PORT),
        .input_port = number(props, PW_KEY_LINK_INPUT_PORT),
        .input_node = number(props, PW_KEY_LINK_INPUT_NODE),
    };
}

static void on_global(void *data, uint32_t id, uint32_t permissions, const char *type, uint32_t version,
                      const struct spa_dict *props)
{
    struct watch *w = data;
    (void)permissions;
    (void)version;
    if (!strcmp(type, PW_TYPE_INTERFACE_Node)) {
        note_node(w->nodes, &w->node_count, id, props);
        return;
    }
    if (!strcmp(type, PW_TYPE_INTERFACE_Port)) {
        note_port(w, id, props);
    } else if (!strcmp(type, PW_TYPE_INTERFACE_Link)) {
        note_link(w, id, props);
    } else if (!strcmp(type, PW_TYPE_INTERFACE_Metadata)) {
        const char *name = props ? spa_dict_lookup(props, PW_KEY_METADATA_NAME) : NULL;
        if (name && !strcmp(name, "default")) w->manager = id;
    } else {
        return;
    }
    w->changed(w->data);
}

/* Take the object of this id out of a list; the last one takes its place. */
#define FORGET(list, count, gone)                                                                   \
    for (uint32_t i = 0; i < (count); i++)                                                          \
        if ((list)[i].id == (gone)) (list)[i--] = (list)[--(count)];

static void on_global_remove(void *data, uint32_t id)
{
    struct watch *w = data;
    FORGET(w->nodes, w->node_count, id)
    FORGET(w->ports, w->port_count, id)
    FORGET(w->links, w->link_count, id)
    if (w->manager == id) w->manager = SPA_ID_INVALID;
    w->changed(w->data);
}

static const struct pw_registry_events registry_events = {
    PW_VERSION_REGISTRY_EVENTS, .global = on_global, .global_remove = on_global_remove};

void watch_end(struct watch *w)
{
    w->node_count = w->port_count = w->link_count = 0;
    w->manager = SPA_ID_INVALID;
    if (!w->registry) return;
    spa_hook_remove(&w->hook);
    pw.proxy_destroy((struct pw_proxy *)w->registry);
    w->registry = NULL;
}

void watch_begin(struct watch *w, struct pw_core *core)
{
    w->registry = pw_core_get_registry(core, PW_VERSION_REGISTRY, 0);
    if (!w->registry) return;
    spa_zero(w->hook);
    pw_registry_add_listener(w->registry, &w->hook, &registry_events, w);
}

bool watch_hears(const struct watch *w, const char *target)
{
    if (!w->registry || w->node_count == MAX_NODES) return true; /* not known */
    for (uint32_t i = 0; i < w->node_count; i++)
        if (w->nodes[i].is_source || !strcmp(w->nodes[i].name, target)) return true;
    return false;
}

bool watch_is_managed(const struct watch *w)
{
    return w->manager != SPA_ID_INVALID;
}

bool watch_has_inputs(const struct watch *w, uint32_t node)
{
    for (uint32_t i = 0; i < w->port_count; i++)
        if (w->ports[i].node == node && !w->ports[i].is_output) return true;
    return false;
}

const struct port *watch_port(const struct watch *w, uint32_t id)
{
    for (uint32_t i = 0; i < w->port_count; i++)
        if (w->ports[i].id == id) return &w->ports[i];
    return NULL;
}
