/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a hit costs: our programs on functions of our own, in this process only, with the mark that
 * keeps them from selecting anything.
 */
#include <errno.h>
#include <math.h>
#include <unistd.h>
#include <bpf/libbpf.h>
#include "base/array.h"
#include "base/clock.h"
#include "collect/heap_own.h"
#include "collect/heap_state.h"
#include "collect/probe_ops.h"

#define BATCHES         60 /* less than 2 ms; fewer may all lie in a bad moment */
#define BATCHES_MORE    3
#define BATCHES_STEPPED 5
#define BATCH_CALLS     30

#define REG_RDI 5 /* DWARF */

static uint64_t cookie_of(enum heap_call call)
{
	bool is_free = call == HEAP_CALL_FREE;

	return HEAP_COOKIE_CALIBRATION | (uint64_t)call << HEAP_COOKIE_CALL_SHIFT |
	       (uint64_t)(is_free ? HEAP_NO_REG : REG_RDI) << HEAP_COOKIE_SIZE_SHIFT |
	       (uint64_t)HEAP_NO_REG << HEAP_COOKIE_COUNT_SHIFT |
	       (uint64_t)(is_free ? REG_RDI : HEAP_NO_REG) << HEAP_COOKIE_PTR_SHIFT |
	       (uint64_t)HEAP_NO_REG << HEAP_COOKIE_OUT_SHIFT;
}

static int attach_own(struct heap_state *s, int file_fd, enum heap_link_how how,
		      const struct bpf_program *program, const struct heap_link_site *sites,
		      size_t cnt)
{
	const struct heap_link_request request = {
		.how = how,
		.prog_fd = bpf_program__fd(program),
		.file_fd = file_fd,
		.pid = getpid(),
		.sites = sites,
		.sites_cnt = cnt,
	};

	return heap_links__add(&s->own_links, &s->linker, &request);
}

static int attach_all(struct heap_state *s, int file_fd)
{
	const struct heap_link_site allocs[] = {
		{ .offset = (uint64_t)heap_own__offset((uintptr_t)heap_own_alloc),
		  .cookie = cookie_of(HEAP_CALL_ALLOC) },
	};
	const struct heap_link_site frees[] = {
		{ .offset = (uint64_t)heap_own__offset((uintptr_t)heap_own_free),
		  .cookie = cookie_of(HEAP_CALL_FREE) },
		{ .offset = (uint64_t)heap_own__offset((uintptr_t)heap_own_stepped),
		  .cookie = cookie_of(HEAP_CALL_FREE) },
	};
	int err;

	err = attach_own(s, file_fd, HEAP_LINK_ENTRY, s->skel->progs.heap_enter, frees,
			 ARRAY_SIZE(frees));
	if (err)
		return err;
	if (s->has_session)
		return attach_own(s, file_fd, HEAP_LINK_SESSION, s->skel->progs.heap_session,
				  allocs, ARRAY_SIZE(allocs));
	err = attach_own(s, file_fd, HEAP_LINK_RETURN, s->skel->progs.heap_return, allocs,
			 ARRAY_SIZE(allocs));
	if (err)
		return err;
	return attach_own(s, file_fd, HEAP_LINK_ENTRY, s->skel->progs.heap_enter, allocs,
			  ARRAY_SIZE(allocs));
}

/* The best of several batches: whatever disturbs only adds. */
static double measure(void (*call)(const void *), int batches)
{
	uint64_t best_ns = UINT64_MAX, start_ns, spent_ns;
	static const char nothing[1];

	for (int i = 0; i < batches; i++) {
		start_ns = clock__mono_ns();
		for (int k = 0; k < BATCH_CALLS; k++)
			call(nothing);
		spent_ns = clock__mono_ns() - start_ns;
		if (spent_ns < best_ns)
			best_ns = spent_ns;
	}
	return (double)best_ns / BATCH_CALLS;
}

static void call_alloc(const void *unused)
{
	heap_own_alloc(64);
}

void heap_state__refine_costs(struct heap_state *s)
{
	s->costs.alloc_ns = fmin(s->costs.alloc_ns, measure(call_alloc, BATCHES_MORE));
	s->costs.free_ns = fmin(s->costs.free_ns, measure(heap_own_free, BATCHES_MORE));
}

int heap_state__calibrate(struct heap_state *s)
{
	_cleanup_close_ int file_fd = heap_own__open();
	struct event_counters hits;
	int err;

	if (file_fd < 0)
		return file_fd;
	err = attach_all(s, file_fd);
	if (err)
		return err;
	s->costs.alloc_ns = measure(call_alloc, BATCHES);
	s->costs.free_ns = measure(heap_own_free, BATCHES);
	s->costs.stepped_ns = measure(heap_own_stepped, BATCHES_STEPPED) - s->costs.free_ns;
	if (s->costs.stepped_ns < 0)
		s->costs.stepped_ns = 0;
	err = event_counters__sum(s->skel, EVENT_HEAP_CALIBRATION, &hits);
	if (err)
		return err;
	/* Not one hit: probes are accepted here and do nothing. */
	return hits.value[COUNTER_FIRED] ? 0 : -EOPNOTSUPP;
}
