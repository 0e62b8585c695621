/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Heap sites over the worker: a real one on real files, and one that lies.
 */
#include "worker_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define SITES_STUB_ENV "CPROF_TEST_SITES"
#define LIBC           "/usr/lib/x86_64-linux-gnu/libc.so.6"
#define LIBASAN        "/usr/lib/x86_64-linux-gnu/libasan.so.8"

/* As on the wire. */
struct sites_answer {
	struct wire_reply header;
	struct wire_segment segment;
	struct heap_site sites[3];
	struct heap_range range;
	char strings[8];
};

static struct sites_answer honest_answer(uint64_t sequence)
{
	return (struct sites_answer){
		.header = { .magic = WIRE_MAGIC,
			    .status = PARSE_OK,
			    .sequence = sequence,
			    .build_id_len = 2,
			    .build_id = { 0xab, 0xcd },
			    .segments_cnt = 1,
			    .strings_bytes = sizeof(((struct sites_answer *)NULL)->strings),
			    .sites_cnt = 3,
			    .ranges_cnt = 1,
			    .refusal = HEAP_REFUSAL_GO,
			    .file_flags = WIRE_FILE_STATIC | WIRE_FILE_GO },
		.segment = { .vaddr = 0x401000, .limit = 0x403000, .offset = 0x1000 },
		.sites = { { .offset = 0x1000,
			     .call = HEAP_CALL_REALLOC,
			     .size_reg = 4,
			     .count_reg = HEAP_NO_REG,
			     .ptr_reg = 5,
			     .out_reg = HEAP_NO_REG,
			     .flags = HEAP_SITE_NULL_ELSEWHERE },
			   { .offset = 0x2fff,
			     .call = HEAP_CALL_FREE,
			     .size_reg = HEAP_NO_REG,
			     .count_reg = HEAP_NO_REG,
			     .ptr_reg = 15,
			     .out_reg = HEAP_NO_REG,
			     .flags = HEAP_SITE_PUSHED | HEAP_SITE_STEPPED },
			   { .offset = 0x1800,
			     .semaphore_offset = 0x9000,
			     .call = HEAP_CALL_USDT_ALLOC,
			     .size_reg = 4,
			     .count_reg = 1,
			     .ptr_reg = 5,
			     .out_reg = HEAP_NO_REG } },
		.range = { .start = 0x1000, .end = 0x3000 },
	};
}

struct lie {
	const char *name;
	void (*tell)(struct sites_answer *a);
};

#define LIE(n, ...)                                                                                \
	static void lie_##n(struct sites_answer *a)                                                \
	{                                                                                          \
		__VA_ARGS__;                                                                       \
	}
LIE(sites_many, a->header.sites_cnt = HEAP_SITES_MAX + 1)
LIE(ranges_many, a->header.ranges_cnt = HEAP_RANGES_MAX + 1)
LIE(refusal, a->header.refusal = HEAP_REFUSALS)
LIE(file_flags, a->header.file_flags = WIRE_FILE_FLAGS + 1)
LIE(no_symbols, a->header.status = PARSE_NO_SYMBOLS)
LIE(corrupt_with_sites, a->header.status = PARSE_CORRUPT)
LIE(rows, a->header.rows_cnt = 1)
LIE(symbols, a->header.symbols_cnt = 1)
LIE(modules, a->header.modules_cnt = 1)
LIE(segments_none, a->header.segments_cnt = 0; a->header.strings_bytes += 24)
LIE(offset_below, a->sites[0].offset = 0xfff)
LIE(offset_beyond, a->sites[0].offset = 0x3000)
LIE(offset_huge, a->sites[0].offset = UINT64_MAX)
LIE(call_none, a->sites[0].call = 0)
LIE(call_unknown, a->sites[0].call = HEAP_CALLS)
LIE(size_unknown, a->sites[0].size_reg = HEAP_NO_REG)
LIE(size_beyond, a->sites[0].size_reg = HEAP_NO_REG + 1)
LIE(count_beyond, a->sites[0].count_reg = 17)
LIE(ptr_of_realloc, a->sites[0].ptr_reg = HEAP_NO_REG)
LIE(ptr_of_free, a->sites[1].ptr_reg = HEAP_NO_REG)
LIE(ptr_of_usdt, a->sites[2].ptr_reg = HEAP_NO_REG)
LIE(count_of_usdt, a->sites[2].count_reg = HEAP_NO_REG)
LIE(out_beyond, a->sites[0].out_reg = 255)
LIE(out_of_posix_memalign, a->sites[0].call = HEAP_CALL_POSIX_MEMALIGN)
LIE(flags_unknown, a->sites[0].flags = 1 << 6)
LIE(pushed_with_return, a->sites[0].flags = HEAP_SITE_PUSHED)
LIE(alignment_nowhere, a->sites[0].flags = HEAP_SITE_SMALL_ALIGN_ELSEWHERE)
LIE(reserved, a->sites[0].reserved = 1)
LIE(semaphore_of_malloc, a->sites[0].semaphore_offset = 8)
LIE(semaphore_huge, a->sites[2].semaphore_offset = 1ull << 63)
LIE(range_empty, a->range.end = a->range.start)
LIE(range_reversed, a->range.start = 0x2000; a->range.end = 0x1000)
LIE(range_below, a->range.start = 0)
LIE(range_beyond, a->range.end = 0x3001)
LIE(segment_reversed, a->segment.limit = 0)
LIE(segment_wraps, a->segment.offset = UINT64_MAX - 0x1000; a->sites[0].offset = UINT64_MAX - 1)
#undef LIE

