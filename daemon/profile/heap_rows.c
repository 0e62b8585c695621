/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_rows.h. Most rows never have anything that lives when somebody looks, and a host has
 * many: what a walk adds up is kept apart from what each row needs. Ids live in an array with a
 * hash table over it that cannot delete: whoever frees tells nobody, so what is gone shows in a
 * walk only, after which array and table are made anew.
 */
#include "profile/heap_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "base/clock.h"
#include "profile/heap_slices.h"
#include "profile/id_table.h"

/* A walk is not worth it for less. */
#define WALK_IDS_MIN 4096

/* The record of an allocation may be read before the live set has its entry: so long ago. */
#define SETTLED_NS (NSEC_PER_SEC / 10)

struct row {
	struct heap_sums alloc; /* but what was selected in slices */
	uint32_t live;          /* index in lives + 1; 0: none */
	uint32_t sliced;        /* index in sliced + 1; 0: none */
};

struct live_row {
	struct heap_sums inuse;
	double age_bytes[HEAP_AGES];
	struct heap_point points[HEAP_POINTS];
};

struct live_id {
	uint64_t id;
	uint64_t time_ns;
	uint32_t row;
	uint32_t walk; /* the last in which it was seen */
};

struct heap_rows {
	uint64_t interval_bytes, seed;
	struct row *rows;
	size_t rows_cnt, rows_cap;
	struct live_row *lives;
	size_t lives_cnt, lives_cap;
	struct live_id *ids;
	size_t ids_cnt, ids_cap;
	struct id_table by_id;
	size_t walk_at; /* so many ids */
	bool is_over;   /* nothing is known to be live any more */
	struct heap_slices slices;
	struct heap_sliced *sliced;
	size_t sliced_cnt, sliced_cap;
	struct heap_sliced all; /* rows together */
	double sliced_bytes;    /* of them, as they came */
	double scaled_by;
	struct heap_sums strays;
	uint32_t walk; /* number of the walk that goes on, or went on last */
	uint64_t walk_ns;
	int point;
};

struct heap_rows *heap_rows__new(uint64_t interval_bytes)
{
	struct heap_rows *rows = calloc(1, sizeof(*rows));

	if (!rows)
		return NULL;
	rows->interval_bytes = interval_bytes;
	rows->seed = id_hash__seed();
	rows->walk_at = WALK_IDS_MIN;
	rows->point = -1;
	rows->scaled_by = 1;
	return rows;
}

void heap_rows__free(struct heap_rows *rows)
{
	if (!rows)
		return;
	id_table__done(&rows->by_id);
	free(rows->ids);
	free(rows->rows);
	free(rows->lives);
	heap_slices__done(&rows->slices);
	free(rows->sliced);
	free(rows);
}

/* --- ids ----------------------------------------------------------------------------------------
 */

static bool id_equal(const void *ctx, uint32_t id, const void *key)
{
	return ((const struct heap_rows *)ctx)->ids[id - 1].id == *(const uint64_t *)key;
}

static uint32_t hash_id(const struct heap_rows *rows, uint64_t id)
{
	return id_hash__fold(id_hash__mix(rows->seed, id));
}

static struct live_id *find_id(const struct heap_rows *rows, uint64_t id)
{
	uint32_t found = id_table__find(&rows->by_id, hash_id(rows, id), id_equal, rows, &id);

	return found ? &rows->ids[found - 1] : NULL;
}

static int add_id(struct heap_rows *rows, uint32_t row, const struct heap_alloc *a)
{
	struct live_id *known = find_id(rows, a->id);

	if (known) {
		known->row = row;
		known->time_ns = a->time_ns;
		return 0;
	}
	if (rows->ids_cnt >= UINT32_MAX - 1 || id_table__reserve(&rows->by_id) ||
	    array__reserve(rows->ids, rows->ids_cap, rows->ids_cnt + 1))
		return -ENOMEM;
	rows->ids[rows->ids_cnt++] =
		(struct live_id){ .id = a->id, .time_ns = a->time_ns, .row = row };
	id_table__add(&rows->by_id, hash_id(rows, a->id), (uint32_t)rows->ids_cnt);
	return 0;
}

