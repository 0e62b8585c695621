/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * profile.proto, gzipped or not, ours or foreign → profile. The bytes are hostile: sizes are capped
 * before anything is allocated by them, ids and string indices checked before use.
 *
 * protobuf-c unpacks a message as a tree of structs, up to fifty times its size. So only the top
 * level is walked here, one field after the other, and each element is unpacked alone. Elements
 * refer to tables that may come after them in the file: the walk is repeated once per table.
 */
#include "export/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "base/gzip.h"
#include "proto/profile.pb-c.h"

#define INFLATED_MAX_BYTES ((size_t)512 << 20)
#define MESSAGE_MAX_BYTES  ((size_t)4 << 20) /* one element, or all headers together */
#define ELEMENTS_MAX       ((size_t)1 << 24) /* of one table */
#define PROFILE_MAX_BYTES  ((size_t)1 << 30) /* what it becomes */

typedef Perftools__Profiles__Profile pb_profile;
typedef Perftools__Profiles__Sample pb_sample;
typedef Perftools__Profiles__Mapping pb_mapping;
typedef Perftools__Profiles__Location pb_location;
typedef Perftools__Profiles__Function pb_function;

/* Field numbers of Profile that the walk treats by itself. */
enum {
	FIELD_SAMPLE = 2,
	FIELD_MAPPING = 3,
	FIELD_LOCATION = 4,
	FIELD_FUNCTION = 5,
	FIELD_STRING = 6,
	FIELD_TIME = 9,
};

enum wire_type {
	WIRE_VARINT = 0,
	WIRE_FIXED64 = 1,
	WIRE_BYTES = 2,
	WIRE_FIXED32 = 5,
};

struct field {
	uint64_t number;
	enum wire_type type;
	uint64_t varint;
	const uint8_t *start; /* tag included, up to data + len */
	const uint8_t *data;  /* WIRE_BYTES: what the field holds */
	size_t len;
};

/* The ids of a table as the file gives them, and what they became here. */
struct id_map {
	struct id_pair {
		uint64_t file_id;
		uint32_t id;
	} * pairs;
	size_t cnt, cap;
};

struct reader {
	struct profile *p;
	const uint8_t *data, *end;
	const char *why;
	struct id_map mappings, locations, functions;
	uint32_t *strings; /* index in p by index in the file */
	size_t strings_cnt, strings_cap;
	struct buf headers; /* the fields that hold no table */
	bool has_time;
	/* Scratch, sized for the largest element. */
	struct profile_line *lines;
	struct profile_label *labels;
	uint32_t *stack;
	size_t lines_cap, labels_cap, stack_cap;
};

typedef int (*element_fn)(struct reader *r, const uint8_t *data, size_t len);

static int bad(struct reader *r, const char *why)
{
	r->why = why;
	return -EBADMSG;
}

static void reader_done(struct reader *r)
{
	profile__free(r->p);
	free(r->mappings.pairs);
	free(r->locations.pairs);
	free(r->functions.pairs);
	free(r->strings);
	free(r->lines);
	free(r->labels);
	free(r->stack);
	buf__done(&r->headers);
}

/* --- the top level --------------------------------------------------------------------------- */

static const uint8_t *read_varint(const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
	uint64_t v = 0;
	unsigned int shift;

	for (shift = 0; shift < 64 && p < end; shift += 7) {
		v |= (uint64_t)(*p & 0x7f) << shift;
		if (!(*p++ & 0x80)) {
			*ret = v;
			return p;
		}
	}
	return NULL;
}

/* The field at p; returns where the next one begins, NULL if it is not one. */
static const uint8_t *read_field(const uint8_t *p, const uint8_t *end, struct field *f)
{
	uint64_t tag, len = 0;

	f->start = p;
	p = read_varint(p, end, &tag);
	if (!p || !(tag >> 3))
		return NULL;
	f->number = tag >> 3;
	f->type = tag & 7;
	switch (f->type) {
	case WIRE_VARINT:
		return read_varint(p, end, &f->varint);
	case WIRE_FIXED64:
		len = 8;
		break;
	case WIRE_FIXED32:
		len = 4;
		break;
	case WIRE_BYTES:
		p = read_varint(p, end, &len);
		break;
	default:
		return NULL;
	}
	if (!p || len > (uint64_t)(end - p))
		return NULL;
	f->data = p;
	f->len = (size_t)len;
	return p + len;
}

