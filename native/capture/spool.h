/* A spool as the data thread fills it; its layout is src/v2m/domain/audio.py. */
#pragma once
#include <stdint.h>

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
#define OFFSET_PREROLL 120

/* Append S16LE samples to the spool whose header is at `spool`; what finds no room is counted as overrun.
 * For the data thread: no allocation, no lock. */
void spool_append(uint8_t *spool, const void *samples, uint64_t count);

/* Append what was heard before START; a spool that holds more than that already stays as it is. */
void spool_append_early(uint8_t *spool, const void *samples, uint64_t count);
