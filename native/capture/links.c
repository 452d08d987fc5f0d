#define _GNU_SOURCE
#include "links.h"
#include <stdlib.h>
#include <string.h>

/* Of a source with more channels only these are heard: a mixer's other inputs are no microphones. */
#define MAX_CHANNELS 2u
#define MAX_NODE_PORTS 128

static bool has_own(const struct links *l, uint32_t output_port, uint32_t input_port)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (l->own[i].output_port == output_port && l->own[i].input_port == input_port) return true;
    return false;
}

static void add_own(struct links *l, struct pw_core *core, const struct port *output, const struct port *input)
{
    char ids[4][16];
    const uint32_t values[4] = {output->node, output->id, input->node, input->id};
    for (int i = 0; i < 4; i++) snprintf(ids[i], sizeof ids[i], "%u", values[i]);
    const struct spa_dict_item items[] = {
        SPA_DICT_ITEM_INIT(PW_KEY_LINK_OUTPUT_NODE, ids[0]), SPA_DICT_ITEM_INIT(PW_KEY_LINK_OUTPUT_PORT, ids[1]),
        SPA_DICT_ITEM_INIT(PW_KEY_LINK_INPUT_NODE, ids[2]), SPA_DICT_ITEM_INIT(PW_KEY_LINK_INPUT_PORT, ids[3])};
    const struct spa_dict props = SPA_DICT_INIT_ARRAY(items);
    struct pw_proxy *proxy =
        pw_core_create_object(core, "link-factory", PW_TYPE_INTERFACE_Link, PW_VERSION_LINK, &props, 0);
    if (proxy) l->own[l->count++] = (struct own_link){proxy, output->id, input->id};
}

/* Forget the links one end of which has gone; the server has removed them. */
static void prune(struct links *l, const struct watch *w)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (watch_port(w, l->own[i].output_port) && watch_port(w, l->own[i].input_port)) continue;
        pw.proxy_destroy(l->own[i].proxy);
        l->own[i--] = l->own[--l->count];
    }
}

static bool somebody_else_links(const struct links *l, const struct watch *w, uint32_t node)
{
    for (uint32_t i = 0; i < w->link_count; i++) {
        const struct link *each = &w->links[i];
        const bool is_whole = watch_port(w, each->output_port) && watch_port(w, each->input_port);
        if (each->input_node == node && is_whole && !has_own(l, each->output_port, each->input_port)) return true;
    }
    return false;
}

/* A loudspeaker is chosen by its name alone. NULL when there is none. */
static const struct node *choose(const struct watch *w, const char *target, const char *heard)
{
    const struct node *best = NULL;
    int best_rank = 0;
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct node *n = &w->nodes[i];
        const int rank = !strcmp(n->name, target) ? 3 : !n->is_source ? 0 : !strcmp(n->name, heard) ? 2 : 1;
        if (rank > best_rank || (best && rank == best_rank && n->priority > best->priority)) {
            best = n;
            best_rank = rank;
        }
    }
    return best;
}

static int by_index(const void *a, const void *b)
{
    const struct port *const *left = a, *const *right = b;
    return (int)(*left)->index - (int)(*right)->index;
}

/* List ports of a node in their order. Their number. */
static uint32_t list_ports(const struct watch *w, uint32_t node, bool is_output, bool is_monitor,
                           const struct port *out[static MAX_NODE_PORTS])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->port_count && count < MAX_NODE_PORTS; i++) {
        const struct port *p = &w->ports[i];
        if (p->node == node && p->is_output == is_output && p->is_monitor == is_monitor) out[count++] = p;
    }
    qsort(out, count, sizeof *out, by_index);
    return count;
}

/* Loudspeakers and virtual sources have monitor ports only. */
static uint32_t list_outputs(const struct watch *w, uint32_t source, const struct port *out[static MAX_NODE_PORTS])
{
    const uint32_t count = list_ports(w, source, true, false, out);
    return count ? count : list_ports(w, source, true, true, out);
}

uint32_t links_channels(const struct watch *w, const char *target, const char *heard)
{
    const struct port *outputs[MAX_NODE_PORTS];
    const struct node *source = choose(w, target, heard);
    const uint32_t count = source ? list_outputs(w, source->id, outputs) : 0;
    return SPA_CLAMP(count, 1u, MAX_CHANNELS);
}

/* Channel by channel; a mono source goes into all of our ports. No port gets a second link: ours come one by one,
 * and a link that was made too early could not be taken back while it is being negotiated. */
static void link_ports(struct links *l, const struct watch *w, struct pw_core *core, uint32_t source, uint32_t node)
{
    const struct port *from[MAX_NODE_PORTS], *to[MAX_NODE_PORTS];
    const uint32_t outputs = list_outputs(w, source, from);
    const uint32_t inputs = outputs ? list_ports(w, node, false, false, to) : 0;
    for (uint32_t i = 0; i < inputs && l->count < MAX_OWN_LINKS; i++) {
        const struct port *output = from[SPA_MIN(i, outputs - 1)];
        if (!has_own(l, output->id, to[i]->id)) add_own(l, core, output, to[i]);
    }
}

void links_follow(struct links *l, const struct watch *w, struct pw_core *core, uint32_t node)
{
    if (!l->wanted) return;
    if (somebody_else_links(l, w, node)) {
        links_end(l);
        return;
    }
    prune(l, w);
    const struct port *linked = l->count ? watch_port(w, l->own[0].output_port) : NULL;
    const struct node *source = linked ? NULL : choose(w, l->target, l->heard);
    if (linked || source) link_ports(l, w, core, linked ? linked->node : source->id, node);
}

bool links_want(struct links *l, const struct watch *w, struct pw_core *core, uint32_t node, const char *target,
                const char *heard)
{
    l->wanted = true;
    copy_text(l->target, target);
    copy_text(l->heard, heard);
    links_follow(l, w, core, node);
    return l->count || choose(w, target, heard);
}

void links_end(struct links *l)
{
    for (uint32_t i = 0; i < l->count; i++) pw.proxy_destroy(l->own[i].proxy);
    l->count = 0;
    l->wanted = false;
}
