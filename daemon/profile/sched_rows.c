/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See sched_rows.h. Two hash tables: (thread, origin) → its stacks, and (that, stack) → an entry
 * with the weighted sums of its sampled waits. Entries of one (thread, origin) are a list.
 *
 * Scaling is done in integers: a column's weights become numbers of up to 62 bits that keep their
 * ratios, and each row's share of the exact sum is a 128-bit product and quotient. So the shares
 * and what is left over are exact, whatever the sizes, and the same on every machine.
 *
 * Memory is bounded: threads that come and go would otherwise fill it in a run without an end. Once
 * a table is full, what a known (thread, origin) waits with a new stack is kept as one sum, whose
 * share has no stack; a new (thread, origin) is as one that was never sampled.
 */
#include "profile/sched_rows.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "profile/id_table.h"

/* The columns of a row: its waits, then one per reason. */
#define COLUMN_WAITS  0
#define COLUMNS       (1 + SCHED_REASONS)
#define WEIGHT_BITS   62
#define GROUPS_MAX    (1U << 15)
#define ENTRIES_MAX   (1U << 16)
#define BYTES_MAX     (8U << 20)
/* More than any sampler draws; what is no number at all is taken as 1. */
#define INVERSE_Q_MAX 4294967296.0

struct group { /* a thread and an origin */
	struct sched_row_thread thread;
	enum sched_origin origin;
	uint32_t first_entry; /* id */
	uint32_t entries_cnt;
	double homeless[COLUMNS]; /* of stacks that found no room */
};

struct entry {
	uint32_t group; /* id */
	uint32_t stack;
	uint32_t next_entry; /* id; 0: the last */
	double weights[COLUMNS];
};

/* An array is full when it holds so many; its table has two slots for each of them then. */
#define GROUPS_BYTES  ((sizeof(struct group) + 2 * sizeof(struct id_slot)) * GROUPS_MAX)
#define ENTRIES_BYTES ((sizeof(struct entry) + 2 * sizeof(struct id_slot)) * ENTRIES_MAX)
_Static_assert(GROUPS_BYTES + ENTRIES_BYTES <= BYTES_MAX, "full tables stay below the cap");

struct sched_rows {
	uint64_t seed;
	struct group *groups;
	size_t groups_cnt, groups_cap;
	struct entry *entries;
	size_t entries_cnt, entries_cap;
	struct id_table by_thread, by_stack;
	uint64_t homeless_cnt;
};

struct group_key {
	struct sched_row_thread thread;
	enum sched_origin origin;
};

struct entry_key {
	uint32_t group, stack;
};

/* One row while it is scaled. */
struct share {
	uint32_t stack; /* SCHED_ROW_NOT_SAMPLED: of stacks that found no room */
	const double *weights;
	uint64_t values[COLUMNS];
	uint64_t weight, remainder; /* of the column at hand */
};

struct sched_rows *sched_rows__new(void)
{
	struct sched_rows *rows = calloc(1, sizeof(*rows));

	if (rows)
		rows->seed = id_hash__seed();
	return rows;
}

void sched_rows__free(struct sched_rows *rows)
{
	if (!rows)
		return;
	id_table__done(&rows->by_thread);
	id_table__done(&rows->by_stack);
	free(rows->groups);
	free(rows->entries);
	free(rows);
}

static bool group_equal(const void *ctx, uint32_t id, const void *key)
{
	const struct group *g = &((const struct sched_rows *)ctx)->groups[id - 1];
	const struct group_key *k = key;

	return g->thread.tid == k->thread.tid && g->thread.start_ns == k->thread.start_ns &&
	       g->origin == k->origin;
}

static bool entry_equal(const void *ctx, uint32_t id, const void *key)
{
	const struct entry *e = &((const struct sched_rows *)ctx)->entries[id - 1];
	const struct entry_key *k = key;

	return e->group == k->group && e->stack == k->stack;
}

static uint32_t hash_group(const struct sched_rows *rows, const struct group_key *key)
{
	uint64_t h = id_hash__mix(rows->seed, (uint64_t)(uint32_t)key->thread.tid << 32 |
						      (uint32_t)key->origin);

	return id_hash__fold(id_hash__mix(h, key->thread.start_ns));
}

static uint32_t find_group(const struct sched_rows *rows, const struct group_key *key)
{
	return id_table__find(&rows->by_thread, hash_group(rows, key), group_equal, rows, key);
}

