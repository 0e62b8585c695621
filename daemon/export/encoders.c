/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of output formats. Adding one: its encoder in a file of its own, a line here.
 */
#include "export/export.h"

#include <string.h>
#include "base/array.h"

const struct encoder export_encoders[] = {
	{ "pprof", ".pb.gz", true, pprof__encode },
	{ "folded", ".folded", false, folded__encode },
	{ "json", ".json", false, json__encode },
	{ "txt", ".txt", false, text__encode },
};

const size_t export_encoders_cnt = ARRAY_SIZE(export_encoders);

const struct encoder *export__find_by_suffix(const char *path)
{
	size_t len = strlen(path), i;

	for (i = 0; i < export_encoders_cnt; i++) {
		size_t suffix_len = strlen(export_encoders[i].suffix);

		if (len >= suffix_len &&
		    !strcmp(path + len - suffix_len, export_encoders[i].suffix))
			return &export_encoders[i];
	}
	return NULL;
}

const struct encoder *export__find_by_name(const char *name)
{
	size_t i;

	for (i = 0; i < export_encoders_cnt; i++)
		if (!strcmp(name, export_encoders[i].name))
			return &export_encoders[i];
	return NULL;
}

const char *export__suffix_list(void)
{
	/* A test keeps it equal to the table. */
	return ".pb.gz, .folded, .json, .txt";
}
