/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every allocation function once, one after the other, with what a listener must hear of it. Prints
 * one line each, always the same; with the ledger at interval 1 it checks, and says what is wrong on
 * stderr.
 */
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <functional>
#include <malloc.h>
#include <memory>
#include <new>
#include <string>
#include <vector>
#include "preload_ledger.h"

static bool is_checked, is_wrong;

/* Out of the optimizer's sight. */
static void *seen(void *ptr)
{
	__asm__ volatile("" : "+r"(ptr) : : "memory");
	return ptr;
}

static size_t seen(size_t size)
{
	__asm__ volatile("" : "+r"(size));
	return size;
}

static void need(bool is_right, const char *name)
{
	if (!is_right) {
		fprintf(stderr, "%s: not what it does alone\n", name);
		is_wrong = true;
	}
}

/* 'what' allocates cnt blocks of so many bytes altogether, of which none is left. */
static void check(const char *name, uint64_t cnt, uint64_t bytes, const std::function<void()> &what)
{
	heap_ledger_totals before, after;

	if (is_checked)
		heap_ledger__totals(&before);
	what();
	if (is_checked) {
		heap_ledger__totals(&after);
		if (after.allocs_cnt - before.allocs_cnt != cnt ||
		    after.alloc_bytes - before.alloc_bytes != bytes ||
		    after.frees_cnt - before.frees_cnt != cnt ||
		    after.live_cnt != before.live_cnt || after.live_bytes != before.live_bytes) {
			fprintf(stderr, "%s: %lu blocks, %lu bytes, %lu frees; not %lu, %lu\n", name,
				after.allocs_cnt - before.allocs_cnt,
				after.alloc_bytes - before.alloc_bytes,
				after.frees_cnt - before.frees_cnt, cnt, bytes);
			is_wrong = true;
		}
	}
	puts(name);
}

static void check_malloc()
{
	check("malloc", 1, 100, [] { free(seen(malloc(100))); });
	check("malloc 0", 1, 1, [] { free(seen(malloc(0))); });
	check("malloc too much", 0, 0, [] {
		errno = 0;
		need(!seen(malloc(seen(SIZE_MAX / 2))) && errno == ENOMEM, "malloc too much");
	});
	check("malloc large", 1, 10000000, [] { free(seen(malloc(10000000))); });
	check("calloc", 1, 150, [] { free(seen(calloc(3, 50))); });
	check("calloc 0", 1, 1, [] { free(seen(calloc(0, 50))); });
	check("calloc overflow", 0, 0, [] {
		need(!seen(calloc(seen(SIZE_MAX / 2), 4)) && errno == ENOMEM, "calloc overflow");
	});
	check("strdup", 1, 6, [] { free(seen(strdup("hello"))); });
	check("free NULL", 0, 0, [] { free(seen(static_cast<void *>(nullptr))); });
	check("errno", 1, 100, [] {
		errno = 42;
		free(seen(malloc(100)));
		need(errno == 42, "errno");
	});
}

static void check_realloc()
{
	check("realloc NULL", 1, 100, [] { free(seen(realloc(nullptr, 100))); });
	check("realloc in place", 2, 201, [] { free(seen(realloc(seen(malloc(100)), 101))); });
	check("realloc moved", 4, 100 + 1 + 100000 + 1, [] {
		void *first = seen(malloc(100)), *between = seen(malloc(1));

		first = seen(realloc(first, 100000));
		free(between);
		free(seen(realloc(first, 1)));
	});
	check("realloc too much", 1, 100, [] {
		void *ptr = seen(malloc(100));

		errno = 0;
		need(!realloc(ptr, seen(SIZE_MAX / 2)), "realloc too much");
		printf("errno %d\n", errno); /* jemalloc does not say */
		static_cast<char *>(ptr)[99] = 1;
		free(ptr);
	});
	/* Some give a block for it. */
	void *nothing = realloc(seen(malloc(1)), seen(size_t(0)));
	uint64_t given = nothing != nullptr;

	free(nothing);
	check("realloc 0", 1 + given, 100 + given,
	      [] { free(seen(realloc(seen(malloc(100)), seen(size_t(0))))); });
	check("reallocarray", 2, 100 + 600,
	      [] { free(seen(reallocarray(seen(malloc(100)), 20, 30))); });
	check("reallocarray overflow", 1, 100, [] {
		void *ptr = seen(malloc(100));

		void *same = seen(ptr);

		errno = 0;
		need(!reallocarray(ptr, seen(SIZE_MAX / 2), 4) && errno == ENOMEM,
		     "reallocarray overflow");
		free(same);
	});
}

static void check_aligned()
{
	check("posix_memalign", 1, 100, [] {
		void *ptr = nullptr;

		need(!posix_memalign(&ptr, 256, 100) && !(reinterpret_cast<uintptr_t>(ptr) % 256),
		     "posix_memalign");
		free(ptr);
	});
	check("posix_memalign invalid", 0, 0, [] {
		void *ptr = &ptr;

		need(posix_memalign(&ptr, 3, 100) == EINVAL, "posix_memalign invalid");
	});
	check("aligned_alloc", 1, 4096, [] { free(seen(aligned_alloc(4096, 4096))); });
	check("memalign", 1, 100, [] { free(seen(memalign(64, 100))); });
	check("valloc", 1, 100, [] { free(seen(valloc(100))); });
	/* jemalloc has none: memory of the C library, which jemalloc cannot take back. */
	if (!dlsym(RTLD_DEFAULT, "mallctl"))
		check("pvalloc", 1, 100, [] { free(seen(pvalloc(100))); });
}

