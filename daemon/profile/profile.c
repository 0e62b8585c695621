/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See profile.h. Everything but the samples: strings, mappings, functions, locations. Tables are
 * plain arrays, their interning lies in struct profile_index.
 */
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "profile/heap_report.h"
#include "profile/index.h"
#include "profile/sched_report.h"

/* Ids and string indices are 32 bits wide and 0 is not an id. */
#define ELEMENTS_MAX (UINT32_MAX - 1)

struct text {
	const char *s;
	size_t len;
};

struct place {
	uint32_t mapping;
	uint64_t address;
};

static bool string_equal(const void *ctx, uint32_t id, const void *key)
{
	const struct profile *p = ctx;
	const struct text *text = key;
	const char *s = p->strings[id - 1];

	return !strncmp(s, text->s, text->len) && !s[text->len];
}

static bool function_equal(const void *ctx, uint32_t id, const void *key)
{
	const struct profile *p = ctx;
	const struct profile_function *a = &p->functions[id - 1], *b = key;

	return a->name == b->name && a->system_name == b->system_name &&
	       a->filename == b->filename && a->start_line == b->start_line;
}

static bool place_equal(const void *ctx, uint32_t id, const void *key)
{
	const struct profile *p = ctx;
	const struct profile_location *l = &p->locations[id - 1];
	const struct place *place = key;

	return l->address == place->address && l->mapping == place->mapping;
}

static bool synthetic_equal(const void *ctx, uint32_t id, const void *key)
{
	const struct profile *p = ctx;
	const struct profile_location *l = &p->locations[id - 1];

	return l->lines_cnt &&
	       p->functions[l->lines[0].function - 1].name == *(const uint32_t *)key;
}

void profile__count_bytes(struct profile *p)
{
	p->bytes = p->index->arena.bytes + p->samples_cap * sizeof(*p->samples) +
		   p->locations_cap * sizeof(*p->locations) +
		   p->functions_cap * sizeof(*p->functions) + p->strings_cap * sizeof(*p->strings);
}

bool profile__is_full(const struct profile *p)
{
	return p->bytes_max && p->bytes > p->bytes_max;
}

struct profile *profile__new(void)
{
	_cleanup_(profile__freep) struct profile *p = calloc(1, sizeof(*p));
	uint32_t empty;

	if (!p)
		return NULL;
	p->index = calloc(1, sizeof(*p->index));
	if (!p->index)
		return NULL;
	p->index->seed = id_hash__seed();
	if (profile__string(p, "", &empty))
		return NULL;
	return take_ptr(p);
}

void profile__free(struct profile *p)
{
	if (!p)
		return;
	if (p->index) {
		id_table__done(&p->index->strings);
		id_table__done(&p->index->functions);
		id_table__done(&p->index->locations);
		id_table__done(&p->index->synthetics);
		id_table__done(&p->index->samples);
		id_table__done(&p->index->stacks);
		id_table__done(&p->index->label_sets);
		arena__done(&p->index->arena);
	}
	free(p->index);
	free(p->sample_types);
	free(p->comments);
	free(p->strings);
	free(p->mappings);
	free(p->functions);
	free(p->locations);
	free(p->samples);
	sched_report__free(p->sched);
	heap_report__free(p->heap);
	free(p);
}

int profile__string_n(struct profile *p, const char *s, size_t len, uint32_t *ret_idx)
{
	struct profile_index *index = p->index;
	struct text text = { .s = s ?: "", .len = s ? strnlen(s, len) : 0 };
	uint32_t hash = id_hash__fold(id_hash__bytes(index->seed, text.s, text.len));
	uint32_t id = id_table__find(&index->strings, hash, string_equal, p, &text);
	char *copy;

	if (id) {
		*ret_idx = id - 1;
		return 0;
	}
	if (profile__is_full(p))
		return -ENOSPC;
	if (p->strings_cnt >= ELEMENTS_MAX || id_table__reserve(&index->strings) ||
	    array__reserve(p->strings, p->strings_cap, p->strings_cnt + 1))
		return -ENOMEM;
	copy = arena__alloc_text(&index->arena, text.len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, text.s, text.len);
	copy[text.len] = '\0';
	*ret_idx = (uint32_t)p->strings_cnt;
	p->strings[p->strings_cnt++] = copy;
	id_table__add(&index->strings, hash, (uint32_t)p->strings_cnt);
	profile__count_bytes(p);
	return 0;
}

int profile__string(struct profile *p, const char *s, uint32_t *ret_idx)
{
	return profile__string_n(p, s, s ? strlen(s) : 0, ret_idx);
}

static int intern_value_type(struct profile *p, const char *type, const char *unit,
			     struct profile_value_type *ret)
{
	struct profile_value_type vt;
	int err;

	err = profile__string(p, type, &vt.type) ?: profile__string(p, unit, &vt.unit);
	if (err)
		return err;
	*ret = vt;
	return 0;
}

int profile__add_sample_type(struct profile *p, const char *type, const char *unit)
{
	struct profile_value_type vt;
	int err;

	/* The rows have their values already. */
	if (p->samples_cnt)
		return -EINVAL;
	err = intern_value_type(p, type, unit, &vt);
	if (err)
		return err;
	if (array__reserve(p->sample_types, p->sample_types_cap, p->sample_types_cnt + 1))
		return -ENOMEM;
	p->sample_types[p->sample_types_cnt++] = vt;
	return 0;
}

