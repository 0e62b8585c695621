/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See wait_stacks.h.
 */
#include "session/wait_stacks.h"

#include <errno.h>
#include <string.h>
#include "base/array.h"
#include "base/hash.h"

#define STACKS_MAX_BYTES (12U << 20)
/* Threads whose wait has not come yet. One that ended in between never gives its place back by
 * itself: the one that has waited longest makes room. */
#define PENDING_MAX      65536

/* tracepoint, BPF trampoline and program: what lies between the scheduler and the stack's taking */
#define MACHINERY_FRAMES_MAX 10

struct kept_stack {
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

struct wait_stacks {
	struct kept_stack *by_content;
	struct kept_stack **stacks; /* [index - WAIT_STACK_STAND_INS] */
	size_t stacks_cnt, stacks_cap;
	size_t bytes;
	struct pending *pending;
};

struct wait_stacks *wait_stacks__new(void)
{
	return calloc(1, sizeof(struct wait_stacks));
}

void wait_stacks__free(struct wait_stacks *ws)
{
	struct pending *pending, *next;
	size_t i;

	if (!ws)
		return;
	HASH_ITER (hh, ws->pending, pending, next) {
		HASH_DEL(ws->pending, pending);
		free(pending);
	}
	HASH_CLEAR(hh, ws->by_content);
	for (i = 0; i < ws->stacks_cnt; i++)
		free(ws->stacks[i]);
	free(ws->stacks);
	free(ws);
}

static struct profile_label *labels_of(struct kept_stack *stack)
{
	return (struct profile_label *)stack->key;
}

static uint32_t *locations_of(struct kept_stack *stack)
{
	return (uint32_t *)(labels_of(stack) + stack->labels_cnt);
}

/* Zeroed first: the key is compared as bytes, padding included. */
static struct kept_stack *new_stack(const uint32_t *locations, uint32_t locations_cnt,
				    const struct label_set *set)
{
	size_t key_bytes = set->cnt * sizeof(*set->labels) + locations_cnt * sizeof(*locations);
	struct kept_stack *stack = calloc(1, sizeof(*stack) + key_bytes);
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
static int keep_stack(struct wait_stacks *ws, struct kept_stack *stack, uint32_t *ret_idx)
{
	size_t bytes = sizeof(*stack) + sizeof(stack) + stack->key_bytes;
	_cleanup_free_ struct kept_stack *owned = stack;
	struct kept_stack *known;

	HASH_FIND(hh, ws->by_content, stack->key, stack->key_bytes, known);
	if (known) {
		*ret_idx = known->idx;
		return 0;
	}
	if (ws->bytes + bytes > STACKS_MAX_BYTES)
		return -ENOSPC;
	if (array__reserve(ws->stacks, ws->stacks_cap, ws->stacks_cnt + 1))
		return -ENOMEM;
	stack->idx = WAIT_STACK_STAND_INS + (uint32_t)ws->stacks_cnt;
	HASH_ADD_KEYPTR(hh, ws->by_content, stack->key, stack->key_bytes, stack);
	if (hash__add_failed(stack))
		return -ENOMEM;
	ws->stacks[ws->stacks_cnt++] = take_ptr(owned);
	ws->bytes += bytes;
	*ret_idx = stack->idx;
	return 0;
}

static struct pending *find_pending(struct wait_stacks *ws, const struct sample *s)
{
	struct thread_key key = { .start_ns = s->thread_start_ns, .tid = (uint64_t)s->tid };
	struct pending *pending;

	HASH_FIND(hh, ws->pending, &key, sizeof(key), pending);
	return pending;
}

static void drop_pending(struct wait_stacks *ws, struct pending *pending)
{
	HASH_DEL(ws->pending, pending);
	free(pending);
}

static int add_pending(struct wait_stacks *ws, const struct sample *s, uint32_t idx)
{
	struct pending *pending = find_pending(ws, s);

	if (pending)
		drop_pending(ws, pending);
	else if (HASH_COUNT(ws->pending) >= PENDING_MAX)
		drop_pending(ws, ws->pending);
	pending = calloc(1, sizeof(*pending));
	if (!pending)
		return -ENOMEM;
	pending->thread.start_ns = s->thread_start_ns;
	pending->thread.tid = (uint64_t)s->tid;
	pending->stack_id = s->stack_id;
	pending->idx = idx;
	HASH_ADD(hh, ws->pending, thread, sizeof(pending->thread), pending);
	if (!hash__add_failed(pending))
		return 0;
	free(pending);
	return -ENOMEM;
}

int wait_stacks__add(struct wait_stacks *ws, const struct sample *s, const uint32_t *locations,
		     uint32_t locations_cnt, const struct label_set *labels)
{
	struct kept_stack *stack = new_stack(locations, locations_cnt, labels);
	uint32_t idx;
	int err;

	if (!stack)
		return -ENOMEM;
	err = keep_stack(ws, stack, &idx);
	return err ?: add_pending(ws, s, idx);
}

int wait_stacks__add_stand_in(struct wait_stacks *ws, const struct sample *s,
			      enum wait_stack_stand_in stand_in)
{
	return add_pending(ws, s, stand_in);
}

uint32_t wait_stacks__take(struct wait_stacks *ws, const struct sample *wait)
{
	struct pending *pending;
	uint32_t idx;

	if (wait->stack_id == STACK_ID_LOST)
		return WAIT_STACK_RING_FULL;
	pending = find_pending(ws, wait);
	if (!pending || pending->stack_id != wait->stack_id)
		return WAIT_STACK_UNKNOWN;
	idx = pending->idx;
	drop_pending(ws, pending);
	return idx;
}

struct wait_stack wait_stacks__get(const struct wait_stacks *ws, uint32_t idx)
{
	struct kept_stack *stack = ws->stacks[idx - WAIT_STACK_STAND_INS];

	return (struct wait_stack){
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

void wait_stacks__cut_machinery(struct wait_stacks *ws, const struct profile *profile)
{
	size_t i;
	uint32_t j;

	for (i = 0; i < ws->stacks_cnt; i++) {
		struct kept_stack *stack = ws->stacks[i];

		for (j = 0; j < stack->locations_cnt && j < MACHINERY_FRAMES_MAX; j++) {
			uint32_t id = locations_of(stack)[j];

			if (!is_schedule(profile, &profile->locations[id - 1]))
				continue;
			stack->cut = j;
			break;
		}
	}
}
