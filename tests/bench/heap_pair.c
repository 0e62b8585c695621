/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a malloc and a free cost together, in ns: the fastest of several batches, of 64 bytes and of
 * sizes from 16 bytes to 1.5 KB in a fixed order with some blocks kept for a while. Run bare and
 * under whatever is to be compared; one line "SIZE NS" each.
 *
 *	heap_pair [-b BATCHES] [-n PAIRS]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"

#define SIZES 4096U
#define KEPT  256U /* blocks that live at any time, mixed */

struct bench {
	unsigned int batches_cnt, pairs_cnt;
	uint32_t sizes[SIZES];
	void *kept[KEPT];
};

/* The compiler must not know that what is allocated is not used. */
static void use(void *ptr)
{
	__asm__ volatile("" : : "r"(ptr) : "memory");
}

static void pairs_of_64(struct bench *b)
{
	for (unsigned int i = 0; i < b->pairs_cnt; i++) {
		void *ptr = malloc(64);

		use(ptr);
		free(ptr);
	}
}

static void mixed_pairs(struct bench *b)
{
	for (unsigned int i = 0; i < b->pairs_cnt; i++) {
		void **slot = &b->kept[i % KEPT];

		free(*slot);
		*slot = malloc(b->sizes[i % SIZES]);
		use(*slot);
	}
}

static double best_ns(struct bench *b, void (*pairs)(struct bench *b))
{
	uint64_t best = UINT64_MAX;

	for (unsigned int i = 0; i < b->batches_cnt; i++) {
		uint64_t start_ns = clock__mono_ns(), took_ns;

		pairs(b);
		took_ns = clock__mono_ns() - start_ns;
		if (took_ns < best)
			best = took_ns;
	}
	return (double)best / b->pairs_cnt;
}

static void choose_sizes(struct bench *b)
{
	uint64_t x = 1;

	for (unsigned int i = 0; i < SIZES; i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		/* As many below 64 bytes as above 400: small blocks are the usual ones. */
		b->sizes[i] = 16U << ((x >> 33) % 6);
		b->sizes[i] += (uint32_t)((x >> 40) % (b->sizes[i] * 2));
	}
}

int main(int argc, char **argv)
{
	static struct bench bench = { .batches_cnt = 50, .pairs_cnt = 200000 };
	int option;

	while ((option = getopt(argc, argv, "b:n:")) != -1) {
		if (option == 'b')
			bench.batches_cnt = (unsigned int)strtoul(optarg, NULL, 10);
		else if (option == 'n')
			bench.pairs_cnt = (unsigned int)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (!bench.batches_cnt || !bench.pairs_cnt)
		return 2;
	choose_sizes(&bench);
	printf("64 %.3f\n", best_ns(&bench, pairs_of_64));
	printf("mixed %.3f\n", best_ns(&bench, mixed_pairs));
	return 0;
}
