/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The small profile that the tests of export/ encode: every kind of row there is, hostile names
 * included. Golden files hold what must come of it.
 */
#ifndef TESTS_UNIT_FIXED_PROFILE_H
#define TESTS_UNIT_FIXED_PROFILE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/array.h"
#include "base/file.h"
#include "base/gzip.h"
#include "export/export.h"

#define TICK_NS 10101010

/* Control characters, a bidirectional override, invalid UTF-8, a separator. */
#define HOSTILE_NAME "ev\x1b[31mil\n\xe2\x80\xae\xff;caf\xc3\xa9\\x"

static inline uint32_t str(struct profile *p, const char *s)
{
	uint32_t idx;

	assert_int_equal(profile__string(p, s, &idx), 0);
	return idx;
}

static inline uint32_t add_mapping(struct profile *p, struct profile_mapping m, const char *file,
				   const char *build_id)
{
	uint32_t id;

	m.file = str(p, file);
	m.build_id = str(p, build_id);
	assert_int_equal(profile__add_mapping(p, &m, &id), 0);
	return id;
}

static inline uint32_t add_function(struct profile *p, const char *name, const char *system_name,
				    const char *file)
{
	struct profile_function f = { .name = str(p, name),
				      .system_name = str(p, system_name),
				      .filename = str(p, file),
				      .start_line = *file ? 10 : 0 };
	uint32_t id;

	assert_int_equal(profile__function(p, &f, &id), 0);
	return id;
}

static inline uint32_t add_location(struct profile *p, uint32_t mapping, uint64_t address)
{
	uint32_t id;

	assert_int_equal(profile__location(p, mapping, address, &id), 0);
	return id;
}

/* A location of one function; name NULL: of none. */
static inline uint32_t add_code(struct profile *p, uint32_t mapping, uint64_t address,
				const char *name)
{
	uint32_t id = add_location(p, mapping, address);
	struct profile_line line = { .line = 0 };

	if (!name)
		return id;
	line.function = add_function(p, name, name, "");
	assert_int_equal(profile__set_lines(p, id, &line, 1), 0);
	return id;
}

static inline uint32_t synthetic(struct profile *p, const char *name)
{
	uint32_t id;

	assert_int_equal(profile__synthetic(p, name, &id), 0);
	return id;
}

static inline void add_sample(struct profile *p, const char *comm, int64_t pid,
			      const uint32_t *stack, uint32_t depth, int64_t count)
{
	struct profile_label labels[] = {
		{ .key = str(p, "pid"), .num = pid, .num_unit = str(p, "pid") },
		{ .key = str(p, "comm"), .str = str(p, comm) },
	};
	int64_t values[] = { count, count * TICK_NS };

	assert_int_equal(profile__add(p, stack, depth, labels, ARRAY_SIZE(labels), values), 0);
}

