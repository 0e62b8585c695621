/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the profiles of a run go: turns -o, --format, the target and the start time into a list of
 * (kind, encoder, path), refuses what cannot work before anything is attached, and writes the files
 * at the end. Knows options and export/, no samples and no processes.
 */
#ifndef SESSION_OUTPUT_H
#define SESSION_OUTPUT_H

#include "export/export.h"
#include "options.h"

struct output {
	const struct probe *probe;
	const struct encoder *encoder;
	char *path;     /* NULL: stdout */
	char *made_dir; /* created for this output, or NULL; removed again where it stays empty */
};

struct output_plan {
	struct output *outputs;
	size_t outputs_cnt, outputs_cap;
	bool uses_stdout; /* data goes to stdout: the top table goes to stderr */
};

/*
 * Names per design.md §3. All problems are found here, logged as one line, and returned as an exit
 * status: EXIT_STATUS_USAGE (unknown suffix or format, binary to a terminal, several kinds on one
 * file, two -o for the same file), EXIT_STATUS_FAILURE (directory missing, not writable …).
 */
int output_plan__make(struct output_plan *plan, const struct options *opts, uint64_t start_real_ns);
void output_plan__done(struct output_plan *plan);

/*
 * Encodes and writes the profile of one kind to all its outputs, owned by SUDO_UID:SUDO_GID where
 * set. Logs one line per failure; the other outputs are still written. Returns EXIT_STATUS_OK or
 * EXIT_STATUS_FAILURE.
 */
int output_plan__write(const struct output_plan *plan, const struct probe *probe,
		       const struct profile *p);

/* Is anything written that is made in intervals (--interval)? */
bool output_plan__has_intervals(const struct output_plan *plan);

/* The first file of this kind that `cprof top` and `go tool pprof` can read, or NULL. */
const char *output_plan__pprof_path(const struct output_plan *plan, const struct probe *probe);

#endif
