/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a probe_<kind>.c implements; private to collect/. One instance of its state per collector.
 */
#ifndef COLLECT_PROBE_OPS_H
#define COLLECT_PROBE_OPS_H

#include <stdbool.h>
#include "collect/collect.h"

struct cprofd_bpf;

/* How a record counts. */
enum record_account {
	RECORD_COUNTED = 0, /* as 'consumed' of its probe */
	RECORD_STACK = 1,   /* as 'stacks_consumed' */
	RECORD_PRIVATE = 2, /* not at all */
};

struct probe_record {
	enum event_kind kind;
	enum record_account account;
};

#define PROBE_RECORDS_MAX 4

/* decode() kept the record for itself: nothing to hand up. */
#define DECODE_KEPT 1

struct probe_ops {
	enum event_kind counted_kind; /* of its counters */
	enum event_kind stacks_kind; /* of those of its stacks, where they have their own; else 0 */
	struct probe_record records[PROBE_RECORDS_MAX];
	size_t records_cnt;
	/* Before loading; also called for kinds that were not asked for, whose programs and maps
	 * are to be left out. -ENOSYS: this kernel cannot do it, and why has been logged. */
	int (*configure)(struct cprofd_bpf *skel, const struct collector_config *config,
			 bool is_wanted);
	/* 'ret_state' is given to the calls below. */
	int (*attach)(struct cprofd_bpf *skel, const struct collector_config *config,
		      void **ret_state);
	void (*detach)(void *state);          /* stops; what was counted can still be read */
	void (*free)(void *state);            /* NULL is fine */
	int (*add_cpu)(void *state, int cpu); /* NULL: it has nothing per CPU; as the next */
	void (*remove_cpu)(void *state, int cpu);
	/* What its programs count elsewhere than in map event_counters; NULL: nothing. 0 or -errno.
	 */
	int (*counters)(void *state, struct event_counters *ret);
	/* Fills *ret from a record of this kind: 0, DECODE_KEPT, or -EBADMSG if it contradicts
	 * itself. */
	int (*decode)(void *state, const void *record, size_t size, struct sample *ret);
};

/* The state of an attached probe of this collector, or NULL. */
void *collector__probe_state(const struct collector *c, const struct probe *probe);

/* Counters of a kind in map event_counters, of all CPUs. 0 or -errno. */
int event_counters__sum(const struct cprofd_bpf *skel, enum event_kind kind,
			struct event_counters *ret);

/* Fills *ret (but for .probe) from a record of a stack, walked or cold. 0 or -EBADMSG. */
int stack_record__decode(const void *record, size_t size, bool is_cold, struct sample *ret);

extern const struct probe probe_cpu;
extern const struct probe probe_sched;
extern const struct probe probe_heap;

#endif
