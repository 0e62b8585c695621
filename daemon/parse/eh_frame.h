/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The entries of .eh_frame and .debug_frame: CIEs and FDEs, the latter sorted by address. Called by
 * unwind_rows.c; knows the container, not the instructions in it (cfa_program.c).
 */
#ifndef PARSE_EH_FRAME_H
#define PARSE_EH_FRAME_H

#include "parse/cfa_program.h"
#include "parse/cfi_section.h"
#include "parse/parse_status.h"

/* Executable addresses; those given to eh_frame__read() are disjoint and sorted. */
struct text_range {
	uint64_t start, end;
};

struct cfi_cie {
	uint32_t position;
	bool has_augmentation; /* FDEs carry the length of theirs */
	struct cfa_context context;
};

/* One FDE, kept small: there may be millions. */
struct cfi_entry {
	uint32_t start;    /* address less table->base */
	uint32_t position; /* in its section; the highest bit is the section's index */
};

struct eh_frame {
	const struct cfi_section *sections;
	uint64_t base;
	struct cfi_cie *cies; /* by position */
	size_t cies_cnt, cies_cap;
	struct cfi_entry *entries; /* by address, then position */
	size_t entries_cnt, entries_cap;
	uint64_t bad_cnt;     /* CIEs and FDEs that could not be read, FDEs of such a CIE */
	uint64_t outside_cnt; /* FDEs of nothing executable: sections the linker threw away */
};

struct cfi_fde {
	uint64_t start, end;
	const unsigned char *instructions;
	size_t bytes;
	const struct cfi_cie *cie;
	bool is_debug_frame;
};

/*
 * Reads up to CFI_SECTIONS_MAX sections, which must outlive the result. PARSE_OK (maybe without
 * entries), PARSE_CORRUPT (the chain of entries leaves its section) or PARSE_LIMIT.
 */
enum parse_status eh_frame__read(const struct cfi_section *sections, size_t cnt,
				 const struct text_range *text, size_t text_cnt,
				 struct eh_frame *ret);
void eh_frame__done(struct eh_frame *frames); /* safe on a zeroed one */

/* Decodes entries[idx]. It was good when it was read; false: the file has been written to since. */
bool eh_frame__get(const struct eh_frame *frames, size_t idx, struct cfi_fde *ret);

#endif
