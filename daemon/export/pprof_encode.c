/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Profile → gzipped profile.proto. What readers rely on, checked by tests/unit/test_pprof.c and by
 * go tool pprof: ids dense from 1, string_table[0] "", one gzip member, one Profile, mapping 1
 * first even when nothing refers to it; only what is referred to is written; strings are valid
 * UTF-8 without control characters.
 *
 * A long profile has 100,000 rows: as protobuf-c's tree of structs that were 40 MB. So a Profile
 * with one element in one field is packed at a time, straight into the compressor; messages of
 * this format concatenate to their union.
 */
#include "export/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "base/gzip.h"
#include "export/printable.h"
#include "proto/profile.pb-c.h"

typedef Perftools__Profiles__Profile pb_profile;
typedef Perftools__Profiles__ValueType pb_value_type;
typedef Perftools__Profiles__Sample pb_sample;
typedef Perftools__Profiles__Label pb_label;
typedef Perftools__Profiles__Mapping pb_mapping;
typedef Perftools__Profiles__Location pb_location;
typedef Perftools__Profiles__Line pb_line;
typedef Perftools__Profiles__Function pb_function;

/* Elements of one table in the order in which they are first referred to. */
struct numbering {
	uint32_t *new_ids; /* by old id - 1; 0: not referred to */
	uint32_t *order;   /* old ids */
	size_t cnt;
};

struct writer {
	const struct profile *p;
	struct gzip_writer *gz;
	struct numbering strings, mappings, locations, functions;
	/* Scratch, sized for the largest element. */
	uint8_t *packed;
	uint64_t *location_ids;
	pb_label *labels, **label_ptrs;
	pb_line *lines, **line_ptrs;
	size_t packed_cap, location_ids_cap, labels_cap, label_ptrs_cap, lines_cap, line_ptrs_cap;
};

static int numbering_init(struct numbering *n, size_t elements)
{
	n->new_ids = calloc(elements + 1, sizeof(*n->new_ids));
	n->order = calloc(elements + 1, sizeof(*n->order));
	return n->new_ids && n->order ? 0 : -ENOMEM;
}

static void numbering_done(struct numbering *n)
{
	free(n->new_ids);
	free(n->order);
}

static uint32_t new_id(struct numbering *n, uint32_t old_id)
{
	if (!old_id)
		return 0;
	if (!n->new_ids[old_id - 1]) {
		n->order[n->cnt] = old_id;
		n->new_ids[old_id - 1] = (uint32_t)++n->cnt;
	}
	return n->new_ids[old_id - 1];
}

/* String 0 is "" here and there; the others are numbered from 1 like the rest. */
static int64_t string_id(struct writer *w, uint32_t idx)
{
	return new_id(&w->strings, idx);
}

static void writer_done(struct writer *w)
{
	gzip_writer__free(w->gz);
	numbering_done(&w->strings);
	numbering_done(&w->mappings);
	numbering_done(&w->locations);
	numbering_done(&w->functions);
	free(w->packed);
	free(w->location_ids);
	free(w->labels);
	free(w->label_ptrs);
	free(w->lines);
	free(w->line_ptrs);
}

static int write_part(struct writer *w, const pb_profile *part)
{
	size_t len = perftools__profiles__profile__get_packed_size(part);

	if (array__reserve(w->packed, w->packed_cap, len))
		return -ENOMEM;
	perftools__profiles__profile__pack(part, w->packed);
	return gzip_writer__write(w->gz, w->packed, len);
}

static int write_sample_types(struct writer *w)
{
	size_t i;
	int err = 0;

	for (i = 0; !err && i < w->p->sample_types_cnt; i++) {
		pb_profile part = PERFTOOLS__PROFILES__PROFILE__INIT;
		pb_value_type vt = PERFTOOLS__PROFILES__VALUE_TYPE__INIT;

		vt.type = string_id(w, w->p->sample_types[i].type);
		vt.unit = string_id(w, w->p->sample_types[i].unit);
		part.n_sample_type = 1;
		part.sample_type = (pb_value_type *[]){ &vt };
		err = write_part(w, &part);
	}
	return err;
}

