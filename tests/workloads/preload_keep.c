/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keeps more blocks than the library can follow, then frees them: preload_keep BLOCKS. With the
 * ledger at interval 1 every block has been reported, those that are followed until their end, and
 * says how many were not on standard error.
 */
#include "preload_ledger.h"
#include "workload.h"

#define BLOCK_BYTES 24

static int check(const struct heap_ledger_totals *before, unsigned long cnt)
{
	struct heap_ledger_totals now;
	uint64_t untold;

	heap_ledger__totals(&now);
	untold = now.untold_cnt - before->untold_cnt;
	fprintf(stderr, "untold %lu\n", untold);
	return now.allocs_cnt - before->allocs_cnt != cnt ||
	       now.weighted_bytes - before->weighted_bytes != cnt * BLOCK_BYTES ||
	       now.live_cnt - before->live_cnt != cnt - untold || now.unknown_frees_cnt ||
	       now.double_allocs_cnt;
}

static int check_end(const struct heap_ledger_totals *before)
{
	struct heap_ledger_totals now;

	heap_ledger__totals(&now);
	return now.live_cnt > before->live_cnt || now.unknown_frees_cnt;
}

int main(int argc, char **argv)
{
	unsigned long cnt = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
	struct heap_ledger_totals before = { 0 };
	void **blocks = calloc(cnt, sizeof(*blocks));
	int status = 0;

	if (!blocks)
		return 2;
	if (heap_ledger__totals)
		heap_ledger__totals(&before);
	for (unsigned long i = 0; i < cnt; i++) {
		blocks[i] = malloc(BLOCK_BYTES);
		if (!blocks[i])
			return 2;
	}
	if (heap_ledger__totals)
		status |= check(&before, cnt);
	for (unsigned long i = 0; i < cnt; i++)
		free(blocks[i]);
	if (heap_ledger__totals)
		status |= check_end(&before);
	return status;
}
