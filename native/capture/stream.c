/* The stream: where its audio comes from, and how a recording starts and ends. */
#define _GNU_SOURCE
#include "pwcapture.h"
#include <errno.h>

/* A 256/48000 graph quantum: 5.3 ms. One sample more and PipeWire rounds to the next power of two. */
#define LATENCY "160/16000"

/* The ports that the session manager would make; a microphone is heard on either channel of a stereo source. */
#define OWN_PORTS                                                                                   \
    "{ direction = Input mode = dsp format = { mediaType = audio mediaSubtype = raw format = F32P " \
    "rate = 48000 channels = %u position = [ %s ] } }"

static void note_source(struct survey *s, void *data)
{
    struct v2m_capture *c = data;
    for (uint32_t i = 0; i < s->node_count; i++) {
        if (s->nodes[i].id != s->linked_node) continue;
        copy_text(c->status.source_name, s->nodes[i].name);
        copy_text(c->status.source, s->nodes[i].description);
        c->status.is_monitor = s->nodes[i].is_sink;
    }
    wake(c);
}

/* Ask what is heard; the answer wakes the reader. */
static void ask_source(struct v2m_capture *c)
{
    c->survey.our_node = c->status.node_id;
    c->survey.answered = note_source;
    c->survey.data = c;
    survey_begin(&c->survey, c->core);
}

void follow_graph(void *data)
{
    struct v2m_capture *c = data;
    const uint32_t own_before = c->links.count;
    const int32_t is_managed = watch_is_managed(&c->watch);
    links_follow(&c->links, &c->watch, c->core, c->status.node_id);
    const bool changed = c->links.count != own_before || c->status.is_managed != is_managed;
    c->status.own_links = (int32_t)c->links.count;
    c->status.is_managed = is_managed;
    /* Links that took the place of ours need not interrupt the stream, but may come from another source. */
    if (own_before && !c->links.count && c->status.stream_state == PW_STREAM_STATE_STREAMING) ask_source(c);
    if (changed) wake(c);
}

static void on_state(void *data, enum pw_stream_state old, enum pw_stream_state state, const char *error)
{
    struct v2m_capture *c = data;
    (void)old;
    c->status.stream_state = state;
    if (state == PW_STREAM_STATE_ERROR) copy_text(c->status.error, error);
    if (state != PW_STREAM_STATE_STREAMING) empty_ring(c, true); /* what comes next may be another microphone's */
    if (state == PW_STREAM_STATE_PAUSED || state == PW_STREAM_STATE_STREAMING)
        c->status.node_id = pw.stream_get_node_id(c->stream);
    if (state == PW_STREAM_STATE_STREAMING && c->status.connected) ask_source(c);
    if (state == PW_STREAM_STATE_PAUSED && c->status.connected) follow_graph(c);
    wake(c);
}

static void on_param(void *data, uint32_t id, const struct spa_pod *param)
{
    struct v2m_capture *c = data;
    struct spa_audio_info_raw raw = {0};
    if (id != SPA_PARAM_Format || !param || spa_format_audio_raw_parse(param, &raw) < 0) return;
    c->status.rate_hz = raw.rate;
    c->status.channels = raw.channels;
}

static const struct pw_stream_events stream_events = {
    PW_VERSION_STREAM_EVENTS, .state_changed = on_state, .param_changed = on_param, .process = on_process};

void destroy_stream(struct v2m_capture *c)
{
    close_gate(c);
    empty_ring(c, false);
    links_end(&c->links);
    if (!c->stream) return;
    spa_hook_remove(&c->stream_hook);
    pw.stream_destroy(c->stream);
    c->stream = NULL;
    c->status.stream_state = PW_STREAM_STATE_UNCONNECTED;
}

static struct pw_properties *stream_properties(const char *target, int quality, uint32_t own_ports)
{
    struct pw_properties *props = pw.properties_new(
        PW_KEY_MEDIA_TYPE, "Audio", PW_KEY_MEDIA_CATEGORY, "Capture", PW_KEY_MEDIA_ROLE, "Communication",
        PW_KEY_NODE_NAME, "v2m", PW_KEY_NODE_DESCRIPTION, "v2m dictation", PW_KEY_APP_NAME, "v2m",
        PW_KEY_APP_ID, "v2m", PW_KEY_APP_ICON_NAME, "audio-input-microphone", PW_KEY_NODE_LATENCY, LATENCY, NULL);
    pw.properties_setf(props, "resample.quality", "%d", quality);
    if (own_ports)
        pw.properties_setf(props, "node.param.PortConfig", OWN_PORTS, own_ports, own_ports == 1 ? "MONO" : "FL FR");
    if (*target) pw.properties_set(props, PW_KEY_TARGET_OBJECT, target);
    return props;
}