/* Calls fn for every element of a table. The first walk has checked the fields. */
static int for_each_element(struct reader *r, uint64_t number, element_fn fn)
{
	const uint8_t *p = r->data;
	struct field f;
	int err = 0;

	while (!err && p && p < r->end) {
		p = read_field(p, r->end, &f);
		if (p && f.number == number)
			err = fn(r, f.data, f.len);
	}
	return err;
}

static int add_string(struct reader *r, const struct field *f)
{
	if (!r->strings_cnt && f->len)
		return bad(r, "string_table[0] is not empty");
	if (array__reserve(r->strings, r->strings_cap, r->strings_cnt + 1))
		return -ENOMEM;
	return profile__string_n(r->p, (const char *)f->data, f->len,
				 &r->strings[r->strings_cnt++]);
}

static int add_header(struct reader *r, const struct field *f, const uint8_t *next)
{
	if (f->number == FIELD_TIME && f->type == WIRE_VARINT && f->varint) {
		if (r->has_time)
			return bad(r, "several profiles, one after the other");
		r->has_time = true;
	}
	if (r->headers.len + (size_t)(next - f->start) > MESSAGE_MAX_BYTES)
		return bad(r, "headers too long");
	buf__append(&r->headers, f->start, (size_t)(next - f->start));
	return buf__error(&r->headers);
}

/* Checks every field, takes strings and headers. */
static int walk_top_level(struct reader *r)
{
	size_t elements[FIELD_STRING + 1] = { 0 };
	const uint8_t *p = r->data, *next;
	struct field f;
	int err = 0;

	for (; !err && p < r->end; p = next) {
		next = read_field(p, r->end, &f);
		if (!next)
			return bad(r, "not a profile in pprof's format, or truncated");
		if (f.number < FIELD_SAMPLE || f.number > FIELD_STRING) {
			err = add_header(r, &f, next);
			continue;
		}
		if (f.type != WIRE_BYTES)
			return bad(r, "not a profile in pprof's format");
		if (f.number != FIELD_STRING && f.len > MESSAGE_MAX_BYTES)
			return bad(r, "element too long");
		if (++elements[f.number] > ELEMENTS_MAX)
			return bad(r, "too many elements");
		if (f.number == FIELD_STRING)
			err = add_string(r, &f);
	}
	return err;
}

/* --- ids and strings ------------------------------------------------------------------------- */

static int get_string(struct reader *r, int64_t file_idx, uint32_t *ret)
{
	if (file_idx < 0 || (uint64_t)file_idx >= r->strings_cnt)
		return bad(r, "string index out of range");
	*ret = r->strings[file_idx];
	return 0;
}

static int id_map_add(struct reader *r, struct id_map *m, uint64_t file_id, uint32_t id)
{
	if (!file_id)
		return bad(r, "id 0");
	if (array__reserve(m->pairs, m->cap, m->cnt + 1))
		return -ENOMEM;
	m->pairs[m->cnt++] = (struct id_pair){ .file_id = file_id, .id = id };
	return 0;
}

static int compare_pairs(const void *a_, const void *b_)
{
	const struct id_pair *a = a_, *b = b_;

	return a->file_id == b->file_id ? 0 : a->file_id < b->file_id ? -1 : 1;
}

/* To be called when the map is complete. */
static int id_map_sort(struct reader *r, struct id_map *m)
{
	bool sorted = true;
	size_t i;

	for (i = 1; i < m->cnt; i++)
		sorted &= m->pairs[i - 1].file_id < m->pairs[i].file_id;
	if (sorted)
		return 0;
	qsort(m->pairs, m->cnt, sizeof(*m->pairs), compare_pairs);
	for (i = 1; i < m->cnt; i++)
		if (m->pairs[i - 1].file_id == m->pairs[i].file_id)
			return bad(r, "two elements with the same id");
	return 0;
}

/* 0 if the file has no such element. */
static uint32_t id_map_find(const struct id_map *m, uint64_t file_id)
{
	struct id_pair key = { .file_id = file_id };
	const struct id_pair *found;

	/* Nearly every producer counts from 1. */
	if (file_id && file_id <= m->cnt && m->pairs[file_id - 1].file_id == file_id)
		return m->pairs[file_id - 1].id;
	found = m->cnt ? bsearch(&key, m->pairs, m->cnt, sizeof(key), compare_pairs) : NULL;
	return found ? found->id : 0;
}

/* --- tables ---------------------------------------------------------------------------------- */

