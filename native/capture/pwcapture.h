/* pwcapture - records from PipeWire into a spool, for v2m.infrastructure.capture.pipewire (ctypes).
 *
 * One capture object = one warm connection (thread loop, context, core) and at most one stream. The
 * data thread copies each block once, into memory that the caller mapped and populated beforehand,
 * and publishes it with a release store: no allocation, no lock, no Python.
 *
 * Every function may be called from any one thread at a time; those that wait for the server say so.
 */
#pragma once
#include "links.h"
#include "ring.h"

#define EXPORT __attribute__((visibility("default")))

struct v2m_status {
    int32_t connected;    /* 1, or 0 when the server is not there */
    int32_t stream_state; /* enum pw_stream_state */
    uint32_t rate_hz, channels; /* negotiated, 0 before */
    uint32_t node_id;
    int32_t scheduler;    /* SCHED_OTHER, SCHED_FIFO, SCHED_RR of the data thread; -1 before the first block */
    int32_t thread_id;    /* of the data thread, 0 before the first block */
    int32_t is_monitor;   /* without a microphone the session manager links what the loudspeakers play */
    int32_t is_managed;   /* a session manager is there; it may be too busy to link anything */
    int32_t own_links;    /* how many links of our own feed the stream */
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

struct v2m_capture {
    struct pw_thread_loop *loop;
    struct pw_context *context;
    struct pw_core *core;
    struct pw_stream *stream;
    struct spa_hook core_hook, stream_hook;
    int wake_fd, connect_seq;
    bool connect_done, own_ports; /* of the stream, made without a session manager */
    struct watch watch;
    struct survey survey;
    struct links links;
    struct v2m_status status; /* under the loop's lock, but for the counters of the data thread */
    /* shared with the data thread */
    uint8_t *spool; /* NULL: the gate is closed */
    struct ring *early; /* &ring while sound from before START is kept, else NULL */
    struct ring ring;   /* the data thread's as long as `early` is there */
    uint32_t in_callback, wake_at_next_block;
};

/* Make the event descriptor readable. */
void wake(const struct v2m_capture *c);

/* Called by the watch when the graph has changed. */
void follow_graph(void *data);

/* Lock held. Afterwards the spool is not touched any more. */
void destroy_stream(struct v2m_capture *c);

/* Process what has come; called by the data thread. */
void on_process(void *data);

/* After this the data thread does not touch the spool any more. */
void close_gate(struct v2m_capture *c);

/* Forget what was heard before START, and keep what comes, or (not `go_on`) nothing more. */
void empty_ring(struct v2m_capture *c, bool go_on);
