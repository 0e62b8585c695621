/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only user of zlib: gzip members in, one out; bare zlib streams.
 */
#ifndef BASE_GZIP_H
#define BASE_GZIP_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/cleanup.h"

/*
 * Appends what is written as one gzip member with a zero time stamp (the same input gives the same
 * bytes), piece by piece, so that it need never be in memory whole. What went into *out before a
 * failure stays there. 0 or -ENOMEM.
 */
struct gzip_writer;
int gzip_writer__new(struct gzip_writer **ret, struct buf *out); /* borrows out */
int gzip_writer__write(struct gzip_writer *w, const void *data, size_t len);
int gzip_writer__finish(struct gzip_writer *w); /* once, at the end */
void gzip_writer__free(struct gzip_writer *w);
DEFINE_CLEANUP(struct gzip_writer *, gzip_writer__free);

bool gzip__is_gzip(const void *data, size_t len);

/* Appends the inflated bytes of all members. -EBADMSG: not gzip, broken, truncated or followed by
 * something else; -EFBIG: more than max_bytes would come out (nothing more is inflated then);
 * -ENOMEM. */
int gzip__decompress(const void *data, size_t len, size_t max_bytes, struct buf *out);

/* Inflates one zlib stream (no gzip header: compressed ELF sections) to exactly out_bytes. 0,
 * -EBADMSG or -ENOMEM. */
int zlib__inflate(const void *data, size_t len, void *out, size_t out_bytes);

#endif
