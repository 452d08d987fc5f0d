/* libpipewire, by name: opened at run time, so that a machine without PipeWire can be told what is missing. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wfloat-conversion"
#include <pipewire/pipewire.h>
#include <pipewire/extensions/metadata.h>
#include <spa/param/audio/format-utils.h>
#pragma GCC diagnostic pop

#define PW_SYMBOLS(X)                                                                               \
    X(init) X(get_library_version) X(thread_loop_new) X(thread_loop_start) X(thread_loop_stop)      \
    X(thread_loop_destroy) X(thread_loop_lock) X(thread_loop_unlock) X(thread_loop_signal)          \
    X(thread_loop_get_loop) X(thread_loop_get_time) X(thread_loop_timed_wait_full) X(context_new)   \
    X(context_connect) X(context_destroy) X(core_disconnect) X(properties_new) X(properties_set)    \
    X(properties_setf) X(proxy_destroy) X(stream_new) X(stream_add_listener) X(stream_connect)      \
    X(stream_destroy) X(stream_set_active) X(stream_dequeue_buffer) X(stream_queue_buffer)          \
    X(stream_get_node_id)

#define PW_POINTER(name) __typeof__(pw_##name) *name;
struct libpipewire {
    PW_SYMBOLS(PW_POINTER)
};

extern struct libpipewire pw; /* usable once load_library() has said so */

/* Open and initialize the library, once. False with a reason in `error`. */
bool load_library(char *error, size_t error_bytes);
