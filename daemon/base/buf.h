/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A growable run of bytes. Encoders write into one, sinks take one. Allocation failure is sticky:
 * appends after it do nothing and buf__error() tells, so that an encoder checks once at its end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data; /* owned; NUL-terminated when not NULL, the NUL is not counted in len */
	size_t len;
	size_t cap;
	bool failed;
};

#define BUF_INIT                                                                                   \
	{                                                                                          \
		.data = NULL, .len = 0, .cap = 0, .failed = false                                  \
	}

void buf__done(struct buf *b);  /* frees the bytes; safe on BUF_INIT */
void buf__clear(struct buf *b); /* len = 0, memory kept */
void buf__append(struct buf *b, const void *data, size_t len);
void buf__puts(struct buf *b, const char *s);
void buf__putc(struct buf *b, char c);
void buf__printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf__error(const struct buf *b); /* 0 or -ENOMEM */

#define _cleanup_buf_ __attribute__((cleanup(buf__done)))

#endif
