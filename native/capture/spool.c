#include "spool.h"
#include <string.h>
#include <time.h>

#define FIELD(type, spool, offset) ((type *)(void *)((spool) + (offset)))

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
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

/* `head` is published last, so a reader never sees a sample that is not there. */
void spool_append(uint8_t *spool, const void *samples, uint64_t count)
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

void spool_append_early(uint8_t *spool, const void *samples, uint64_t count)
{
    uint64_t *preroll = FIELD(uint64_t, spool, OFFSET_PREROLL);
    if (*FIELD(uint64_t, spool, OFFSET_HEAD) != *preroll) return;
    *preroll += count;
    spool_append(spool, samples, count);
}
