/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that know to the byte what each of their functions allocates and keeps, and the protocol
 * with the tests: "ready", work after a line on standard input, "truth JSON" and "done"; the end
 * after another line or the end of the input. Functions to be counted have names that begin with
 * alloc_; nothing here allocates. With HEAP_TRUTH_WAIT in the environment work begins a second
 * after somebody has put a probe into malloc(). Included once by each program.
 */
#ifndef HEAP_TRUTH_H
#define HEAP_TRUTH_H

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include "workload.h"

#define TRUTH_FUNCTIONS_MAX 48
#define TRUTH_SIZES_MAX     48
#define TRUTH_CODE_BYTES    64 /* of a function */
#define TRUTH_WARM_BYTES    (16u << 20)
#define TRUTH_WARM_US       300000
#define NO_SUCH_SIZE        ((size_t)1 << 62) /* no allocator has that much */

struct truth_size {
	size_t bytes;
	unsigned long allocated, freed;
};

struct truth_function {
	const char *name;
	struct truth_size sizes[TRUTH_SIZES_MAX];
	size_t sizes_cnt;
};

static pthread_mutex_t truth_lock = PTHREAD_MUTEX_INITIALIZER;

static struct truth {
	struct truth_function functions[TRUTH_FUNCTIONS_MAX];
	size_t functions_cnt;
	unsigned long failed; /* allocations that returned NULL */
	unsigned int per_ms;  /* allocations; 0: as fast as it goes */
	unsigned int since_pause;
} truth;

static struct truth_size *truth_find(const char *name, size_t bytes)
{
	struct truth_function *f = NULL;

	for (size_t i = 0; i < truth.functions_cnt && !f; i++)
		if (!strcmp(truth.functions[i].name, name))
			f = &truth.functions[i];
	if (!f) {
		if (truth.functions_cnt == TRUTH_FUNCTIONS_MAX)
			abort();
		f = &truth.functions[truth.functions_cnt++];
		f->name = name;
	}
	for (size_t i = 0; i < f->sizes_cnt; i++)
		if (f->sizes[i].bytes == bytes)
			return &f->sizes[i];
	if (f->sizes_cnt == TRUTH_SIZES_MAX)
		abort();
	f->sizes[f->sizes_cnt].bytes = bytes;
	return &f->sizes[f->sizes_cnt++];
}

/* Whether malloc() is of a library of such a name. */
static inline int truth_allocator_is(const char *name)
{
#ifdef TRUTH_STATIC /* its own, whatever is preloaded */
	(void)name;
	return 0;
#else
	void *self = dlsym(RTLD_DEFAULT, "malloc");
	Dl_info info;

	return self && dladdr(self, &info) && strstr(info.dli_fname, name);
#endif
}

/* The rate of allocations is bounded where every one is sampled: nothing may be lost. */
static void truth_pause(void)
{
	if (!truth.per_ms || ++truth.since_pause < 5 * truth.per_ms)
		return;
	truth.since_pause = 0;
	usleep(5000);
}

/* 'name' asked for that many bytes and got p, which is returned. */
static inline void *truth_allocated(const char *name, size_t bytes, void *p)
{
	pthread_mutex_lock(&truth_lock);
	if (p)
		truth_find(name, bytes)->allocated++;
	else
		truth.failed++;
	truth_pause();
	pthread_mutex_unlock(&truth_lock);
	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}

/* What 'name' allocated is freed, or about to be. */
static inline void truth_freed(const char *name, size_t bytes)
{
	pthread_mutex_lock(&truth_lock);
	truth_find(name, bytes)->freed++;
	pthread_mutex_unlock(&truth_lock);
}

/* Functions with, of each size, how many were allocated and how many are kept. */
static inline void truth_tell(void)
{
	printf("truth {\"failed\": %lu, \"functions\": {", truth.failed);
	for (size_t i = 0; i < truth.functions_cnt; i++) {
		const struct truth_function *f = &truth.functions[i];

		printf("%s\"%s\": {", i ? ", " : "", f->name);
		for (size_t j = 0; j < f->sizes_cnt; j++)
			printf("%s\"%zu\": [%lu, %lu]", j ? ", " : "", f->sizes[j].bytes,
			       f->sizes[j].allocated, f->sizes[j].allocated - f->sizes[j].freed);
		printf("}");
	}
	printf("}}\n");
	fflush(stdout);
}

/* A line of standard input, or its end: false. Without a buffer of stdio. */
static inline int truth_await_line(void)
{
	char byte = 0;

	while (byte != '\n')
		if (read(STDIN_FILENO, &byte, 1) <= 0)
			return 0;
	return 1;
}

/* What the code of malloc() begins with has changed. */
static inline void truth_await_probe(void)
{
	const char *code = (const char *)malloc;
	char before[TRUTH_CODE_BYTES];

	memcpy(before, code, sizeof(before));
	while (!memcmp(before, code, sizeof(before))) {
		usleep(10000);
		__asm__ volatile("" : : : "memory");
	}
	sleep(1);
}

/* One sample, surely: whoever profiles has what it needs for the next ones when this returns. */
static void warm_up(void)
{
	void *p = malloc(TRUTH_WARM_BYTES);

	__asm__ volatile("" : : "r"(p) : "memory");
	free(p);
	usleep(TRUTH_WARM_US);
}

static inline void truth_await_go(void)
{
	say_ready();
	if (getenv("HEAP_TRUTH_WAIT"))
		truth_await_probe();
	truth_await_line();
	warm_up();
}

static inline void truth_done(void)
{
	truth_tell();
	puts("done");
	fflush(stdout);
	truth_await_line();
}

#endif