/* *ret_id 0: there is no room for another. */
static int get_group(struct sched_rows *rows, const struct group_key *key, uint32_t *ret_id)
{
	uint32_t id = find_group(rows, key);

	/* A group that can have no entry is not worth its place. */
	if (!id && rows->groups_cnt < GROUPS_MAX && rows->entries_cnt < ENTRIES_MAX) {
		if (id_table__reserve(&rows->by_thread) ||
		    array__reserve(rows->groups, rows->groups_cap, rows->groups_cnt + 1))
			return -ENOMEM;
		rows->groups[rows->groups_cnt++] =
			(struct group){ .thread = key->thread, .origin = key->origin };
		id = (uint32_t)rows->groups_cnt;
		id_table__add(&rows->by_thread, hash_group(rows, key), id);
	}
	*ret_id = id;
	return 0;
}

/* *ret_id 0: there is no room for another. */
static int get_entry(struct sched_rows *rows, const struct entry_key *key, uint32_t *ret_id)
{
	uint32_t hash =
		id_hash__fold(id_hash__mix(rows->seed, (uint64_t)key->group << 32 | key->stack));
	uint32_t id = id_table__find(&rows->by_stack, hash, entry_equal, rows, key);
	struct group *group;

	if (!id && rows->entries_cnt < ENTRIES_MAX) {
		if (id_table__reserve(&rows->by_stack) ||
		    array__reserve(rows->entries, rows->entries_cap, rows->entries_cnt + 1))
			return -ENOMEM;
		group = &rows->groups[key->group - 1];
		rows->entries[rows->entries_cnt++] = (struct entry){
			.group = key->group, .stack = key->stack, .next_entry = group->first_entry
		};
		id = (uint32_t)rows->entries_cnt;
		group->first_entry = id;
		group->entries_cnt++;
		id_table__add(&rows->by_stack, hash, id);
	}
	*ret_id = id;
	return 0;
}

int sched_rows__add(struct sched_rows *rows, struct sched_row_thread thread,
		    enum sched_origin origin, uint32_t stack, double inverse_q,
		    const uint64_t reason_ns[SCHED_REASONS])
{
	struct group_key group_key = { .thread = thread, .origin = origin };
	struct entry_key entry_key = { .stack = stack };
	double weight = inverse_q >= 1 ? fmin(inverse_q, INVERSE_Q_MAX) : 1;
	uint32_t id = 0;
	double *weights;
	size_t i;
	int err;

	err = get_group(rows, &group_key, &entry_key.group);
	if (!err && entry_key.group)
		err = get_entry(rows, &entry_key, &id);
	if (err)
		return err;
	rows->homeless_cnt += !id;
	if (!entry_key.group)
		return 0;
	weights = id ? rows->entries[id - 1].weights : rows->groups[entry_key.group - 1].homeless;
	weights[COLUMN_WAITS] += weight;
	for (i = 0; i < SCHED_REASONS; i++)
		weights[1 + i] += weight * (double)reason_ns[i];
	return 0;
}

uint64_t sched_rows__homeless(const struct sched_rows *rows)
{
	return rows->homeless_cnt;
}

/* What the rows of one origin must add up to: the other origin's columns are 0. */
static void exact_columns(const struct sched_sums *exact, enum sched_origin origin,
			  uint64_t ret[COLUMNS])
{
	bool is_preempted = origin == SCHED_ORIGIN_PREEMPTED;

	ret[COLUMN_WAITS] = exact->waits[origin];
	ret[1 + SCHED_PREEMPTED] = is_preempted ? exact->preempted_ns : 0;
	ret[1 + SCHED_DELAYED] = is_preempted ? 0 : exact->delayed_ns;
	ret[1 + SCHED_RUNNABLE] = is_preempted ? 0 : exact->runnable_ns;
}

/* Of equal remainders the larger weight is rounded up, then the smaller stack: no order of arrival
 * shows. */
static int compare_remainders(const void *pa, const void *pb)
{
	const struct share *a = pa, *b = pb;

	if (a->remainder != b->remainder)
		return a->remainder < b->remainder ? 1 : -1;
	if (a->weight != b->weight)
		return a->weight < b->weight ? 1 : -1;
	return (a->stack > b->stack) - (a->stack < b->stack);
}

/* The weights of a column as integers; 0 when there are none. */
static uint64_t quantize_weights(struct share *shares, size_t cnt, size_t column)
{
	double sum = 0;
	uint64_t total = 0;
	int exponent;
	size_t i;

	for (i = 0; i < cnt; i++)
		sum += shares[i].weights[column];
	if (!(sum > 0))
		return 0;
	frexp(sum, &exponent);
	for (i = 0; i < cnt; i++) {
		shares[i].weight =
			(uint64_t)ldexp(shares[i].weights[column], WEIGHT_BITS - exponent);
		total += shares[i].weight;
	}
	return total;
}

