/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What became of one foreign file: the closed list every parser of this folder answers from and
 * the collector's side of the worker adds its own endings to. Exported, counted, shown by name.
 */
#ifndef PARSE_PARSE_STATUS_H
#define PARSE_PARSE_STATUS_H

enum parse_status {
	PARSE_OK = 0,
	PARSE_NO_SYMBOLS = 1,   /* valid file, no symbol table */
	PARSE_NOT_ELF = 2,      /* bad magic, class, machine or header */
	PARSE_CORRUPT = 3,      /* sections or segments contradict themselves or the file's size */
	PARSE_LIMIT = 4,        /* over a limit of parse/limits.h, CPU time or memory */
	PARSE_FILE_CHANGED = 5, /* SIGBUS: truncated while mapped */
	PARSE_CRASHED = 6,      /* the worker died otherwise */
	PARSE_TIMEOUT = 7,
	PARSE_BAD_REPLY = 8, /* the answer broke the protocol */
	PARSE_IO = 9,        /* descriptor not readable */
	PARSE_NO_CFI = 10,   /* valid file, no call frame information that could be used */
	PARSE_STATUS_CNT,
};

/* "ok", "no_symbols", … ; "unknown" for a number outside the list. */
const char *parse_status__name(enum parse_status s);

#endif
