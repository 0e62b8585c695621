/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See printable.h.
 */
#include "export/printable.h"

#include <string.h>
#include "base/escape.h"

void printable__append(struct buf *out, const char *s, const char *also)
{
	for (;;) {
		size_t len = strcspn(s, "\\");

		escape__append(out, s, len, ESCAPE_UTF8, also);
		s += len;
		if (!*s)
			return;
		buf__putc(out, *s++);
	}
}

size_t printable__width(const char *s, size_t len)
{
	size_t width = 0, i;

	for (i = 0; i < len; i++)
		width += ((unsigned char)s[i] & 0xc0) != 0x80;
	return width;
}
