/* pwcapture - records from PipeWire into a spool, for v2m.infrastructure.capture.pipewire (ctypes).
 *
 * One capture object = one warm connection (thread loop, context, core) and at most one stream. The
 * data thread copies each block once, into memory that the caller mapped and populated beforehand,
 * and publishes it with a release store: no allocation, no lock, no Python. The layout of a spool is
 * src/v2m/domain/audio.py.
 *
 * libpipewire is opened at run time, so that this library loads, and can say what is missing, on a
 * machine without PipeWire. Every function may be called from any one thread at a time; those that
 * wait for the server say so.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wfloat-conversion"
#include <pipewire/pipewire.h>
#include <pipewire/extensions/metadata.h>
#include <spa/param/audio/format-utils.h>
#pragma GCC diagnostic pop

#define EXPORT __attribute__((visibility("default")))

#define RATE_HZ 16000
#define SAMPLE_BYTES 2
#define HEADER_BYTES 4096
#define OFFSET_HEAD 64
#define OFFSET_ALLOCATED 72
#define OFFSET_OVERRUN 80
#define OFFSET_FIRST_NS 88
#define OFFSET_LAST_NS 96
#define OFFSET_PEAK 104
#define OFFSET_LEVEL 108

/* A 256/48000 graph quantum: 5.3 ms. One sample more and PipeWire rounds to the next power of two. */
#define LATENCY "160/16000"
#define MAX_NODES 128
#define TEXT_BYTES 256

/* ---- libpipewire, by name --------------------------------------------------------------------- */

#define SYMBOLS(X)                                                                                  \
    X(init) X(get_library_version) X(thread_loop_new) X(thread_loop_start) X(thread_loop_stop)      \
    X(thread_loop_destroy) X(thread_loop_lock) X(thread_loop_unlock) X(thread_loop_signal)          \
    X(thread_loop_get_loop) X(thread_loop_get_time) X(thread_loop_timed_wait_full) X(context_new)   \
    X(context_connect) X(context_destroy) X(core_disconnect) X(properties_new) X(properties_set)    \
    X(properties_setf) X(proxy_destroy) X(stream_new) X(stream_add_listener) X(stream_connect)      \
    X(stream_destroy) X(stream_set_active) X(stream_dequeue_buffer) X(stream_queue_buffer)          \
    X(stream_get_node_id)

#define POINTER(name) __typeof__(pw_##name) *name;
static struct {
    SYMBOLS(POINTER)
} pw;

