/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel side, seen from user space: loads the BPF object, attaches its programs on every CPU,
 * drains the ring and decodes what comes out. Lifecycle: new (open, configure, load) → attach →
 * drain … → detach → drain → free. Hands samples up by callback; knows neither processes nor
 * profiles. Not thread-safe.
 */
#ifndef COLLECT_COLLECT_H
#define COLLECT_COLLECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "abi/settings.h"
#include "base/cleanup.h"
#include "collect/sample.h"

struct collector;

/* A thread group for FILTER_TGIDS. */
struct collector_target {
	pid_t pid;
	uint64_t start_ticks; /* /proc/PID/stat field 22, so that a reused pid does not match; 0:
				 any */
};

struct collector_config {
	const struct probe *const *probes;
	size_t probes_cnt;
	unsigned int freq_hz;
	const int *cpus; /* online ones */
	size_t cpus_cnt;
	enum filter_mode filter_mode;
	const struct collector_target *targets; /* FILTER_TGIDS */
	size_t targets_cnt;
	const char *comm; /* FILTER_COMM */
	int cgroup_fd;    /* FILTER_CGROUP: an open cgroup v2 directory */
	uint32_t unwind_leaf_pages, unwind_block_pages;
	enum sched_by sched_by; /* sched: what histograms are grouped by */
	uint32_t sched_worst;   /* sched: how many of the longest waits are kept */
	pid_t follow_pid;       /* FILTER_TGIDS: let in at its exec, with its children; 0: nobody */
	uint64_t heap_interval_bytes; /* heap: mean distance of samples; 1: every allocation */
	bool heap_is_live;            /* heap: frees are followed, too */
};

/* Returns 0 or -errno: -EPERM, -EACCES: a privilege is missing; others: what this kernel said. */
int collector__new(struct collector **ret, const struct collector_config *config);
void collector__free(struct collector *c);
DEFINE_CLEANUP(struct collector *, collector__free);

/* Maps of the unwind tables, for unwind/ to fill; descriptors are borrowed. */
struct collector_unwind_maps {
	int leaf, block, files, rules, slots, control, processes;
};
void collector__unwind_maps(const struct collector *c, struct collector_unwind_maps *ret);

/* Starts all probes on all CPUs of the configuration. Returns 0 or -errno. */
int collector__attach(struct collector *c);

/* Stops one probe everywhere; none of its programs runs any more when this returns. */
void collector__detach(struct collector *c, const struct probe *probe);

/* CPUs that came or went. Adding to a CPU that has no probe running on it is not an error. */
int collector__add_cpu(struct collector *c, int cpu);
void collector__remove_cpu(struct collector *c, int cpu);

/* Takes a process that exited at that time (CLOCK_MONOTONIC) out of FILTER_TGIDS, unless the pid
 * has been let in again since. */
void collector__forget_pid(struct collector *c, pid_t pid, uint64_t exited_ns);

/* 0, or the first non-zero value of the callback, after which drain stops. */
typedef int (*collector_sample_fn)(const struct sample *s, void *ctx);

/* Readable when the ring fills faster than it is drained now and then; until the next drain.
 * Borrowed. */
int collector__wake_fd(const struct collector *c);

/* Hands up everything now in the ring, but does not go on for ever where more comes as fast.
 * Records that break abi/event.h are counted. */
int collector__drain(struct collector *c, collector_sample_fn fn, void *ctx);

/* Of a kind that counts waits, 'kernel' and 'consumed' are about switch-ins and the records of
 * sampled waits; its stacks have counters of their own. */
struct probe_counters {
	struct event_counters kernel; /* summed over all CPUs */
	uint64_t consumed;            /* records taken from the ring */
	uint64_t bad_records;         /* of them: contradict abi/event.h, not handed up */
	struct event_counters stacks;
	uint64_t stacks_consumed, stacks_bad_records;
};
int collector__counters(struct collector *c, const struct probe *probe, struct probe_counters *ret);

/* Children of COMMAND that did not fit the filter and are missing from its profile. */
uint64_t collector__follow_failed(const struct collector *c);

#endif
