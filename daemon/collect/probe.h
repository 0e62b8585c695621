/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One kind of profile: its flag, its sample types and how its BPF programs are switched on. Each
 * kind is one probe_<kind>.c and one line of the table in probes.c; options, session and outputs go
 * through the table and name no kind themselves.
 */
#ifndef COLLECT_PROBE_H
#define COLLECT_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_SAMPLE_TYPES_MAX 8

struct probe_ops; /* collect/probe_ops.h: private to collect/ */

struct probe_value_type {
	const char *type, *unit;
};

struct probe {
	const char *name; /* "cpu": the flag is --cpu, the default file is cprof.<target>.cpu.… */
	const char *help; /* one line for --help */
	struct probe_value_type sample_types[PROBE_SAMPLE_TYPES_MAX];
	size_t sample_types_cnt;
	size_t default_type;
	struct probe_value_type period_type; /* .type NULL: it has none */
	/* Its stacks count nothing by themselves: SAMPLE_WAIT says what they stand for, and
	 * collector__sched_snapshot() what all of them must add up to. */
	bool counts_waits;
	/* Likewise, SAMPLE_ALLOC; what is live at the end collector__heap_live() says. */
	bool counts_allocs;
	const struct probe_ops *ops;
};

extern const struct probe *const probes[];
extern const size_t probes_cnt;

const struct probe *probe__find(const char *name); /* NULL: no such kind */

#endif
