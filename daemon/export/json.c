/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flat/cum table as JSON, values in base units. The only user of jansson in export/.
 */
#include "export/export.h"

#include <errno.h>
#include <jansson.h>
#include "export/printable.h"

/* JSON is UTF-8 and names are anything: they come out escaped. */
static json_t *make_string(const char *s)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	printable__append(&text, s, NULL);
	return buf__error(&text) ? NULL : json_stringn(text.data ?: "", text.len);
}

static json_t *make_function(const struct top_entry *e)
{
	return json_pack("{s:o, s:o, s:I, s:I}", "name", make_string(e->name), "file",
			 make_string(e->file), "flat", (json_int_t)e->flat, "cum",
			 (json_int_t)e->cum);
}

static json_t *make_functions(const struct top_table *t)
{
	_cleanup_(json_decrefp) json_t *functions = json_array();
	size_t i;

	for (i = 0; functions && i < t->entries_cnt; i++)
		if (json_array_append_new(functions, make_function(&t->entries[i])))
			return NULL;
	return take_ptr(functions);
}

static int append_bytes(const char *data, size_t len, void *out)
{
	buf__append(out, data, len);
	return buf__error(out);
}

int json__top(const struct profile *p, const struct top_view *view, struct buf *out)
{
	struct top_options opts = { .value_idx = view->value_idx,
				    .order = view->order,
				    .rows_max = view->rows_max };
	_cleanup_(top__freep) struct top_table *t = NULL;
	_cleanup_(json_decrefp) json_t *root = NULL;
	const struct profile_value_type *vt;
	int err;

	err = top__compute(p, &opts, &t);
	if (err)
		return err;
	vt = &p->sample_types[view->value_idx];
	root = json_pack("{s:o, s:o, s:I, s:o}", "sample_type",
			 make_string(profile__str(p, vt->type)), "unit",
			 make_string(profile__str(p, vt->unit)), "total", (json_int_t)t->total,
			 "functions", make_functions(t));
	if (!root || json_dump_callback(root, append_bytes, out, JSON_INDENT(2)))
		return -ENOMEM;
	buf__putc(out, '\n');
	return buf__error(out);
}

int json__encode(const struct profile *p, struct buf *out)
{
	struct top_view view = { .value_idx = profile__default_value(p) };

	return json__top(p, &view, out);
}
