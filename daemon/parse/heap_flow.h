/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How an allocator's functions lead to each other: which one only passes on, which one calls
 * another on its own behalf. Called by heap_sites.c; chooses no sites.
 */
#ifndef PARSE_HEAP_FLOW_H
#define PARSE_HEAP_FLOW_H

#include "parse/code.h"
#include "parse/elf_functions.h"
#include "parse/heap_functions.h"

/* One function of the allocator. */
struct heap_candidate {
	const struct heap_function *function;
	uint64_t address, size, offset;
	int body;      /* of code->bodies, or -1 */
	bool forwards; /* whatever it allocates or frees, another candidate does */
	bool throws;   /* under one of its names */
};

/* What is asked of a body again and again. */
struct body_facts {
	bool calls_allocation; /* calls a candidate that allocates */
	/* Compares something with 16 and, where it is not above, jumps to malloc. */
	bool relays_small;
};

struct heap_program {
	struct code code;
	struct body_facts facts[CODE_BODIES_MAX];       /* of code.bodies */
	struct heap_candidate items[ELF_FUNCTIONS_MAX]; /* by address, each once */
	size_t cnt;
};

static inline bool heap_candidate__allocates(const struct heap_candidate *c)
{
	return c->function->call != HEAP_CALL_FREE;
}

/* NULL: none begins there. */
const struct heap_candidate *heap_program__find(const struct heap_program *p, uint64_t address);

/*
 * True where every way out of the function leads through another candidate of its kind, or returns
 * NULL. Jumps lead on; of operator new and delete and of reallocarray calls do, too, since these
 * return what malloc or realloc gave them: memalign does not, for one.
 */
bool heap_flow__forwards(const struct heap_program *p, const struct heap_candidate *c);

/* Whether a body jumps to malloc. */
bool heap_flow__jumps_to_malloc(const struct heap_program *p, const struct code_body *b);

struct body_facts heap_flow__facts(const struct heap_program *p, const struct code_body *b);

#endif
