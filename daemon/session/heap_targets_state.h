/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What heap_targets.c (whom), heap_choice.c (where) and heap_tick.c (how much) share. Private to
 * these three.
 */
#ifndef SESSION_HEAP_TARGETS_STATE_H
#define SESSION_HEAP_TARGETS_STATE_H

#include "base/hash.h"
#include "session/heap_budget.h"
#include "session/heap_files.h"
#include "session/heap_probes.h"
#include "session/heap_targets.h"
#include "session/session_state.h"

/* A process of the TARGET. */
struct heap_target {
	pid_t pid, ppid;
	uint64_t start_ticks;
	char comm[PROCESS_COMM_LEN];
	bool is_final;   /* what it holds when it ends is the profile's: a named pid, or COMMAND */
	bool has_usdt;   /* maps what emits otel_memory: probed there and nowhere else */
	bool is_inert;   /* maps what makes our library do nothing */
	bool is_probed;  /* at least one file it maps */
	bool is_checked; /* whether it may be probed at all */
	bool has_lost_leader; /* its first thread has ended, others have not */
	pid_t tracer;         /* 0: nobody */
	bool has_said;        /* why it is not probed */
	const char *refusal;  /* static: why not; NULL: it may */
	int attach_err;       /* of the last file that could not be probed, -errno */
	char attach_file[64];
	uint64_t cpu_start_ns, cpu_ns;
	UT_hash_handle hh;
};

struct heap_targets {
	struct session *s;
	struct kind_run *run;
	struct heap_files *files;
	struct heap_probes *links;
	struct heap_target *processes; /* by pid */
	char *cgroup_path;             /* TARGET_CGROUP; owned; NULL: not known */
	pid_t command_pid;
	bool returns_are_safe; /* under seccomp */
	bool is_detached;
	uint64_t probed_cnt; /* processes, ever */
	uint64_t missed_cnt; /* that had ended when their turn came */
	unsigned int sources;
	unsigned int said_cnt;
	char first_refusal[320]; /* of whoever could not be probed first */
	/* heap_tick.c */
	struct heap_costs costs;
	struct heap_hits hits;
	struct heap_cost_totals totals;
	struct heap_budget budget;
	bool is_on;          /* allocations are selected */
	bool is_sliced;      /* it is on, for the length of a slice */
	double slice_own_ns; /* of the processes, in that slice, so far */
	double slice_cost_ns, slice_planned_ns;
	uint64_t start_ns, read_ns, next_measure_ns, next_look_ns;
	uint64_t newcomers_ns; /* when processes that came meanwhile are looked for */
	uint64_t read_took_ns; /* the processes' clocks, the last time */
	uint64_t cpu_gone_ns;  /* of processes that ended */
	pid_t size_cursor;     /* the process whose RSS was read last */
	int next_point;
	uint64_t next_point_ns;
};

/* heap_targets.c */
struct heap_target *heap_targets__find(const struct heap_targets *t, pid_t pid);

/* heap_choice.c: probes what the process maps, or what it has just mapped. 0 or -ENOMEM. */
int heap_choice__process(struct heap_targets *t, struct heap_target *target, struct process *p);
int heap_choice__mapping(struct heap_targets *t, struct heap_target *target, struct process *p,
			 const struct mapping *m);
/* COMMAND before its exec: what it will surely map. */
int heap_choice__command(struct heap_targets *t, struct heap_target *target, struct process *p);
/* After an exec nothing is known of the image any more. */
void heap_choice__forget_image(struct heap_target *target);
/* Whether it is so new that it may still map what it lacks: only its loader is there. */
bool heap_choice__is_loading(struct heap_targets *t, const struct heap_target *target,
			     struct process *p);
/* Why the process is not probed, to follow "cannot be probed: ". */
void heap_choice__reason(struct heap_targets *t, const struct heap_target *target,
			 struct process *p, char *ret, size_t size);

/* heap_tick.c */
void heap_tick__start(struct heap_targets *t);
/* A process is followed from here on, or no more; CPU time and RSS. 0 or -ENOMEM. */
int heap_tick__enter(struct heap_targets *t, struct heap_target *target, bool is_new);
void heap_tick__leave(struct heap_targets *t, struct heap_target *target);
/* The end of the window: takes the probes out. */
void heap_tick__finish(struct heap_targets *t);

#endif
