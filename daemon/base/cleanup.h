/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scope-bound ownership: a local marked _cleanup_(f) is released by f when it leaves its scope.
 * Ownership is given away with take_ptr() or take_fd(). Used everywhere; knows nobody.
 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

/* Defines func##p(type **), which calls func(*p): the form _cleanup_() wants. */
#define DEFINE_CLEANUP(type, func)                                                                 \
	static inline void func##p(type *p)                                                        \
	{                                                                                          \
		if (*p)                                                                            \
			func(*p);                                                                  \
	}                                                                                          \
	struct __cleanup_semicolon_eater

static inline void free_voidp(void *p)
{
	free(*(void **)p);
}

static inline void close_fdp(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_   _cleanup_(free_voidp)
#define _cleanup_close_  _cleanup_(close_fdp)
#define _cleanup_fclose_ _cleanup_(fclosep)

#define take_ptr(p)                                                                                \
	({                                                                                         \
		__typeof__(p) *__p = &(p);                                                         \
		__typeof__(p) __v = *__p;                                                          \
		*__p = NULL;                                                                       \
		__v;                                                                               \
	})

static inline int take_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

#endif
