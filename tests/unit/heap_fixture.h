/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An allocator in assembly that returns what it is told to, to be probed in this very process, and
 * a collector that does so.
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

#define DWARF_RDX 1
#define DWARF_RCX 2
#define DWARF_RSI 4
#define DWARF_RDI 5

#define FIXTURE_SAMPLES 65536

void *fake_malloc(size_t size, void *result);
void *fake_calloc(size_t cnt, size_t size, void *result);
void *fake_realloc(void *old, size_t size, void *result);
void *fake_memalign(size_t align, size_t size, void *result);
int fake_posix_memalign(void **out, size_t align, size_t size, void *result, int error);
void fake_free(void *ptr);
void *fake_outer(size_t size, void *result); /* calls fake_malloc */
void *fake_moved(size_t size, void *result); /* copies its argument to r12 first; stepped */
void fake_told(void *ptr, size_t size, size_t weighted);
extern const char fake_told_site[], fake_outer_end[], fake_moved_site[];

#define FAKE(name, body)                                                                           \
	".balign 16\n.globl " name "\n.hidden " name "\n.type " name ", @function\n" name ":\n" body

asm(".pushsection .text\n" FAKE("fake_malloc", "push %rbp\n pop %rbp\n mov %rsi, %rax\n ret\n")
	    FAKE("fake_calloc", "push %rbp\n pop %rbp\n mov %rdx, %rax\n ret\n") FAKE(
		    "fake_realloc", "push %rbp\n pop %rbp\n mov %rdx, %rax\n ret\n")
		    FAKE("fake_memalign", "push %rbp\n pop %rbp\n mov %rdx, %rax\n ret\n") FAKE(
			    "fake_posix_memalign",
			    "push %rbp\n pop %rbp\n mov %rcx, (%rdi)\n mov %r8d, %eax\n ret\n")
			    FAKE("fake_free", "push %rbp\n pop %rbp\n ret\n") FAKE(
				    "fake_outer", "push %rbp\n call fake_malloc\n pop %rbp\n ret\n")
				    FAKE("fake_outer_end",
					 "nop\n") FAKE("fake_moved",
						       "mov %rdi, %r10\n xor %edi, %edi\n")
					    FAKE("fake_moved_site", "mov %rsi, %rax\n ret\n") FAKE(
						    "fake_told", "push %rbp\n mov %rdx, %rcx\n")
						    FAKE("fake_told_site",
							 "nop\n pop %rbp\n ret\n") ".popsection\n");

struct fixture {
	struct collector *collector;
	struct heap_attachment *attachment;
	struct sample *samples; /* SAMPLE_ALLOC */
	size_t samples_cnt, stacks_cnt;
	uint64_t stack_ids[FIXTURE_SAMPLES];
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

static inline int fixture__new(struct fixture *f, uint64_t interval, bool is_live)
{
	static const struct probe *const probe[] = { &probe_heap };
	static const int cpus[] = { 0 };
	const struct collector_config config = {
		.probes = probe,
		.probes_cnt = 1,
		.freq_hz = 99,
		.cpus = cpus,
		.cpus_cnt = 1,
		.filter_mode = FILTER_NONE,
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

	if (s->kind == SAMPLE_STACK && f->stacks_cnt < FIXTURE_SAMPLES)
		f->stack_ids[f->stacks_cnt++] = s->stack_id;
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
