/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long a malloc() and a free() take, pinned to the last CPU. For each line "small MS" (64
 * bytes) or "mixed MS" (16 to 1,552, freed 32 allocations later) it works so long and says "took
 * NS" of a pair, on average. heap_pairs
 */
#include <sched.h>
#include <string.h>
#include "workload.h"

#define SMALL_BYTES 64
#define MIXED_LIVE  32
#define BATCH       256

static void pin_to_last_cpu(void)
{
	cpu_set_t set;
	int last = 0;

	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			last = i;
	CPU_ZERO(&set);
	CPU_SET(last, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

FRAME void pairs_small(void)
{
	for (int i = 0; i < BATCH; i++) {
		void *p = malloc(SMALL_BYTES);

		__asm__ volatile("" : : "r"(p) : "memory");
		free(p);
	}
}

FRAME void pairs_mixed(void)
{
	static void *blocks[MIXED_LIVE];

	for (unsigned int i = 0; i < BATCH; i++) {
		void **slot = &blocks[i % MIXED_LIVE];

		free(*slot);
		*slot = malloc(16 + i * 7919 % 97 * 16);
		__asm__ volatile("" : : "r"(*slot) : "memory");
	}
}

static double ns_per_pair(void (*pairs)(void), double seconds)
{
	double start_s = now_s(), end_s = start_s + seconds, at_s = start_s;
	unsigned long batches = 0;

	for (; at_s < end_s; at_s = now_s(), batches++)
		pairs();
	return (at_s - start_s) * 1e9 / ((double)batches * BATCH);
}

int main(void)
{
	char what[8];
	double ms;

	pin_to_last_cpu();
	say_ready();
	while (scanf("%7s %lf", what, &ms) == 2) {
		void (*pairs)(void) = strcmp(what, "small") ? pairs_mixed : pairs_small;

		ns_per_pair(pairs, 0.002); /* warm */
		printf("took %.3f\n", ns_per_pair(pairs, ms / 1000));
		fflush(stdout);
	}
	return 0;
}