/* Gives back what a burst took, once it is over. */
static void shrink_ids(struct heap_rows *rows)
{
	size_t cap = rows->ids_cnt > WALK_IDS_MIN ? rows->ids_cnt : WALK_IDS_MIN;
	struct live_id *ids;

	if (rows->ids_cap / 4 < cap)
		return;
	ids = reallocarray(rows->ids, cap, sizeof(*ids));
	if (!ids)
		return;
	rows->ids = ids;
	rows->ids_cap = cap;
}

/* Where memory for the table is short, ids are forgotten: their blocks are strays then. */
static void index_ids(struct heap_rows *rows)
{
	size_t i;

	id_table__done(&rows->by_id);
	for (i = 0; i < rows->ids_cnt && !id_table__reserve(&rows->by_id); i++)
		id_table__add(&rows->by_id, hash_id(rows, rows->ids[i].id), (uint32_t)i + 1);
	rows->ids_cnt = i;
}

/* --- rows ---------------------------------------------------------------------------------------
 */

static int get_row(struct heap_rows *rows, uint32_t row, struct row **ret)
{
	if (array__reserve(rows->rows, rows->rows_cap, (size_t)row + 1))
		return -ENOMEM;
	while (rows->rows_cnt <= row)
		rows->rows[rows->rows_cnt++] = (struct row){ .live = 0 };
	*ret = &rows->rows[row];
	return 0;
}

static int get_live_row(struct heap_rows *rows, uint32_t row, struct live_row **ret)
{
	struct row *r;
	int err;

	err = get_row(rows, row, &r);
	if (!err && !r->live)
		err = array__reserve(rows->lives, rows->lives_cap, rows->lives_cnt + 1);
	if (err)
		return err;
	if (!r->live) {
		rows->lives[rows->lives_cnt++] = (struct live_row){ .inuse.samples = 0 };
		r->live = (uint32_t)rows->lives_cnt;
	}
	*ret = &rows->lives[r->live - 1];
	return 0;
}

static int get_sliced_row(struct heap_rows *rows, struct row *r, struct heap_sliced **ret)
{
	if (!r->sliced) {
		if (array__reserve(rows->sliced, rows->sliced_cap, rows->sliced_cnt + 1))
			return -ENOMEM;
		rows->sliced[rows->sliced_cnt++] = (struct heap_sliced){ .slice = 0 };
		r->sliced = (uint32_t)rows->sliced_cnt;
	}
	*ret = &rows->sliced[r->sliced - 1];
	return 0;
}

int heap_rows__add(struct heap_rows *rows, uint32_t row, const struct heap_alloc *a, bool is_live)
{
	struct heap_sums sums = heap_sums__of(a, rows->interval_bytes);
	struct heap_sliced *sliced = NULL;
	struct row *r;
	int err;

	err = get_row(rows, row, &r);
	if (!err && heap_alloc__is_sliced(a))
		err = get_sliced_row(rows, r, &sliced);
	if (!err && is_live && a->id && !rows->is_over)
		err = add_id(rows, row, a);
	if (err)
		return err;
	if (!sliced) {
		heap_sums__add(&r->alloc, &sums);
		return 0;
	}
	heap_sliced__add(sliced, &rows->slices, a, &sums);
	heap_sliced__add(&rows->all, &rows->slices, a, &sums);
	rows->sliced_bytes += heap_sums__bytes(&sums);
	return 0;
}

/* --- slices of time -----------------------------------------------------------------------------
 */

int heap_rows__begin_slice(struct heap_rows *rows, uint64_t time_ns, uint32_t q)
{
	return heap_slices__begin(&rows->slices, time_ns, q);
}

void heap_rows__end_slice(struct heap_rows *rows, double own_ns, double error_ns, double planned_ns)
{
	heap_slices__end(&rows->slices, own_ns, error_ns, planned_ns);
}

double heap_rows__end_slices(struct heap_rows *rows, double own_ns)
{
	const struct heap_slice_sums sums = heap_slices__sums(&rows->slices, own_ns);
	size_t i;

	for (i = 0; i < rows->sliced_cnt; i++)
		heap_sliced__end(&rows->sliced[i], &rows->slices, &sums);
	heap_sliced__end(&rows->all, &rows->slices, &sums);
	if (rows->sliced_bytes > 0)
		rows->scaled_by = heap_sums__bytes(&rows->all.alloc) / rows->sliced_bytes;
	return rows->all.alloc.slices_variance;
}

double heap_rows__slices_scale(const struct heap_rows *rows)
{
	return rows->scaled_by;
}