int profile__drop_sample_types(struct profile *p, size_t cnt)
{
	if (p->samples_cnt || cnt > p->sample_types_cnt)
		return -EINVAL;
	for (; cnt; cnt--)
		if (p->sample_types[--p->sample_types_cnt].type == p->default_sample_type)
			p->default_sample_type = 0;
	if (!p->default_sample_type && p->sample_types_cnt)
		p->default_sample_type = p->sample_types[p->sample_types_cnt - 1].type;
	return 0;
}

int profile__set_period(struct profile *p, const char *type, const char *unit, int64_t period)
{
	int err;

	err = intern_value_type(p, type, unit, &p->period_type);
	if (err)
		return err;
	p->period = period;
	return 0;
}

int profile__add_comment(struct profile *p, const char *text)
{
	uint32_t idx;
	int err;

	err = profile__string(p, text, &idx);
	if (err)
		return err;
	if (array__reserve(p->comments, p->comments_cap, p->comments_cnt + 1))
		return -ENOMEM;
	p->comments[p->comments_cnt++] = idx;
	return 0;
}

int profile__add_mapping(struct profile *p, const struct profile_mapping *m, uint32_t *ret_id)
{
	if (p->mappings_cnt >= ELEMENTS_MAX ||
	    array__reserve(p->mappings, p->mappings_cap, p->mappings_cnt + 1))
		return -ENOMEM;
	p->mappings[p->mappings_cnt++] = *m;
	*ret_id = (uint32_t)p->mappings_cnt;
	return 0;
}

int profile__function(struct profile *p, const struct profile_function *f, uint32_t *ret_id)
{
	struct profile_index *index = p->index;
	uint64_t h = id_hash__mix(index->seed, (uint64_t)f->name << 32 | f->system_name);
	uint32_t hash, id;

	h = id_hash__mix(h, (uint64_t)f->filename << 32 ^ (uint64_t)f->start_line);
	hash = id_hash__fold(h);
	id = id_table__find(&index->functions, hash, function_equal, p, f);
	if (id) {
		*ret_id = id;
		return 0;
	}
	if (p->functions_cnt >= ELEMENTS_MAX || id_table__reserve(&index->functions) ||
	    array__reserve(p->functions, p->functions_cap, p->functions_cnt + 1))
		return -ENOMEM;
	p->functions[p->functions_cnt++] = *f;
	*ret_id = (uint32_t)p->functions_cnt;
	id_table__add(&index->functions, hash, *ret_id);
	return 0;
}

int profile__add_location(struct profile *p, uint32_t mapping, uint64_t address, uint32_t *ret_id)
{
	if (profile__is_full(p))
		return -ENOSPC;
	if (p->locations_cnt >= ELEMENTS_MAX ||
	    array__reserve(p->locations, p->locations_cap, p->locations_cnt + 1))
		return -ENOMEM;
	p->locations[p->locations_cnt++] = (struct profile_location){
		.mapping = mapping,
		.address = address,
	};
	*ret_id = (uint32_t)p->locations_cnt;
	return 0;
}

int profile__location(struct profile *p, uint32_t mapping, uint64_t address, uint32_t *ret_id)
{
	struct profile_index *index = p->index;
	struct place place = { .mapping = mapping, .address = address };
	uint32_t hash = id_hash__fold(id_hash__mix(id_hash__mix(index->seed, mapping), address));
	uint32_t id = id_table__find(&index->locations, hash, place_equal, p, &place);
	int err;

	if (!id) {
		err = id_table__reserve(&index->locations)
			      ?: profile__add_location(p, mapping, address, &id);
		if (err)
			return err;
		id_table__add(&index->locations, hash, id);
	}
	*ret_id = id;
	return 0;
}

int profile__set_lines(struct profile *p, uint32_t location, const struct profile_line *lines,
		       size_t lines_cnt)
{
	struct profile_location *l = &p->locations[location - 1];

	if (lines_cnt > l->lines_cnt) {
		struct profile_line *copy;

		if (lines_cnt > SIZE_MAX / sizeof(*copy))
			return -ENOMEM;
		copy = arena__alloc(&p->index->arena, lines_cnt * sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		l->lines = copy;
	}
	if (lines_cnt)
		memmove(l->lines, lines, lines_cnt * sizeof(*lines));
	l->lines_cnt = lines_cnt;
	return 0;
}

int profile__synthetic(struct profile *p, const char *name, uint32_t *ret_location)
{
	/* No system_name: pprof takes a name that equals it for mangled and cuts it at brackets. */
	struct profile_function f = { .system_name = 0 };
	struct profile_index *index = p->index;
	struct profile_line line = { .line = 0 };
	uint32_t hash, id;
	int err;

	err = profile__string(p, name, &f.name);
	if (err)
		return err;
	hash = id_hash__fold(id_hash__mix(index->seed, f.name));
	id = id_table__find(&index->synthetics, hash, synthetic_equal, p, &f.name);
	if (!id) {
		err = profile__function(p, &f, &line.function) ?:
		      id_table__reserve(&index->synthetics) ?:
		      profile__add_location(p, 0, 0, &id) ?: profile__set_lines(p, id, &line, 1);
		if (err)
			return err;
		id_table__add(&index->synthetics, hash, id);
	}
	*ret_location = id;
	return 0;
}

size_t profile__default_value(const struct profile *p)
{
	size_t i;

	for (i = 0; p->default_sample_type && i < p->sample_types_cnt; i++)
		if (p->sample_types[i].type == p->default_sample_type)
			return i;
	return p->sample_types_cnt ? p->sample_types_cnt - 1 : 0;
}
