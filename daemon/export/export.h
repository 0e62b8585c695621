/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Profile to bytes and bytes to profile. An encoder sees a profile and a buffer, nothing else; what
 * becomes of the bytes is the sink's business (export/sink.h). Called by session/ and cli/.
 * Every encoder escapes names (base/escape.h): profiles hold them as they came.
 */
#ifndef EXPORT_EXPORT_H
#define EXPORT_EXPORT_H

#include <stdbool.h>
#include "base/buf.h"
#include "profile/profile.h"
#include "profile/top.h"

struct encoder {
	const char *name;   /* for --format: "pprof", "folded", "json", "txt" */
	const char *suffix; /* ".pb.gz", ".folded", ".json", ".txt" */
	bool is_binary;     /* never to a terminal */
	/* Appends the whole file. Returns 0 or -errno. */
	int (*encode)(const struct profile *p, struct buf *out);
};

extern const struct encoder export_encoders[];
extern const size_t export_encoders_cnt;

/* By the path's suffix ("/x/cpu.pb.gz") or by name; NULL if there is none. */
const struct encoder *export__find_by_suffix(const char *path);
const struct encoder *export__find_by_name(const char *name);

/* "`.pb.gz`, `.folded`, …" for error messages, as a static string. */
const char *export__suffix_list(void);

/* pprof, gzipped. Binding rules: profile.proto's comments and the head of export/pprof_encode.c. */
int pprof__encode(const struct profile *p, struct buf *out);

/* Reads a pprof file, gzipped or not, from ours or any other producer. Checks what pprof's own
 * CheckValid checks (value counts, ids, string indices). -EBADMSG: not a valid profile, and
 * *ret_why (static string) says what is wrong; -EFBIG: more than 512 MiB inflated; -ENOMEM. */
int pprof__decode(const void *data, size_t len, struct profile **ret, const char **ret_why);

/* "comm;root;…;leaf VALUE" lines, sorted; kernel frames end in _[k]; the default sample type, or
 * sample counts for a cpu profile (design: cpu counts samples). Equal lines are summed. */
int folded__encode(const struct profile *p, struct buf *out);

/* The flat/cum table as text: default sample type, all rows. */
int text__encode(const struct profile *p, struct buf *out);

/* {sample_type, unit, total, functions: [{name, file, flat, cum}]} in base units, all rows. */
int json__encode(const struct profile *p, struct buf *out);

struct top_view {
	size_t value_idx;
	enum top_order order;
	size_t rows_max; /* 0: all */
	bool color;      /* ANSI colours, only for terminals */
	bool with_small; /* text only: also what pprof drops, cum below 0.5 % */
};

/* What --cpu runs end with and `cprof top` prints: "flat flat% sum% cum cum% name module", numbers
 * formatted to the digit as `go tool pprof -top` prints them. */
int text__top(const struct profile *p, const struct top_view *view, struct buf *out);
int json__top(const struct profile *p, const struct top_view *view, struct buf *out);

/* What the profile is, and how far its stacks can be trusted: `cprof info`. */
int text__info(const struct profile *p, struct buf *out);

#endif
