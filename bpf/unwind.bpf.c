// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * See unwind.bpf.h. Three look-ups make a step: the mapping of the pc in the process's sorted list,
 * the row of its address in the file's table (block → leaf page → at most ten comparisons), the
 * rule in the dictionary. One frame per call of a global function: the verifier checks its body
 * once instead of once per frame, which is what lets MAX_USER_FRAMES iterations load on every
 * kernel.
 */
#include "unwind.bpf.h"

#define SEARCH_STEPS  10 /* log2(UNWIND_LEAF_ROWS) */
#define MAPPING_STEPS 8  /* log2(UNWIND_MAPPINGS) */

#define DEPTH_BITS_MAX 16

#define PROBED_RETURNS_MAX   16 /* calls of a thread, innermost first */
#define RETURN_ADDRESS_BYTES 8

_Static_assert(UNWIND_LEAF_ROWS == 1 << SEARCH_STEPS, "the search covers a page");
_Static_assert(UNWIND_MAPPINGS == 1 << MAPPING_STEPS, "the search covers a slot");
_Static_assert(MAX_USER_FRAMES <= 1 << DEPTH_BITS_MAX, "no depth has a bit above");

/*
 * Index of the last mapping that starts at or below pc. The search begins at 0, but not for the
 * verifier, who does not know how small 'depth' is: else it would have one state for every mapping
 * there may be, and follow each of them to the end of the step.
 */
static __always_inline u64 find_mapping(const struct unwind_slot *s, u64 pc, u32 depth)
{
	u64 lo = depth >> DEPTH_BITS_MAX, mid;
	int step;

	BOUND(lo, UNWIND_MAPPINGS - 1);
#pragma unroll
	for (step = UNWIND_MAPPINGS / 2; step; step >>= 1) {
		mid = lo + step;
		BOUND(mid, UNWIND_MAPPINGS - 1);
		if (s->start[mid] <= pc)
			lo = mid;
	}
	BOUND(lo, UNWIND_MAPPINGS - 1);
	return lo;
}

static __always_inline u32 block_entry(u32 idx, u32 *ret)
{
	u32 page = idx / UNWIND_PAGE_WORDS;
	struct unwind_page *p = bpf_map_lookup_elem(&unwind_block, &page);
	u64 word = idx;

	if (!p)
		return 1;
	BOUND(word, UNWIND_PAGE_WORDS - 1);
	*ret = p->words[word];
	return 0;
}

/* Index of the rule for an ELF address of a file, UNWIND_RULES_MAX where there is none. */
__noinline int find_rule(u32 file_id, u64 address, u32 epoch)
{
	struct unwind_file *file = bpf_map_lookup_elem(&unwind_files, &file_id);
	u64 offset, block, lo, word, cnt;
	struct unwind_page *leaf;
	u32 first, next, page, key;
	int i;

	if (!file || address < file->base)
		return UNWIND_RULES_MAX;
	offset = address - file->base;
	block = offset >> UNWIND_BLOCK_SHIFT;
	if (block >= file->block_cnt)
		return UNWIND_RULES_MAX;
	if (file->epoch != epoch)
		file->epoch = epoch; /* what the least recently used file is told by */
	if (block_entry(file->first_block + block, &first) ||
	    block_entry(file->first_block + block + 1, &next))
		return UNWIND_RULES_MAX;
	page = first >> UNWIND_LEAF_SHIFT;
	leaf = bpf_map_lookup_elem(&unwind_leaf, &page);
	if (!leaf)
		return UNWIND_RULES_MAX;
	lo = first & (UNWIND_LEAF_ROWS - 1);
	cnt = page == next >> UNWIND_LEAF_SHIFT ? next - first : UNWIND_LEAF_ROWS - lo;
	key = UNWIND_ROW(offset & (UNWIND_BLOCK_BYTES - 1), 0xffff);
	for (i = 0; i < SEARCH_STEPS; i++) {
		u64 half = cnt >> 1;

		if (cnt <= 1)
			break;
		word = lo + half;
		BOUND(word, UNWIND_LEAF_ROWS - 1);
		if (leaf->words[word] <= key)
			lo += half;
		cnt -= half;
	}
	word = lo;
	BOUND(word, UNWIND_LEAF_ROWS - 1);
	return UNWIND_ROW_RULE(leaf->words[word]);
}

/* A window of the stack is read at once, from a little below what is asked (the saved frame pointer
 * lies below the return address): most loads then cost no read of their own. */
