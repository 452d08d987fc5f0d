/* The last sound before START, in memory only: the data thread fills it while no spool is there. */
#pragma once
#include "spool.h"

#define RING_SAMPLES (2 * RATE_HZ) /* the longest audio.preroll_ms */

struct ring {
    uint32_t capacity; /* samples that are kept; 0: none */
    uint32_t held, next;
    int64_t heard_ns; /* CLOCK_BOOTTIME of the latest block */
    int16_t samples[RING_SAMPLES];
};

/* Have room for so many samples, in memory that is there and, where the system allows it, is never swapped out. */
void ring_reserve(struct ring *r, uint32_t capacity);

/* Give the memory back to whom it belongs. */
void ring_release(struct ring *r);

/* Keep the latest samples; the oldest make room. After an interruption only what follows it is kept. */
void ring_append(struct ring *r, const void *samples, uint32_t count, int64_t now_ns);

/* Move what is held to the front of a spool; one that holds a recording already stays as it is. */
void ring_pour(struct ring *r, uint8_t *spool, int64_t now_ns);

/* Overwrite what is held. */
void ring_clear(struct ring *r);
