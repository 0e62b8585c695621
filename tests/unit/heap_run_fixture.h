/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of session/heap_run.c and heap_reporter.c feed: records as the pipeline delivers
 * them, and a live set of the test's own in place of a collector's.
 */
#ifndef TESTS_UNIT_HEAP_RUN_FIXTURE_H
#define TESTS_UNIT_HEAP_RUN_FIXTURE_H

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/array.h"
#include "base/clock.h"
#include "export/export.h"
#include "profile/heap_report.h"
#include "session/frames.h"
#include "session/heap_run.h"

enum { ALLOC_OBJECTS, ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE };

#define THREAD_START_NS 777
#define PID             40

/* --- a collector of the test's own --------------------------------------------------------------
 */

struct collector {
	struct heap_live entries[64];
	size_t cnt;
	unsigned int walks;
	int err; /* after the first entry */
};

int collector__heap_live(struct collector *c,
			 int (*fn)(const struct heap_key *key, const struct heap_live *live,
				   void *ctx),
			 void *ctx)
{
	struct heap_key key = { .address_space = 1 };
	size_t i;
	int err;

	c->walks++;
	for (i = 0; i < c->cnt; i++) {
		key.pointer = i;
		err = fn(&key, &c->entries[i], ctx) ?: c->err;
		if (err)
			return err;
	}
	return 0;
}

int64_t collector__heap_purge(struct collector *c,
			      bool (*fn)(const struct heap_key *key, const struct heap_live *live,
					 void *ctx),
			      void *ctx)
{
	struct heap_key key = { .address_space = 1 };
	size_t i, kept = 0, cnt = c->cnt;

	if (c->err)
		return c->err;
	for (i = 0; i < cnt; i++)
		if (!fn(&key, &c->entries[i], ctx))
			c->entries[kept++] = c->entries[i];
	c->cnt = kept;
	return (int64_t)(cnt - kept);
}

/* --- fixture ------------------------------------------------------------------------------------
 */

struct fixture {
	struct options opts;
	struct kind_run run;
	struct collector collector;
	struct heap_cost_totals cost;
	struct heap_finish finish;
	struct label_keys keys;
	struct label_set labels; /* of all stacks */
	uint64_t now_ns, last_id;
};

static inline void start(struct fixture *f, uint64_t interval_bytes, bool is_live)
{
	static const char *const types[] = { "alloc_objects", "alloc_space", "inuse_objects",
					     "inuse_space" };
	const struct label_values labels = {
		.pid = PID, .tid = 41, .comm = "server", .thread = "worker"
	};
	size_t i;

	f->run.profile = profile__new();
	f->run.heap = heap_run__new(interval_bytes, is_live);
	f->run.account.kind = ACCOUNT_ALLOCS;
	for (i = 0; i < ARRAY_SIZE(types); i++)
		profile__add_sample_type(f->run.profile, types[i], i % 2 ? "bytes" : "count");
	profile__string(f->run.profile, "inuse_space", &f->run.profile->default_sample_type);
	f->run.profile->time_ns = (int64_t)clock__real_ns();
	f->run.profile->duration_ns = 4 * (int64_t)NSEC_PER_SEC;
	label_keys__intern(&f->keys, f->run.profile);
	label_set__make(&f->labels, &f->keys, f->run.profile, LABELS_DEFAULT, &labels);
	heap_run__use_collector(f->run.heap, &f->collector);
}

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->opts.target = TARGET_PIDS;
	f->opts.labels = LABELS_DEFAULT;
	f->now_ns = clock__mono_ns() - 5 * NSEC_PER_SEC;
	f->finish = (struct heap_finish){
		.opts = &f->opts,
		.cost = &f->cost,
		.sources = HEAP_SOURCE_UPROBE,
		.real_less_mono_ns = (int64_t)(clock__real_ns() - clock__mono_ns()),
	};
	start(f, 1, true);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	heap_run__free(f->run.heap);
	profile__free(f->run.profile);
	free(f);
	return 0;
}

static inline void restart(struct fixture *f, uint64_t interval_bytes, bool is_live)
{
	heap_run__free(f->run.heap);
	profile__free(f->run.profile);
	start(f, interval_bytes, is_live);
}

