/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The small report of a heap that the tests of export/heap_*.c encode: its sums hold what
 * profile/heap_report.h promises, and some names in it are hostile. Golden files hold what must
 * come of it.
 */
#ifndef TESTS_UNIT_FIXED_HEAP_REPORT_H
#define TESTS_UNIT_FIXED_HEAP_REPORT_H

#include <math.h>
#include "fixed_profile.h"
#include "profile/heap_report.h"

#define KIB 1024.0
#define MIB (1024.0 * KIB)

static inline char *copy_text(const char *s)
{
	char *copy = strdup(s);

	assert_non_null(copy);
	return copy;
}

static inline void add_amount(struct heap_amount *to, const struct heap_amount *from)
{
	to->objects += from->objects;
	to->bytes += from->bytes;
	to->error_bytes =
		sqrt(to->error_bytes * to->error_bytes + from->error_bytes * from->error_bytes);
	to->samples += from->samples;
}

/* A site that has what it has since 'age', and had 'was' of it at the moments before. */
static inline struct heap_report_site *add_site(struct heap_report *r, const char *function,
						const char *module, struct heap_amount alloc,
						struct heap_amount inuse, size_t age,
						const double was[HEAP_POINTS - 1])
{
	struct heap_report_site *s;
	size_t i;

	assert_int_equal(array__reserve(r->sites, r->sites_cap, r->sites_cnt + 1), 0);
	s = &r->sites[r->sites_cnt++];
	*s = (struct heap_report_site){ .function = copy_text(function),
					.file = copy_text(*module ? "/src/a.c" : ""),
					.module = copy_text(module),
					.alloc = alloc,
					.inuse = inuse };
	s->age_bytes[age] = inuse.bytes;
	r->age_bytes[age] += inuse.bytes;
	for (i = 0; i < HEAP_POINTS - 1; i++)
		s->inuse_bytes[i] = was[i] * inuse.bytes;
	s->inuse_bytes[i] = inuse.bytes;
	add_amount(&r->alloc, &alloc);
	add_amount(&r->inuse, &inuse);
	return s;
}

/* The innermost first, up to a NULL; valid until the next site is added. */
static inline void set_callers(struct heap_report_site *s, const char *const *names)
{
	s->callers = calloc(HEAP_CALLERS_MAX, sizeof(*s->callers));
	assert_non_null(s->callers);
	for (; names[s->callers_cnt]; s->callers_cnt++)
		s->callers[s->callers_cnt] = copy_text(names[s->callers_cnt]);
}

static inline struct heap_report_process *add_process(struct heap_report *r, pid_t pid,
						      const char *comm, uint64_t rss_bytes)
{
	struct heap_report_process *p;

	assert_int_equal(array__reserve(r->processes, r->processes_cap, r->processes_cnt + 1), 0);
	p = &r->processes[r->processes_cnt++];
	*p = (struct heap_report_process){ .pid = pid,
					   .comm = copy_text(comm),
					   .rss_bytes = rss_bytes,
					   .rss_start_bytes = rss_bytes / 2 };
	return p;
}

static inline struct heap_amount amount(double objects, double bytes, double error_bytes,
					uint64_t samples)
{
	return (struct heap_amount){
		.objects = objects, .bytes = bytes, .error_bytes = error_bytes, .samples = samples
	};
}

static inline void add_fixed_sites(struct heap_report *r)
{
	static const double growing[] = { 0.25, 0.5, 0.75 }, constant[] = { 1, 1, 1 };
	static const char *const index_callers[] = { "load", "main", NULL };
	static const char *const vector_callers[] = {
		"std::vector<int, std::allocator<int> >::push_back", "[libssl.so.3]",
		"collect_everything_there_is", "main", NULL
	};
	static const char *const hostile_callers[] = { HOSTILE_NAME, "", NULL };
	struct heap_report_site *s;

	s = add_site(r, "build_index", "server", amount(120000, 96 * MIB, 13.6 * MIB, 192),
		     amount(118000, 94.5 * MIB, 13.5 * MIB, 189), 1, growing);
	s->has_grown = true;
	set_callers(s, index_callers);
	s = add_site(r, "std::vector<int, std::allocator<int> >::_M_realloc_insert", "server",
		     amount(64, 64 * MIB, 0, 64), amount(2, 2 * MIB, 0, 2), 2, constant);
	set_callers(s, vector_callers);
	add_site(r, "parse_request", "server", amount(9437184, 1152 * MIB, 47 * MIB, 2304),
		 amount(4096, 512 * KIB, 1 * MIB, 1), 0, constant);
	add_site(r, "[libssl.so.3]", "libssl.so.3", amount(1024, 1 * MIB, 1.39 * MIB, 2),
		 amount(1024, 1 * MIB, 1.39 * MIB, 2), 4, growing);
	s = add_site(r, HOSTILE_NAME, "a module \x1b[31m", amount(1.4, 1600.4, 2e3, 1),
		     amount(0, 0, 0, 0), 0, constant);
	set_callers(s, hostile_callers);
	add_site(r, "[ring_full]", "", amount(4096, 512 * KIB, 1 * MIB, 1), amount(0, 0, 0, 0), 0,
		 constant);
}

static inline struct heap_report *fixed_heap_report(void)
{
	struct heap_report *r = calloc(1, sizeof(*r));
	struct heap_report_process *p;
	size_t i;

	assert_non_null(r);
	r->time_ns = 1795244400LL * 1000000000;
	r->duration_ns = 10000000000LL;
	r->interval_bytes = 512 << 10;
	r->sources = HEAP_SOURCE_UPROBE;
	r->is_live = true;
	r->is_partial = true;
	r->live_full = 1234;
	for (i = 0; i < HEAP_POINTS; i++)
		r->points_ns[i] = (i + 1) * 2500000000ULL;
	add_fixed_sites(r);
	p = add_process(r, 4711, "server", 210 << 20);
	p->alloc = r->alloc;
	p->inuse = r->inuse;
	p = add_process(r, 4712, "e \x1b[1m\"\\\n\xff", 0);
	r->cost = (struct heap_report_cost){ .alloc_hits = 9562345,
					     .free_hits = 9438123,
					     .ns_per_hit = 742.4,
					     .cpu_percent = 12.34,
					     .on_percent = 100 };
	heap_report__finish(r);
	return r;
}

/* Takes the report. */
static inline struct profile *fixed_heap_profile(struct heap_report *r)
{
	struct profile *p = fixed_profile();

	p->heap = r;
	return p;
}

static inline struct profile *fixed_heap(void)
{
	return fixed_heap_profile(fixed_heap_report());
}

#endif