#define LIE(n)                                                                                     \
	{                                                                                          \
#n, lie_##n                                                                        \
	}
static const struct lie lies[] = {
	LIE(sites_many),
	LIE(ranges_many),
	LIE(refusal),
	LIE(file_flags),
	LIE(no_symbols),
	LIE(corrupt_with_sites),
	LIE(rows),
	LIE(symbols),
	LIE(modules),
	LIE(segments_none),
	LIE(offset_below),
	LIE(offset_beyond),
	LIE(offset_huge),
	LIE(call_none),
	LIE(call_unknown),
	LIE(size_unknown),
	LIE(size_beyond),
	LIE(count_beyond),
	LIE(ptr_of_realloc),
	LIE(ptr_of_free),
	LIE(ptr_of_usdt),
	LIE(count_of_usdt),
	LIE(out_beyond),
	LIE(out_of_posix_memalign),
	LIE(flags_unknown),
	LIE(pushed_with_return),
	LIE(alignment_nowhere),
	LIE(reserved),
	LIE(semaphore_of_malloc),
	LIE(semaphore_huge),
	LIE(range_empty),
	LIE(range_reversed),
	LIE(range_below),
	LIE(range_beyond),
	LIE(segment_reversed),
	LIE(segment_wraps),
};
#undef LIE

static _Noreturn void sites_stub__main(int socket_fd, const char *name)
{
	const struct wire_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION };
	struct wire_request request;
	struct sites_answer a;

	/* A test that fails leaves nobody to end us. */
	alarm(20);
	stub_send(socket_fd, &hello, sizeof(hello));
	if (recv(socket_fd, &request, sizeof(request), MSG_WAITALL) != sizeof(request) ||
	    request.kind != WIRE_SITES)
		_exit(60);
	a = honest_answer(request.sequence);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++)
		if (!strcmp(lies[i].name, name))
			lies[i].tell(&a);
	stub_send(socket_fd, &a, sizeof(a));
	for (;;)
		pause();
}

static void ask_stub(const char *name, struct worker_sites *ret)
{
	_cleanup_(worker__freep) struct worker *w = worker__new();
	int fd = file_of_elf(&plain_elf);

	w->timeout_ms = 500;
	setenv(SITES_STUB_ENV, name, 1);
	assert_int_equal(worker__heap_sites(w, fd, ret), 0);
	unsetenv(SITES_STUB_ENV);
	close(fd);
}

