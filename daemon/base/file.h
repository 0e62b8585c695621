/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whole-file reads and complete writes. Sizes are always bounded by the caller.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>
#include "base/buf.h"

/* Appends the file's bytes from its current offset on, at most max_bytes (-EFBIG beyond). Works for
 * /proc files, whose size is not known. Returns 0 or -errno. */
int file__read_fd(int fd, size_t max_bytes, struct buf *out);
int file__read(const char *path, size_t max_bytes, struct buf *out);
int file__read_at(int dir_fd, const char *path, size_t max_bytes, struct buf *out);

/* Writes all bytes, over EINTR and short writes. Returns 0 or -errno. */
int file__write_all(int fd, const void *data, size_t len);

#endif