/* Functions the C library has dropped, or has not got yet. */
static void check_rare()
{
	auto cfree = reinterpret_cast<void (*)(void *)>(dlsym(RTLD_DEFAULT, "cfree"));
	auto free_sized =
		reinterpret_cast<void (*)(void *, size_t)>(dlsym(RTLD_DEFAULT, "free_sized"));
	auto free_aligned_sized = reinterpret_cast<void (*)(void *, size_t, size_t)>(
		dlsym(RTLD_DEFAULT, "free_aligned_sized"));

	check("cfree", 1, 100, [=] { (cfree ? cfree : free)(seen(malloc(100))); });
	check("free_sized", 1, 100, [=] {
		void *ptr = seen(malloc(100));

		free_sized ? free_sized(ptr, 100) : free(ptr);
	});
	check("free_aligned_sized", 1, 128, [=] {
		void *ptr = seen(aligned_alloc(64, 128));

		free_aligned_sized ? free_aligned_sized(ptr, 64, 128) : free(ptr);
	});
}

static void check_operators()
{
	constexpr auto al = std::align_val_t(64);

	check("new", 1, 100, [] { ::operator delete(seen(::operator new(100))); });
	check("new sized", 1, 100, [] { ::operator delete(seen(::operator new(100)), 100); });
	check("new[]", 1, 100, [] { ::operator delete[](seen(::operator new[](100))); });
	check("new[] sized", 1, 100, [] { ::operator delete[](seen(::operator new[](100)), 100); });
	check("new nothrow", 1, 100, [] {
		::operator delete(seen(::operator new(100, std::nothrow)), std::nothrow);
	});
	check("new[] nothrow", 1, 100, [] {
		::operator delete[](seen(::operator new[](100, std::nothrow)), std::nothrow);
	});
	check("new aligned", 1, 128, [=] { ::operator delete(seen(::operator new(128, al)), al); });
	check("new[] aligned", 1, 128,
	      [=] { ::operator delete[](seen(::operator new[](128, al)), al); });
	check("new aligned sized", 1, 128,
	      [=] { ::operator delete(seen(::operator new(128, al)), 128, al); });
	check("new[] aligned sized", 1, 128,
	      [=] { ::operator delete[](seen(::operator new[](128, al)), 128, al); });
	check("new aligned nothrow", 1, 128, [=] {
		::operator delete(seen(::operator new(128, al, std::nothrow)), al, std::nothrow);
	});
	check("new[] aligned nothrow", 1, 128, [=] {
		::operator delete[](seen(::operator new[](128, al, std::nothrow)), al, std::nothrow);
	});
	check("delete NULL", 0, 0, [] {
		::operator delete(nullptr);
		::operator delete[](nullptr, 10);
		::operator delete(nullptr, std::align_val_t(64));
	});
}

static int handler_calls;

static void give_up()
{
	handler_calls++;
	std::set_new_handler(nullptr);
}

static void check_exhaustion()
{
	need(!::operator new(seen(SIZE_MAX / 2), std::nothrow), "new nothrow too much");
	need(!::operator new[](seen(SIZE_MAX / 4), std::align_val_t(64), std::nothrow),
	     "new[] aligned nothrow too much");
	for (int i = 0; i < 100; i++) {
		bool is_thrown = false;

		std::set_new_handler(give_up);
		try {
			seen(i % 2 ? ::operator new(seen(SIZE_MAX / 2)) :
				     ::operator new[](seen(SIZE_MAX / 2), std::align_val_t(128)));
		} catch (const std::bad_alloc &) {
			is_thrown = true;
		}
		need(is_thrown, "new too much");
	}
	printf("new too much: handler called %d times\n", handler_calls);
}

static void check_library()
{
	check("string", 1, 101, [] { std::string s(100, 'x'); });
	check("vector", 1, 400, [] { std::vector<int> v(100); });
	check("shared_ptr", 1, 16 + 400,
	      [] { auto p = std::make_shared<std::array<int, 100>>(); });
}

int main()
{
	const char *interval = getenv("CPROF_HEAP_INTERVAL");

	/* tcmalloc writes about what is too large. */
	setvbuf(stdout, nullptr, _IOFBF, 1 << 16);
	puts("start");
	is_checked = heap_ledger__totals && interval && !strcmp(interval, "1");
	check_malloc();
	check_realloc();
	check_aligned();
	check_rare();
	check_operators();
	check_library();
	/* Debian's mimalloc, which is C, ends the program instead of throwing. */
	if (!dlsym(RTLD_DEFAULT, "mi_malloc"))
		check_exhaustion();
	return is_wrong;
}