static bool load_library(char *error, size_t error_bytes)
{
    if (pw.init) return true;
    /* NODELETE: its threads must never run in unmapped code, whatever the interpreter does at exit. */
    void *library = dlopen("libpipewire-0.3.so.0", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        snprintf(error, error_bytes, "%s", dlerror());
        return false;
    }
    bool complete = true;
#define RESOLVE(name)                                                                               \
    *(void **)&pw.name = dlsym(library, "pw_" #name);                                               \
    if (!pw.name) {                                                                                 \
        snprintf(error, error_bytes, "libpipewire-0.3 has no pw_" #name);                           \
        complete = false;                                                                           \
    }
    SYMBOLS(RESOLVE)
    if (!complete) {
        pw.init = NULL;
        return false;
    }
    pw.init(NULL, NULL);
    return true;
}

/* ---- what the caller sees --------------------------------------------------------------------- */

struct v2m_status {
    int32_t connected;    /* 1, or 0 when the server is not there */
    int32_t stream_state; /* enum pw_stream_state */
    uint32_t rate_hz, channels; /* negotiated, 0 before */
    uint32_t node_id;
    int32_t scheduler;    /* SCHED_OTHER, SCHED_FIFO, SCHED_RR of the data thread; -1 before the first block */
    int32_t thread_id;    /* of the data thread, 0 before the first block */
    int32_t is_monitor;   /* without a microphone the session manager links what the loudspeakers play */
    uint64_t blocks;
    uint64_t faults;      /* page faults of the data thread inside the copy, after the first block */
    uint64_t empty;       /* buffers without audio in them */
    char source_name[TEXT_BYTES];
    char source[TEXT_BYTES]; /* its description */
    char error[TEXT_BYTES];
};

struct v2m_device {
    char name[TEXT_BYTES];
    char description[TEXT_BYTES];
    int32_t is_default;
};

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

struct v2m_capture {
    struct pw_thread_loop *loop;
    struct pw_context *context;
    struct pw_core *core;
    struct pw_stream *stream;
    struct spa_hook core_hook, stream_hook;
    int wake_fd, connect_seq;
    bool connect_done;
    struct watch watch;
    struct survey survey;
    struct v2m_status status; /* under the loop's lock, but for the counters of the data thread */
    /* shared with the data thread */
    uint8_t *spool; /* NULL: the gate is closed */
    uint32_t in_callback, wake_at_next_block;
};

static void wake(const struct v2m_capture *c)
{
    const uint64_t one = 1;
    /* EAGAIN means that the reader has been woken already. */
    if (write(c->wake_fd, &one, sizeof one) < 0) return;
}

static void copy_text(char *to, const char *from)
{
    snprintf(to, TEXT_BYTES, "%s", from ? from : "");
}

/* ---- the data thread -------------------------------------------------------------------------- */

#define FIELD(type, spool, offset) ((type *)(void *)((spool) + (offset)))

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t page_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

static uint32_t peak_of(const int16_t *samples, uint64_t count)
{
    int low = 0, high = 0;
    for (uint64_t i = 0; i < count; i++) {
        low = samples[i] < low ? samples[i] : low;
        high = samples[i] > high ? samples[i] : high;
    }
    return (uint32_t)(high > -low ? high : -low);
}

/* Append to the spool; `head` is published last, so a reader never sees a sample that is not there. */
static void store(uint8_t *spool, const void *samples, uint64_t count)
{
    uint64_t *head = FIELD(uint64_t, spool, OFFSET_HEAD);
    const uint64_t at = *head;
    const uint64_t allocated = __atomic_load_n(FIELD(uint64_t, spool, OFFSET_ALLOCATED), __ATOMIC_ACQUIRE);
    const uint64_t room = allocated > at ? allocated - at : 0;
    const uint64_t stored = count < room ? count : room;
    const int64_t now = now_ns();

    if (stored < count) *FIELD(uint64_t, spool, OFFSET_OVERRUN) += count - stored;
    if (!stored) return;
    int16_t *target = FIELD(int16_t, spool, HEADER_BYTES + at * SAMPLE_BYTES);
    memcpy(target, samples, stored * SAMPLE_BYTES);
    const uint32_t peak = peak_of(target, stored);
    if (peak > *FIELD(uint32_t, spool, OFFSET_PEAK)) *FIELD(uint32_t, spool, OFFSET_PEAK) = peak;
    if (peak > *FIELD(uint32_t, spool, OFFSET_LEVEL)) *FIELD(uint32_t, spool, OFFSET_LEVEL) = peak;
    if (!*FIELD(int64_t, spool, OFFSET_FIRST_NS)) *FIELD(int64_t, spool, OFFSET_FIRST_NS) = now;
    *FIELD(int64_t, spool, OFFSET_LAST_NS) = now;
    __atomic_store_n(head, at + stored, __ATOMIC_RELEASE);
}

/* Tell whether there was audio in it; a buffer without any is legal. */
static bool store_buffer(uint8_t *spool, const struct spa_buffer *buffer)
{
    const struct spa_data *d = buffer->n_datas ? &buffer->datas[0] : NULL;
    if (!d || !d->data || !d->chunk->size) return false;
    const uint32_t offset = SPA_MIN(d->chunk->offset, d->maxsize);
    const uint32_t bytes = SPA_MIN(d->chunk->size, d->maxsize - offset);
    store(spool, (const uint8_t *)d->data + offset, bytes / SAMPLE_BYTES);
    return true;
}

static void note_block(struct v2m_capture *c, int64_t faults)
{
    if (c->status.blocks++ == 0) {
        c->status.thread_id = gettid();
        c->status.scheduler = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
        wake(c);
        return;
    }
    c->status.faults += (uint64_t)faults;
    if (__atomic_exchange_n(&c->wake_at_next_block, 0, __ATOMIC_ACQ_REL)) wake(c);
}

static void on_process(void *data)
{
    struct v2m_capture *c = data;
    struct pw_buffer *b;

    __atomic_store_n(&c->in_callback, 1, __ATOMIC_SEQ_CST);
    uint8_t *spool = __atomic_load_n(&c->spool, __ATOMIC_SEQ_CST);
    while ((b = pw.stream_dequeue_buffer(c->stream))) {
        if (spool) {
            const int64_t before = page_faults();
            if (store_buffer(spool, b->buffer))
                note_block(c, page_faults() - before);
            else
                c->status.empty++;
        }
        pw.stream_queue_buffer(c->stream, b);
    }
    __atomic_store_n(&c->in_callback, 0, __ATOMIC_SEQ_CST);
}

/* After this the data thread does not touch the spool any more. */
static void close_gate(struct v2m_capture *c)
{
    __atomic_store_n(&c->spool, NULL, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&c->in_callback, __ATOMIC_SEQ_CST)) usleep(20);
}

/* ---- a look at the graph ---------------------------------------------------------------------- */

static uint32_t number(const struct spa_dict *props, const char *key)
{
    const char *text = props ? spa_dict_lookup(props, key) : NULL;
    return text ? (uint32_t)strtoul(text, NULL, 10) : SPA_ID_INVALID;
}

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

/* Add a node to a list, if it is a device that can be recorded from and there is room. */
static void note_node(struct node *nodes, uint32_t *count, uint32_t id, const struct spa_dict *props)
{
    const char *name = props ? spa_dict_lookup(props, PW_KEY_NODE_NAME) : NULL;
    const char *class = props ? spa_dict_lookup(props, PW_KEY_MEDIA_CLASS) : NULL;
    if (!name || !class || *count == MAX_NODES) return;
    const bool is_source = begins(class, "Audio/Source") || begins(class, "Audio/Duplex");
    const bool is_sink = begins(class, "Audio/Sink");
    if (!is_source && !is_sink) return;
    const char *description = spa_dict_lookup(props, PW_KEY_NODE_DESCRIPTION);
    struct node *n = &nodes[(*count)++];
    n->id = id;
    n->is_source = is_source;
    n->is_sink = is_sink;
    copy_text(n->name, name);
    copy_text(n->description, description ? description : name);
}

static void on_watched_global(void *data, uint32_t id, uint32_t permissions, const char *type, uint32_t version,
                              const struct spa_dict *props)
{
    struct watch *w = data;
    (void)permissions;
    (void)version;
    if (!strcmp(type, PW_TYPE_INTERFACE_Node)) note_node(w->nodes, &w->node_count, id, props);
}

static void on_watched_global_remove(void *data, uint32_t id)
{
    struct watch *w = data;
    for (uint32_t i = 0; i < w->node_count; i++)
        if (w->nodes[i].id == id) {
            w->nodes[i] = w->nodes[--w->node_count];
            return;
        }
}

static const struct pw_registry_events watch_events = {
    PW_VERSION_REGISTRY_EVENTS, .global = on_watched_global, .global_remove = on_watched_global_remove};

static void watch_end(struct watch *w)
{
    w->node_count = 0;
    if (!w->registry) return;
    spa_hook_remove(&w->hook);
    pw.proxy_destroy((struct pw_proxy *)w->registry);
    w->registry = NULL;
}

/* Whoever syncs with the server afterwards knows all that is there. */
static void watch_begin(struct watch *w, struct pw_core *core)
{
    w->registry = pw_core_get_registry(core, PW_VERSION_REGISTRY, 0);
    if (!w->registry) return;
    spa_zero(w->hook);
    pw_registry_add_listener(w->registry, &w->hook, &watch_events, w);
}

/* Tell whether there is a microphone, or the very device that is asked for, which may be a loudspeaker. */
static bool watch_hears(const struct watch *w, const char *target)
{
    if (!w->registry || w->node_count == MAX_NODES) return true; /* not known */
    for (uint32_t i = 0; i < w->node_count; i++)
        if (w->nodes[i].is_source || !strcmp(w->nodes[i].name, target)) return true;
    return false;
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

static void survey_end(struct survey *s)
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

static void survey_begin(struct survey *s, struct pw_core *core)
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

/* ---- the connection --------------------------------------------------------------------------- */

static void on_core_done(void *data, uint32_t id, int seq)
{
    struct v2m_capture *c = data;
    if (id != PW_ID_CORE || seq != c->connect_seq) return;
    c->connect_done = true;
    pw.thread_loop_signal(c->loop, false);
}

static void on_core_error(void *data, uint32_t id, int seq, int res, const char *message)
{
    struct v2m_capture *c = data;
    (void)seq;
    if (id != PW_ID_CORE || res != -EPIPE) return;
    c->status.connected = 0;
    copy_text(c->status.error, message);
    survey_end(&c->survey);
    watch_end(&c->watch);
    wake(c);
}

static const struct pw_core_events core_events = {
    PW_VERSION_CORE_EVENTS, .done = on_core_done, .error = on_core_error};

static void destroy_stream(struct v2m_capture *c)
{
    close_gate(c);
    if (!c->stream) return;
    spa_hook_remove(&c->stream_hook);
    pw.stream_destroy(c->stream);
    c->stream = NULL;
    c->status.stream_state = PW_STREAM_STATE_UNCONNECTED;
}

static void disconnect(struct v2m_capture *c)
{
    destroy_stream(c);
    survey_end(&c->survey);
    watch_end(&c->watch);
    c->status.connected = 0;
    if (!c->core) return;
    spa_hook_remove(&c->core_hook);
    pw.core_disconnect(c->core);
    c->core = NULL;
}

/* Wait, lock held, until *done or the deadline; the lock is released meanwhile. */
static bool wait_until(struct v2m_capture *c, const bool *done, int timeout_ms)
{
    struct timespec deadline;
    pw.thread_loop_get_time(c->loop, &deadline, (int64_t)timeout_ms * SPA_NSEC_PER_MSEC);
    while (!*done)
        if (pw.thread_loop_timed_wait_full(c->loop, &deadline) < 0) return *done;
    return true;
}

/* Make the object and its thread; nothing is connected yet. NULL with a reason in `error`. */
EXPORT struct v2m_capture *v2m_new(char *error, uint32_t error_bytes)
{
    if (!load_library(error, error_bytes)) return NULL;
    struct v2m_capture *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->status.scheduler = -1;
    c->survey.answered = note_source;
    c->survey.data = c;
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->loop = pw.thread_loop_new("v2m-capture", NULL);
    if (c->wake_fd >= 0 && c->loop && pw.thread_loop_start(c->loop) >= 0) {
        pw.thread_loop_lock(c->loop);
        /* Before 1.0 only this configuration gives the data thread real-time scheduling. */
        struct pw_properties *props = pw.properties_new(NULL, NULL);
        if (strtol(pw.get_library_version(), NULL, 10) < 1)
            pw.properties_set(props, PW_KEY_CONFIG_NAME, "client-rt.conf");
        c->context = pw.context_new(pw.thread_loop_get_loop(c->loop), props, 0);
        pw.thread_loop_unlock(c->loop);
    }
    if (c->context) return c;
    snprintf(error, error_bytes, "PipeWire's client library cannot start: %s", strerror(errno));
    if (c->loop) {
        pw.thread_loop_stop(c->loop);
        pw.thread_loop_destroy(c->loop);
    }
    if (c->wake_fd >= 0) close(c->wake_fd);
    free(c);
    return NULL;
}

/* Connect anew; waits for the server's answer. 0, or a negative errno. */
EXPORT int v2m_connect(struct v2m_capture *c, int timeout_ms)
{
    int result = 0;
    pw.thread_loop_lock(c->loop);
    disconnect(c);
    c->core = pw.context_connect(c->context, NULL, 0);
    if (!c->core) {
        result = errno ? -errno : -EIO;
    } else {
        spa_zero(c->core_hook);
        pw_core_add_listener(c->core, &c->core_hook, &core_events, c);
        watch_begin(&c->watch, c->core);
        c->connect_done = false;
        c->connect_seq = pw_core_sync(c->core, PW_ID_CORE, 0);
        if (wait_until(c, &c->connect_done, timeout_ms)) {
            c->status.connected = 1;
            c->status.error[0] = 0;
        } else {
            disconnect(c);
            result = -ETIMEDOUT;
        }
    }
    pw.thread_loop_unlock(c->loop);
    return result;
}

/* Release everything; the object is gone afterwards. */
EXPORT void v2m_free(struct v2m_capture *c)
{
    pw.thread_loop_lock(c->loop);
    disconnect(c);
    pw.context_destroy(c->context);
    pw.thread_loop_unlock(c->loop);
    pw.thread_loop_stop(c->loop);
    pw.thread_loop_destroy(c->loop);
    close(c->wake_fd);
    free(c);
}

/* ---- the stream ------------------------------------------------------------------------------- */

static void on_state(void *data, enum pw_stream_state old, enum pw_stream_state state, const char *error)
{
    struct v2m_capture *c = data;
    (void)old;
    c->status.stream_state = state;
    if (state == PW_STREAM_STATE_ERROR) copy_text(c->status.error, error);
    if (state == PW_STREAM_STATE_PAUSED || state == PW_STREAM_STATE_STREAMING)
        c->status.node_id = pw.stream_get_node_id(c->stream);
    if (state == PW_STREAM_STATE_STREAMING && c->status.connected) {
        c->survey.our_node = c->status.node_id;
        survey_begin(&c->survey, c->core);
    }
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

static struct pw_properties *stream_properties(const char *target, int quality)
{
    struct pw_properties *props = pw.properties_new(
        PW_KEY_MEDIA_TYPE, "Audio", PW_KEY_MEDIA_CATEGORY, "Capture", PW_KEY_MEDIA_ROLE, "Communication",
        PW_KEY_NODE_NAME, "v2m", PW_KEY_NODE_DESCRIPTION, "v2m dictation", PW_KEY_APP_NAME, "v2m",
        PW_KEY_APP_ID, "v2m", PW_KEY_APP_ICON_NAME, "audio-input-microphone", PW_KEY_NODE_LATENCY, LATENCY, NULL);
    pw.properties_setf(props, "resample.quality", "%d", quality);
    if (*target) pw.properties_set(props, PW_KEY_TARGET_OBJECT, target);
    return props;
}

static int connect_stream(struct v2m_capture *c, const char *target, int quality, bool active)
{
    uint8_t memory[1024];
    struct spa_pod_builder builder = SPA_POD_BUILDER_INIT(memory, sizeof memory);
    struct spa_audio_info_raw raw = {.format = SPA_AUDIO_FORMAT_S16_LE, .rate = RATE_HZ, .channels = 1};
    raw.position[0] = SPA_AUDIO_CHANNEL_MONO;
    const struct spa_pod *formats[] = {spa_format_audio_raw_build(&builder, SPA_PARAM_EnumFormat, &raw)};
    enum pw_stream_flags flags = PW_STREAM_FLAG_AUTOCONNECT | PW_STREAM_FLAG_MAP_BUFFERS | PW_STREAM_FLAG_RT_PROCESS;

    c->stream = pw.stream_new(c->core, "dictation", stream_properties(target, quality));
    if (!c->stream) return errno ? -errno : -EIO;
    spa_zero(c->stream_hook);
    pw.stream_add_listener(c->stream, &c->stream_hook, &stream_events, c);
    if (!active) flags |= PW_STREAM_FLAG_INACTIVE;
    const int result = pw.stream_connect(c->stream, PW_DIRECTION_INPUT, PW_ID_ANY, flags, formats, 1);
    if (result < 0) destroy_stream(c);
    return result < 0 ? result : 0;
}

static void reset_status(struct v2m_status *s)
{
    const int32_t connected = s->connected, state = s->stream_state;
    const uint32_t rate_hz = s->rate_hz, channels = s->channels, node_id = s->node_id;
    *s = (struct v2m_status){.connected = connected, .stream_state = state, .scheduler = -1};
    /* An armed stream keeps its format from recording to recording. */
    if (state == PW_STREAM_STATE_PAUSED) {
        s->rate_hz = rate_hz;
        s->channels = channels;
        s->node_id = node_id;
    }
}

/* Connect a stream that stays inactive, for the armed policy. 0, or a negative errno. */
EXPORT int v2m_arm(struct v2m_capture *c, const char *target, int quality)
{
    pw.thread_loop_lock(c->loop);
    int result = c->status.connected ? 0 : -EPIPE;
    if (!result && !c->stream) result = connect_stream(c, target, quality, false);
    pw.thread_loop_unlock(c->loop);
    return result;
}

/* Record into the spool whose header is at `spool` from now on. 0, or a negative errno: ENODEV without a
 * microphone, when the session manager would link nothing, or what the loudspeakers play. */
EXPORT int v2m_start(struct v2m_capture *c, void *spool, const char *target, int quality)
{
    pw.thread_loop_lock(c->loop);
    int result = !c->status.connected ? -EPIPE : watch_hears(&c->watch, target) ? 0 : -ENODEV;
    if (!result) {
        reset_status(&c->status);
        __atomic_store_n(&c->wake_at_next_block, 0, __ATOMIC_RELEASE);
        __atomic_store_n(&c->spool, spool, __ATOMIC_SEQ_CST);
        result = c->stream ? pw.stream_set_active(c->stream, true) : connect_stream(c, target, quality, true);
        if (result < 0) destroy_stream(c);
    }
    pw.thread_loop_unlock(c->loop);
    return result < 0 ? result : 0;
}

/* Make the event descriptor readable when the next block has been stored. */
EXPORT void v2m_wake_at_next_block(struct v2m_capture *c)
{
    __atomic_store_n(&c->wake_at_next_block, 1, __ATOMIC_RELEASE);
}

/* End the recording: the spool is not touched any more, the stream is destroyed or (keep) made inactive. */
EXPORT void v2m_stop(struct v2m_capture *c, int keep)
{
    pw.thread_loop_lock(c->loop);
    survey_end(&c->survey);
    close_gate(c);
    if (!keep || !c->stream || pw.stream_set_active(c->stream, false) < 0) destroy_stream(c);
    pw.thread_loop_unlock(c->loop);
}

/* ---- questions -------------------------------------------------------------------------------- */

EXPORT int v2m_event_fd(const struct v2m_capture *c)
{
    return c->wake_fd;
}

EXPORT void v2m_read_status(struct v2m_capture *c, struct v2m_status *out)
{
    pw.thread_loop_lock(c->loop);
    *out = c->status;
    pw.thread_loop_unlock(c->loop);
}

struct question {
    struct survey survey;
    struct pw_thread_loop *loop;
    bool done;
};

static void note_answer(struct survey *s, void *data)
{
    struct question *q = data;
    (void)s;
    q->done = true;
    pw.thread_loop_signal(q->loop, false);
}

/* List the microphones; waits for the server. Their number (at most `room`), or a negative errno.
 *
 * On a connection of its own: the server serves no other request of a connection that has bound
 * metadata until the session manager, which owns them, has answered. */
EXPORT int v2m_devices(struct v2m_capture *c, struct v2m_device *out, int room, int timeout_ms)
{
    struct question *q = calloc(1, sizeof *q);
    int count = 0;
    if (!q) return -ENOMEM;
    q->loop = c->loop;
    q->survey.our_node = SPA_ID_INVALID;
    q->survey.wants_default = true;
    q->survey.answered = note_answer;
    q->survey.data = q;
    pw.thread_loop_lock(c->loop);
    struct pw_core *core = pw.context_connect(c->context, NULL, 0);
    if (!core) {
        count = errno ? -errno : -EIO;
    } else {
        survey_begin(&q->survey, core);
        if (!wait_until(c, &q->done, timeout_ms)) count = -ETIMEDOUT;
        survey_end(&q->survey);
        pw.core_disconnect(core);
    }
    pw.thread_loop_unlock(c->loop);
    for (uint32_t i = 0; count >= 0 && i < q->survey.node_count && count < room; i++) {
        const struct node *n = &q->survey.nodes[i];
        if (!n->is_source) continue;
        struct v2m_device *d = &out[count++];
        copy_text(d->name, n->name);
        copy_text(d->description, n->description);
        d->is_default = !strcmp(n->name, q->survey.default_name);
    }
    free(q);
    return count;
}
