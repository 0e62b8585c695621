/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See escape.h. The decoder accepts exactly the well-formed sequences of Unicode 15, table 3-7:
 * no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#include "base/escape.h"

#include <stdint.h>
#include <string.h>

/* Length of the well-formed sequence at s, its code point in *ret_cp; 0 if there is none. */
static size_t decode_utf8(const unsigned char *s, size_t len, uint32_t *ret_cp)
{
	unsigned char low = 0x80, high = 0xbf;
	uint32_t cp;
	size_t n, i;

	if (s[0] < 0x80) {
		*ret_cp = s[0];
		return 1;
	}
	if (s[0] >= 0xc2 && s[0] <= 0xdf) {
		n = 2;
		cp = s[0] & 0x1f;
	} else if (s[0] >= 0xe0 && s[0] <= 0xef) {
		n = 3;
		cp = s[0] & 0x0f;
		low = s[0] == 0xe0 ? 0xa0 : 0x80;
		high = s[0] == 0xed ? 0x9f : 0xbf;
	} else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
		n = 4;
		cp = s[0] & 0x07;
		low = s[0] == 0xf0 ? 0x90 : 0x80;
		high = s[0] == 0xf4 ? 0x8f : 0xbf;
	} else {
		return 0;
	}
	if (len < n)
		return 0;
	for (i = 1; i < n; i++) {
		if (s[i] < low || s[i] > high)
			return 0;
		cp = cp << 6 | (s[i] & 0x3f);
		low = 0x80;
		high = 0xbf;
	}
	*ret_cp = cp;
	return n;
}

static bool is_unsafe(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || cp == '\\' || cp == 0x061c ||
	       cp == 0x200e || cp == 0x200f || (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2066 && cp <= 0x2069);
}

/* Bytes at s that can be shown as they are: a whole sequence, or 0. */
static size_t safe_length(const char *s, size_t len, enum escape_mode mode, const char *also)
{
	uint32_t cp;
	size_t n = decode_utf8((const unsigned char *)s, len, &cp);

	if (!n || is_unsafe(cp) || (mode == ESCAPE_ASCII && cp > 0x7e))
		return 0;
	if (n == 1 && also && strchr(also, s[0]))
		return 0;
	return n;
}

void escape__append(struct buf *out, const char *s, size_t len, enum escape_mode mode,
		    const char *also)
{
	size_t start = 0, i = 0;

	while (i < len) {
		size_t n = safe_length(s + i, len - i, mode, also);

		if (n) {
			i += n;
			continue;
		}
		buf__append(out, s + start, i - start);
		buf__printf(out, "\\x%02x", (unsigned char)s[i]);
		start = ++i;
	}
	buf__append(out, s + start, len - start);
}
