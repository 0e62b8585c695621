/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two profiles into one, by the rules of `go tool pprof`. The ids of 'from' are translated table by
 * table, each element when the first row needs it: what no row refers to is not taken over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "profile/id_table.h"
#include "profile/profile.h"

struct merger {
	struct profile *into;
	const struct profile *from;
	uint32_t *strings;                               /* of from: index in into + 1 */
	uint32_t *mappings;                              /* ids in into, 0: not yet */
	uint32_t *functions;                             /* the same */
	uint32_t *locations;                             /* the same */
	struct id_table known_mappings, known_locations; /* of into */
	uint64_t seed;
	uint32_t *stack; /* scratch */
	struct profile_label *labels;
	struct profile_line *lines;
	size_t stack_cap, labels_cap, lines_cap;
};

static void merger_done(struct merger *m)
{
	free(m->strings);
	free(m->mappings);
	free(m->functions);
	free(m->locations);
	free(m->stack);
	free(m->labels);
	free(m->lines);
	id_table__done(&m->known_mappings);
	id_table__done(&m->known_locations);
}

static int merge_string(struct merger *m, uint32_t idx, uint32_t *ret)
{
	int err;

	if (!m->strings[idx]) {
		err = profile__string(m->into, profile__str(m->from, idx), ret);
		if (err)
			return err;
		m->strings[idx] = *ret + 1;
	}
	*ret = m->strings[idx] - 1;
	return 0;
}

static uint64_t mapping_size(const struct profile_mapping *m)
{
	const uint64_t page = 4096;

	return (m->limit - m->start + page - 1) / page * page;
}

/* By build-id where there is one, else by file; neither: a place-holder, equal to its like. */
static uint32_t mapping_identity(const struct profile_mapping *m)
{
	return m->build_id ?: m->file;
}

static uint32_t hash_mapping(uint64_t h, const struct profile_mapping *m)
{
	h = id_hash__mix(h, mapping_size(m));
	h = id_hash__mix(h, m->offset);
	return id_hash__fold(id_hash__mix(h, mapping_identity(m)));
}

static bool mapping_equal(const void *ctx, uint32_t id, const void *key)
{
	const struct profile_mapping *a = &((const struct profile *)ctx)->mappings[id - 1];
	const struct profile_mapping *b = key;

	return mapping_size(a) == mapping_size(b) && a->offset == b->offset &&
	       mapping_identity(a) == mapping_identity(b);
}

static int add_mapping(struct merger *m, const struct profile_mapping *mapping, uint32_t *ret)
{
	uint32_t hash = hash_mapping(m->seed, mapping);
	int err;

	*ret = id_table__find(&m->known_mappings, hash, mapping_equal, m->into, mapping);
	if (*ret)
		return 0;
	err = id_table__reserve(&m->known_mappings) ?: profile__add_mapping(m->into, mapping, ret);
	if (!err)
		id_table__add(&m->known_mappings, hash, *ret);
	return err;
}

static int merge_mapping(struct merger *m, uint32_t id, uint32_t *ret)
{
	struct profile_mapping mapping;
	int err;

	*ret = 0;
	if (!id)
		return 0;
	if (!m->mappings[id - 1]) {
		mapping = m->from->mappings[id - 1];
		err = merge_string(m, mapping.file, &mapping.file) ?:
			      merge_string(m, mapping.build_id, &mapping.build_id) ?:
			      add_mapping(m, &mapping, &m->mappings[id - 1]);
		if (err)
			return err;
	}
	*ret = m->mappings[id - 1];
	return 0;
}

static int merge_function(struct merger *m, uint32_t id, uint32_t *ret)
{
	struct profile_function f;
	int err;

	if (!m->functions[id - 1]) {
		f = m->from->functions[id - 1];
		err = merge_string(m, f.name, &f.name) ?:
			      merge_string(m, f.system_name, &f.system_name) ?:
			      merge_string(m, f.filename, &f.filename) ?:
			      profile__function(m->into, &f, &m->functions[id - 1]);
		if (err)
			return err;
	}
	*ret = m->functions[id - 1];
	return 0;
}

/* Addresses as offsets, so that one file at two places is one. */
static uint64_t location_offset(const struct profile *p, const struct profile_location *l)
{
	return l->address - (l->mapping ? p->mappings[l->mapping - 1].start : 0);
}

static uint32_t hash_location(uint64_t h, const struct profile *p, const struct profile_location *l)
{
	size_t i;

	h = id_hash__mix(h, l->mapping);
	h = id_hash__mix(h, location_offset(p, l));
	for (i = 0; i < l->lines_cnt; i++)
		h = id_hash__mix(h,
				 (uint64_t)l->lines[i].function << 32 ^ (uint64_t)l->lines[i].line);
	return id_hash__fold(h);
}