/* Returns what of 'exact' no row got: all of it, or nothing. */
static uint64_t scale_column(struct share *shares, size_t cnt, size_t column, uint64_t exact)
{
	uint64_t left = exact, total;
	size_t i;

	if (!exact)
		return 0;
	total = quantize_weights(shares, cnt, column);
	if (!total)
		return exact;
	for (i = 0; i < cnt; i++) {
		unsigned __int128 product = (unsigned __int128)exact * shares[i].weight;

		shares[i].values[column] = (uint64_t)(product / total);
		shares[i].remainder = (uint64_t)(product % total);
		left -= shares[i].values[column];
	}
	if (!left)
		return 0;
	qsort(shares, cnt, sizeof(*shares), compare_remainders);
	/* left = Σ remainders / total: less than there are rows with a remainder. */
	for (i = 0; i < left; i++)
		shares[i].values[column]++;
	return 0;
}

static bool has_value(const uint64_t values[COLUMNS])
{
	return values[0] | values[1] | values[2] | values[3];
}

static int emit_row(struct sched_row_thread thread, uint32_t stack, const uint64_t values[COLUMNS],
		    sched_row_fn fn, void *ctx)
{
	struct sched_row row = { .thread = thread, .stack = stack, .waits = values[COLUMN_WAITS] };

	_Static_assert(COLUMNS == 4, "has_value() looks at every column");
	if (!has_value(values))
		return 0;
	memcpy(row.reason_ns, &values[1], sizeof(row.reason_ns));
	return fn(&row, ctx);
}

/* The last one is what found no room, with no weight mostly. */
static struct share *list_shares(const struct sched_rows *rows, const struct group *group)
{
	struct share *shares = calloc(group->entries_cnt + 1, sizeof(*shares));
	uint32_t id = group->first_entry;
	size_t i;

	for (i = 0; shares && i < group->entries_cnt; i++) {
		const struct entry *e = &rows->entries[id - 1];

		shares[i].stack = e->stack;
		shares[i].weights = e->weights;
		id = e->next_entry;
	}
	if (shares) {
		shares[i].stack = SCHED_ROW_NOT_SAMPLED;
		shares[i].weights = group->homeless;
	}
	return shares;
}

static int compare_stacks(const void *pa, const void *pb)
{
	const struct share *a = pa, *b = pb;

	return (a->stack > b->stack) - (a->stack < b->stack);
}

/* 'exact' becomes what is left for the row without a stack. */
static int emit_group(const struct sched_rows *rows, const struct group *group,
		      uint64_t exact[COLUMNS], sched_row_fn fn, void *ctx)
{
	_cleanup_free_ struct share *shares = list_shares(rows, group);
	size_t cnt = group->entries_cnt + 1, i;
	int err;

	if (!shares)
		return -ENOMEM;
	for (i = 0; i < COLUMNS; i++)
		exact[i] = scale_column(shares, cnt, i, exact[i]);
	qsort(shares, cnt, sizeof(*shares), compare_stacks);
	for (i = 0; i + 1 < cnt; i++) {
		err = emit_row(group->thread, shares[i].stack, shares[i].values, fn, ctx);
		if (err)
			return err;
	}
	/* The order of stacks has it last again. */
	for (i = 0; i < COLUMNS; i++)
		exact[i] += shares[cnt - 1].values[i];
	return 0;
}

int sched_rows__emit(const struct sched_rows *rows, struct sched_row_thread thread,
		     const struct sched_sums *exact, sched_row_fn fn, void *ctx)
{
	uint64_t not_sampled[COLUMNS] = { 0 }, columns[COLUMNS];
	struct group_key key = { .thread = thread };
	uint32_t id, origin;
	size_t i;
	int err;

	for (origin = 0; origin < SCHED_ORIGINS; origin++) {
		key.origin = origin;
		exact_columns(exact, origin, columns);
		id = find_group(rows, &key);
		if (id) {
			err = emit_group(rows, &rows->groups[id - 1], columns, fn, ctx);
			if (err)
				return err;
		}
		for (i = 0; i < COLUMNS; i++)
			not_sampled[i] += columns[i];
	}
	return emit_row(thread, SCHED_ROW_NOT_SAMPLED, not_sampled, fn, ctx);
}
