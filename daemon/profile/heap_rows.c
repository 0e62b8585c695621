/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_rows.h. Most rows never have anything that lives when somebody looks, and a host has
 * many: what a walk adds up is kept apart from what each row needs. Ids live in an array with a
 * hash table over it that cannot delete: whoever frees tells nobody, so what is gone shows in a
 * walk only, after which array and table are made anew.
 */
#include "profile/heap_rows.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "base/clock.h"
#include "profile/id_table.h"

/* A walk is not worth it for less. */
#define WALK_IDS_MIN 4096

/* The record of an allocation may be read before the live set has its entry: so long ago. */
#define SETTLED_NS (NSEC_PER_SEC / 10)

/* More than any process can have: sums of 2^32 of them do not overflow. */
#define WEIGHT_MAX 0x1p62L

/* A slice of time in which the probes were on. */
struct slice {
	uint64_t begin_ns;
	double q;
	double share;       /* of it that counts */
	double weighted_ns; /* own CPU time / q of that; 0 until it has ended */
	double error_ns;    /* of that */
};

/*
 * What was selected in slices. With B the weight of a row in a slice, w its weighted own CPU time
 * and R = Σ B / Σ w, the variance of a ratio estimate is Σ (1 - q) (B - R w)²: its parts.
 */
struct sliced_row {
	struct heap_sums alloc; /* of the slices before the last */
	size_t slice;           /* index + 1 of the last one */
	struct heap_sums last;  /* what is in it so far */
	double last_squares,
		squares;           /* Σ (1 - q) × the weights' squares: of the last, the others */
	double products, with_own; /* Σ (1 - q) B², Σ (1 - q) B w, of the others */
};

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
	struct slice *slices;
	size_t slices_cnt, slices_cap;
	struct sliced_row *sliced;
	size_t sliced_cnt, sliced_cap;
	struct sliced_row all;   /* rows together */
	double sliced_bytes;     /* of them, as they came */
	double scale, scaled_by; /* of what was selected in slices: what counts, and all of it */
	struct heap_sums strays;
	uint32_t walk; /* number of the walk that goes on, or went on last */
	uint64_t walk_ns;
	int point;
};

static unsigned __int128 to_fixed(long double v)
{
	if (!(v > 0))
		return 0;
	return (unsigned __int128)(fminl(v, WEIGHT_MAX) * (1ULL << HEAP_FRACTION_BITS) + 0.5L);
}

static double from_fixed(unsigned __int128 v)
{
	return (double)v / (double)(1ULL << HEAP_FRACTION_BITS);
}

bool heap_alloc__is_sliced(const struct heap_alloc *a)
{
	return a->q && a->q != UINT32_MAX;
}

struct heap_sums heap_sums__of(const struct heap_alloc *a, uint64_t interval_bytes)
{
	long double k = a->bytes ? (long double)a->bytes : 1;
	long double p = 1, bytes;

	if (a->weighted_bytes)
		p = fminl(k / (long double)a->weighted_bytes, 1);
	else if (interval_bytes > 1)
		p = -expm1l(-k / (long double)interval_bytes);
	if (heap_alloc__is_sliced(a))
		p *= ldexpl(a->q, -32);
	bytes = k / p;
	return (struct heap_sums){
		.objects = to_fixed(1 / p),
		.bytes = to_fixed(bytes),
		.variance = (double)(bytes * bytes * (1 - p)),
		.samples = 1,
	};
}

void heap_sums__add(struct heap_sums *to, const struct heap_sums *from)
{
	to->objects += from->objects;
	to->bytes += from->bytes;
	to->variance += from->variance;
	to->slices_variance += from->slices_variance;
	to->samples += from->samples;
}

void heap_sums__scale(struct heap_sums *s, double by)
{
	s->objects = (unsigned __int128)((long double)s->objects * by + 0.5L);
	s->bytes = (unsigned __int128)((long double)s->bytes * by + 0.5L);
	s->variance *= by * by;
	s->slices_variance *= by * by;
}

