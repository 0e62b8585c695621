/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes names that come from other processes safe to show. Every sink of export/ and the log pass
 * foreign text through here; nothing else of the project prints it.
 *
 * Escaped as \xNN, byte by byte: C0 controls, DEL, backslash, bytes that are not valid UTF-8, C1
 * controls (U+0080-9F), line and paragraph separators (U+2028, U+2029) and bidirectional controls
 * (U+061C, U+200E, U+200F, U+202A-E, U+2066-9). ESCAPE_ASCII escapes every byte above 0x7e too.
 */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"

enum escape_mode {
	ESCAPE_UTF8 = 0, /* valid, printable UTF-8 stays */
	ESCAPE_ASCII = 1,
};

/* Appends len bytes of s to out, escaped; bytes found in 'also' (may be NULL) are escaped too. */
void escape__append(struct buf *out, const char *s, size_t len, enum escape_mode mode,
		    const char *also);

#endif
