/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Values with units as pprof prints them: scaled to one unit for a whole report, two digits after
 * the point. Used by the text views.
 */
#ifndef EXPORT_MEASURE_H
#define EXPORT_MEASURE_H

#include <stdint.h>
#include "base/buf.h"

/*
 * 'to' is a unit ("ms"), or "minimum": the largest unit in which the value is at least 1. The
 * unit's short name is returned in *ret_unit: static, or from/to themselves; "" for bare counts.
 */
double measure__scale(int64_t value, const char *from, const char *to, const char **ret_unit);

/* "1.50s", "0", "12" */
void measure__append(struct buf *out, int64_t value, const char *from, const char *to);

/* "12.34%", " 0.5%", "  100%": at least six columns. */
void measure__append_percent(struct buf *out, int64_t value, int64_t total);

#endif
