/* The connection: the object and its thread, the server, and the questions about it. */
#define _GNU_SOURCE
#include "pwcapture.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

void wake(const struct v2m_capture *c)
{
    const uint64_t one = 1;
    /* EAGAIN means that the reader has been woken already. */
    if (write(c->wake_fd, &one, sizeof one) < 0) return;
}

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
    c->status.connected = c->status.is_managed = 0;
    copy_text(c->status.error, message);
    survey_end(&c->survey);
    watch_end(&c->watch);
    wake(c);
}

static const struct pw_core_events core_events = {
    PW_VERSION_CORE_EVENTS, .done = on_core_done, .error = on_core_error};

static void disconnect(struct v2m_capture *c)
{
    destroy_stream(c);
    survey_end(&c->survey);
    watch_end(&c->watch);
    c->status.connected = c->status.is_managed = 0;
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
    c->watch.changed = follow_graph;
    c->watch.data = c;
    watch_end(&c->watch);
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
    ring_release(&c->ring);
    free(c);
}

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
