/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Distances between samples: exponentially distributed, so that whatever was counted before says
 * nothing about when the next one is due. Pure: bpf/ has no floating point, the tests compile the
 * same for the host.
 */
#ifndef ABI_HEAP_GAP_H
#define ABI_HEAP_GAP_H

#include <linux/types.h>

#define HEAP_LN_BITS      8
#define HEAP_LN_CNT       ((1 << HEAP_LN_BITS) + 1)
#define HEAP_INTERVAL_MAX 0xffffffffULL /* products fit 64 bits */

/*
 * floor(-ln(u) * interval), u uniform in (0, 1) from 32 random bits. ln[i] is ln(1 + i/256) * 2^32;
 * between two of them the error is below 2^-19. An allocation of k bytes is to be selected when the
 * result is less than k: its probability is 1 - exp(-k / interval) then.
 */
static inline __attribute__((always_inline)) __u64 heap_gap(__u32 random, const volatile __u32 *ln,
							    __u64 interval)
{
	__u64 m = (__u64)random << 1 | 1, result, low, high, part; /* u = m / 2^33 */
	__u32 shift = 1, idx, by;

	/*
	 * u = (m / 2^32) / 2^shift with m / 2^32 in [1, 2). Without branches, whose every
	 * combination verifiers would follow: the difference's sign says whether m is smaller. The
	 * last step twice: random may be 0.
	 */
#define HEAP_GAP_STEP(bits)                                                                        \
	do {                                                                                       \
		by = (__u32)((m - (1ULL << (33 - (bits)))) >> 63) * (bits);                        \
		m <<= by;                                                                          \
		shift += by;                                                                       \
	} while (0)
	HEAP_GAP_STEP(16);
	HEAP_GAP_STEP(8);
	HEAP_GAP_STEP(4);
	HEAP_GAP_STEP(2);
	HEAP_GAP_STEP(1);
	HEAP_GAP_STEP(1);
	idx = (m >> (32 - HEAP_LN_BITS)) & ((1 << HEAP_LN_BITS) - 1);
	part = m & ((1ULL << (32 - HEAP_LN_BITS)) - 1);
	low = ln[idx];
	high = ln[idx + 1];
	result = (__u64)ln[HEAP_LN_CNT - 1] * shift - low -
		 ((high - low) * part >> (32 - HEAP_LN_BITS));
	return (result >> 32) * interval + ((result & 0xffffffff) * interval >> 32);
}

#endif