static int write_sample(struct writer *w, const struct profile_sample *s)
{
	pb_profile part = PERFTOOLS__PROFILES__PROFILE__INIT;
	pb_sample sample = PERFTOOLS__PROFILES__SAMPLE__INIT;
	uint32_t i;

	if (array__reserve(w->location_ids, w->location_ids_cap, s->locations_cnt) ||
	    array__reserve(w->labels, w->labels_cap, s->labels_cnt) ||
	    array__reserve(w->label_ptrs, w->label_ptrs_cap, s->labels_cnt))
		return -ENOMEM;
	for (i = 0; i < s->locations_cnt; i++)
		w->location_ids[i] = new_id(&w->locations, s->locations[i]);
	for (i = 0; i < s->labels_cnt; i++) {
		perftools__profiles__label__init(&w->labels[i]);
		w->labels[i].key = string_id(w, s->labels[i].key);
		w->labels[i].str = string_id(w, s->labels[i].str);
		w->labels[i].num = s->labels[i].num;
		w->labels[i].num_unit = string_id(w, s->labels[i].num_unit);
		w->label_ptrs[i] = &w->labels[i];
	}
	sample.n_location_id = s->locations_cnt;
	sample.location_id = w->location_ids;
	sample.n_value = w->p->sample_types_cnt;
	sample.value = s->values;
	sample.n_label = s->labels_cnt;
	sample.label = w->label_ptrs;
	part.n_sample = 1;
	part.sample = (pb_sample *[]){ &sample };
	return write_part(w, &part);
}

static int write_samples(struct writer *w)
{
	size_t i;
	int err = 0;

	for (i = 0; !err && i < w->p->samples_cnt; i++)
		err = write_sample(w, &w->p->samples[i]);
	return err;
}

static int write_mappings(struct writer *w)
{
	size_t i;
	int err = 0;

	if (w->p->mappings_cnt)
		new_id(&w->mappings, 1);
	for (i = 0; i < w->locations.cnt; i++)
		new_id(&w->mappings, w->p->locations[w->locations.order[i] - 1].mapping);

	for (i = 0; !err && i < w->mappings.cnt; i++) {
		const struct profile_mapping *m = &w->p->mappings[w->mappings.order[i] - 1];
		pb_profile part = PERFTOOLS__PROFILES__PROFILE__INIT;
		pb_mapping mapping = PERFTOOLS__PROFILES__MAPPING__INIT;

		mapping.id = i + 1;
		mapping.memory_start = m->start;
		mapping.memory_limit = m->limit;
		mapping.file_offset = m->offset;
		mapping.filename = string_id(w, m->file);
		mapping.build_id = string_id(w, m->build_id);
		mapping.has_functions = m->has_functions;
		mapping.has_filenames = m->has_filenames;
		mapping.has_line_numbers = m->has_line_numbers;
		mapping.has_inline_frames = m->has_inline_frames;
		part.n_mapping = 1;
		part.mapping = (pb_mapping *[]){ &mapping };
		err = write_part(w, &part);
	}
	return err;
}

static int write_location(struct writer *w, size_t i)
{
	const struct profile_location *l = &w->p->locations[w->locations.order[i] - 1];
	pb_profile part = PERFTOOLS__PROFILES__PROFILE__INIT;
	pb_location location = PERFTOOLS__PROFILES__LOCATION__INIT;
	size_t k;

	if (array__reserve(w->lines, w->lines_cap, l->lines_cnt) ||
	    array__reserve(w->line_ptrs, w->line_ptrs_cap, l->lines_cnt))
		return -ENOMEM;
	for (k = 0; k < l->lines_cnt; k++) {
		perftools__profiles__line__init(&w->lines[k]);
		w->lines[k].function_id = new_id(&w->functions, l->lines[k].function);
		w->lines[k].line = l->lines[k].line;
		w->line_ptrs[k] = &w->lines[k];
	}
	location.id = i + 1;
	location.mapping_id = new_id(&w->mappings, l->mapping);
	location.address = l->address;
	location.n_line = l->lines_cnt;
	location.line = w->line_ptrs;
	location.is_folded = l->is_folded;
	part.n_location = 1;
	part.location = (pb_location *[]){ &location };
	return write_part(w, &part);
}

