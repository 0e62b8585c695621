/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of cprofd as plain data. One table describes every flag: parsing, --help and the
 * suggestion for an unknown flag all read it. Called by main.c; the rest of the program gets the
 * finished struct and nothing of argv.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "abi/heap.h"
#include "abi/sched.h"
#include "collect/probe.h"

/* Exit statuses of cprofd, design.md §3. */
enum exit_status {
	EXIT_STATUS_OK = 0,
	EXIT_STATUS_FAILURE = 1,
	EXIT_STATUS_USAGE = 2,
	EXIT_STATUS_NO_TARGET = 3,
	EXIT_STATUS_PERMISSION = 4,
	EXIT_STATUS_KERNEL = 5,
	EXIT_STATUS_PARTIAL = 6,
	EXIT_STATUS_SLO = 7,
	EXIT_STATUS_NOT_EXECUTABLE = 126,
	EXIT_STATUS_NOT_FOUND = 127,
	EXIT_STATUS_INTERRUPTED = 130, /* by a signal before the window began */
};

#define OPTIONS_FREQ_DEFAULT_HZ      99
#define OPTIONS_FREQ_MAX_HZ          4999
#define OPTIONS_UNWIND_MEMORY_MIN    (1ULL << 20)
#define OPTIONS_UNWIND_MEMORY_MAX    (1ULL << 30)
#define OPTIONS_UNWIND_MEMORY_HOST   (32ULL << 20) /* defaults */
#define OPTIONS_UNWIND_MEMORY_TARGET (8ULL << 20)
#define OPTIONS_KINDS_MAX            8
#define OPTIONS_WORST_DEFAULT        10
#define OPTIONS_INTERVAL_MIN_NS      10000000ULL
#define OPTIONS_SLOS_MAX             16
#define OPTIONS_HEAP_INTERVAL_MAX    (1ULL << 30)

enum run_mode {
	RUN_PROFILE = 0,
	RUN_DOCTOR = 1,
	RUN_HELP = 2,    /* already printed */
	RUN_VERSION = 3, /* already printed */
};

enum target_kind {
	TARGET_HOST = 0,
	TARGET_PIDS = 1,
	TARGET_COMM = 2,
	TARGET_CGROUP = 3,
	TARGET_COMMAND = 4,
};

/* Labels that samples can carry (--labels), bits of options.labels. */
enum sample_label {
	LABEL_PID = 1 << 0,
	LABEL_COMM = 1 << 1,
	LABEL_THREAD = 1 << 2,
	LABEL_TID = 1 << 3,
	LABEL_CPU = 1 << 4,
};
#define LABELS_DEFAULT (LABEL_PID | LABEL_COMM | LABEL_THREAD)

/* --heap-source: by itself preload for COMMAND and where the process has the library, else
 * uprobes. */
enum heap_source_choice {
	HEAP_CHOICE_AUTO = 0,
	HEAP_CHOICE_UPROBE = 1,
	HEAP_CHOICE_PRELOAD = 2,
};

struct kind_request {
	const struct probe *probe;
	uint64_t duration_ns; /* 0: until ^C or the target ends */
};

struct options_tag {
	char *key, *value;
};

/* --sched-slo: a quantile of the latency that must not be over a limit. */
struct options_slo {
	double percent; /* above 0, below 100 */
	uint64_t limit_ns;
};

struct options {
	enum run_mode mode;
	enum target_kind target;
	pid_t *pids; /* TARGET_PIDS, no duplicates */
	size_t pids_cnt;
	char *comm;     /* TARGET_COMM */
	char *cgroup;   /* TARGET_CGROUP: as given; resolved by the session */
	char **command; /* TARGET_COMMAND: NULL-terminated, borrowed from argv */
	char *user;     /* --user, only with TARGET_COMMAND */

	struct kind_request kinds[OPTIONS_KINDS_MAX];
	size_t kinds_cnt;
	unsigned int freq_hz;

	char **outputs; /* -o, as given */
	size_t outputs_cnt;
	char *format; /* --format or NULL */
	unsigned int labels;
	struct options_tag *tags;
	size_t tags_cnt;
	uint64_t unwind_memory_bytes; /* cap of the row tables */
	double strict_percent;        /* negative: not asked */

	/* Only with --sched. */
	enum sched_by sched_by;
	uint32_t sched_worst;
	uint64_t sched_interval_ns; /* 0: the whole window */
	struct options_slo sched_slos[OPTIONS_SLOS_MAX];
	size_t sched_slos_cnt;

	/* Only with --heap. */
	uint64_t heap_interval_bytes;
	bool heap_is_live; /* --heap-mode live; else alloc */
	enum heap_source_choice heap_source;
	double heap_budget_percent; /* of the target's CPU time; negative: none */
	bool heap_host_wide;

	bool quiet, verbose, json, no_color;
};

/*
 * Parses argv. Errors are logged here as one line. Returns EXIT_STATUS_OK, or the status to exit
 * with (EXIT_STATUS_USAGE, EXIT_STATUS_FAILURE when out of memory). Release with options__done()
 * in either case.
 */
int options__parse(struct options *opts, int argc, char **argv);
void options__done(struct options *opts);

#endif
