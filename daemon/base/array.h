/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Growth of a plain C array held as {pointer, count, capacity}. Knows nothing of its elements.
 */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Makes room for 'need' elements of 'size' bytes; *ptr and *cap are untouched on failure.
 * Returns 0 or -ENOMEM (also when the sizes overflow). */
static inline int array__reserve_bytes(void **ptr, size_t *cap, size_t need, size_t size)
{
	size_t n = *cap ? *cap : 8;
	void *p;

	if (need <= *cap)
		return 0;
	while (n < need) {
		if (n > SIZE_MAX / 2)
			return -ENOMEM;
		n *= 2;
	}
	p = reallocarray(*ptr, n, size);
	if (!p)
		return -ENOMEM;
	*ptr = p;
	*cap = n;
	return 0;
}

/* array__reserve(a->items, a->cap, a->cnt + 1): items is a typed pointer, cap a size_t lvalue. */
#define array__reserve(items, cap, need)                                                           \
	array__reserve_bytes((void **)&(items), &(cap), (need), sizeof(*(items)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