void heap_sums__add_alike(struct heap_sums *to, const struct heap_sums *from, uint64_t cnt,
			  uint64_t of)
{
	long double ratio, bytes;

	if (!cnt || !of || !from->samples)
		return;
	ratio = (long double)cnt / (long double)of;
	to->objects += (unsigned __int128)((long double)from->objects * ratio);
	to->bytes += (unsigned __int128)((long double)from->bytes * ratio);
	/* Not even their sizes are known. */
	bytes = ldexpl((long double)from->bytes, -HEAP_FRACTION_BITS);
	to->variance += (double)(bytes * bytes * ratio / (long double)from->samples);
	to->samples += (uint64_t)((long double)from->samples * ratio + 0.5L);
}

struct heap_amount heap_sums__amount(const struct heap_sums *s)
{
	return (struct heap_amount){
		.objects = from_fixed(s->objects),
		.bytes = from_fixed(s->bytes),
		.error_bytes = HEAP_Z95 * sqrt(fmax(s->variance + s->slices_variance, 0)),
		.samples = s->samples,
	};
}

int64_t heap_sums__round(unsigned __int128 sum)
{
	sum += 1ULL << (HEAP_FRACTION_BITS - 1);
	sum >>= HEAP_FRACTION_BITS;
	return sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
}

struct heap_rows *heap_rows__new(uint64_t interval_bytes)
{
	struct heap_rows *rows = calloc(1, sizeof(*rows));

	if (!rows)
		return NULL;
	rows->interval_bytes = interval_bytes;
	rows->seed = id_hash__seed();
	rows->walk_at = WALK_IDS_MIN;
	rows->point = -1;
	rows->scale = rows->scaled_by = 1;
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
	free(rows->slices);
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

/* --- slices of time -----------------------------------------------------------------------------
 */

int heap_rows__begin_slice(struct heap_rows *rows, uint64_t time_ns, uint32_t q)
{
	if (array__reserve(rows->slices, rows->slices_cap, rows->slices_cnt + 1))
		return -ENOMEM;
	rows->slices[rows->slices_cnt++] =
		(struct slice){ .begin_ns = time_ns, .q = ldexp(q, -32), .share = 1 };
	return 0;
}

void heap_rows__end_slice(struct heap_rows *rows, double own_ns, double error_ns, double planned_ns)
{
	struct slice *s;

	if (!rows->slices_cnt)
		return;
	s = &rows->slices[rows->slices_cnt - 1];
	s->share = own_ns > planned_ns ? planned_ns / own_ns : 1;
	s->weighted_ns = s->share * own_ns / s->q;
	s->error_ns = s->share * error_ns / s->q;
}

/* Index + 1 of the slice it was selected in. It may have returned later. */
static size_t slice_at(const struct heap_rows *rows, uint64_t time_ns)
{
	size_t i = rows->slices_cnt;

	while (i > 1 && rows->slices[i - 1].begin_ns > time_ns)
		i--;
	return i;
}

/* By now it is known how long the slice was. Somebody may not have told of it. */
static void close_slice(const struct heap_rows *rows, struct sliced_row *r)
{
	const struct slice untold = { .q = 1, .share = 1 };
	const struct slice *s = r->slice ? &rows->slices[r->slice - 1] : &untold;
	double bytes;

	heap_sums__scale(&r->last, s->share);
	bytes = from_fixed(r->last.bytes);
	r->products += (1 - s->q) * bytes * bytes;
	r->with_own += (1 - s->q) * bytes * s->weighted_ns;
	r->squares += s->share * s->share * r->last_squares;
	heap_sums__add(&r->alloc, &r->last);
	r->last = (struct heap_sums){ .samples = 0 };
	r->last_squares = 0;
}

static void add_sliced(const struct heap_rows *rows, struct sliced_row *r,
		       const struct heap_alloc *a, const struct heap_sums *sums)
{
	size_t slice = slice_at(rows, a->time_ns);
	double weight = from_fixed(sums->bytes);

	if (slice > r->slice) {
		close_slice(rows, r);
		r->slice = slice;
	}
	heap_sums__add(&r->last, sums);
	r->last_squares += (1 - ldexp(a->q, -32)) * weight * weight;
}

/* Of a normal 95 % interval to that of Student's t, squared. */
static double small_sample(size_t slices_cnt)
{
	static const double t975[] = { 0, 12.706, 4.303, 3.182, 2.776, 2.571 };
	size_t freedom = slices_cnt - 1;
	double ratio = 1 + 1.6 / (double)freedom;

	if (freedom < ARRAY_SIZE(t975))
		ratio = t975[freedom] / HEAP_Z95;
	return ratio * ratio * (double)slices_cnt / (double)freedom;
}

/* Sums of the slices that the processes did anything in. */
struct slice_sums {
	size_t cnt;
	double own_ns, squares; /* Σ w, Σ (1 - q) w² */
	double error_ns;        /* of Σ w */
};

static struct slice_sums sum_slices(const struct heap_rows *rows)
{
	struct slice_sums sums = { .cnt = 0 };
	size_t i;

