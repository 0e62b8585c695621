/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cells of the tables that end on a terminal: numbers with three significant digits and a unit,
 * counts with thousands, names of a fixed width. Widths are columns of a screen. Used by the sched
 * and heap views and for durations in messages; knows nothing of what is in a table.
 */
#ifndef EXPORT_COLUMNS_H
#define EXPORT_COLUMNS_H

#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

/* "0", "953ns", "1.91us", "48.1ms", "120s" */
void columns__duration(struct buf *out, uint64_t ns);

/* "0", "999B", "1.91kB", "48.1MB", "120GB": powers of 1024, as in pprof */
void columns__bytes(struct buf *out, double bytes);

/* "1,234,567" */
void columns__count(struct buf *out, uint64_t n);

/* The same, right-aligned. What is wider than 'width' is not cut. */
void columns__put_duration(struct buf *out, size_t width, uint64_t ns);
void columns__put_bytes(struct buf *out, size_t width, double bytes);
void columns__put_count(struct buf *out, size_t width, uint64_t n);
void columns__put_percent(struct buf *out, size_t width, uint64_t part, uint64_t total);
void columns__put_right(struct buf *out, size_t width, const char *text);

enum columns_cut {
	COLUMNS_KEEP_HEAD, /* "a long na.." */
	COLUMNS_KEEP_TAIL, /* "..d.service": paths */
};

/* A name from outside: escaped, cut to 'width', left-aligned and filled up to it. */
void columns__put_name(struct buf *out, size_t width, const char *name, enum columns_cut cut);

#endif
