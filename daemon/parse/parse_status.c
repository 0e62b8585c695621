/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of the outcomes, as metrics, comments and messages show them.
 */
#include "parse/parse_status.h"

#include <stddef.h>

static const char *const status_names[PARSE_STATUS_CNT] = {
	[PARSE_OK] = "ok",
	[PARSE_NO_SYMBOLS] = "no_symbols",
	[PARSE_NOT_ELF] = "not_elf",
	[PARSE_CORRUPT] = "corrupt",
	[PARSE_LIMIT] = "limit",
	[PARSE_FILE_CHANGED] = "file_changed",
	[PARSE_CRASHED] = "crashed",
	[PARSE_TIMEOUT] = "timeout",
	[PARSE_BAD_REPLY] = "bad_reply",
	[PARSE_IO] = "io",
	[PARSE_NO_CFI] = "no_cfi",
};

const char *parse_status__name(enum parse_status s)
{
	if ((unsigned int)s >= PARSE_STATUS_CNT || !status_names[s])
		return "unknown";
	return status_names[s];
}
