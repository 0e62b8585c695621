/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a run tells its user: the progress bar while it lasts, and at its end what was counted, the
 * top table and the next command. Progress and summary go to stderr, the table to stdout (to stderr
 * where stdout carries the profile).
 */
#ifndef SESSION_SUMMARY_H
#define SESSION_SUMMARY_H

#include "process/sideband.h"
#include "session/output.h"
#include "session/pipeline.h"

struct progress {
	bool is_shown; /* stderr is a terminal and -q was not given */
	bool is_drawn; /* a bar is on the current line */
};

void progress__init(struct progress *pg, const struct options *opts);
/* total_ns 0: no end is set. cost_percent: what probes take of the target's CPU time; negative: not
 * known, or not of a kind that costs the target anything. */
void progress__draw(struct progress *pg, uint64_t elapsed_ns, uint64_t total_ns, uint64_t samples,
		    uint64_t lost, double cost_percent);
void progress__clear(struct progress *pg);

/* Costs of a run, shown with -v. */
struct run_costs {
	uint64_t startup_cpu_ns;    /* user + system, until the probes ran */
	uint64_t first_sample_ns;   /* from main() to the first sample's time stamp; 0: none */
	uint64_t window_to_file_ns; /* from the end of the window to the file in place */
	uint64_t peak_rss_bytes;    /* collector */
	uint64_t worker_peak_rss_bytes;
};

/* The line of totals and, with -v, everything that was counted. */
void summary__print_totals(const struct options *opts, const struct kind_run *run,
			   uint64_t duration_ns, size_t cpus_cnt);
void summary__print_costs(const struct run_costs *costs);
void summary__print_process_stats(const struct process_stats *stats,
				  const struct sideband_stats *sideband);
void summary__print_unwind_stats(const struct unwind_stats *stats);

/* The limits of --sched-slo that a run went over, a line each. Returns how many. */
size_t summary__print_breaches(const struct options *opts, const struct kind_run *run);

/* The top table, or what stands in its place for a kind that counts waits (or its JSON). 0 or
 * -errno (stdout not writable). */
int summary__print_top(const struct options *opts, const struct output_plan *plan,
		       const struct kind_run *run);
void summary__print_next(const struct output_plan *plan, const struct kind_run *run);

#endif
