/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A probe on an instruction that the kernel emulates costs a tenth of one that it has to
 * single-step out of line. So the first emulated instruction near the entry is taken, if whoever
 * enters passes it exactly once with the arguments at hand: the way to it is straight, no branch
 * anywhere leads into the way or to its end, and each argument is in its register still or in one
 * that it was copied to. What is to be seen returning needs the stack pointer of the entry as well.
 *
 * free may leave before with NULL: nobody misses that.
 */
#include "parse/heap_site_rule.h"

#include <stdlib.h>
#include <string.h>
#include "base/array.h"

#define REACH_BYTES 64 /* jemalloc's free has its first branch at 48 */

#define ARGUMENTS 6

struct tracker {
	const struct code_body *body;
	const struct heap_function *function;
	uint8_t holds[INSN_REGS]; /* which argument a register holds; 0: none */
	bool pushed;              /* the stack pointer moved */
	struct insn_effects last;
};

/* --- branches ----------------------------------------------------------------------------------
 */
static int compare_addresses(const void *a, const void *b)
{
	const uint64_t *aa = a, *ab = b;

	return (*aa > *ab) - (*aa < *ab);
}

enum parse_status branch_targets__collect(const struct code *code, struct branch_targets *ret)
{
	struct branch_targets t = { .items = NULL };

	for (size_t i = 0; i < code->bodies_cnt; i++) {
		const struct code_body *b = &code->bodies[i];

		for (size_t j = 0; j < b->insns_cnt; j++) {
			if (b->insns[j].target_kind != INSN_TARGET_ADDRESS)
				continue;
			if (array__reserve(t.items, t.cap, t.cnt + 1)) {
				branch_targets__done(&t);
				return PARSE_LIMIT;
			}
			t.items[t.cnt++] = b->insns[j].target;
		}
	}
	if (t.cnt)
		qsort(t.items, t.cnt, sizeof(*t.items), compare_addresses);
	*ret = t;
	return PARSE_OK;
}

void branch_targets__done(struct branch_targets *t)
{
	free(t->items);
	*t = (struct branch_targets){ .items = NULL };
}

/* Whether some branch leads to (after, until]. */
static bool is_branched_into(const struct branch_targets *t, uint64_t after, uint64_t until)
{
	size_t low = 0, high = t->cnt;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->items[mid] <= after)
			low = mid + 1;
		else
			high = mid;
	}
	return low < t->cnt && t->items[low] <= until;
}

/* --- arguments ---------------------------------------------------------------------------------
 */
static void begin(struct tracker *t, const struct code_body *b, const struct heap_function *f)
{
	static const uint8_t argument_regs[ARGUMENTS] = {
		INSN_RDI, INSN_RSI, INSN_RDX, INSN_RCX, INSN_R8, INSN_R9,
	};

	*t = (struct tracker){ .body = b, .function = f };
	for (uint8_t i = 0; i < ARGUMENTS; i++)
		t->holds[argument_regs[i]] = i + 1;
	t->last.tested = INSN_NO_REG;
}

static bool advance(struct tracker *t, size_t idx)
{
	struct insn_effects e;
	uint8_t copied = 0;

	if (!code_body__effects(t->body, idx, &e))
		return false;
	if (e.copy_from != INSN_NO_REG)
		copied = t->holds[e.copy_from];
	for (int reg = 0; reg < INSN_REGS; reg++)
		if (e.written & 1u << reg)
			t->holds[reg] = 0;
	if (copied)
		t->holds[e.copy_to] = copied;
	t->pushed |= (e.written & 1u << INSN_RSP) != 0;
	t->last = e;
	return true;
}

/* Where an argument is: in its own register for choice. HEAP_NO_REG: nowhere any more. */
static uint8_t register_of(const struct tracker *t, uint8_t argument)
{
	struct tracker fresh;
	uint8_t found = HEAP_NO_REG;

	begin(&fresh, t->body, t->function);
	for (uint8_t reg = 0; reg < INSN_REGS; reg++) {
		if (t->holds[reg] != argument)
			continue;
		if (fresh.holds[reg] == argument)
			return reg;
		if (found == HEAP_NO_REG)
			found = reg;
	}
	return found;
}

static bool put_register(const struct tracker *t, uint8_t argument, uint8_t *ret)
{
	*ret = argument ? register_of(t, argument) : HEAP_NO_REG;
	return !argument || *ret != HEAP_NO_REG;
}

/* False: an argument that is needed is lost. */
static bool put_registers(const struct tracker *t, uint8_t flags, struct heap_site *site)
{
	const struct heap_function *f = t->function;
	const uint8_t second = flags & HEAP_SITE_SMALL_ALIGN_ELSEWHERE ? f->alignment : f->count;

	return put_register(t, f->size, &site->size_reg) &&
	       put_register(t, second, &site->count_reg) &&
	       put_register(t, f->ptr, &site->ptr_reg) && put_register(t, f->out, &site->out_reg);
}

/* --- the choice --------------------------------------------------------------------------------
 */
/* je behind test PTR,PTR, of free. */
static bool skips_null(const struct tracker *t, const struct insn *insn)
{
	return t->function->call == HEAP_CALL_FREE && insn->kind == INSN_CONDITIONAL &&
	       insn->condition == INSN_IF_EQUAL && t->last.tested != INSN_NO_REG &&
	       t->holds[t->last.tested] == t->function->ptr;
}

/* Fills *site and its distance where the instruction would do. */
static bool take_instruction(const struct tracker *t, const struct insn *insn, uint8_t flags,
			     const struct branch_targets *targets, struct heap_site *site)
{
	struct heap_site s = *site;

	if ((insn->address != t->body->start &&
	     (!t->body->is_whole || is_branched_into(targets, t->body->start, insn->address))) ||
	    !put_registers(t, flags, &s))
		return false;
	s.offset += insn->address - t->body->start;
	s.flags = flags | (t->pushed ? HEAP_SITE_PUSHED : 0);
	*site = s;
	return true;
}

static bool find_emulated(const struct code_body *b, const struct branch_targets *targets,
			  const struct heap_function *f, uint8_t flags, struct heap_site *site)
{
	const struct heap_site before = *site;
	struct tracker t;
	bool found = false;

	begin(&t, b, f);
	for (size_t i = 0; i < b->insns_cnt; i++) {
		const struct insn *insn = &b->insns[i];
		struct heap_site s = before;

		if (insn->address - b->start > REACH_BYTES)
			break;
		if (insn->probe == INSN_PROBE_EMULATED) {
			if (take_instruction(&t, insn, flags, targets, &s)) {
				*site = s;
				found = true;
			}
			/* The branch will do, but what comes behind it is not hit with NULL. */
			if (!skips_null(&t, insn))
				break;
		} else if (insn->kind != INSN_OTHER) {
			break;
		}
		if (!advance(&t, i) || (t.pushed && f->call != HEAP_CALL_FREE))
			break;
	}
	return found;
}

bool heap_site_rule__choose(const struct code_body *b, const struct branch_targets *targets,
			    const struct heap_function *f, uint8_t flags, struct heap_site *site)
{
	struct tracker t;

	if (find_emulated(b, targets, f, flags, site))
		return true;
	begin(&t, b, f);
	site->flags = flags | HEAP_SITE_STEPPED;
	return b->insns[0].probe == INSN_PROBE_STEPPED && put_registers(&t, flags, site);
}