static inline struct sample sample_of(const struct fixture *f, pid_t pid, uint64_t stack_id)
{
	return (struct sample){
		.stack_id = stack_id,
		.time_ns = f->now_ns,
		.pid = pid,
		.tid = pid + 1,
		.thread_start_ns = THREAD_START_NS,
		.comm = "worker",
		.leader_comm = "server",
	};
}

/* main → function → malloc, taken for the allocation to come. */
static inline void take_stack(struct fixture *f, pid_t pid, uint64_t stack_id, const char *function)
{
	struct sample s = sample_of(f, pid, stack_id);
	const char *const names[] = { "malloc", function, "main" };
	uint32_t stack[ARRAY_SIZE(names)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(profile__synthetic(f->run.profile, names[i], &stack[i]), 0);
	assert_int_equal(heap_run__stack(f->run.heap, &s, stack, ARRAY_SIZE(stack), &f->labels), 0);
}

/* The record of an allocation; what has an id is in the live set, too. */
static inline void deliver(struct fixture *f, pid_t pid, struct sample_alloc alloc,
			   uint64_t stack_id)
{
	struct sample s = sample_of(f, pid, stack_id);

	s.kind = SAMPLE_ALLOC;
	s.alloc = alloc;
	assert_int_equal(heap_run__alloc(f->run.heap, &s), 0);
	f->run.account.aggregated++;
}

static inline void keep_live(struct fixture *f, pid_t pid, struct sample_alloc alloc,
			     uint64_t stack_id)
{
	assert_in_range(f->collector.cnt, 0, ARRAY_SIZE(f->collector.entries) - 1);
	f->collector.entries[f->collector.cnt++] = (struct heap_live){
		.stack_id = stack_id,
		.bytes = alloc.bytes,
		.weighted_bytes = alloc.weighted_bytes,
		.time_ns = f->now_ns,
		.tgid = (uint32_t)pid,
		.q = alloc.q,
	};
}

static inline struct sample_alloc alloc_of(uint64_t bytes, bool is_live)
{
	return (struct sample_alloc){ .bytes = bytes, .q = UINT32_MAX, .is_live = is_live };
}

/* malloc() of 'function', kept or freed at once. */
static inline void allocate(struct fixture *f, const char *function, uint64_t bytes, bool is_kept)
{
	uint64_t id = ++f->last_id;

	take_stack(f, PID, id, function);
	deliver(f, PID, alloc_of(bytes, true), id);
	if (is_kept)
		keep_live(f, PID, alloc_of(bytes, true), id);
}

static inline void look(struct fixture *f, int point)
{
	assert_int_equal(heap_run__look(f->run.heap, &f->collector, point), 0);
}

static inline void finish(struct fixture *f)
{
	assert_int_equal(heap_run__finish(f->run.heap, &f->run, &f->finish), 0);
	assert_int_equal(f->run.account.profiled,
			 f->run.account.aggregated + accounting__dropped_total(&f->run.account));
}

static inline int64_t value_of(const struct fixture *f, const char *leaf, size_t value)
{
	const struct profile *p = f->run.profile;
	int64_t sum = 0;
	size_t i;

	for (i = 0; i < p->samples_cnt; i++) {
		const struct profile_sample *s = &p->samples[i];
		const struct profile_location *l =
			&p->locations[s->locations[s->locations_cnt > 2] - 1];

		if (!strcmp(profile__str(p, p->functions[l->lines[0].function - 1].name), leaf))
			sum += s->values[value];
	}
	return sum;
}

static const struct heap_report_site *site_of(const struct fixture *f, const char *function)
{
	const struct heap_report *r = f->run.profile->heap;
	size_t i;

	for (i = 0; i < r->sites_cnt; i++)
		if (!strcmp(r->sites[i].function, function))
			return &r->sites[i];
	fail_msg("no site %s", function);
	return NULL;
}

static inline bool has_comment(const struct fixture *f, const char *start_of_it)
{
	const struct profile *p = f->run.profile;
	size_t i;

	for (i = 0; i < p->comments_cnt; i++)
		if (!strncmp(profile__str(p, p->comments[i]), start_of_it, strlen(start_of_it)))
			return true;
	return false;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
