/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Somebody starts to listen while a program runs, stops and starts again. Needs the ledger and no
 * interval; exit status 0 when all was as it should be.
 */
#include <math.h>
#include <string.h>
#include "preload_ledger.h"
#include "workload.h"

#define BLOCK_BYTES 4000
#define BLOCKS      50000 /* 200 MB: some 380 samples */
#define INTERVAL    524288.0

static void *blocks[BLOCKS];
static int is_wrong;

static void expect(bool is_right, const char *what)
{
	struct heap_ledger_totals t;

	heap_ledger__totals(&t);
	if (!is_right) {
		printf("%s: %lu allocations, %lu bytes weighted, %lu frees, %lu live\n", what,
		       t.allocs_cnt, t.weighted_bytes, t.frees_cnt, t.live_cnt);
		is_wrong = 1;
	}
}

static struct heap_ledger_totals after(void (*what)(void))
{
	struct heap_ledger_totals before, now;

	heap_ledger__totals(&before);
	what();
	heap_ledger__totals(&now);
	now.allocs_cnt -= before.allocs_cnt;
	now.weighted_bytes -= before.weighted_bytes;
	now.frees_cnt -= before.frees_cnt;
	return now;
}

static void allocate(void)
{
	for (size_t i = 0; i < BLOCKS; i++)
		blocks[i] = malloc(BLOCK_BYTES);
}

static void release(void)
{
	for (size_t i = 0; i < BLOCKS; i++)
		free(blocks[i]);
}

static void churn(void)
{
	for (size_t i = 0; i < BLOCKS; i++)
		free(realloc(malloc(BLOCK_BYTES), BLOCK_BYTES + 1));
}

static bool is_about(uint64_t weighted_bytes)
{
	double want = (double)BLOCKS * BLOCK_BYTES;

	return fabs((double)weighted_bytes - want) < 5 * sqrt(want * INTERVAL);
}

static void listen_once(void)
{
	struct heap_ledger_totals t;
	uint64_t allocs_cnt;

	heap_ledger__listen(1);
	t = after(allocate);
	expect(is_about(t.weighted_bytes) && t.frees_cnt == 0, "allocated while heard");
	allocs_cnt = t.allocs_cnt;
	t = after(release);
	expect(t.allocs_cnt == 0 && t.frees_cnt == allocs_cnt && !t.live_cnt, "freed while heard");
}

/* What the first listener never heard the end of is in the ledger still. */
static void listen_again(void)
{
	struct heap_ledger_totals t;

	heap_ledger__listen(1);
	t = after(allocate);
	expect(is_about(t.weighted_bytes), "heard again");
	release();
}

int main(void)
{
	struct heap_ledger_totals t;

	if (!heap_ledger__totals)
		return 2;
	t = after(churn);
	expect(t.allocs_cnt == 0 && t.frees_cnt == 0, "nobody listens");
	listen_once();

	allocate();
	heap_ledger__listen(0);
	t = after(churn);
	expect(t.allocs_cnt == 0, "nobody listens any more");
	t = after(release);
	expect(t.frees_cnt == 0, "freed, but forgotten");
	listen_again();
	return is_wrong;
}
