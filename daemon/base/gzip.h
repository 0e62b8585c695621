/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only user of zlib: one gzip member in, one out.
 */
#ifndef BASE_GZIP_H
#define BASE_GZIP_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"

/* Appends data as one gzip member with a zero time stamp (the same input gives the same bytes).
 * Returns 0 or -ENOMEM. */
int gzip__compress(const void *data, size_t len, struct buf *out);

bool gzip__is_gzip(const void *data, size_t len);

/* Appends the inflated bytes. -EBADMSG: not gzip, broken or truncated; -EFBIG: more than max_bytes
 * would come out (nothing more is inflated then); -ENOMEM. */
int gzip__decompress(const void *data, size_t len, size_t max_bytes, struct buf *out);

#endif
