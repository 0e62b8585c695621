/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rows of a profile: (stack, labels) → values. profile__add() runs once per event of the
 * kernel, so a known row costs one hash look-up and no allocation, and a new one shares stack and
 * labels with the rows that have the same.
 */
#include "profile/profile.h"

#include <errno.h>
#include <string.h>
#include "base/array.h"
#include "profile/index.h"

struct row {
	const uint32_t *locations;
	const struct profile_label *labels;
	uint32_t locations_cnt, labels_cnt;
};

static bool labels_equal(const struct profile_label *a, const struct profile_label *b, size_t cnt)
{
	size_t i;

	/* Field by field: the struct has padding. */
	for (i = 0; i < cnt; i++)
		if (a[i].key != b[i].key || a[i].str != b[i].str || a[i].num != b[i].num ||
		    a[i].num_unit != b[i].num_unit)
			return false;
	return true;
}

static bool stack_equal(const void *ctx, uint32_t id, const void *key)
{
	const struct profile_sample *s = &((const struct profile *)ctx)->samples[id - 1];
	const struct row *row = key;

	return s->locations_cnt == row->locations_cnt &&
	       (!s->locations_cnt || !memcmp(s->locations, row->locations,
					     row->locations_cnt * sizeof(*row->locations)));
}

static bool label_set_equal(const void *ctx, uint32_t id, const void *key)
{
	const struct profile_sample *s = &((const struct profile *)ctx)->samples[id - 1];
	const struct row *row = key;

	return s->labels_cnt == row->labels_cnt &&
	       labels_equal(s->labels, row->labels, row->labels_cnt);
}

static bool row_equal(const void *ctx, uint32_t id, const void *key)
{
	return label_set_equal(ctx, id, key) && stack_equal(ctx, id, key);
}

static uint64_t hash_labels(uint64_t h, const struct row *row)
{
	uint32_t i;

	for (i = 0; i < row->labels_cnt; i++) {
		const struct profile_label *l = &row->labels[i];

		h = id_hash__mix(h, (uint64_t)l->key << 32 | l->str);
		h = id_hash__mix(h, (uint64_t)l->num_unit << 32 ^ (uint64_t)l->num);
	}
	return h;
}

static int add_values(struct profile_sample *s, const int64_t *values, size_t values_cnt)
{
	int64_t sum;
	size_t i;

	for (i = 0; i < values_cnt; i++)
		if (__builtin_add_overflow(s->values[i], values[i], &sum))
			return -EOVERFLOW;
	for (i = 0; i < values_cnt; i++)
		s->values[i] += values[i];
	return 0;
}

static void *copy_block(struct arena *a, const void *data, size_t size)
{
	void *copy = arena__alloc(a, size);

	if (copy && size)
		memcpy(copy, data, size);
	return copy;
}

static int add_row(struct profile *p, const struct row *row, uint32_t stack_hash,
		   uint32_t labels_hash, uint32_t row_hash, const int64_t *values)
{
	struct profile_index *index = p->index;
	struct profile_sample s = { .locations_cnt = row->locations_cnt,
				    .labels_cnt = row->labels_cnt };
	uint32_t stack_id, labels_id, id;

	if (p->samples_cnt >= UINT32_MAX - 1 || id_table__reserve(&index->samples) ||
	    id_table__reserve(&index->stacks) || id_table__reserve(&index->label_sets) ||
	    array__reserve(p->samples, p->samples_cap, p->samples_cnt + 1))
		return -ENOMEM;
	stack_id = id_table__find(&index->stacks, stack_hash, stack_equal, p, row);
	labels_id = id_table__find(&index->label_sets, labels_hash, label_set_equal, p, row);
	s.locations = stack_id ? p->samples[stack_id - 1].locations
			       : copy_block(&index->arena, row->locations,
					    row->locations_cnt * sizeof(*row->locations));
	s.labels = labels_id ? p->samples[labels_id - 1].labels
			     : copy_block(&index->arena, row->labels,
					  row->labels_cnt * sizeof(*row->labels));
	s.values = copy_block(&index->arena, values, p->sample_types_cnt * sizeof(*values));
	if (!s.locations || !s.labels || !s.values)
		return -ENOMEM;

	p->samples[p->samples_cnt++] = s;
	id = (uint32_t)p->samples_cnt;
	id_table__add(&index->samples, row_hash, id);
	if (!stack_id)
		id_table__add(&index->stacks, stack_hash, id);
	if (!labels_id)
		id_table__add(&index->label_sets, labels_hash, id);
	profile__count_bytes(p);
	return 0;
}

int profile__add(struct profile *p, const uint32_t *locations, uint32_t locations_cnt,
		 const struct profile_label *labels, uint32_t labels_cnt, const int64_t *values)
{
	struct row row = { .locations = locations,
			   .labels = labels,
			   .locations_cnt = locations_cnt,
			   .labels_cnt = labels_cnt };
	uint64_t seed = p->index->seed;
	uint64_t stack_hash = id_hash__bytes(seed, locations, locations_cnt * sizeof(*locations));
	uint64_t labels_hash = hash_labels(seed, &row);
	uint32_t row_hash = id_hash__fold(id_hash__mix(stack_hash, labels_hash));
	uint32_t id = id_table__find(&p->index->samples, row_hash, row_equal, p, &row);

	if (id)
		return add_values(&p->samples[id - 1], values, p->sample_types_cnt);
	if (profile__is_full(p))
		return -ENOSPC;
	return add_row(p, &row, id_hash__fold(stack_hash), id_hash__fold(labels_hash), row_hash,
		       values);
}