static inline void add_fixed_samples(struct profile *p)
{
	uint32_t app, libc, kernel, jit, start, main_, burn, hostile, in_libc, syscall, jitted;
	uint32_t lost = synthetic(p, "[lost]"), reason = synthetic(p, "[ring_full]");
	uint32_t truncated = synthetic(p, "[truncated: frame_pointer]");
	struct profile_line lines[2] = { { .line = 12 }, { .line = 34 } };

	app = add_mapping(
		p,
		(struct profile_mapping){
			.start = 0x1000, .limit = 0x5000, .offset = 0x1000, .has_functions = true },
		"/opt/app/bin/app", "00112233445566778899aabbccddeeff00112233");
	libc = add_mapping(
		p,
		(struct profile_mapping){ .start = 0x26000, .limit = 0x17b000, .offset = 0x26000 },
		"/usr/lib/x86_64-linux-gnu/libc.so.6", "ffeeddcc");
	kernel = add_mapping(p,
			     (struct profile_mapping){
				     .limit = 0x2000000, .is_kernel = true, .has_functions = true },
			     "[kernel.kallsyms]", "abcdef");
	jit = add_mapping(
		p, (struct profile_mapping){ .start = 0x7f0000000000, .limit = 0x7f0000010000 },
		"[JIT]", "");
	start = add_code(p, app, 0x1010, "_start");
	main_ = add_code(p, app, 0x1100, "main");
	burn = add_location(p, app, 0x1200);
	/* helper(int) inlined into burn. */
	lines[0].function =
		add_function(p, "app::helper(int)", "_ZN3app6helperEi", "/src/app/helper.hpp");
	lines[1].function = add_function(p, "app::burn()", "_ZN3app4burnEv", "/src/app/burn.cpp");
	assert_int_equal(profile__set_lines(p, burn, lines, ARRAY_SIZE(lines)), 0);
	hostile = add_code(p, app, 0x1300, HOSTILE_NAME);
	in_libc = add_code(p, libc, 0x27000, NULL);
	syscall = add_code(p, kernel, 0x100, "do_syscall_64");
	jitted = add_code(p, jit, 0x7f0000000123, NULL);

	add_sample(p, "app", 100, (uint32_t[]){ burn, main_, start }, 3, 60);
	add_sample(p, "app", 100, (uint32_t[]){ syscall, in_libc, main_, start }, 4, 20);
	add_sample(p, "app", 101, (uint32_t[]){ hostile, main_, start }, 3, 10);
	add_sample(p, "a;b\n", 102, (uint32_t[]){ jitted, burn, truncated }, 3, 6);
	add_sample(p, "app", 100, (uint32_t[]){ burn, main_, start }, 3, 1);
	assert_int_equal(profile__add(p, (uint32_t[]){ reason, lost }, 2, NULL, 0,
				      (int64_t[]){ 3, 3LL * TICK_NS }),
			 0);
}

/* A cpu profile of 100 samples at 99 Hz. */
static inline struct profile *fixed_profile(void)
{
	struct profile *p = profile__new();
	struct profile_mapping host = { .start = 0 };
	uint32_t id;

	assert_non_null(p);
	assert_int_equal(profile__add_sample_type(p, "samples", "count"), 0);
	assert_int_equal(profile__add_sample_type(p, "cpu", "nanoseconds"), 0);
	assert_int_equal(profile__set_period(p, "cpu", "nanoseconds", TICK_NS), 0);
	p->default_sample_type = str(p, "cpu");
	p->time_ns = 1795244400LL * 1000000000;
	p->duration_ns = 10000000000LL;
	assert_int_equal(profile__add_comment(p, "rate 99 Hz"), 0);
	assert_int_equal(profile__add_comment(p, "#lost=3"), 0);
	host.file = str(p, "web-01 (all processes)");
	assert_int_equal(profile__add_mapping(p, &host, &id), 0);
	add_fixed_samples(p);
	return p;
}

/* Compares with tests/golden/NAME; CPROF_UPDATE_GOLDEN=1 writes it anew, for a diff to review. */
static inline void assert_golden(const char *name, const struct buf *got)
{
	_cleanup_buf_ struct buf want = BUF_INIT;
	char path[256];

	assert_int_equal(buf__error(got), 0);
	snprintf(path, sizeof(path), "tests/golden/%s", name);
	if (getenv("CPROF_UPDATE_GOLDEN")) {
		FILE *f = fopen(path, "w");

		assert_non_null(f);
		assert_int_equal(fwrite(got->data, 1, got->len, f), got->len);
		fclose(f);
	}
	assert_int_equal(file__read(path, 1 << 20, &want), 0);
	if (got->len != want.len || memcmp(got->data, want.data, want.len))
		fail_msg("%s differs; it should be:\n%.*s", path, (int)got->len, got->data);
}

/* --- pprof, there and back -------------------------------------------------------------------- */

static inline struct buf encode(const struct profile *p)
{
	struct buf out = BUF_INIT;

	assert_int_equal(pprof__encode(p, &out), 0);
	return out;
}

static inline struct buf inflate(const struct buf *gz)
{
	struct buf out = BUF_INIT;

	assert_int_equal(gzip__decompress(gz->data, gz->len, 1 << 24, &out), 0);
	return out;
}

static inline struct profile *decode(const void *data, size_t len)
{
	struct profile *p = NULL;
	const char *why = "untouched";

	if (pprof__decode(data, len, &p, &why))
		fail_msg("not decoded: %s", why);
	assert_null(why);
	return p;
}

#endif
