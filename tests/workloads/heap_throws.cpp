/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * operator new that finds no memory, again and again: exceptions on their way out of a function
 * that is probed. Says "ready", then "caught N" at its end, after about MS.
 *
 * heap_throws large MS   asks for more than can be had
 * heap_throws limit MS   takes small blocks up to a limit of its own
 * heap_throws fill MS    takes small blocks up to whatever limit it was given
 * heap_throws_own small MS   has an allocator of its own, which refuses every other small block
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <sys/resource.h>
#include <unistd.h>

static const size_t large = (size_t)3 << 46, small = 1 << 20;
static const int small_max = 4096;
static char *blocks[small_max];
static long caught;

#ifdef OWN_ALLOCATOR
#define OWN extern "C" __attribute__((noinline))

static char arena[1 << 20], block[small];
static size_t used;

OWN void *malloc(size_t bytes)
{
	char *p = arena + used;

	used += (bytes + 15) & ~(size_t)15;
	return used > sizeof(arena) ? nullptr : p;
}

OWN void free(void *)
{
}

__attribute__((noinline)) void *operator new[](size_t bytes)
{
	static bool is_refused;

	if (bytes == small)
		is_refused = !is_refused;
	if (bytes > small || (bytes == small && is_refused))
		throw std::bad_alloc();
	return block;
}

__attribute__((noinline)) void operator delete[](void *) noexcept
{
}

void operator delete[](void *, size_t) noexcept
{
}
#endif

static char *ask(size_t bytes)
{
	try {
		char *p = new char[bytes];

		*(volatile char *)p = 1;
		return p;
	} catch (const std::bad_alloc &) {
		caught++;
		return nullptr;
	}
}

static void fill_up(void)
{
	int cnt = 0;

	while (cnt < small_max && (blocks[cnt] = ask(small)))
		cnt++;
	while (cnt)
		delete[] blocks[--cnt];
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	bool is_limited = argc > 1 && !strcmp(argv[1], "limit");
	double end = now_ms() + (argc > 2 ? atof(argv[2]) : 1000);
	const struct rlimit limit = { 700 << 20, 700 << 20 };

	if (is_limited && setrlimit(RLIMIT_AS, &limit))
		return 2;
	printf("ready\n");
	fflush(stdout);
	while (now_ms() < end) {
		if (is_limited || (argc > 1 && !strcmp(argv[1], "fill")))
			fill_up();
		else if (argc > 1 && !strcmp(argv[1], "small"))
			delete[] ask(small);
		else if (ask(large))
			return 3;
		delete[] ask(1000);
		usleep(2000);
	}
	printf("caught %ld\n", caught);
	return caught ? 0 : 4;
}
