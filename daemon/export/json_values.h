/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the JSON encoders share: names from outside as JSON strings, 64-bit numbers, the dump. Used
 * by json.c, sched_json.c and heap_json.c, the only users of jansson in export/.
 */
#ifndef EXPORT_JSON_VALUES_H
#define EXPORT_JSON_VALUES_H

#include <jansson.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/cleanup.h"

/* JSON is UTF-8 and names are anything: they come out escaped. NULL: out of memory. */
json_t *json_value__text(const char *s);

/* JSON's integers are signed here; what does not fit is the largest. */
json_t *json_value__u64(uint64_t n);

/* Appends the value, with jansson's flags for its layout, and no newline; takes the reference. NULL
 * counts as out of memory. 0 or -ENOMEM. */
int json_value__append(json_t *value, size_t flags, struct buf *out);

#endif