static __always_inline int unwind_load(struct unwind_context *w, u64 address, u64 *ret)
{
	u64 offset = address - w->window_start;

	if (offset > sizeof(w->window) - sizeof(u64)) {
		w->window_start = address - UNWIND_WINDOW_BELOW_BYTES;
		if (bpf_probe_read_user(w->window, sizeof(w->window), (void *)w->window_start)) {
			/* The end of the stack is near, or nothing is there at all. */
			w->window_start = address + sizeof(w->window);
			return bpf_probe_read_user(ret, sizeof(*ret), (void *)address);
		}
		offset = UNWIND_WINDOW_BELOW_BYTES;
	}
	if (offset & 7)
		return bpf_probe_read_user(ret, sizeof(*ret), (void *)address);
	offset >>= 3;
	BOUND(offset, UNWIND_WINDOW_WORDS - 1);
	*ret = w->window[offset];
	return 0;
}

#include "abi/unwind_step.h"

static __always_inline u64 register_of(const struct unwind_context *w, u8 kind)
{
	u64 idx = kind - UNWIND_IN_REGISTER;

	BOUND(idx, UNWIND_REG_CNT - 1);
	return w->regs[idx];
}

static __always_inline int step_by_rule(struct unwind_context *w, u32 rule_id)
{
	struct unwind_rule_entry *entry = bpf_map_lookup_elem(&unwind_rules, &rule_id);
	struct unwind_rule *rule;
	u64 arg;

	if (!entry)
		return UNWIND_COLD;
	rule = &entry->rule;
	if (rule->kind == UNWIND_RULE_UNSUPPORTED)
		return UNWIND_UNSUPPORTED;
	arg = rule->arg;
	BOUND(arg, UNWIND_REG_CNT - 1);
	return unwind_step(w, &w->frame, rule, w->regs[arg], register_of(w, rule->fp_kind),
			   register_of(w, rule->ra_kind));
}

/* The return address of a function that is left with this stack pointer, whose return is probed. */
__noinline u64 unwind_original(u64 sp)
{
	struct return_instance *call =
		compat__probed_returns((struct task_struct *)bpf_get_current_task());
	int i;

	for (i = 0; i < PROBED_RETURNS_MAX && call; i++) {
		if (BPF_CORE_READ(call, stack) + RETURN_ADDRESS_BYTES == sp)
			return BPF_CORE_READ(call, orig_ret_vaddr);
		call = BPF_CORE_READ(call, next);
	}
	return 0;
}

/* Appends the frame that .walk.frame describes and moves to its caller. */
__noinline int unwind_one_frame(u32 scratch_slot, u32 depth)
{
	struct scratch *s = bpf_map_lookup_elem(&scratch, &scratch_slot);
	struct unwind_slot *slot;
	u64 pc, idx, mapping;
	int rule;

	if (!s)
		return UNWIND_COLD;
	slot = bpf_map_lookup_elem(&unwind_slots, &s->walk.process);
	if (!slot)
		return UNWIND_COLD;
	if (unlikely(s->walk.frame.pc == s->walk.trampoline))
		s->walk.frame.pc = unwind_original(s->walk.frame.sp);
	idx = s->event.header.kernel_frames_cnt + depth;
	BOUND(idx, MAX_FRAMES - 1);
	pc = s->walk.frame.pc - !s->walk.frame.exact;
	s->event.frames[idx] = pc;
	mapping = find_mapping(slot, pc, depth);
	if (pc < slot->start[mapping] || pc >= slot->end[mapping])
		return UNWIND_COLD; /* new code, or none: user space knows */
	s->event.header.user_frames_cnt = depth + 1;
	if (slot->file[mapping] == UNWIND_FILE_COLD)
		return UNWIND_COLD;
	if (slot->file[mapping] == UNWIND_FILE_CHAIN)
		return unwind_step_chain(&s->walk, &s->walk.frame);
	rule = find_rule(slot->file[mapping], pc - slot->bias[mapping], s->walk.epoch);
	if (rule == UNWIND_RULES_MAX)
		return unwind_step_chain(&s->walk, &s->walk.frame);
	return step_by_rule(&s->walk, rule);
}

__noinline int unwind_some_frames(u32 slot, u32 depth)
{
	int outcome = UNWIND_CONTINUE;
	u32 i;

	for (i = 0; i < FRAMES_AT_ONCE && outcome == UNWIND_CONTINUE; i++)
		outcome = unwind_one_frame(slot, depth + i);
	return outcome;
}
