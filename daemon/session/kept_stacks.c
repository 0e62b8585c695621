/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See kept_stacks.h.
 */
#include "session/kept_stacks.h"

#include <errno.h>
#include <string.h>
#include "base/array.h"
#include "base/hash.h"

#define STACKS_MAX_BYTES (12U << 20)
/* Threads whose stack has not been named yet. One that ended in between never gives its place back
 * by itself: the one that has waited longest makes room. */
#define PENDING_MAX      65536

/* tracepoint, BPF trampoline and program: what lies between the scheduler and the stack's taking */
#define MACHINERY_FRAMES_MAX 10

struct entry {
	uint32_t idx;
	uint32_t locations_cnt, labels_cnt;
	uint32_t cut; /* locations off the leaf */
	UT_hash_handle hh;
	size_t key_bytes;
	uint64_t key[]; /* labels, then locations */
};

struct thread_key {
	uint64_t start_ns;
	uint64_t tid;
};

struct pending {
	struct thread_key thread;
	uint64_t stack_id;
	uint32_t idx;
	UT_hash_handle hh; /* in the order in which they came */
};

struct kept_stacks {
	struct entry *by_content;
	struct entry **stacks; /* [index - KEPT_STACK_STAND_INS] */
	size_t stacks_cnt, stacks_cap;
	size_t bytes;
	struct pending *pending;
};

struct kept_stacks *kept_stacks__new(void)
{
	return calloc(1, sizeof(struct kept_stacks));
}

void kept_stacks__free(struct kept_stacks *ks)
{
	struct pending *pending, *next;
	size_t i;

	if (!ks)
		return;
	HASH_ITER (hh, ks->pending, pending, next) {
		HASH_DEL(ks->pending, pending);
		free(pending);
	}
	HASH_CLEAR(hh, ks->by_content);
	for (i = 0; i < ks->stacks_cnt; i++)
		free(ks->stacks[i]);
	free(ks->stacks);
	free(ks);
}

static struct profile_label *labels_of(struct entry *stack)
{
	return (struct profile_label *)stack->key;
}

static uint32_t *locations_of(struct entry *stack)
{
	return (uint32_t *)(labels_of(stack) + stack->labels_cnt);
}

/* Zeroed first: the key is compared as bytes, padding included. */
static struct entry *new_stack(const uint32_t *locations, uint32_t locations_cnt,
			       const struct label_set *set)
{
	size_t key_bytes = set->cnt * sizeof(*set->labels) + locations_cnt * sizeof(*locations);
	struct entry *stack = calloc(1, sizeof(*stack) + key_bytes);
	uint32_t i;

	if (!stack)
		return NULL;
	stack->key_bytes = key_bytes;
	stack->labels_cnt = set->cnt;
	stack->locations_cnt = locations_cnt;
	for (i = 0; i < set->cnt; i++) {
		struct profile_label *l = &labels_of(stack)[i];

		l->key = set->labels[i].key;
		l->str = set->labels[i].str;
		l->num_unit = set->labels[i].num_unit;
		l->num = set->labels[i].num;
	}
	if (locations_cnt)
		memcpy(locations_of(stack), locations, locations_cnt * sizeof(*locations));
	return stack;
}

/* Takes 'stack'. */
static int keep_stack(struct kept_stacks *ks, struct entry *stack, uint32_t *ret_idx)
{
	size_t bytes = sizeof(*stack) + sizeof(stack) + stack->key_bytes;
	_cleanup_free_ struct entry *owned = stack;
	struct entry *known;

	HASH_FIND(hh, ks->by_content, stack->key, stack->key_bytes, known);
	if (known) {
		*ret_idx = known->idx;
		return 0;
	}
	if (ks->bytes + bytes > STACKS_MAX_BYTES)
		return -ENOSPC;
	if (array__reserve(ks->stacks, ks->stacks_cap, ks->stacks_cnt + 1))
		return -ENOMEM;
	stack->idx = KEPT_STACK_STAND_INS + (uint32_t)ks->stacks_cnt;
	HASH_ADD_KEYPTR(hh, ks->by_content, stack->key, stack->key_bytes, stack);
	if (hash__add_failed(stack))
		return -ENOMEM;
	ks->stacks[ks->stacks_cnt++] = take_ptr(owned);
	ks->bytes += bytes;
	*ret_idx = stack->idx;
	return 0;
}

