/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of output formats. Adding one: its encoder in a file of its own, a line here.
 */
#include "export/export.h"

#include <stdbool.h>
#include <string.h>
#include "base/array.h"

const struct encoder export_encoders[] = {
	{ "pprof", ".pb.gz", NULL, true, pprof__encode },
	{ "folded", ".folded", NULL, false, folded__encode },
	{ "json", ".json", NULL, false, json__encode },
	{ "txt", ".txt", NULL, false, text__encode },
	{ "json", ".json", "sched", false, sched_json__encode },
	{ "txt", ".txt", "sched", false, sched_trace__encode },
	{ "json", ".json", "heap", false, heap_json__encode },
	{ "txt", ".txt", "heap", false, heap_text__encode },
	{ "prom", ".prom", "sched", false, sched_prom__encode },
};

const size_t export_encoders_cnt = ARRAY_SIZE(export_encoders);

static bool has_suffix(const char *path, const char *suffix)
{
	size_t len = strlen(path), suffix_len = strlen(suffix);

	return len >= suffix_len && !strcmp(path + len - suffix_len, suffix);
}

/* 'candidate' is what is asked for: is it better than what was found before? */
static bool is_better(const struct encoder *candidate, const struct encoder *found,
		      const char *kind)
{
	if (candidate->kind)
		return !strcmp(candidate->kind, kind);
	return !found;
}

const struct encoder *export__find_by_suffix(const char *path, const char *kind)
{
	const struct encoder *found = NULL;
	size_t i;

	for (i = 0; i < export_encoders_cnt; i++)
		if (has_suffix(path, export_encoders[i].suffix) &&
		    is_better(&export_encoders[i], found, kind))
			found = &export_encoders[i];
	return found;
}

const struct encoder *export__find_by_name(const char *name, const char *kind)
{
	const struct encoder *found = NULL;
	size_t i;

	for (i = 0; i < export_encoders_cnt; i++)
		if (!strcmp(name, export_encoders[i].name) &&
		    is_better(&export_encoders[i], found, kind))
			found = &export_encoders[i];
	return found;
}

void export__list_suffixes(const char *kind, struct buf *out)
{
	size_t i;

	for (i = 0; i < export_encoders_cnt; i++) {
		const struct encoder *e = &export_encoders[i];

		if (export__find_by_suffix(e->suffix, kind) == e)
			buf__printf(out, "%s%s", out->len ? ", " : "", e->suffix);
	}
}
