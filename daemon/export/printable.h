/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names for a file or a screen: as base/escape.h, but a backslash stays as it is. So a name that
 * was escaped when its profile was written shows the same wherever it is read again, and names
 * with backslashes (PHP, Windows) look as in pprof. Used by the encoders of export/ and by cli/.
 */
#ifndef EXPORT_PRINTABLE_H
#define EXPORT_PRINTABLE_H

#include "base/buf.h"

/* Bytes found in 'also' (may be NULL) are escaped too. */
void printable__append(struct buf *out, const char *s, const char *also);

/* Columns that valid UTF-8 takes on a screen, one per code point. */
size_t printable__width(const char *s, size_t len);

#endif
