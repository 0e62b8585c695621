/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flat/cum table as JSON, values in base units.
 */
#include "export/export.h"

#include "export/json_values.h"

static json_t *make_function(const struct top_entry *e)
{
	return json_pack("{s:o, s:o, s:I, s:I}", "name", json_value__text(e->name), "file",
			 json_value__text(e->file), "flat", (json_int_t)e->flat, "cum",
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

int json__top(const struct profile *p, const struct top_view *view, struct buf *out)
{
	struct top_options opts = { .value_idx = view->value_idx,
				    .order = view->order,
				    .rows_max = view->rows_max };
	_cleanup_(top__freep) struct top_table *t = NULL;
	const struct profile_value_type *vt;
	int err;

	err = top__compute(p, &opts, &t);
	if (err)
		return err;
	vt = &p->sample_types[view->value_idx];
	err = json_value__append(json_pack("{s:o, s:o, s:I, s:o}", "sample_type",
					   json_value__text(profile__str(p, vt->type)), "unit",
					   json_value__text(profile__str(p, vt->unit)), "total",
					   (json_int_t)t->total, "functions", make_functions(t)),
				 JSON_INDENT(2), out);
	buf__putc(out, '\n');
	return err ?: buf__error(out);
}

int json__encode(const struct profile *p, struct buf *out)
{
	struct top_view view = { .value_idx = profile__default_value(p) };

	return json__top(p, &view, out);
}
