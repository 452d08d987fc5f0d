#define _GNU_SOURCE
#include "ring.h"
#include <string.h>
#include <sys/mman.h>

/* Longer than any graph quantum: the machine slept, or the source stood still. chain.py calls this a fault, too. */
#define INTERRUPTION_NS 500000000

#define SMALLER(a, b) ((a) < (b) ? (a) : (b))

void ring_reserve(struct ring *r, uint32_t capacity)
{
    r->capacity = SMALLER(capacity, RING_SAMPLES);
    if (!r->capacity) return;
    /* It also populates: without it the data thread would meet a page fault with each new page. */
    if (mlock(r, sizeof *r) < 0) memset(r->samples, 0, sizeof r->samples);
}

void ring_release(struct ring *r)
{
    if (r->capacity) munlock(r, sizeof *r);
}

void ring_clear(struct ring *r)
{
    if (r->held) explicit_bzero(r->samples, sizeof r->samples);
    r->held = r->next = 0;
}

static void forget_interrupted(struct ring *r, int64_t now_ns)
{
    if (now_ns - r->heard_ns > INTERRUPTION_NS) ring_clear(r);
    r->heard_ns = now_ns;
}

void ring_append(struct ring *r, const void *samples, uint32_t count, int64_t now_ns)
{
    forget_interrupted(r, now_ns);
    const uint32_t kept = SMALLER(count, r->capacity);
    const uint32_t first = SMALLER(kept, r->capacity - r->next);
    const int16_t *from = (const int16_t *)samples + (count - kept);
    if (!kept) return;
    memcpy(r->samples + r->next, from, first * SAMPLE_BYTES);
    memcpy(r->samples, from + first, (kept - first) * SAMPLE_BYTES);
    r->next = (r->next + kept) % r->capacity;
    r->held = SMALLER(r->held + kept, r->capacity);
}

void ring_pour(struct ring *r, uint8_t *spool, int64_t now_ns)
{
    forget_interrupted(r, now_ns);
    if (!r->held) return;
    const uint32_t oldest = (r->next + r->capacity - r->held) % r->capacity;
    const uint32_t first = SMALLER(r->held, r->capacity - oldest);
    spool_append_early(spool, r->samples + oldest, first);
    spool_append_early(spool, r->samples, r->held - first);
    ring_clear(r);
}