	for (i = 0; i < rows->slices_cnt; i++) {
		const struct slice *s = &rows->slices[i];

		sums.cnt += s->weighted_ns > 0;
		sums.own_ns += s->weighted_ns;
		sums.error_ns += s->error_ns;
		sums.squares += (1 - s->q) * s->weighted_ns * s->weighted_ns;
	}
	return sums;
}

/* Beside alloc.variance, which has its samples' squares; those are in the residuals, too. */
static void end_sliced(const struct heap_rows *rows, struct sliced_row *r,
		       const struct slice_sums *s)
{
	double bytes, ratio, error, residuals;

	close_slice(rows, r);
	bytes = from_fixed(r->alloc.bytes);
	ratio = s->own_ns > 0 ? bytes / s->own_ns : 0;
	error = ratio * s->error_ns;
	residuals = fmax(r->products - 2 * ratio * r->with_own + ratio * ratio * s->squares, 0);
	if (s->cnt > 1)
		residuals *= small_sample(s->cnt);
	else
		residuals = bytes * bytes; /* all or nothing is known of the rest */
	r->alloc.slices_variance = residuals - r->squares + error * error;
	heap_sums__scale(&r->alloc, rows->scale);
}

double heap_rows__end_slices(struct heap_rows *rows, double own_ns)
{
	const struct slice_sums sums = sum_slices(rows);
	size_t i;

	if (sums.own_ns > 0 && own_ns > 0)
		rows->scale = own_ns / sums.own_ns;
	for (i = 0; i < rows->sliced_cnt; i++)
		end_sliced(rows, &rows->sliced[i], &sums);
	end_sliced(rows, &rows->all, &sums);
	if (rows->sliced_bytes > 0)
		rows->scaled_by = from_fixed(rows->all.alloc.bytes) / rows->sliced_bytes;
	return rows->all.alloc.slices_variance;
}

double heap_rows__slices_scale(const struct heap_rows *rows)
{
	return rows->scaled_by;
}

size_t heap_rows__slices_cnt(const struct heap_rows *rows)
{
	return sum_slices(rows).cnt;
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

static int get_sliced_row(struct heap_rows *rows, struct row *r, struct sliced_row **ret)
{
	if (!r->sliced) {
		if (array__reserve(rows->sliced, rows->sliced_cap, rows->sliced_cnt + 1))
			return -ENOMEM;
		rows->sliced[rows->sliced_cnt++] = (struct sliced_row){ .slice = 0 };
		r->sliced = (uint32_t)rows->sliced_cnt;
	}
	*ret = &rows->sliced[r->sliced - 1];
	return 0;
}

int heap_rows__add(struct heap_rows *rows, uint32_t row, const struct heap_alloc *a, bool is_live)
{
	struct heap_sums sums = heap_sums__of(a, rows->interval_bytes);
	struct sliced_row *sliced = NULL;
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
	add_sliced(rows, sliced, a, &sums);
	add_sliced(rows, &rows->all, a, &sums);
	rows->sliced_bytes += from_fixed(sums.bytes);
	return 0;
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
	live->age_bytes[age_slot(rows->walk_ns, a->time_ns)] += from_fixed(ret_sums->bytes);
	point = &live->points[rows->point];
	point->bytes += from_fixed(ret_sums->bytes);
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
		.unsliced_bytes = from_fixed(r->alloc.bytes),
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
