/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which bytes are sampled and what a sampled block stands for: the arithmetic of Poisson sampling,
 * without libm and without a trace in the floating point environment of the program it runs in.
 * Called by heap_tracker.c; pure.
 */
#ifndef PRELOAD_HEAP_SAMPLER_H
#define PRELOAD_HEAP_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#define HEAP_SAMPLER_INTERVAL_MAX (1ULL << 40)

/* A size of 0 has an address of its own, too: it counts as one byte. */
static inline uint64_t heap_sampler__bytes(size_t size)
{
	return (uint64_t)size + (size == 0);
}

/* In bytes; what is no number of 1 … HEAP_SAMPLER_INTERVAL_MAX is HEAP_INTERVAL_DEFAULT. */
uint64_t heap_sampler__parse_interval(const char *text);

/* The next number of a generator; every state is a good one. */
uint64_t heap_sampler__random(uint64_t *state);

/*
 * Bytes that pass before the next selected one, exponential with mean interval: a block of k bytes
 * is selected when fewer than k are left, which has probability 1 - exp(-k / interval). Interval 1
 * selects every block.
 */
uint64_t heap_sampler__gap(uint64_t *state, uint64_t interval);

/* Bytes a selected block of that many stands for: bytes / p, rounded. */
uint64_t heap_sampler__weighted(uint64_t bytes, uint64_t interval);

#endif