/* The format has no such flag. Ours begin at 0 and are named in brackets, as perf names them. */
static bool is_kernel(const struct profile *p, const struct profile_mapping *m)
{
	static const char *const user[] = { "[vdso]", "[vsyscall]", "[vvar", "[JIT",
					    "[heap]", "[stack",     "[anon" };
	const char *file = profile__str(p, m->file);
	size_t i;

	if (m->start || file[0] != '[')
		return false;
	for (i = 0; i < ARRAY_SIZE(user); i++)
		if (!strncmp(file, user[i], strlen(user[i])))
			return false;
	return true;
}

static int convert_mapping(struct reader *r, const pb_mapping *m)
{
	struct profile_mapping mapping = {
		.start = m->memory_start,
		.limit = m->memory_limit,
		.offset = m->file_offset,
		.has_functions = m->has_functions,
		.has_filenames = m->has_filenames,
		.has_line_numbers = m->has_line_numbers,
		.has_inline_frames = m->has_inline_frames,
	};
	uint32_t id;
	int err;

	err = get_string(r, m->filename, &mapping.file)
		      ?: get_string(r, m->build_id, &mapping.build_id);
	if (err)
		return err;
	mapping.is_kernel = is_kernel(r->p, &mapping);
	return profile__add_mapping(r->p, &mapping, &id) ?: id_map_add(r, &r->mappings, m->id, id);
}

static int convert_function(struct reader *r, const pb_function *f)
{
	struct profile_function function = { .start_line = f->start_line };
	uint32_t id;

	return get_string(r, f->name, &function.name) ?:
	       get_string(r, f->system_name, &function.system_name) ?:
	       get_string(r, f->filename, &function.filename) ?:
	       profile__function(r->p, &function, &id) ?:
	       id_map_add(r, &r->functions, f->id, id);
}

static int convert_location(struct reader *r, const pb_location *l)
{
	uint32_t mapping = id_map_find(&r->mappings, l->mapping_id), id;
	size_t i;
	int err;

	if (array__reserve(r->lines, r->lines_cap, l->n_line))
		return -ENOMEM;
	for (i = 0; i < l->n_line; i++) {
		r->lines[i].function = id_map_find(&r->functions, l->line[i]->function_id);
		r->lines[i].line = l->line[i]->line;
		if (!r->lines[i].function)
			return bad(r, "a location has a line without a function");
	}
	err = profile__add_location(r->p, mapping, l->address, &id) ?:
	      profile__set_lines(r->p, id, r->lines, l->n_line) ?:
	      id_map_add(r, &r->locations, l->id, id);
	if (err)
		return err;
	r->p->locations[id - 1].is_folded = l->is_folded;
	return 0;
}

static int convert_labels(struct reader *r, const pb_sample *s)
{
	size_t i;
	int err = 0;

	if (array__reserve(r->labels, r->labels_cap, s->n_label))
		return -ENOMEM;
	for (i = 0; !err && i < s->n_label; i++) {
		struct profile_label *l = &r->labels[i];

		l->num = s->label[i]->num;
		err = get_string(r, s->label[i]->key, &l->key) ?:
		      get_string(r, s->label[i]->str, &l->str) ?:
		      get_string(r, s->label[i]->num_unit, &l->num_unit);
	}
	return err;
}

static int convert_sample(struct reader *r, const pb_sample *s)
{
	size_t i;
	int err;

	if (s->n_value != r->p->sample_types_cnt)
		return bad(r, "a sample has another number of values than there are sample types");
	if (array__reserve(r->stack, r->stack_cap, s->n_location_id))
		return -ENOMEM;
	for (i = 0; i < s->n_location_id; i++) {
		r->stack[i] = id_map_find(&r->locations, s->location_id[i]);
		if (!r->stack[i])
			return bad(r, "a sample refers to a location that is not there");
	}
	err = convert_labels(r, s);
	if (err)
		return err;
	err = profile__add(r->p, r->stack, (uint32_t)s->n_location_id, r->labels,
			   (uint32_t)s->n_label, s->value);
	if (!err && r->p->bytes > PROFILE_MAX_BYTES)
		return bad(r, "needs more than 1 GiB of memory");
	return err == -EOVERFLOW ? bad(r, "the values of equal samples overflow") : err;
}

