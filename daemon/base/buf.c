/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See buf.h.
 */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf__done(struct buf *b)
{
	free(b->data);
	*b = (struct buf)BUF_INIT;
}

void buf__clear(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

static bool buf_reserve(struct buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 64;
	char *data;

	if (b->failed)
		return false;
	if (more < b->cap - b->len)
		return true;
	while (cap - b->len <= more) {
		if (cap > SIZE_MAX / 2)
			goto err;
		cap *= 2;
	}
	data = realloc(b->data, cap);
	if (!data)
		goto err;
	b->data = data;
	b->cap = cap;
	return true;
err:
	b->failed = true;
	return false;
}

void buf__append(struct buf *b, const void *data, size_t len)
{
	if (!buf_reserve(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf__puts(struct buf *b, const char *s)
{
	buf__append(b, s, strlen(s));
}

void buf__putc(struct buf *b, char c)
{
	buf__append(b, &c, 1);
}

void buf__printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0) {
		b->failed = true;
		return;
	}
	if (!buf_reserve(b, (size_t)len))
		return;
	va_start(args, fmt);
	vsnprintf(b->data + b->len, (size_t)len + 1, fmt, args);
	va_end(args);
	b->len += (size_t)len;
}

int buf__error(const struct buf *b)
{
	return b->failed ? -ENOMEM : 0;
}