/* Without `own_ports` the session manager makes them. */
static int connect_stream(struct v2m_capture *c, const char *target, int quality, bool active, uint32_t own_ports)
{
    uint8_t memory[1024];
    struct spa_pod_builder builder = SPA_POD_BUILDER_INIT(memory, sizeof memory);
    struct spa_audio_info_raw raw = {.format = SPA_AUDIO_FORMAT_S16_LE, .rate = RATE_HZ, .channels = 1};
    raw.position[0] = SPA_AUDIO_CHANNEL_MONO;
    const struct spa_pod *formats[] = {spa_format_audio_raw_build(&builder, SPA_PARAM_EnumFormat, &raw)};
    enum pw_stream_flags flags = PW_STREAM_FLAG_AUTOCONNECT | PW_STREAM_FLAG_MAP_BUFFERS | PW_STREAM_FLAG_RT_PROCESS;

    c->own_ports = own_ports > 0;
    c->stream = pw.stream_new(c->core, "dictation", stream_properties(target, quality, own_ports));
    if (!c->stream) return errno ? -errno : -EIO;
    spa_zero(c->stream_hook);
    pw.stream_add_listener(c->stream, &c->stream_hook, &stream_events, c);
    if (!active) flags |= PW_STREAM_FLAG_INACTIVE;
    if (c->ring.capacity) __atomic_store_n(&c->early, &c->ring, __ATOMIC_SEQ_CST);
    const int result = pw.stream_connect(c->stream, PW_DIRECTION_INPUT, PW_ID_ANY, flags, formats, 1);
    if (result < 0) destroy_stream(c);
    return result < 0 ? result : 0;
}

static void reset_status(struct v2m_status *s)
{
    const struct v2m_status old = *s;
    *s = (struct v2m_status){
        .connected = old.connected, .is_managed = old.is_managed, .stream_state = old.stream_state, .scheduler = -1};
    /* An armed stream keeps its format from recording to recording; one that listens its source as well. */
    if (old.stream_state >= PW_STREAM_STATE_PAUSED) {
        s->rate_hz = old.rate_hz;
        s->channels = old.channels;
        s->node_id = old.node_id;
    }
    if (old.stream_state == PW_STREAM_STATE_STREAMING) {
        s->is_monitor = old.is_monitor;
        s->own_links = old.own_links;
        copy_text(s->source_name, old.source_name);
        copy_text(s->source, old.source);
    }
}

/* Connect a stream for the armed policy. It stays inactive, or listens all the time, so that as many samples as
 * `preroll` says come before START's own. 0, or a negative errno. */
EXPORT int v2m_arm(struct v2m_capture *c, const char *target, int quality, uint32_t preroll)
{
    pw.thread_loop_lock(c->loop);
    int result = c->status.connected ? 0 : -EPIPE;
    if (!result && !c->stream) {
        ring_reserve(&c->ring, preroll);
        result = connect_stream(c, target, quality, preroll > 0, 0);
    }
    pw.thread_loop_unlock(c->loop);
    return result;
}

/* Record into the spool whose header is at `spool` from now on. Where no session manager will make the stream's
 * ports, `heard` is what v2m_link will be told, else NULL. 0, or a negative errno: ENODEV without a microphone, when
 * the session manager would link nothing, or what the loudspeakers play. */
EXPORT int v2m_start(struct v2m_capture *c, void *spool, const char *target, int quality, const char *heard)
{
    pw.thread_loop_lock(c->loop);
    int result = !c->status.connected ? -EPIPE : watch_hears(&c->watch, target) ? 0 : -ENODEV;
    if (!result) {
        const uint32_t own_ports = heard ? links_channels(&c->watch, target, heard) : 0;
        /* One that was armed without a session manager. */
        if (own_ports && !watch_has_inputs(&c->watch, c->status.node_id)) destroy_stream(c);
        if (c->status.is_monitor && !*target) empty_ring(c, true);
        reset_status(&c->status);
        __atomic_store_n(&c->wake_at_next_block, 0, __ATOMIC_RELEASE);
        __atomic_store_n(&c->spool, spool, __ATOMIC_SEQ_CST);
        result = c->stream ? pw.stream_set_active(c->stream, true) : connect_stream(c, target, quality, true, own_ports);
        if (result < 0) destroy_stream(c);
    }
    pw.thread_loop_unlock(c->loop);
    return result < 0 ? result : 0;
}

/* Link the stream ourselves until somebody else does: from `target`, else from the source called `heard`, else from
 * the likeliest. 0, or a negative errno: ENODEV without a source, ENOTCONN when the stream gets no ports. */
EXPORT int v2m_link(struct v2m_capture *c, const char *target, const char *heard)
{
    pw.thread_loop_lock(c->loop);
    int result = c->status.connected && c->stream ? 0 : -EPIPE;
    if (!result) {
        const bool has_source = links_want(&c->links, &c->watch, c->core, c->status.node_id, target, heard);
        const bool has_ports = c->own_ports || watch_has_inputs(&c->watch, c->status.node_id);
        c->status.own_links = (int32_t)c->links.count;
        result = !has_source ? -ENODEV : !has_ports ? -ENOTCONN : 0;
    }
    pw.thread_loop_unlock(c->loop);
    return result;
}

/* Make the event descriptor readable when the next block has been stored. */
EXPORT void v2m_wake_at_next_block(struct v2m_capture *c)
{
    __atomic_store_n(&c->wake_at_next_block, 1, __ATOMIC_RELEASE);
}

/* End the recording: the spool is not touched any more, the stream is destroyed or (keep) listens on for the next
 * START, or is made inactive. */
EXPORT void v2m_stop(struct v2m_capture *c, int keep)
{
    pw.thread_loop_lock(c->loop);
    close_gate(c);
    if (!keep || !c->early || c->status.stream_state < PW_STREAM_STATE_CONNECTING) {
        survey_end(&c->survey);
        links_end(&c->links);
        if (!keep || !c->stream || pw.stream_set_active(c->stream, false) < 0) destroy_stream(c);
    }
    pw.thread_loop_unlock(c->loop);
}