/* One unpack_ and convert_ pair per table, as an element_fn. */
#define DEFINE_ELEMENT(noun)                                                                       \
	static int read_##noun(struct reader *r, const uint8_t *data, size_t len)                  \
	{                                                                                          \
		pb_##noun *m = perftools__profiles__##noun##__unpack(NULL, len, data);             \
		int err = m ? convert_##noun(r, m) : bad(r, "a broken " #noun);                    \
                                                                                                   \
		perftools__profiles__##noun##__free_unpacked(m, NULL);                             \
		return err;                                                                        \
	}

DEFINE_ELEMENT(mapping)
DEFINE_ELEMENT(function)
DEFINE_ELEMENT(location)
DEFINE_ELEMENT(sample)

/* --- headers --------------------------------------------------------------------------------- */

static int convert_sample_types(struct reader *r, const pb_profile *h)
{
	uint32_t type, unit;
	size_t i;
	int err;

	for (i = 0; i < h->n_sample_type; i++) {
		err = get_string(r, h->sample_type[i]->type, &type) ?:
		      get_string(r, h->sample_type[i]->unit, &unit) ?:
		      profile__add_sample_type(r->p, profile__str(r->p, type),
					       profile__str(r->p, unit));
		if (err)
			return err;
	}
	return r->p->sample_types_cnt ? 0 : bad(r, "no sample types");
}

static int convert_headers(struct reader *r, const pb_profile *h)
{
	struct profile *p = r->p;
	uint32_t comment;
	size_t i;
	int err;

	err = convert_sample_types(r, h) ?:
	      get_string(r, h->drop_frames, &p->drop_frames) ?:
	      get_string(r, h->keep_frames, &p->keep_frames) ?:
	      get_string(r, h->default_sample_type, &p->default_sample_type) ?:
	      get_string(r, h->doc_url, &p->doc_url);
	if (!err && h->period_type)
		err = get_string(r, h->period_type->type, &p->period_type.type)
			      ?: get_string(r, h->period_type->unit, &p->period_type.unit);
	for (i = 0; !err && i < h->n_comment; i++)
		err = get_string(r, h->comment[i], &comment)
			      ?: profile__add_comment(p, profile__str(p, comment));
	p->time_ns = h->time_nanos;
	p->duration_ns = h->duration_nanos;
	p->period = h->period;
	return err;
}

static int read_headers(struct reader *r)
{
	pb_profile *h = perftools__profiles__profile__unpack(NULL, r->headers.len,
							     (const uint8_t *)r->headers.data);
	int err = h ? convert_headers(r, h) : bad(r, "broken headers");

	perftools__profiles__profile__free_unpacked(h, NULL);
	return err;
}

static int read_profile(struct reader *r)
{
	return walk_top_level(r) ?:
	       read_headers(r) ?:
	       for_each_element(r, FIELD_MAPPING, read_mapping) ?:
	       id_map_sort(r, &r->mappings) ?:
	       for_each_element(r, FIELD_FUNCTION, read_function) ?:
	       id_map_sort(r, &r->functions) ?:
	       for_each_element(r, FIELD_LOCATION, read_location) ?:
	       id_map_sort(r, &r->locations) ?:
	       for_each_element(r, FIELD_SAMPLE, read_sample);
}

static int inflate(const void *data, size_t len, struct buf *out, const char **ret_why)
{
	int err = gzip__decompress(data, len, INFLATED_MAX_BYTES, out);

	if (err == -EBADMSG)
		*ret_why = "broken or truncated gzip data";
	else if (err == -EFBIG)
		*ret_why = "more than 512 MiB when inflated";
	return err;
}

int pprof__decode(const void *data, size_t len, struct profile **ret, const char **ret_why)
{
	_cleanup_(reader_done) struct reader r = { .headers = BUF_INIT };
	_cleanup_buf_ struct buf inflated = BUF_INIT;
	int err;

	*ret_why = "out of memory";
	if (gzip__is_gzip(data, len)) {
		err = inflate(data, len, &inflated, ret_why);
		if (err)
			return err;
		data = inflated.data;
		len = inflated.len;
	}
	if (!len) {
		*ret_why = "empty";
		return -EBADMSG;
	}
	r.p = profile__new();
	if (!r.p)
		return -ENOMEM;
	r.data = data;
	r.end = r.data + len;
	err = read_profile(&r);
	if (err) {
		*ret_why = r.why ?: "out of memory";
		return err;
	}
	*ret_why = NULL;
	*ret = take_ptr(r.p);
	return 0;
}