size_t heap_rows__slices_cnt(const struct heap_rows *rows)
{
	return heap_slices__sums(&rows->slices, 0).cnt;
}

/* --- walks --------------------------------------------------------------------------------------
 */

void heap_rows__begin_walk(struct heap_rows *rows, uint64_t now_ns, int point)
{
	size_t i;

	rows->walk++;
	rows->walk_ns = now_ns;
	rows->point = point < HEAP_POINTS ? point : -1;
	if (rows->point >= 0)
		rows->strays = (struct heap_sums){ .samples = 0 };
	for (i = 0; rows->point >= 0 && i < rows->lives_cnt; i++) {
		struct live_row *live = &rows->lives[i];

		live->inuse = (struct heap_sums){ .samples = 0 };
		live->points[rows->point] = (struct heap_point){ .bytes = 0 };
		memset(live->age_bytes, 0, sizeof(live->age_bytes));
	}
}

static size_t age_slot(uint64_t now_ns, uint64_t time_ns)
{
	uint64_t age_s = now_ns > time_ns ? (now_ns - time_ns) / NSEC_PER_SEC : 0;
	size_t i;

	for (i = 0; i < HEAP_AGES - 1 && age_s >= heap_age_limits_s[i]; i++)
		;
	return i;
}

int heap_rows__see(struct heap_rows *rows, const struct heap_alloc *a, uint32_t stray_row,
		   struct heap_sums *ret_sums)
{
	struct live_id *known = a->id ? find_id(rows, a->id) : NULL;
	struct heap_point *point;
	struct live_row *live;
	int err;

	if (known && known->walk == rows->walk)
		return 0;
	if (known)
		known->walk = rows->walk;
	*ret_sums = heap_sums__of(a, rows->interval_bytes);
	if (rows->point < 0)
		return 1;
	if (!known && a->id)
		heap_sums__add(&rows->strays, ret_sums);
	err = get_live_row(rows, known ? known->row : stray_row, &live);
	if (err)
		return err;
	heap_sums__add(&live->inuse, ret_sums);
	live->age_bytes[age_slot(rows->walk_ns, a->time_ns)] += heap_sums__bytes(ret_sums);
	point = &live->points[rows->point];
	point->bytes += heap_sums__bytes(ret_sums);
	point->variance += ret_sums->variance;
	return 1;
}

void heap_rows__end_walk(struct heap_rows *rows)
{
	uint64_t settled_ns = rows->walk_ns > SETTLED_NS ? rows->walk_ns - SETTLED_NS : 0;
	size_t i, kept = 0;

	for (i = 0; i < rows->ids_cnt; i++)
		if (rows->ids[i].walk == rows->walk || rows->ids[i].time_ns > settled_ns)
			rows->ids[kept++] = rows->ids[i];
	rows->ids_cnt = kept;
	shrink_ids(rows);
	index_ids(rows);
	rows->walk_at = 2 * rows->ids_cnt > WALK_IDS_MIN ? 2 * rows->ids_cnt : WALK_IDS_MIN;
}

bool heap_rows__wants_walk(const struct heap_rows *rows)
{
	return rows->ids_cnt >= rows->walk_at;
}

void heap_rows__end_live(struct heap_rows *rows)
{
	heap_rows__begin_walk(rows, UINT64_MAX, HEAP_POINTS - 1);
	heap_rows__end_walk(rows);
	rows->is_over = true;
}

size_t heap_rows__cnt(const struct heap_rows *rows)
{
	return rows->rows_cnt;
}

void heap_rows__get(const struct heap_rows *rows, size_t row, struct heap_row *ret)
{
	const struct row *r = &rows->rows[row];
	const struct live_row *live = r->live ? &rows->lives[r->live - 1] : NULL;

	*ret = (struct heap_row){
		.alloc = r->alloc,
		.unsliced_bytes = heap_sums__bytes(&r->alloc),
	};
	if (r->sliced)
		heap_sums__add(&ret->alloc, &rows->sliced[r->sliced - 1].alloc);
	if (!live)
		return;
	ret->inuse = live->inuse;
	memcpy(ret->age_bytes, live->age_bytes, sizeof(ret->age_bytes));
	memcpy(ret->points, live->points, sizeof(ret->points));
}

const struct heap_sums *heap_rows__strays(const struct heap_rows *rows)
{
	return &rows->strays;
}

size_t heap_rows__ids(const struct heap_rows *rows)
{
	return rows->ids_cnt;
}
