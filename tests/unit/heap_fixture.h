/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A collector that probes the allocator of heap_fake.h in this very process, and what every run of
 * it must fulfil.
 */
#ifndef TESTS_UNIT_HEAP_FIXTURE_H
#define TESTS_UNIT_HEAP_FIXTURE_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include "base/array.h"
#include "collect/collect.h"
#include "collect/heap.h"
#include "collect/heap_own.h"
#include "collect/probe_ops.h"
#include "heap_fake.h"

#define FIXTURE_SAMPLES 65536

struct fixture {
	struct collector *collector;
	struct heap_attachment *attachment;
	struct sample *samples; /* SAMPLE_ALLOC */
	size_t samples_cnt, stacks_cnt;
	uint64_t stack_ids[FIXTURE_SAMPLES];
	uint64_t return_addresses[FIXTURE_SAMPLES]; /* of stacks that came as copies */
};

static inline uint64_t offset_of(const void *function)
{
	return (uint64_t)heap_own__offset((uintptr_t)function);
}

static inline struct heap_site site_of(const void *at, enum heap_call call)
{
	return (struct heap_site){
		.offset = offset_of(at),
		.call = (uint8_t)call,
		.size_reg = HEAP_NO_REG,
		.count_reg = HEAP_NO_REG,
		.ptr_reg = HEAP_NO_REG,
		.out_reg = HEAP_NO_REG,
	};
}

/* 'target': whom the filter lets in; NULL: everybody. */
static inline int fixture__new_for(struct fixture *f, uint64_t interval, bool is_live,
				   const struct collector_target *target)
{
	static const struct probe *const probe[] = { &probe_heap };
	static const int cpus[] = { 0 };
	const struct collector_config config = {
		.probes = probe,
		.probes_cnt = 1,
		.freq_hz = 99,
		.cpus = cpus,
		.cpus_cnt = 1,
		.filter_mode = target ? FILTER_TGIDS : FILTER_NONE,
		.targets = target,
		.targets_cnt = target != NULL,
		.unwind_leaf_pages = 1,
		.unwind_block_pages = 1,
		.cgroup_fd = -1,
		.heap_interval_bytes = interval,
		.heap_is_live = is_live,
	};
	int err;

	*f = (struct fixture){ .samples = calloc(FIXTURE_SAMPLES, sizeof(struct sample)) };
	err = collector__new(&f->collector, &config);
	return err ?: collector__attach(f->collector);
}

static inline int fixture__new(struct fixture *f, uint64_t interval, bool is_live)
{
	return fixture__new_for(f, interval, is_live, NULL);
}

static inline int fixture__probe(struct fixture *f, const struct heap_site *sites, size_t cnt,
				 pid_t pid)
{
	const struct heap_range range = {
		.start = offset_of(fake_outer),
		.end = offset_of(fake_outer_end),
	};
	int fd = heap_own__open(), err;
	const struct heap_file file = {
		.fd = fd,
		.sites = sites,
		.sites_cnt = cnt,
		.ranges = &range,
		.ranges_cnt = 1,
	};

	err = collector__heap_attach(f->collector, &file, pid, &f->attachment);
	close(fd);
	return err;
}

static inline int keep_sample(const struct sample *s, void *ctx)
{
	struct fixture *f = ctx;

	if (s->kind == SAMPLE_STACK && f->stacks_cnt < FIXTURE_SAMPLES) {
		if (s->stack_bytes >= sizeof(uint64_t))
			memcpy(&f->return_addresses[f->stacks_cnt], s->stack, sizeof(uint64_t));
		f->stack_ids[f->stacks_cnt++] = s->stack_id;
	}
	if (s->kind == SAMPLE_ALLOC && f->samples_cnt < FIXTURE_SAMPLES)
		f->samples[f->samples_cnt++] = *s;
	return 0;
}

static inline int fixture__drain(struct fixture *f)
{
	return collector__drain(f->collector, keep_sample, f);
}

static inline void fixture__done(struct fixture *f)
{
	heap_attachment__free(f->attachment);
	collector__free(f->collector);
	free(f->samples);
}

/* fired less what hits have ended in: 0 once the probes are off. */
static inline int64_t imbalance(const struct event_counters *c)
{
	static const enum event_counter ends[] = {
		COUNTER_FILTERED,
		COUNTER_NESTED,
		COUNTER_FAILED,
		COUNTER_UNFINISHED,
		COUNTER_UNSAMPLED,
		COUNTER_SUBMITTED,
		COUNTER_DROPPED_RING_FULL,
		COUNTER_DROPPED_SCRATCH_BUSY,
		COUNTER_DROPPED_NO_RETURN,
	};
	int64_t left = (int64_t)c->value[COUNTER_FIRED];

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		left -= (int64_t)c->value[ends[i]];
	return left;
}

#endif
