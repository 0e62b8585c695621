/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See json_values.h.
 */
#include "export/json_values.h"

#include <errno.h>
#include "export/printable.h"

json_t *json_value__text(const char *s)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	printable__append(&text, s, NULL);
	return buf__error(&text) ? NULL : json_stringn(text.data ?: "", text.len);
}

json_t *json_value__u64(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static int append_bytes(const char *data, size_t len, void *out)
{
	buf__append(out, data, len);
	return buf__error(out);
}

int json_value__append(json_t *value, size_t flags, struct buf *out)
{
	_cleanup_(json_decrefp) json_t *owned = value;

	if (!owned || json_dump_callback(owned, append_bytes, out, flags))
		return -ENOMEM;
	return buf__error(out);
}
