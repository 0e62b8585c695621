/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a probe_<kind>.c implements; private to collect/. One instance of its state per collector.
 */
#ifndef COLLECT_PROBE_OPS_H
#define COLLECT_PROBE_OPS_H

#include <stdbool.h>
#include "collect/collect.h"

struct cprofd_bpf;

struct probe_ops {
	enum event_kind event_kind;      /* of its counters and its records */
	enum event_kind cold_event_kind; /* of those that carry a copy of the stack */
	/* Switches the kind's programs on, before loading. */
	void (*configure)(struct cprofd_bpf *skel, const struct collector_config *config);
	/* 'ret_state' is given to the calls below; owns what is attached. */
	int (*attach)(struct cprofd_bpf *skel, const struct collector_config *config,
		      void **ret_state);
	void (*detach)(void *state); /* and frees it */
	int (*add_cpu)(void *state, int cpu);
	void (*remove_cpu)(void *state, int cpu);
	/* Fills *ret from a record of this kind: 0, or -EBADMSG if it contradicts itself. */
	int (*decode)(const void *record, size_t size, struct sample *ret);
};

extern const struct probe probe_cpu;

#endif