static int write_locations(struct writer *w)
{
	size_t i;
	int err = 0;

	for (i = 0; !err && i < w->locations.cnt; i++)
		err = write_location(w, i);
	return err;
}

static int write_functions(struct writer *w)
{
	size_t i;
	int err = 0;

	for (i = 0; !err && i < w->functions.cnt; i++) {
		const struct profile_function *f = &w->p->functions[w->functions.order[i] - 1];
		pb_profile part = PERFTOOLS__PROFILES__PROFILE__INIT;
		pb_function function = PERFTOOLS__PROFILES__FUNCTION__INIT;

		function.id = i + 1;
		function.name = string_id(w, f->name);
		function.system_name = string_id(w, f->system_name);
		function.filename = string_id(w, f->filename);
		function.start_line = f->start_line;
		part.n_function = 1;
		part.function = (pb_function *[]){ &function };
		err = write_part(w, &part);
	}
	return err;
}

/* After everything that numbers strings, the headers included. */
static int write_strings(struct writer *w)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	pb_profile part = PERFTOOLS__PROFILES__PROFILE__INIT;
	char *empty = "";
	size_t i;
	int err;

	part.n_string_table = 1;
	part.string_table = &empty;
	err = write_part(w, &part);
	for (i = 0; !err && i < w->strings.cnt; i++) {
		buf__clear(&text);
		printable__append(&text, profile__str(w->p, w->strings.order[i]), NULL);
		err = buf__error(&text);
		if (err)
			break;
		part.string_table = &text.data;
		err = write_part(w, &part);
	}
	return err;
}

static int write_headers_and_strings(struct writer *w)
{
	const struct profile *p = w->p;
	pb_profile part = PERFTOOLS__PROFILES__PROFILE__INIT;
	pb_value_type period_type = PERFTOOLS__PROFILES__VALUE_TYPE__INIT;
	_cleanup_free_ int64_t *comments = calloc(p->comments_cnt + 1, sizeof(*comments));
	size_t i;

	if (!comments)
		return -ENOMEM;
	for (i = 0; i < p->comments_cnt; i++)
		comments[i] = string_id(w, p->comments[i]);
	period_type.type = string_id(w, p->period_type.type);
	period_type.unit = string_id(w, p->period_type.unit);
	part.drop_frames = string_id(w, p->drop_frames);
	part.keep_frames = string_id(w, p->keep_frames);
	part.time_nanos = p->time_ns;
	part.duration_nanos = p->duration_ns;
	if (period_type.type || period_type.unit)
		part.period_type = &period_type;
	part.period = p->period;
	part.n_comment = p->comments_cnt;
	part.comment = comments;
	part.default_sample_type = string_id(w, p->default_sample_type);
	part.doc_url = string_id(w, p->doc_url);
	return write_strings(w) ?: write_part(w, &part);
}

int pprof__encode(const struct profile *p, struct buf *out)
{
	_cleanup_(writer_done) struct writer w = { .p = p };
	int err;

	err = gzip_writer__new(&w.gz, out) ?:
	      numbering_init(&w.strings, p->strings_cnt) ?:
	      numbering_init(&w.mappings, p->mappings_cnt) ?:
	      numbering_init(&w.locations, p->locations_cnt) ?:
	      numbering_init(&w.functions, p->functions_cnt) ?:
	      write_sample_types(&w) ?:
	      write_samples(&w) ?:
	      write_mappings(&w) ?:
	      write_locations(&w) ?:
	      write_functions(&w) ?:
	      write_headers_and_strings(&w) ?: gzip_writer__finish(w.gz);
	return err;
}
