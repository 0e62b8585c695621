/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sorts with qsort(3): libc's frames lie between the comparison and who asked for it.
 * sorts [SECONDS]
 */
#include "workload.h"

#define ITEMS 4096

static uint64_t items[ITEMS];

FRAME uint64_t burn_compare(uint64_t x)
{
	for (unsigned int i = 0; i < 200; i++) {
		x = x * 6364136223846793005ULL + 1;
		__asm__ volatile("" : "+r"(x));
	}
	return x;
}

FRAME int compare_items(const void *va, const void *vb)
{
	const uint64_t *a = va, *b = vb;
	uint64_t ka = burn_compare(*a), kb = burn_compare(*b);

	return ka < kb ? -1 : ka > kb;
}

FRAME uint64_t sort_all(uint64_t x)
{
	for (unsigned int i = 0; i < ITEMS; i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		items[i] = x;
	}
	qsort(items, ITEMS, sizeof(*items), compare_items);
	return items[0] | 1;
}

int main(int argc, char **argv)
{
	double end_s = now_s() + seconds_arg(argc, argv, 1);
	uint64_t x = 1;

	puts("expect path main sort_all compare_items burn_compare");
	say_ready();
	while (now_s() < end_s)
		x = sort_all(x);
	return x == 0;
}