static bool location_equal(const void *ctx, uint32_t id, const void *key)
{
	const struct profile *p = ctx;
	const struct profile_location *a = &p->locations[id - 1], *b = key;
	size_t i;

	if (a->mapping != b->mapping || location_offset(p, a) != location_offset(p, b) ||
	    a->lines_cnt != b->lines_cnt || a->is_folded != b->is_folded)
		return false;
	for (i = 0; i < a->lines_cnt; i++)
		if (a->lines[i].function != b->lines[i].function ||
		    a->lines[i].line != b->lines[i].line)
			return false;
	return true;
}

static int add_location(struct merger *m, const struct profile_location *l, uint32_t *ret)
{
	uint32_t hash = hash_location(m->seed, m->into, l);
	int err;

	*ret = id_table__find(&m->known_locations, hash, location_equal, m->into, l);
	if (*ret)
		return 0;
	err = id_table__reserve(&m->known_locations) ?:
		      profile__add_location(m->into, l->mapping, l->address, ret) ?:
		      profile__set_lines(m->into, *ret, l->lines, l->lines_cnt);
	if (err)
		return err;
	m->into->locations[*ret - 1].is_folded = l->is_folded;
	id_table__add(&m->known_locations, hash, *ret);
	return 0;
}

static int merge_location(struct merger *m, uint32_t id, uint32_t *ret)
{
	const struct profile_location *from = &m->from->locations[id - 1];
	struct profile_location l = *from;
	size_t i;
	int err;

	if (m->locations[id - 1]) {
		*ret = m->locations[id - 1];
		return 0;
	}
	err = merge_mapping(m, from->mapping, &l.mapping)
		      ?: array__reserve(m->lines, m->lines_cap, from->lines_cnt);
	for (i = 0; !err && i < from->lines_cnt; i++) {
		m->lines[i].line = from->lines[i].line;
		err = merge_function(m, from->lines[i].function, &m->lines[i].function);
	}
	if (err)
		return err;
	l.lines = m->lines;
	l.address = location_offset(m->from, from);
	if (l.mapping)
		l.address += m->into->mappings[l.mapping - 1].start;
	err = add_location(m, &l, ret);
	if (!err)
		m->locations[id - 1] = *ret;
	return err;
}

/* Strings before numbers, then by key, then by value: equal sets become equal rows. */
static int compare_labels(const void *a_, const void *b_, void *ctx)
{
	const struct profile_label *a = a_, *b = b_;
	const struct profile *p = ctx;

	if (!a->str != !b->str)
		return a->str ? -1 : 1;
	if (a->key != b->key)
		return strcmp(profile__str(p, a->key), profile__str(p, b->key));
	if (a->str != b->str)
		return strcmp(profile__str(p, a->str), profile__str(p, b->str));
	if (a->num != b->num)
		return a->num < b->num ? -1 : 1;
	return strcmp(profile__str(p, a->num_unit), profile__str(p, b->num_unit));
}

static int merge_labels(struct merger *m, const struct profile_sample *s)
{
	uint32_t i;
	int err;

	err = array__reserve(m->labels, m->labels_cap, s->labels_cnt);
	for (i = 0; !err && i < s->labels_cnt; i++) {
		struct profile_label l = s->labels[i];

		err = merge_string(m, l.key, &l.key) ?:
			      merge_string(m, l.str, &l.str) ?:
			      merge_string(m, l.num_unit, &l.num_unit);
		m->labels[i] = l;
	}
	if (!err && s->labels_cnt > 1)
		qsort_r(m->labels, s->labels_cnt, sizeof(*m->labels), compare_labels, m->into);
	return err;
}

static int merge_sample(struct merger *m, const struct profile_sample *s)
{
	bool is_zero = true;
	size_t i;
	int err;

	for (i = 0; i < m->from->sample_types_cnt; i++)
		is_zero &= !s->values[i];
	if (is_zero)
		return 0;
	err = array__reserve(m->stack, m->stack_cap, s->locations_cnt);
	for (i = 0; !err && i < s->locations_cnt; i++)
		err = merge_location(m, s->locations[i], &m->stack[i]);
	if (err)
		return err;
	return merge_labels(m, s)
		       ?: profile__add(m->into, m->stack, s->locations_cnt, m->labels,
				       s->labels_cnt, s->values);
}

