/* The data thread, which fills the spool, or the ring while nobody records; and how the others keep it away. */
#define _GNU_SOURCE
#include "pwcapture.h"
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int64_t page_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

/* Unlike the monotonic clock it goes on while the machine sleeps. */
static int64_t boottime_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * SPA_NSEC_PER_SEC + t.tv_nsec;
}

/* Find the samples of a buffer. Their number: 0 is legal. */
static uint32_t samples_in(const struct spa_buffer *buffer, const uint8_t **samples)
{
    const struct spa_data *d = buffer->n_datas ? &buffer->datas[0] : NULL;
    if (!d || !d->data) return 0;
    const uint32_t offset = SPA_MIN(d->chunk->offset, d->maxsize);
    *samples = (const uint8_t *)d->data + offset;
    return SPA_MIN(d->chunk->size, d->maxsize - offset) / SAMPLE_BYTES;
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

/* What was heard before START goes first. */
static void store_block(struct v2m_capture *c, uint8_t *spool, struct ring *early, const uint8_t *samples,
                        uint32_t count)
{
    const int64_t before = page_faults();
    if (early && early->held) ring_pour(early, spool, boottime_ns());
    spool_append(spool, samples, count);
    note_block(c, page_faults() - before);
}

void on_process(void *data)
{
    struct v2m_capture *c = data;
    struct pw_buffer *b;

    __atomic_store_n(&c->in_callback, 1, __ATOMIC_SEQ_CST);
    uint8_t *spool = __atomic_load_n(&c->spool, __ATOMIC_SEQ_CST);
    struct ring *early = __atomic_load_n(&c->early, __ATOMIC_SEQ_CST);
    while ((b = pw.stream_dequeue_buffer(c->stream))) {
        const uint8_t *samples = NULL;
        const uint32_t count = samples_in(b->buffer, &samples);
        if (spool && count)
            store_block(c, spool, early, samples, count);
        else if (spool)
            c->status.empty++;
        else if (early && count)
            ring_append(early, samples, count, boottime_ns());
        pw.stream_queue_buffer(c->stream, b);
    }
    __atomic_store_n(&c->in_callback, 0, __ATOMIC_SEQ_CST);
}

/* After this the data thread has seen what was stored before. */
static void await_callback(const struct v2m_capture *c)
{
    while (__atomic_load_n(&c->in_callback, __ATOMIC_SEQ_CST)) usleep(20);
}

void close_gate(struct v2m_capture *c)
{
    __atomic_store_n(&c->spool, NULL, __ATOMIC_SEQ_CST);
    await_callback(c);
}

void empty_ring(struct v2m_capture *c, bool go_on)
{
    struct ring *early = __atomic_exchange_n(&c->early, NULL, __ATOMIC_SEQ_CST);
    await_callback(c);
    ring_clear(&c->ring);
    if (go_on) __atomic_store_n(&c->early, early, __ATOMIC_SEQ_CST);
}