static struct pending *find_pending(struct kept_stacks *ks, const struct sample *s)
{
	struct thread_key key = { .start_ns = s->thread_start_ns, .tid = (uint64_t)s->tid };
	struct pending *pending;

	HASH_FIND(hh, ks->pending, &key, sizeof(key), pending);
	return pending;
}

static void drop_pending(struct kept_stacks *ks, struct pending *pending)
{
	HASH_DEL(ks->pending, pending);
	free(pending);
}

static int add_pending(struct kept_stacks *ks, const struct sample *s, uint32_t idx)
{
	struct pending *pending = find_pending(ks, s);

	if (pending)
		drop_pending(ks, pending);
	else if (HASH_COUNT(ks->pending) >= PENDING_MAX)
		drop_pending(ks, ks->pending);
	pending = calloc(1, sizeof(*pending));
	if (!pending)
		return -ENOMEM;
	pending->thread.start_ns = s->thread_start_ns;
	pending->thread.tid = (uint64_t)s->tid;
	pending->stack_id = s->stack_id;
	pending->idx = idx;
	HASH_ADD(hh, ks->pending, thread, sizeof(pending->thread), pending);
	if (!hash__add_failed(pending))
		return 0;
	free(pending);
	return -ENOMEM;
}

int kept_stacks__add(struct kept_stacks *ks, const struct sample *s, const uint32_t *locations,
		     uint32_t locations_cnt, const struct label_set *labels)
{
	struct entry *stack = new_stack(locations, locations_cnt, labels);
	uint32_t idx;
	int err;

	if (!stack)
		return -ENOMEM;
	err = keep_stack(ks, stack, &idx);
	return err ?: add_pending(ks, s, idx);
}

int kept_stacks__add_stand_in(struct kept_stacks *ks, const struct sample *s,
			      enum kept_stack_stand_in stand_in)
{
	return add_pending(ks, s, stand_in);
}

uint32_t kept_stacks__take(struct kept_stacks *ks, const struct sample *named_by)
{
	struct pending *pending;
	uint32_t idx;

	if (named_by->stack_id == STACK_ID_LOST)
		return KEPT_STACK_RING_FULL;
	pending = find_pending(ks, named_by);
	if (!pending || pending->stack_id != named_by->stack_id)
		return KEPT_STACK_UNKNOWN;
	idx = pending->idx;
	drop_pending(ks, pending);
	return idx;
}

struct kept_stack kept_stacks__get(const struct kept_stacks *ks, uint32_t idx)
{
	struct entry *stack = ks->stacks[idx - KEPT_STACK_STAND_INS];

	return (struct kept_stack){
		.locations = locations_of(stack) + stack->cut,
		.locations_cnt = stack->locations_cnt - stack->cut,
		.labels = labels_of(stack),
		.labels_cnt = stack->labels_cnt,
	};
}

/* Compilers put a suffix behind the name of a part or a specialised copy of a function. */
static bool is_schedule(const struct profile *p, const struct profile_location *l)
{
	const char *name;

	if (!l->mapping || !p->mappings[l->mapping - 1].is_kernel || !l->lines_cnt)
		return false;
	name = profile__str(p, p->functions[l->lines[0].function - 1].name);
	return !strcmp(name, "__schedule") || !strncmp(name, "__schedule.", 11);
}

void kept_stacks__cut_machinery(struct kept_stacks *ks, const struct profile *profile)
{
	size_t i;
	uint32_t j;

	for (i = 0; i < ks->stacks_cnt; i++) {
		struct entry *stack = ks->stacks[i];

		for (j = 0; j < stack->locations_cnt && j < MACHINERY_FRAMES_MAX; j++) {
			uint32_t id = locations_of(stack)[j];

			if (!is_schedule(profile, &profile->locations[id - 1]))
				continue;
			stack->cut = j;
			break;
		}
	}
}