static void test_honest(void **state)
{
	const struct sites_answer a = honest_answer(0);
	struct worker_sites s;

	_Static_assert(sizeof(a) == 80 + 24 + 3 * 24 + 16 + 8, "as on the wire");
	ask_stub("none", &s);
	assert_int_equal(s.status, PARSE_OK);
	assert_int_equal(s.sites_cnt, 3);
	assert_memory_equal(s.sites, a.sites, sizeof(a.sites));
	assert_int_equal(s.ranges_cnt, 1);
	assert_memory_equal(s.ranges, &a.range, sizeof(a.range));
	assert_int_equal(s.build_id_len, 2);
	assert_int_equal(s.build_id[1], 0xcd);
	assert_int_equal(s.refusal, HEAP_REFUSAL_GO);
	assert_true(s.is_static && s.is_go && !s.is_stripped);
}

static void test_lies(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct worker_sites s;

		ask_stub(lies[i].name, &s);
		/* Where more is announced than comes, it is waited for. */
		if (s.status != PARSE_BAD_REPLY && s.status != PARSE_TIMEOUT)
			fail_msg("%s: %s", lies[i].name, parse_status__name(s.status));
		assert_int_equal(s.sites_cnt + s.ranges_cnt + s.build_id_len + s.refusal, 0);
		assert_false(s.is_static || s.is_go || s.is_stripped);
	}
}

static void test_libc(void **state)
{
	struct worker_sites s;
	struct worker_stats stats;
	bool allocates = false, frees = false;
	int fd = open(LIBC, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(worker__heap_sites(*state, fd, &s), 0);
	assert_int_equal(s.status, PARSE_OK);
	assert_int_equal(s.build_id_len, 20);
	for (size_t i = 0; i < s.sites_cnt; i++) {
		allocates |= s.sites[i].call == HEAP_CALL_ALLOC;
		frees |= s.sites[i].call == HEAP_CALL_FREE;
	}
	assert_true(allocates && frees && s.ranges_cnt);
	assert_false(s.is_static || s.is_stripped || s.is_go || s.has_sanitizer || s.is_musl);
	worker__stats(*state, &stats);
	assert_int_equal(stats.requests, 1);
	assert_int_equal(stats.status[PARSE_OK], 1);
	assert_works(*state);
	close(fd);
}

/* Its functions see who has called them: no return of theirs is for probes. */
static void test_sanitizer(void **state)
{
	_cleanup_close_ int fd = open(LIBASAN, O_RDONLY | O_CLOEXEC);
	struct worker_sites s;

	if (fd < 0) {
		print_message("skipped: no %s\n", LIBASAN);
		skip();
	}
	assert_int_equal(worker__heap_sites(*state, fd, &s), 0);
	assert_int_equal(s.status, PARSE_OK);
	assert_true(s.sites_cnt && s.has_sanitizer && !s.is_musl);
	for (size_t i = 0; i < s.sites_cnt; i++)
		assert_int_equal(s.sites[i].call == HEAP_CALL_FREE,
				 !(s.sites[i].flags & HEAP_SITE_THROWS_AT_WILL));
}

static void test_files_without(void **state)
{
	static const char text[100] = "#!/bin/sh\n";
	int plain = file_of_elf(&plain_elf), script = file_of_bytes(text, sizeof(text));
	struct worker_sites s;

	assert_int_equal(worker__heap_sites(*state, plain, &s), 0);
	assert_int_equal(s.status, PARSE_OK);
	assert_int_equal(s.sites_cnt, 0);
	assert_int_equal(s.build_id_len, sizeof(built_build_id));
	assert_int_equal(worker__heap_sites(*state, script, &s), 0);
	assert_int_equal(s.status, PARSE_NOT_ELF);
	assert_int_equal(s.build_id_len, 0);
	assert_int_equal(worker__heap_sites(*state, -1, &s), 0);
	assert_int_equal(s.status, PARSE_IO);
	assert_works(*state);
	close(plain);
	close(script);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_honest),   cmocka_unit_test(test_lies),
		worker_test(test_libc),          worker_test(test_sanitizer),
		worker_test(test_files_without),
	};

	if (argc == 3 && !strcmp(argv[1], "--worker") && getenv(SITES_STUB_ENV))
		sites_stub__main(atoi(argv[2]), getenv(SITES_STUB_ENV));
	if (argc == 3 && !strcmp(argv[1], "--worker"))
		return worker_stub__main(atoi(argv[2]));
	return cmocka_run_group_tests_name("worker_sites", tests, NULL, NULL);
}
