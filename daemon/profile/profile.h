/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A profile as plain data: the model of pprof's profile.proto with everything interned, so that
 * adding the same stack twice adds values instead of a row. The pipeline fills it, symbolize/ names
 * its locations, export/ encodes it and decodes foreign files into it, cli/ reads it. Knows no BPF,
 * no ELF, no files, no processes.
 *
 * Indices: strings are indices into strings[] (0 is always ""). Mappings, functions and locations
 * are referred to by ids counted from 1, as in pprof; 0 means none; id i is element i - 1. Tables
 * only grow; an element's address may move when its table grows. Strings are kept as bytes, exactly
 * as they came (hostile); sinks escape them. Not thread-safe.
 */
#ifndef PROFILE_PROFILE_H
#define PROFILE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"

struct profile_value_type {
	uint32_t type; /* string: "samples", "cpu" … */
	uint32_t unit; /* string: "count", "nanoseconds", "bytes" … */
};

struct profile_mapping {
	uint64_t start;    /* ELF virtual address of the segment, page-aligned; kernel: 0 */
	uint64_t limit;    /* end of it, exclusive */
	uint64_t offset;   /* file offset of start */
	uint32_t file;     /* string: path in the target's mount namespace, "[vdso]", "[JIT]" … */
	uint32_t build_id; /* string: lower-case hex or "" */
	bool is_kernel; /* addresses are offsets into the kernel, one of its modules or BPF programs
			 */
	bool has_functions, has_filenames, has_line_numbers, has_inline_frames;
};

struct profile_function {
	uint32_t name;        /* string: demangled */
	uint32_t system_name; /* string: as linked */
	uint32_t filename;    /* string: source file or "" */
	int64_t start_line;
};

struct profile_line {
	uint32_t function; /* id */
	int64_t line;
};

struct profile_location {
	uint32_t mapping; /* id or 0 */
	bool is_folded;
	uint64_t address;           /* ELF virtual address; of a caller: return address - 1 */
	struct profile_line *lines; /* owned; [0] innermost inline, last the out-of-line function */
	size_t lines_cnt;           /* 0: no name is known for this address */
};

struct profile_label {
	uint32_t key;      /* string */
	uint32_t str;      /* string; 0: the label is numeric */
	uint32_t num_unit; /* string */
	int64_t num;
};

struct profile_sample {
	const uint32_t *locations;          /* ids, [0] is the leaf; owned by the profile */
	const struct profile_label *labels; /* owned by the profile */
	uint32_t locations_cnt;
	uint32_t labels_cnt;
	int64_t *values; /* one per sample type; owned by the profile */
};

struct heap_report;   /* profile/heap_report.h */
struct sched_report;  /* profile/sched_report.h */
struct profile_index; /* the hash tables behind the interning */

struct profile {
	struct profile_value_type *sample_types;
	size_t sample_types_cnt, sample_types_cap;
	uint32_t default_sample_type; /* string; 0: the last sample type */
	struct profile_value_type period_type;
	int64_t period;
	int64_t time_ns;                            /* start, UTC */
	int64_t duration_ns;                        /* 0: not known */
	uint32_t drop_frames, keep_frames, doc_url; /* strings */

	uint32_t *comments; /* strings; a leading '#' hides a line from pprof's headers */
	size_t comments_cnt, comments_cap;

	char **strings; /* NUL-terminated; bytes after an embedded NUL are dropped */
	size_t strings_cnt, strings_cap;
	struct profile_mapping *mappings;
	size_t mappings_cnt, mappings_cap;
	struct profile_function *functions;
	size_t functions_cnt, functions_cap;
	struct profile_location *locations;
	size_t locations_cnt, locations_cap;
	struct profile_sample *samples;
	size_t samples_cnt, samples_cap;

	size_t bytes;     /* about what samples, locations and strings occupy, for caps */
	size_t bytes_max; /* 0: none. Over it nothing new is interned: -ENOSPC; what is known is
			   * added to as ever */
	struct profile_index *index;
	struct sched_report *sched; /* owned; NULL: not of the sched kind, or read from a file */
	struct heap_report *heap;   /* likewise */
};

struct profile *profile__new(void); /* NULL: out of memory */
void profile__free(struct profile *p);
DEFINE_CLEANUP(struct profile *, profile__free);

/* Interns a string. Returns 0, -ENOMEM or -ENOSPC; *ret_idx is untouched on failure. NULL counts as
 * "". */
int profile__string(struct profile *p, const char *s, uint32_t *ret_idx);
int profile__string_n(struct profile *p, const char *s, size_t len, uint32_t *ret_idx);

int profile__add_sample_type(struct profile *p, const char *type, const char *unit);
/* Takes the last 'cnt' of them off a profile that has no rows yet; where the default one was among
 * them, it is the last of those that stay. 0, -EINVAL: it has rows, or not so many types. */
int profile__drop_sample_types(struct profile *p, size_t cnt);
int profile__set_period(struct profile *p, const char *type, const char *unit, int64_t period);
int profile__add_comment(struct profile *p, const char *text);

/* Appends without interning; *ret_id is the new id. Strings in *m must be interned already. */
int profile__add_mapping(struct profile *p, const struct profile_mapping *m, uint32_t *ret_id);

/* Interned: an equal function is returned again. */
int profile__function(struct profile *p, const struct profile_function *f, uint32_t *ret_id);

/* Interned by (mapping, address). A location made here has no lines yet. */
int profile__location(struct profile *p, uint32_t mapping, uint64_t address, uint32_t *ret_id);

/* Appends a location that interning never returns: a synthetic frame ("[lost]") or one from a file.
 * mapping may be 0. */
int profile__add_location(struct profile *p, uint32_t mapping, uint64_t address, uint32_t *ret_id);

/* Copies the lines; replaces earlier ones. */
int profile__set_lines(struct profile *p, uint32_t location, const struct profile_line *lines,
		       size_t lines_cnt);

/* A location without mapping and address whose only line is a function of this name ("[lost]",
 * "[truncated: …]"); the same name gives the same location. */
int profile__synthetic(struct profile *p, const char *name, uint32_t *ret_location);

/* Adds values (one per sample type) to the row of this stack and these labels, making it first if
 * there is none. Labels must come in the same order for equal rows. Returns 0 or -ENOMEM;
 * -EOVERFLOW if a sum would not fit in 63 bits (nothing is added then). */
int profile__add(struct profile *p, const uint32_t *locations, uint32_t locations_cnt,
		 const struct profile_label *labels, uint32_t labels_cnt, const int64_t *values);

/*
 * Adds the rows of 'from' to 'into', interning mappings, functions and locations anew by the rules
 * of `go tool pprof`: mappings are equal by size, offset and build-id (else file), locations by
 * offset in them and lines. The first profile merged into an empty one gives the headers; then the
 * earliest start, the sum of durations and each comment once are kept. Rows of zeros are dropped;
 * labels are sorted. Returns 0, -EINVAL (other sample or period types), -EOVERFLOW or -ENOMEM;
 * 'into' is of no use after a failure.
 */
int profile__merge(struct profile *into, const struct profile *from);

/* Index of the default sample type: default_sample_type if it names one, else the last. */
size_t profile__default_value(const struct profile *p);

static inline const char *profile__str(const struct profile *p, uint32_t idx)
{
	return p->strings[idx];
}

#endif
