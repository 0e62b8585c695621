/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that allocate, fill, resize and free all the time and check every byte. What it prints
 * and how it ends is the same however long it runs: "ready", and at a line on standard input or its
 * end "checksum N" and status 42; status 1 as soon as a byte is wrong or two rounds differ.
 * heap_sum [THREADS]
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "workload.h"

#define SLOTS       64
#define OPERATIONS  4000 /* of a round */
#define THREADS_MAX 16
#define FAITHFUL    42

struct block {
	unsigned char *bytes;
	size_t size;
	unsigned char fill;
};

static atomic_bool is_over;

static uint64_t next(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 33;
}

static void fail(const char *why)
{
	printf("wrong %s\n", why);
	fflush(stdout);
	_exit(1);
}

static uint64_t check(const struct block *b)
{
	uint64_t sum = b->size;

	for (size_t i = 0; i < b->size; i++) {
		if (b->bytes[i] != b->fill)
			fail("byte");
		sum = sum * 31 + b->bytes[i];
	}
	return sum;
}

static void refill(struct block *b, size_t size, unsigned char fill)
{
	b->size = size;
	b->fill = fill;
	memset(b->bytes, fill, size);
}

static uint64_t operate(struct block *b, uint64_t random)
{
	size_t size = 1 + random % 700 * (random % 16 ? 1 : 100);
	unsigned char *moved;
	uint64_t sum = 0;

	if (!b->bytes) {
		b->bytes = random % 5 ? malloc(size) : calloc(1, size);
		if (!b->bytes)
			fail("result of malloc");
	} else if (random % 3) {
		sum = check(b);
		free(b->bytes);
		b->bytes = NULL;
		return sum;
	} else {
		sum = check(b);
		moved = realloc(b->bytes, size);
		if (!moved)
			fail("result of realloc");
		b->bytes = moved;
		b->size = b->size < size ? b->size : size;
		check(b);
	}
	refill(b, size, (unsigned char)random);
	return sum;
}

static uint64_t run_round(uint64_t seed)
{
	struct block blocks[SLOTS] = { 0 };
	uint64_t sum = 0, state = seed;

	for (int i = 0; i < OPERATIONS; i++) {
		uint64_t random = next(&state);

		sum = sum * 31 + operate(&blocks[random % SLOTS], next(&state));
	}
	for (int i = 0; i < SLOTS; i++)
		free(blocks[i].bytes);
	return sum;
}

static void *thread_main(void *arg)
{
	uint64_t *sum = arg, seed = *sum;

	*sum = run_round(seed);
	while (!is_over)
		if (run_round(seed) != *sum)
			fail("round");
	return NULL;
}

int main(int argc, char **argv)
{
	int cnt = argc > 1 ? atoi(argv[1]) : 3;
	pthread_t threads[THREADS_MAX];
	uint64_t sums[THREADS_MAX], all = 0;
	char byte;

	if (cnt < 1 || cnt > THREADS_MAX)
		return 2;
	say_ready();
	for (int i = 0; i < cnt; i++) {
		sums[i] = (uint64_t)i + 1;
		if (pthread_create(&threads[i], NULL, thread_main, &sums[i]))
			return 1;
	}
	while (read(STDIN_FILENO, &byte, 1) > 0 && byte != '\n')
		;
	is_over = true;
	for (int i = 0; i < cnt; i++) {
		pthread_join(threads[i], NULL);
		all = all * 31 + sums[i];
	}
	printf("checksum %llu\n", (unsigned long long)all);
	return FAITHFUL;
}
