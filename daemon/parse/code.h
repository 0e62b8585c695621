/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of an ELF image, decoded: where one ends, which instructions it has and where they
 * lead. Called by heap_sites.c; knows no names. Everything read of one image comes out of one
 * budget of instructions.
 */
#ifndef PARSE_CODE_H
#define PARSE_CODE_H

#include "parse/eh_frame.h"
#include "parse/elf_image.h"
#include "parse/insn.h"

#define CODE_BODIES_MAX 512

struct code_body {
	uint64_t start, end;
	const unsigned char *bytes; /* of [start, end) */
	struct insn *insns;         /* from start on, without gaps; targets are final */
	size_t insns_cnt;
	bool is_whole; /* they reach the end */
};

struct code_slot {
	uint64_t address, target;
};

struct code {
	const struct elf_image *image;
	struct text_range text[PARSE_EXEC_MAX];
	size_t text_cnt;
	struct cfi_sections sections;
	struct eh_frame frames;
	struct code_slot *slots; /* what the linker stores where, of functions defined here */
	size_t slots_cnt, slots_cap;
	struct code_body *bodies; /* in the order they were asked for */
	size_t bodies_cnt, bodies_cap;
	size_t insns_left;
};

/* Release with code__done(). PARSE_OK or PARSE_LIMIT; what the file has not is done without. */
enum parse_status code__init(struct code *c, const struct elf_image *image);
void code__done(struct code *c); /* safe on a zeroed one */

/*
 * The index of the body that an address lies in, decoded if it has not been; 'size' is what its
 * symbol says where nothing better is known, else 0. With 'is_start' the address is where a
 * function begins. -1: there is no code, or the budget is used up.
 */
int code__body(struct code *c, uint64_t address, uint64_t size, bool is_start);

/* The body that an address lies in, if it has been decoded; -1. */
int code__find(const struct code *c, uint64_t address);

/* Index of the body's instruction at an address; insns_cnt: none begins there. */
size_t code_body__find(const struct code_body *b, uint64_t address);

/* What one of its instructions does. */
bool code_body__effects(const struct code_body *b, size_t idx, struct insn_effects *ret);

#endif
