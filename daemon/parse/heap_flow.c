/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A depth-first walk over the instructions of one function, each visited once. What cannot be
 * followed (a jump through a register, code beyond the limit) counts as a way out, so that a
 * function that is not understood is probed itself.
 */
#include "parse/heap_flow.h"

#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"

#define STRAIGHT_MAX     16 /* instructions from a comparison to what it leads to */
#define MALLOC_ALIGNMENT 16 /* of glibc on x86-64 */

struct walk {
	const struct heap_program *program;
	const struct heap_candidate *self;
	const struct code_body *body;
	uint8_t *seen;
	uint32_t *open; /* instructions to be looked at */
	size_t open_cnt;
	bool passes_on; /* to another candidate, somewhere */
	bool escapes;
};

const struct heap_candidate *heap_program__find(const struct heap_program *p, uint64_t address)
{
	size_t low = 0, high = p->cnt;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p->items[mid].address < address)
			low = mid + 1;
		else
			high = mid;
	}
	return low < p->cnt && p->items[low].address == address ? &p->items[low] : NULL;
}

/* The candidate that a jump or a call leads to; NULL: none. */
static const struct heap_candidate *target_of(const struct heap_program *p, const struct insn *insn)
{
	return insn->target_kind == INSN_TARGET_ADDRESS ? heap_program__find(p, insn->target)
							: NULL;
}

static bool is_malloc_like(const struct heap_candidate *c)
{
	const struct heap_function *f = c->function;

	return f->call == HEAP_CALL_ALLOC && f->size == 1 && !f->count && !f->alignment;
}

/* What it returns is what the function it calls gave it: operator new, reallocarray. */
static bool calls_lead_on(const struct heap_candidate *c)
{
	const struct heap_function *f = c->function;

	return f->family == HEAP_FAMILY_CXX || (f->call == HEAP_CALL_REALLOC && f->count);
}

/* --- the walk ----------------------------------------------------------------------------------
 */
static void add_open(struct walk *w, size_t idx)
{
	/* Falling off the end: what is before it does not return. */
	if (idx >= w->body->insns_cnt || w->seen[idx])
		return;
	w->seen[idx] = 1;
	w->open[w->open_cnt++] = (uint32_t)idx;
}

static void go_to(struct walk *w, uint64_t target)
{
	const struct heap_candidate *c = heap_program__find(w->program, target);
	size_t idx;

	if (c && c != w->self &&
	    heap_candidate__allocates(c) == heap_candidate__allocates(w->self)) {
		w->passes_on = true;
		return;
	}
	idx = code_body__find(w->body, target);
	if (idx < w->body->insns_cnt)
		add_open(w, idx);
	else
		w->escapes = true;
}

static bool is_branched_to(const struct code_body *b, uint64_t after, uint64_t until)
{
	for (size_t i = 0; i < b->insns_cnt; i++) {
		const struct insn *insn = &b->insns[i];

		if (insn->target_kind == INSN_TARGET_ADDRESS && insn->target > after &&
		    insn->target <= until)
			return true;
	}
	return false;
}

/* xor %eax,%eax, then nothing but the stack's clearing, then the return. */
static bool returns_null(const struct code_body *b, size_t idx)
{
	const uint32_t harmless = ~(1u << INSN_RAX);

	for (size_t i = idx; i > 0 && idx - i < STRAIGHT_MAX; i--) {
		struct insn_effects e;

		if (b->insns[i - 1].kind != INSN_OTHER || !code_body__effects(b, i - 1, &e))
			return false;
		if (e.zeroed == INSN_RAX)
			return !is_branched_to(b, b->insns[i - 1].address, b->insns[idx].address);
		if (e.written & ~harmless)
			return false;
	}
	return false;
}

/* je behind test %rdi,%rdi: where free goes with NULL. */
static bool is_null_check(const struct walk *w, size_t idx)
{
	struct insn_effects e;

	return idx && w->body->insns[idx].condition == INSN_IF_EQUAL &&
	       code_body__effects(w->body, idx - 1, &e) && e.tested == INSN_RDI;
}

