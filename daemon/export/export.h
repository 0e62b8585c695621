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
#include "profile/heap_report.h"
#include "profile/profile.h"
#include "profile/sched_report.h"
#include "profile/top.h"

struct encoder {
	const char *name;   /* for --format: "pprof", "folded", "json", "txt", "prom" */
	const char *suffix; /* ".pb.gz", ".folded", ".json", ".txt", ".prom" */
	const char *kind;   /* only of profiles of this kind ("sched"); NULL: of all others, too */
	bool is_binary;     /* never to a terminal */
	/* Appends the whole file. Returns 0 or -errno. */
	int (*encode)(const struct profile *p, struct buf *out);
};

extern const struct encoder export_encoders[];
extern const size_t export_encoders_cnt;

/* By the path's suffix ("/x/cpu.pb.gz") or by name, for a kind of profile ("cpu"): an encoder of
 * that very kind goes before one of all. NULL if there is none. */
const struct encoder *export__find_by_suffix(const char *path, const char *kind);
const struct encoder *export__find_by_name(const char *name, const char *kind);

/* "`.pb.gz`, `.folded`, …" of a kind for error messages; "" when out of memory. */
void export__list_suffixes(const char *kind, struct buf *out);

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

/*
 * The sched kind's own formats, of p->sched (-EINVAL without one).
 *
 * json: {"duration_ns", "totals", "histograms", "causes", "worst", "matrix", "threads", …}
 * prom: Prometheus text format 0.0.4; names and labels per design.md §7
 * trace: "sched:sched_latency_trace: comm=nginx pid=12345 preempted=42us delayed=187us
 *	runnable=312us", a line per thread and interval
 */
int sched_json__encode(const struct profile *p, struct buf *out);
int sched_prom__encode(const struct profile *p, struct buf *out);
int sched_trace__encode(const struct profile *p, struct buf *out);

/* What a --sched run ends with on a terminal of so many columns: latency first, then the three
 * reasons, shares by cause, worst waits, culprits. */
struct sched_view {
	size_t width; /* columns; 0: 80 */
	bool color;
};
int sched_text__view(const struct sched_report *r, const struct sched_view *view, struct buf *out);

/*
 * The heap kind's own formats, of p->heap (-EINVAL without one).
 *
 * json: {"duration_ns", "interval_bytes", "mode", "totals", "ages", "processes", "sites", "cost"};
 *	each site and total with "samples" and the 95 % interval of its bytes
 * txt: the view below, without colours
 */
int heap_json__encode(const struct profile *p, struct buf *out);
int heap_text__encode(const struct profile *p, struct buf *out);

/* What a --heap run ends with on a terminal of so many columns: totals beside the processes' RSS,
 * top by inuse_space and by alloc_space, age, what grew, cost. */
struct heap_view {
	size_t width; /* columns; 0: not a terminal, 120 */
	size_t rows_max;
	bool color;
};
int heap_text__view(const struct profile *p, const struct heap_view *view, struct buf *out);

/* What the profile is, and how far its stacks can be trusted: `cprof info`. */
int text__info(const struct profile *p, struct buf *out);

#endif
