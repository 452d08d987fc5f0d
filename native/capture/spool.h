/* A spool as the data thread fills it; its layout is src/v2m/domain/audio.py. */
#pragma once
#include <stdint.h>

#define RATE_HZ 16000
#define SAMPLE_BYTES 2

/* Append S16LE samples to the spool whose header is at `spool`; what finds no room is counted as overrun.
 * For the data thread: no allocation, no lock. */
void spool_append(uint8_t *spool, const void *samples, uint64_t count);
