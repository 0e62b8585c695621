/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Are our stacks right? Samples of live processes, registers and stack bytes, are walked by our
 * tables and by libdw over the same bytes, and compared frame by frame, up to the first frame
 * libdw could only guess or not find the caller of. Prints a line of JSON, and with -v every kind
 * of difference with an example.
 *
 *	ground_truth [-v] [-n SAMPLES] [-s STEPS] PID...
 *
 * SAMPLES of each process; STEPS of them each time a thread is stopped, an instruction apart.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "truth_libdw.h"
#include "unwind/unwind.h"
#include "../unit/unwind_maps.h"

#define LEAF_PAGES   (64 << 8) /* 64 MiB: nothing is to be thrown out here */
#define BLOCK_PAGES  (8 << 8)
#define KINDS_MAX    64
#define PAUSE_NS_MAX 2000000
#define FAILURES_MAX 2000

static const char *const outcome_names[UNWIND_OUTCOME_CNT] = {
	[UNWIND_CONTINUE] = "continue",       [UNWIND_END] = "end",
	[UNWIND_FP_ZERO] = "fp_zero",         [UNWIND_FP_INVALID] = "fp_invalid",
	[UNWIND_UNREADABLE] = "unreadable",   [UNWIND_TOO_DEEP] = "too_deep",
	[UNWIND_COMPAT] = "compat",           [UNWIND_KERNEL_THREAD] = "kernel_thread",
	[UNWIND_UNSUPPORTED] = "unsupported", [UNWIND_BAD_CFA] = "bad_cfa",
	[UNWIND_NOT_CODE] = "not_code",       [UNWIND_TABLE_CHANGED] = "table_changed",
	[UNWIND_NO_TABLE] = "no_table",       [UNWIND_COLD] = "cold",
};

/* Differences of one kind: how ours went on from which module. */
struct difference {
	char kind[192];
	char example[512];
	uint64_t cnt;
};

struct comparison {
	struct process_table *processes;
	struct unwind *unwind;
	struct truth_libdw *truth;
	pid_t pid;
	struct truth_stack stack;
	uint64_t samples, frames, equal, walk_ns, libdw_ns;
	uint64_t outcomes[UNWIND_OUTCOME_CNT];
	uint64_t ends, ends_equal; /* stacks libdw brought to their outermost frame */
	uint64_t left_code;
	struct difference differences[KINDS_MAX];
	size_t differences_cnt;
};

static void note(struct comparison *c, const char *what, const struct truth_sample *s, size_t depth,
		 uint64_t ours)
{
	const struct truth_frame *from = &c->stack.frames[depth ? depth - 1 : 0];
	uint64_t theirs = depth < c->stack.cnt ? c->stack.frames[depth].pc : 0;
	const char *name = truth_libdw__name(c->truth, depth > 1 ? from->pc - 1 : from->pc);
	char kind[sizeof(c->differences[0].kind)];
	struct difference *d = c->differences;
	size_t i;

	snprintf(kind, sizeof(kind), "%s from %.*s%s", what, (int)strcspn(name, "+"), name,
		 from->has_cfi ? "" : " (no CFI)");
	for (i = 0; i < c->differences_cnt && strcmp(d[i].kind, kind) != 0; i++)
		;
	if (i == KINDS_MAX)
		i--;
	if (i == c->differences_cnt) {
		c->differences_cnt++;
		snprintf(d[i].kind, sizeof(d[i].kind), "%s", kind);
		snprintf(d[i].example, sizeof(d[i].example),
			 "pid %d depth %zu from %s: libdw %#" PRIx64 " ours %#" PRIx64
			 " sp %#" PRIx64,
			 (int)s->pid, depth, name, theirs, ours, s->regs[UNWIND_REG_SP]);
	}
	d[i].cnt++;
}

/* Call frame information can lead to what is no code: a stack that others switch to and from (Go's
 * scheduler) ends in leftovers. libdw reports the address, we report that the walk ended there. */
static bool both_left_code(struct comparison *c, struct process *p, size_t i,
			   enum unwind_outcome outcome)
{
	return outcome == UNWIND_NOT_CODE &&
	       !process__mapping(c->processes, p, c->stack.frames[i].pc - 1);
}

/* A caller of ours is its return address - 1, but where a signal came it is the very address. libdw
 * gives the address, and says "activation" of the frames on both sides of a signal. */
static bool is_same(const struct truth_frame *theirs, uint64_t ours)
{
	return ours == theirs->pc - 1 || (theirs->is_activation && ours == theirs->pc);
}

/* Frame 0 is the program counter itself and proves nothing. */
static void compare(struct comparison *c, struct process *p, const struct truth_sample *s,
		    const uint64_t *ours, size_t ours_cnt, enum unwind_outcome outcome)
{
	const struct truth_stack *st = &c->stack;
	bool same = true;
	char what[64];
	size_t i;

	for (i = 1; i < st->cnt && st->frames[i - 1].has_cfi; i++) {
		if (same && i == ours_cnt && both_left_code(c, p, i, outcome)) {
			c->left_code++;
			return;
		}
		c->frames++;
		if (same && i < ours_cnt && is_same(&st->frames[i], ours[i])) {
			c->equal++;
			continue;
		}
		if (same && i < ours_cnt)
			note(c, "another caller", s, i, ours[i]);
		else if (same) {
			snprintf(what, sizeof(what), "ended (%s)", outcome_names[outcome]);
			note(c, what, s, i, 0);
		}
		same = false;
	}
	if (!same || i < st->cnt || !st->ended || !i || !st->frames[i - 1].has_cfi)
		return;
	c->ends++;
	if (ours_cnt == st->cnt && outcome == UNWIND_END) {
		c->ends_equal++;
		return;
	}
	/* A frame too many is a wrong frame. */
	c->frames++;
	snprintf(what, sizeof(what), "outermost frame: %s",
		 ours_cnt > st->cnt ? "went on" : outcome_names[outcome]);
	note(c, what, s, i, ours_cnt > i ? ours[i] : 0);
}

