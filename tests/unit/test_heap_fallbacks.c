/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The heap probe as it works on kernels that have less than this one. What the kernel has is told
 * here, in place of collect/heap_kernel.c. Needs root.
 */
#include "heap_cases.h"
#include <linux/types.h>
#include "base/file.h"
#include "collect/heap_kernel.h"

static struct heap_kernel told;

void heap_kernel__probe(struct heap_kernel *ret)
{
	*ret = told;
}

int heap_kernel__perf_type(void)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (file__read("/sys/bus/event_source/devices/uprobe/type", 64, &text) || !text.len)
		return -ENOENT;
	return atoi(text.data);
}

static int use_multi(void **state) /* 6.10 */
{
	told = (struct heap_kernel){ .has_multi = true,
				     .is_multi_usable = true,
				     .has_cookie = true };
	return 0;
}

static int use_perf(void **state) /* 5.15 */
{
	told = (struct heap_kernel){ .has_cookie = true, .perf_type = heap_kernel__perf_type() };
	return 0;
}

static int use_perf_without_cookies(void **state) /* 5.10 */
{
	told = (struct heap_kernel){ .perf_type = heap_kernel__perf_type() };
	return 0;
}

#define CASES(setup)                                                                               \
	cmocka_unit_test_setup(test_every_call_counts, setup),                                     \
		cmocka_unit_test_setup(test_registers_are_intact, setup),                          \
		cmocka_unit_test_setup(test_stack_below_a_probed_return, setup),                   \
		cmocka_unit_test_setup(test_detached_under_load, setup),                           \
		cmocka_unit_test_setup(test_threads, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASES(use_multi),
		cmocka_unit_test_setup(test_every_call_counts, use_perf),
		CASES(use_perf_without_cookies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
