/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines of a /proc file, one at a time, from a buffer of fixed size: a line that does not fit is
 * cut at the buffer's end and its rest skipped. Used by procfs.c and mountinfo.c only.
 */
#ifndef PROCESS_LINE_READER_H
#define PROCESS_LINE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include "base/cleanup.h"

/* Two paths of 4,096 bytes with every byte escaped as four, and the fields around them. */
#define LINE_READER_BYTES 40960

struct line_reader {
	int fd; /* owned */
	size_t pos, len;
	bool eof;
	char data[LINE_READER_BYTES];
};

/* Opens a file to read from. NULL and *ret_err set on failure. */
struct line_reader *line_reader__open(const char *path, int *ret_err);
void line_reader__free(struct line_reader *r);
DEFINE_CLEANUP(struct line_reader *, line_reader__free);

/* The next line without its newline, NUL-terminated, writable, valid until the next call.
 * Returns 1, 0 at the end, or -errno. */
int line_reader__next(struct line_reader *r, char **ret_line);

#endif
