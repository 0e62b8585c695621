/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stages of one run, owned by session.c and kept going by loop.c; private to these two.
 */
#ifndef SESSION_SESSION_STATE_H
#define SESSION_SESSION_STATE_H

#include "collect/collect.h"
#include "collect/cpus.h"
#include "process/process.h"
#include "process/sideband.h"
#include "session/command.h"
#include "session/heap_targets.h"
#include "session/output.h"
#include "session/pipeline.h"
#include "session/signals.h"
#include "session/summary.h"
#include "session/targets.h"
#include "session/timeline.h"
#include "symbolize/symbolize.h"
#include "unwind/unwind.h"
#include "worker/worker.h"

struct session {
	const struct options *opts;
	uint64_t started_ns;      /* of main() */
	uint64_t window_start_ns; /* the probes are attached */
	struct signals signals;
	struct targets targets;
	struct output_plan plan;
	struct command *command; /* NULL: none */
	struct cpu_list cpus;
	uint32_t unwind_leaf_pages, unwind_block_pages;
	struct collector *collector;
	struct sideband *sideband;
	struct process_table *processes;
	struct timeline *timeline;
	struct worker *worker;
	struct symbolizer *symbolizer;
	struct unwind *unwind;
	struct pipeline *pipeline;
	struct heap_targets *heap_targets;       /* NULL: the heap is not asked for */
	struct kind_run runs[OPTIONS_KINDS_MAX]; /* one per opts->kinds */
	struct progress progress;
	struct run_costs costs;
};

#endif
