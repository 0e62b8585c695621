/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel addresses → the names of /proc/kallsyms: the kernel, its modules, BPF programs. Called by
 * the worker's jobs with a descriptor the collector opened. What it answers holds no absolute
 * kernel address.
 */
#ifndef PARSE_KALLSYMS_H
#define PARSE_KALLSYMS_H

#include <stddef.h>
#include <stdint.h>
#include "parse/limits.h"
#include "parse/parse_status.h"

#define KALLSYMS_MODULE_BYTES 64u /* MODULE_NAME_LEN is 56 on 64-bit */

/* Set in the address of what nothing covers; the rest of it is the offset in its page. */
#define KALLSYMS_UNKNOWN_BIT (1ULL << 47)

struct kallsyms_match {
	/*
	 * Kernel: offset from _text. Module: offset from the module's lowest text symbol (the load
	 * address itself is not in kallsyms). BPF: 24 bits of a hash of the program's name over 24
	 * bits of offset in the program, so that two programs never share an address.
	 */
	uint64_t address;
	int32_t module; /* index into modules[] */
	char *name;     /* owned; NULL: nothing covers the address */
};

struct kallsyms_result {
	struct kallsyms_match *matches; /* as many as were asked, in their order */
	size_t matches_cnt;
	char (*modules)[KALLSYMS_MODULE_BYTES]; /* [0] is "", the kernel; then those met */
	size_t modules_cnt;
};

/*
 * Addresses must be sorted; duplicates are fine. *ret is filled with PARSE_OK and PARSE_NO_SYMBOLS
 * (addresses hidden by kptr_restrict), to be released with kallsyms_result__done(). Otherwise
 * PARSE_IO, PARSE_CORRUPT or PARSE_LIMIT.
 */
enum parse_status kallsyms__find(int fd, const uint64_t *addresses, size_t cnt,
				 struct kallsyms_result *ret);
void kallsyms_result__done(struct kallsyms_result *r); /* safe on a zeroed one */

#endif