static void add_sample(const struct truth_sample *s, void *ctx)
{
	struct comparison *c = ctx;
	struct process *p = process_table__find(c->processes, s->pid);
	const struct unwind_input in = {
		.pid = s->pid,
		.start_ns = 1,
		.regs = s->regs,
		.stack = s->stack,
		.stack_bytes = s->stack_bytes,
		.below_bytes = s->below_bytes,
	};
	uint64_t ours[TRUTH_FRAMES_MAX], began_ns;
	enum unwind_outcome outcome;
	size_t cnt;

	began_ns = clock__mono_ns();
	cnt = unwind__walk(c->unwind, p, &in, ours, ARRAY_SIZE(ours), &outcome, NULL);
	c->walk_ns += clock__mono_ns() - began_ns;
	began_ns = clock__mono_ns();
	truth_libdw__walk(c->truth, s, &c->stack);
	c->libdw_ns += clock__mono_ns() - began_ns;
	c->samples++;
	c->outcomes[outcome]++;
	compare(c, p, s, ours, cnt, outcome);
}

static void pause_a_moment(void)
{
	const struct timespec ts = { .tv_nsec = random() % PAUSE_NS_MAX };

	nanosleep(&ts, NULL);
}

static int sample_process(struct comparison *c, pid_t pid, uint64_t samples, unsigned int steps)
{
	struct truth_sample *scratch = calloc(1, sizeof(*scratch));
	uint64_t until = c->samples + samples;
	int got = 0, failures = 0;

	c->pid = pid;
	c->truth = truth_libdw__new(pid);
	while (scratch && c->truth && c->samples < until && failures < FAILURES_MAX) {
		pause_a_moment();
		got = truth_target__sample(pid, steps, scratch, add_sample, c);
		if (got < 0)
			break;
		failures += got == 0;
	}
	truth_libdw__free(c->truth);
	free(scratch);
	return c->samples < until ? -ESRCH : 0;
}

static void print_verbose(const struct comparison *c)
{
	for (size_t i = 0; i < c->differences_cnt; i++)
		fprintf(stderr, "%6" PRIu64 "  %s\n        e.g. %s\n", c->differences[i].cnt,
			c->differences[i].kind, c->differences[i].example);
	fprintf(stderr, "our walk %.1f us a sample, libdw %.1f us\n",
		(double)c->walk_ns / 1e3 / (double)(c->samples ?: 1),
		(double)c->libdw_ns / 1e3 / (double)(c->samples ?: 1));
}

static void print_json(const struct comparison *c)
{
	json_t *root = json_object(), *differences = json_object(), *outcomes = json_object();

	for (size_t i = 0; i < c->differences_cnt; i++)
		json_object_set_new(differences, c->differences[i].kind,
				    json_integer((json_int_t)c->differences[i].cnt));
	for (size_t i = 0; i < UNWIND_OUTCOME_CNT; i++)
		if (c->outcomes[i])
			json_object_set_new(outcomes, outcome_names[i],
					    json_integer((json_int_t)c->outcomes[i]));
	json_object_set_new(root, "samples", json_integer((json_int_t)c->samples));
	json_object_set_new(root, "frames", json_integer((json_int_t)c->frames));
	json_object_set_new(root, "equal", json_integer((json_int_t)c->equal));
	json_object_set_new(root, "ends", json_integer((json_int_t)c->ends));
	json_object_set_new(root, "ends_equal", json_integer((json_int_t)c->ends_equal));
	json_object_set_new(root, "left_code", json_integer((json_int_t)c->left_code));
	json_object_set_new(root, "outcomes", outcomes);
	json_object_set_new(root, "differences", differences);
	json_dumpf(root, stdout, 0);
	putchar('\n');
	json_decref(root);
}

static int compare_all(struct comparison *c, char **pids, uint64_t samples, unsigned int steps)
{
	const struct unwind_maps maps = unwind_maps__new(LEAF_PAGES, BLOCK_PAGES);
	_cleanup_(worker__freep) struct worker *worker = worker__new();
	int err = 0;

	c->processes = process_table__new(NULL, 0, false);
	if (!worker || !c->processes || unwind__new(&c->unwind, &maps, c->processes, worker) < 0)
		err = -ENOMEM;
	for (; !err && *pids; pids++) {
		err = sample_process(c, atoi(*pids), samples, steps);
		if (err)
			fprintf(stderr, "ground_truth: pid %s: %s\n", *pids, strerror(-err));
	}
	unwind__free(c->unwind);
	process_table__free(c->processes);
	unwind_maps__close(&maps);
	return err;
}

int main(int argc, char **argv)
{
	struct comparison *c;
	unsigned long samples = 1000, steps = 3;
	bool verbose = false;
	int opt, err;

	if (argc == 3 && !strcmp(argv[1], "--worker"))
		return worker__main(atoi(argv[2]));
	while ((opt = getopt(argc, argv, "vn:s:")) != -1) {
		if (opt == 'n')
			samples = strtoul(optarg, NULL, 10);
		else if (opt == 's')
			steps = strtoul(optarg, NULL, 10);
		else if (opt == 'v')
			verbose = true;
		else
			return 2;
	}
	if (!argv[optind])
		return 2;
	c = calloc(1, sizeof(*c));
	if (!c)
		return 1;
	srandom((unsigned int)clock__mono_ns());
	err = compare_all(c, argv + optind, samples, (unsigned int)steps);
	if (verbose)
		print_verbose(c);
	print_json(c);
	free(c);
	return err ? 1 : 0;
}