static int copy_headers(struct merger *m)
{
	struct profile *into = m->into;
	const struct profile *from = m->from;
	size_t i;
	int err = 0;

	for (i = 0; !err && i < from->sample_types_cnt; i++)
		err = profile__add_sample_type(into, profile__str(from, from->sample_types[i].type),
					       profile__str(from, from->sample_types[i].unit));
	return err ?: profile__set_period(into, profile__str(from, from->period_type.type),
					  profile__str(from, from->period_type.unit),
					  from->period) ?:
		      merge_string(m, from->drop_frames, &into->drop_frames) ?:
		      merge_string(m, from->keep_frames, &into->keep_frames);
}

static bool value_type_equal(const struct merger *m, const struct profile_value_type *a,
			     const struct profile_value_type *b)
{
	return !strcmp(profile__str(m->into, a->type), profile__str(m->from, b->type)) &&
	       !strcmp(profile__str(m->into, a->unit), profile__str(m->from, b->unit));
}

static bool is_compatible(const struct merger *m)
{
	size_t i;

	if (m->into->sample_types_cnt != m->from->sample_types_cnt ||
	    !value_type_equal(m, &m->into->period_type, &m->from->period_type))
		return false;
	for (i = 0; i < m->into->sample_types_cnt; i++)
		if (!value_type_equal(m, &m->into->sample_types[i], &m->from->sample_types[i]))
			return false;
	return true;
}

static int merge_comments(struct merger *m)
{
	struct profile *into = m->into;
	uint32_t idx;
	size_t i, k;
	int err;

	for (i = 0; i < m->from->comments_cnt; i++) {
		err = merge_string(m, m->from->comments[i], &idx);
		if (err)
			return err;
		for (k = 0; k < into->comments_cnt && into->comments[k] != idx; k++)
			;
		if (k < into->comments_cnt)
			continue;
		err = profile__add_comment(into, profile__str(into, idx));
		if (err)
			return err;
	}
	return 0;
}

static int merge_headers(struct merger *m)
{
	struct profile *into = m->into;
	const struct profile *from = m->from;
	int err = 0;

	if (!into->sample_types_cnt && !into->samples_cnt)
		err = copy_headers(m);
	else if (!is_compatible(m))
		err = -EINVAL;
	if (err)
		return err;
	if (!into->time_ns || (from->time_ns && from->time_ns < into->time_ns))
		into->time_ns = from->time_ns;
	if (__builtin_add_overflow(into->duration_ns, from->duration_ns, &into->duration_ns))
		return -EOVERFLOW;
	if (into->period < from->period)
		into->period = from->period;
	if (!into->default_sample_type)
		err = merge_string(m, from->default_sample_type, &into->default_sample_type);
	if (!err && !into->doc_url)
		err = merge_string(m, from->doc_url, &into->doc_url);
	return err ?: merge_comments(m);
}

/* What an earlier merge put into 'into' is to be found again. */
static int index_known(struct merger *m)
{
	const struct profile *p = m->into;
	size_t i;
	int err;

	for (i = 0; i < p->mappings_cnt; i++) {
		err = id_table__reserve(&m->known_mappings);
		if (err)
			return err;
		id_table__add(&m->known_mappings, hash_mapping(m->seed, &p->mappings[i]),
			      (uint32_t)i + 1);
	}
	for (i = 0; i < p->locations_cnt; i++) {
		err = id_table__reserve(&m->known_locations);
		if (err)
			return err;
		id_table__add(&m->known_locations, hash_location(m->seed, p, &p->locations[i]),
			      (uint32_t)i + 1);
	}
	return 0;
}

int profile__merge(struct profile *into, const struct profile *from)
{
	_cleanup_(merger_done) struct merger m = { .into = into,
						   .from = from,
						   .seed = id_hash__seed() };
	uint32_t first;
	size_t i;
	int err;

	m.strings = calloc(from->strings_cnt + 1, sizeof(*m.strings));
	m.mappings = calloc(from->mappings_cnt + 1, sizeof(*m.mappings));
	m.functions = calloc(from->functions_cnt + 1, sizeof(*m.functions));
	m.locations = calloc(from->locations_cnt + 1, sizeof(*m.locations));
	if (!m.strings || !m.mappings || !m.functions || !m.locations)
		return -ENOMEM;
	err = index_known(&m) ?: merge_headers(&m);
	/* The first mapping stands for the main binary, whether rows refer to it or not. */
	if (!err && !into->mappings_cnt && from->mappings_cnt)
		err = merge_mapping(&m, 1, &first);
	for (i = 0; !err && i < from->samples_cnt; i++)
		err = merge_sample(&m, &from->samples[i]);
	return err;
}