static void visit(struct walk *w, size_t idx)
{
	const struct insn *insn = &w->body->insns[idx];
	const bool allocates = heap_candidate__allocates(w->self);
	const struct heap_candidate *called;

	switch (insn->kind) {
	case INSN_JUMP:
		if (insn->target_kind == INSN_TARGET_ADDRESS)
			go_to(w, insn->target);
		else
			w->escapes = true;
		break;
	case INSN_CONDITIONAL:
		if (allocates || !is_null_check(w, idx))
			go_to(w, insn->target);
		add_open(w, idx + 1);
		break;
	case INSN_CALL:
		called = target_of(w->program, insn);
		if (called && called != w->self && calls_lead_on(w->self) &&
		    heap_candidate__allocates(called) == allocates)
			w->passes_on = true;
		else
			add_open(w, idx + 1);
		break;
	case INSN_RETURN:
		if (!allocates || !returns_null(w->body, idx))
			w->escapes = true;
		break;
	case INSN_STOP:
		break;
	default:
		add_open(w, idx + 1);
	}
}

bool heap_flow__forwards(const struct heap_program *p, const struct heap_candidate *c)
{
	const struct code_body *b = c->body < 0 ? NULL : &p->code.bodies[c->body];
	_cleanup_free_ uint32_t *open = NULL;
	_cleanup_free_ uint8_t *seen = NULL;
	struct walk w;

	if (!b || !b->is_whole)
		return false;
	open = calloc(b->insns_cnt, sizeof(*open));
	seen = calloc(b->insns_cnt, 1);
	if (!open || !seen)
		return false;
	w = (struct walk){ .program = p, .self = c, .body = b, .seen = seen, .open = open };
	add_open(&w, 0);
	while (w.open_cnt && !w.escapes)
		visit(&w, w.open[--w.open_cnt]);
	return w.passes_on && !w.escapes;
}

/* --- single questions --------------------------------------------------------------------------
 */
static bool calls_allocation(const struct heap_program *p, const struct code_body *b)
{
	for (size_t i = 0; i < b->insns_cnt; i++) {
		const struct heap_candidate *c =
			b->insns[i].kind == INSN_CALL ? target_of(p, &b->insns[i]) : NULL;

		if (c && heap_candidate__allocates(c))
			return true;
	}
	return false;
}

static bool jumps_to_malloc(const struct heap_program *p, const struct insn *insn)
{
	const struct heap_candidate *c = insn->kind == INSN_CALL ? NULL : target_of(p, insn);

	return c && is_malloc_like(c);
}

bool heap_flow__jumps_to_malloc(const struct heap_program *p, const struct code_body *b)
{
	for (size_t i = 0; i < b->insns_cnt; i++)
		if (jumps_to_malloc(p, &b->insns[i]))
			return true;
	return false;
}

static bool leads_to_malloc(const struct heap_program *p, const struct code_body *b, size_t idx)
{
	for (int steps = 0; steps < STRAIGHT_MAX && idx < b->insns_cnt; steps++) {
		const struct insn *insn = &b->insns[idx];

		if (jumps_to_malloc(p, insn))
			return true;
		if (insn->kind == INSN_OTHER)
			idx++;
		else if (insn->kind == INSN_JUMP && insn->target_kind == INSN_TARGET_ADDRESS)
			idx = code_body__find(b, insn->target);
		else
			return false;
	}
	return false;
}

static bool relays_small(const struct heap_program *p, const struct code_body *b)
{
	for (size_t i = 0; i + 1 < b->insns_cnt; i++) {
		const struct insn *branch = &b->insns[i + 1];
		const bool if_above = branch->condition == INSN_IF_ABOVE;
		struct insn_effects e;

		if (branch->kind != INSN_CONDITIONAL ||
		    (!if_above && branch->condition != INSN_IF_BELOW_OR_EQUAL) ||
		    !code_body__effects(b, i, &e) || e.compared == INSN_NO_REG ||
		    e.constant != MALLOC_ALIGNMENT)
			continue;
		if (if_above ? leads_to_malloc(p, b, i + 2)
			     : jumps_to_malloc(p, branch) ||
				       leads_to_malloc(p, b, code_body__find(b, branch->target)))
			return true;
	}
	return false;
}

struct body_facts heap_flow__facts(const struct heap_program *p, const struct code_body *b)
{
	return (struct body_facts){ .calls_allocation = calls_allocation(p, b),
				    .relays_small = relays_small(p, b) };
}
