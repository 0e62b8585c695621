/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whole files: the allocators of the distribution, programs built on the spot, and files that lie.
 */
#include "code_builder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/array.h"
#include "base/clock.h"
#include "parse/elf_functions.h"
#include "parse/heap_functions.h"

#define LIBRARIES   "/usr/lib/x86_64-linux-gnu/"
#define ENTRY_BYTES 80 /* beyond the reach of a site */

static enum parse_status sites_of_file(const char *path, struct heap_sites *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum parse_status status;

	if (fd < 0)
		return PARSE_IO;
	status = sites_of_fd(fd, ret);
	close(fd);
	return status;
}

/* --- allocators --------------------------------------------------------------------------------
 */
/* Where a function begins in its file: all of these map text at the offset of its address. */
static uint64_t function_offset(int fd, const char *name)
{
	const char *const names[] = { name };
	struct elf_functions found;
	struct elf_image image;
	uint64_t offset = 0;
	size_t bytes;

	assert_int_equal(elf_image__open(fd, &image), PARSE_OK);
	assert_int_equal(elf_functions__find(&image, names, 1, &found), PARSE_OK);
	if (found.cnt)
		assert_non_null(elf_image__code(&image, found.items[0].address, &bytes, &offset));
	elf_image__done(&image);
	return offset;
}

/* The site of a function by name. */
static const struct heap_site *named_site(const struct heap_sites *s, int fd, const char *name)
{
	uint64_t start = function_offset(fd, name);
	const struct heap_site *nearest = NULL;

	assert_true(start > 0);
	for (size_t i = 0; i < s->sites_cnt; i++) {
		const struct heap_site *site = &s->sites[i];

		if (site->offset >= start && site->offset < start + ENTRY_BYTES &&
		    (!nearest || site->offset < nearest->offset))
			nearest = site;
	}
	return nearest;
}

struct named_call {
	const char *name;
	uint8_t call;
	bool may_be_stepped;
};

static void check_allocator(const char *path, const struct named_call *calls, size_t cnt)
{
	struct heap_sites s;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		print_message("skipped: no %s\n", path);
		skip();
	}
	assert_int_equal(sites_of_fd(fd, &s), PARSE_OK);
	assert_int_equal(s.refusal, HEAP_REFUSAL_NONE);
	assert_false(s.is_static || s.is_stripped || s.is_go || s.has_sanitizer || s.is_musl);
	for (size_t i = 0; i < cnt; i++) {
		const struct heap_site *site = named_site(&s, fd, calls[i].name);

		if (!site || site->call != calls[i].call)
			fail_msg("%s: %s is not probed", path, calls[i].name);
		if (site->flags & HEAP_SITE_STEPPED && !calls[i].may_be_stepped)
			fail_msg("%s: %s is stepped", path, calls[i].name);
		/* Under whatever other name it goes. */
		if (!strcmp(calls[i].name, "_Znwm") && !(site->flags & HEAP_SITE_THROWS))
			fail_msg("%s: %s does not throw", path, calls[i].name);
		if (site->flags & HEAP_SITE_THROWS_AT_WILL)
			fail_msg("%s: %s is no program's", path, calls[i].name);
		if (site->call == HEAP_CALL_FREE && site->flags & HEAP_SITE_THROWS)
			fail_msg("%s: %s throws", path, calls[i].name);
	}
	for (size_t i = 0; i < s.sites_cnt; i++)
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(s.sites[i].offset, s.sites[j].offset);
	close(fd);
}

static void test_glibc(void **state)
{
	const struct named_call calls[] = {
		{ "malloc", HEAP_CALL_ALLOC, false },
		{ "free", HEAP_CALL_FREE, false },
		{ "calloc", HEAP_CALL_ALLOC, true },
		{ "realloc", HEAP_CALL_REALLOC, true },
		{ "memalign", HEAP_CALL_ALLOC, true },
		{ "aligned_alloc", HEAP_CALL_ALLOC, true },
		{ "posix_memalign", HEAP_CALL_POSIX_MEMALIGN, true },
		{ "valloc", HEAP_CALL_ALLOC, true },
		{ "pvalloc", HEAP_CALL_ALLOC, true },
	};
	const struct heap_site *site;
	struct heap_sites s;
	uint64_t start;
	int fd;

	check_allocator(LIBRARIES "libc.so.6", calls, ARRAY_SIZE(calls));
	fd = open(LIBRARIES "libc.so.6", O_RDONLY | O_CLOEXEC);
	assert_int_equal(sites_of_fd(fd, &s), PARSE_OK);
	assert_true(named_site(&s, fd, "realloc")->flags & HEAP_SITE_NULL_ELSEWHERE);
	site = named_site(&s, fd, "posix_memalign");
	assert_true(site->flags & HEAP_SITE_SMALL_ALIGN_ELSEWHERE);
	assert_true(site->count_reg < HEAP_NO_REG);
	assert_false(named_site(&s, fd, "valloc")->flags & HEAP_SITE_SMALL_ALIGN_ELSEWHERE);
	/* realloc calls malloc and memcpy; strdup is no part of the allocator. */
	start = function_offset(fd, "realloc");
	assert_true(s.ranges_cnt > 0);
	for (size_t i = 0; i < s.ranges_cnt; i++)
		assert_true(s.ranges[i].start < s.ranges[i].end);
	assert_true(start == s.ranges[0].start);
	for (size_t i = 0; i < s.ranges_cnt; i++)
		assert_false(function_offset(fd, "strdup") >= s.ranges[i].start &&
			     function_offset(fd, "strdup") < s.ranges[i].end);
	/* What is chosen at start is not found, nor what others define. */
	assert_int_equal(function_offset(fd, "strlen"), 0);
	assert_int_equal(function_offset(fd, "__tls_get_addr"), 0);
	assert_true(function_offset(fd, "qsort") > 0);
	/* reallocarray goes on to realloc. */
	start = function_offset(fd, "reallocarray");
	assert_null(site_in(&s, start, 16));
	close(fd);
}

static void test_jemalloc(void **state)
{
	const struct named_call calls[] = {
		{ "malloc", HEAP_CALL_ALLOC, false },
		{ "free", HEAP_CALL_FREE, false },
		{ "calloc", HEAP_CALL_ALLOC, true },
		{ "realloc", HEAP_CALL_REALLOC, true },
		{ "posix_memalign", HEAP_CALL_POSIX_MEMALIGN, true },
		{ "mallocx", HEAP_CALL_ALLOC, true },
		{ "rallocx", HEAP_CALL_REALLOC, true },
		{ "dallocx", HEAP_CALL_FREE, true },
		{ "sdallocx", HEAP_CALL_FREE, true },
		{ "_Znwm", HEAP_CALL_ALLOC, false },
		{ "_ZdlPvm", HEAP_CALL_FREE, true },
	};

	check_allocator(LIBRARIES "libjemalloc.so.2", calls, ARRAY_SIZE(calls));
}

static void test_tcmalloc(void **state)
{
	const struct named_call calls[] = {
		{ "malloc", HEAP_CALL_ALLOC, false },
		{ "free", HEAP_CALL_FREE, false },
		{ "calloc", HEAP_CALL_ALLOC, true },
		{ "realloc", HEAP_CALL_REALLOC, true },
		{ "memalign", HEAP_CALL_ALLOC, true },
		{ "posix_memalign", HEAP_CALL_POSIX_MEMALIGN, true },
		{ "tc_malloc", HEAP_CALL_ALLOC, false },
		{ "_Znwm", HEAP_CALL_ALLOC, false },
		{ "_ZnwmRKSt9nothrow_t", HEAP_CALL_ALLOC, true },
		{ "_ZdlPvm", HEAP_CALL_FREE, true },
	};

	check_allocator(LIBRARIES "libtcmalloc_minimal.so.4", calls, ARRAY_SIZE(calls));
}

static void test_mimalloc(void **state)
{
	const struct named_call calls[] = {
		{ "malloc", HEAP_CALL_ALLOC, false },
		{ "mi_malloc", HEAP_CALL_ALLOC, false },
		{ "free", HEAP_CALL_FREE, false },
		{ "mi_free", HEAP_CALL_FREE, false },
		{ "calloc", HEAP_CALL_ALLOC, true },
		{ "mi_heap_realloc", HEAP_CALL_REALLOC, true },
		{ "mi_zalloc", HEAP_CALL_ALLOC, true },
		{ "_Znwm", HEAP_CALL_ALLOC, false },
		{ "mi_posix_memalign", HEAP_CALL_POSIX_MEMALIGN, true },
	};
	static const char *const paths[] = { LIBRARIES "libmimalloc.so.2",
					     LIBRARIES "libmimalloc.so.3" };
	const char *path = access(paths[0], R_OK) ? paths[1] : paths[0];
	struct heap_sites s;
	int fd;

	check_allocator(path, calls, ARRAY_SIZE(calls));
	/* One jump to the function of the other name, through the linkage table. */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(sites_of_fd(fd, &s), PARSE_OK);
	assert_null(site_in(&s, function_offset(fd, "posix_memalign"), 5));
	assert_null(site_in(&s, function_offset(fd, "valloc"), 5));
	assert_null(site_in(&s, function_offset(fd, "_ZdlPvm"), 5));
	close(fd);
}

/* Libraries that define operator new, or nothing of all this, or malloc for themselves. */
static void test_no_allocators(void **state)
{
	static const char *const paths[] = {
		LIBRARIES "libstdc++.so.6",
		LIBRARIES "libm.so.6",
		LIBRARIES "ld-linux-x86-64.so.2",
		LIBRARIES "libgcc_s.so.1",
		"/bin/sh",
	};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct heap_sites s;

		assert_int_equal(sites_of_file(paths[i], &s), PARSE_OK);
		if (s.sites_cnt || s.ranges_cnt || s.refusal || s.is_go)
			fail_msg("%s", paths[i]);
	}
}

/* --- programs ----------------------------------------------------------------------------------
 */
static const char c_program[] =
	"#include <stdlib.h>\n"
	"int main(void) { void *p = malloc(3); return !(p = realloc(p, 9)); }";
static const char cxx_program[] =
	"#include <new>\nint main(int c, char **) { delete new (std::nothrow) int;\n"
	"return new int[c] == new int; }";
static const char go_program[] = "package main\nfunc main() { println(1) }\n";

/* Runs a shell command in a new directory with the source in it; the program is "./a". */
static bool build_program(const char *source_name, const char *source, const char *command,
			  struct heap_sites *ret)
{
	char dir[] = "/tmp/cprofd-test-XXXXXX", line[512], path[128];
	bool built;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/%s", dir, source_name);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(source, f);
	assert_int_equal(fclose(f), 0);
	snprintf(line, sizeof(line), "cd %s && { %s; } >/dev/null 2>&1", dir, command);
	built = !system(line);
	snprintf(path, sizeof(path), "%s/a", dir);
	if (built)
		assert_int_equal(sites_of_file(path, ret), PARSE_OK);
	snprintf(line, sizeof(line), "rm -r %s", dir);
	assert_int_equal(system(line), 0);
	if (!built)
		print_message("skipped: cannot run '%s'\n", command);
	return built;
}

static void count_calls(const struct heap_sites *s, size_t ret_cnt[HEAP_CALLS])
{
	memset(ret_cnt, 0, HEAP_CALLS * sizeof(*ret_cnt));
	for (size_t i = 0; i < s->sites_cnt; i++)
		ret_cnt[s->sites[i].call]++;
}

static void test_static_program(void **state)
{
	struct heap_sites s;
	size_t cnt[HEAP_CALLS];

	if (!build_program("a.c", c_program, "cc -O2 -static -o a a.c", &s))
		skip();
	assert_true(s.is_static && !s.is_stripped && !s.is_go);
	count_calls(&s, cnt);
	assert_int_equal(cnt[HEAP_CALL_REALLOC], 1);
	assert_int_equal(cnt[HEAP_CALL_FREE], 1);
	assert_true(cnt[HEAP_CALL_ALLOC] >= 1);
	assert_true(s.ranges_cnt >= 1);
	if (!build_program("a.c", c_program, "cc -O2 -static -s -o a a.c", &s))
		skip();
	assert_true(s.is_static && s.is_stripped && !s.is_go);
	assert_int_equal(s.sites_cnt + s.ranges_cnt, 0);
	assert_int_equal(s.refusal, HEAP_REFUSAL_NONE);
}

/* Its operator new and delete are those of libstdc++, which call malloc and free. */
static void test_static_cxx_program(void **state)
{
	size_t cnt[HEAP_CALLS];
	struct heap_sites s;

	if (!build_program("a.cc", cxx_program, "c++ -O2 -static -o a a.cc", &s))
		skip();
	assert_true(s.is_static);
	count_calls(&s, cnt);
	assert_int_equal(cnt[HEAP_CALL_FREE], 1);
	assert_int_equal(cnt[HEAP_CALL_REALLOC], 1);
}

static void test_dynamic_program(void **state)
{
	struct heap_sites s;

	if (!build_program("a.cc", cxx_program, "c++ -O2 -o a a.cc", &s))
		skip();
	assert_false(s.is_static || s.is_stripped || s.is_go);
	assert_int_equal(s.sites_cnt + s.ranges_cnt, 0);
}

/* An allocator that reaches its own functions as if they were another's, by stubs or without, and
 * whose parts have no names. */
static const char library[] =
	"static char arena[64]; unsigned long used;\n"
	"void *malloc(unsigned long n) { void *p = arena + used; used += n; return p; }\n"
	"void free(void *p) { if (p) used = 0; }\n"
	"void *calloc(unsigned long a, unsigned long b) { return malloc(a * b); }\n"
	"static __attribute__((noinline)) void *part(void *p, unsigned long n)\n"
	"{ void *q = malloc(n); free(p); used += n > 9; return q; }\n"
	"void *realloc(void *p, unsigned long n) { void *q = part(p, n); used++; return q; }\n";

static void test_own_library(void **state)
{
	static const char *const commands[] = {
		"cc -O2 -fPIC -shared -nostdlib -fno-builtin -s -o a a.c",
		"cc -O2 -fPIC -shared -nostdlib -fno-builtin -fno-plt -s -o a a.c",
		"cc -O2 -fPIC -shared -nostdlib -fno-builtin -fcf-protection -s -o a a.c",
	};

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		size_t cnt[HEAP_CALLS];
		struct heap_sites s;

		if (!build_program("a.c", library, commands[i], &s))
			skip();
		assert_true(s.is_static && !s.is_stripped);
		count_calls(&s, cnt);
		assert_int_equal(cnt[HEAP_CALL_ALLOC], 1);
		assert_int_equal(cnt[HEAP_CALL_FREE], 1);
		assert_int_equal(cnt[HEAP_CALL_REALLOC], 1);
		/* The part that calls malloc, and nothing else. */
		assert_int_equal(s.ranges_cnt, 1);
		assert_true(s.ranges[0].end - s.ranges[0].start < 100);
		for (size_t j = 0; j < s.sites_cnt; j++)
			assert_true(s.sites[j].offset < s.ranges[0].start ||
				    s.sites[j].offset >= s.ranges[0].end);
	}
}

static void test_go_program(void **state)
{
	struct heap_sites s;

	if (!build_program("a.go", go_program, "CGO_ENABLED=0 go build -o a a.go", &s))
		skip();
	assert_true(s.is_go && s.is_static);
	assert_int_equal(s.refusal, HEAP_REFUSAL_GO);
	assert_int_equal(s.sites_cnt, 0);
}

/* --- what is an allocator ----------------------------------------------------------------------
 */
#define BODY 0x53, 0x5b, 0xc3

static size_t count_sites(const struct built_code *functions, size_t cnt)
{
	struct heap_sites s;

	sites_of_code(functions, cnt, &s);
	return s.sites_cnt;
}

static void test_families(void **state)
{
	const struct built_code operators[] = { FUNCTION("_Znwm", BODY), FUNCTION("_ZdlPv", BODY) };
	const struct built_code half[] = { FUNCTION("malloc", BODY), FUNCTION("calloc", BODY) };
	const struct built_code mixed[] = { FUNCTION("malloc", BODY), FUNCTION("je_free", BODY) };
	const struct built_code prefixed[] = {
		FUNCTION("je_malloc", BODY), FUNCTION("je_free", BODY),   FUNCTION("_Znwm", BODY),
		FUNCTION("malloc", BODY),    FUNCTION("mi_malloc", BODY),
	};
	const struct built_code rust[] = { FUNCTION("_rjem_malloc", BODY),
					   FUNCTION("_rjem_free", BODY),
					   FUNCTION("_rjem_sdallocx", BODY) };
	const struct built_code versioned[] = { FUNCTION("malloc@@V_2", BODY),
						FUNCTION("free@V_1", BODY) };
	const struct built_code linker[] = {
		FUNCTION("malloc", BODY),
		FUNCTION("free", BODY),
		{ .name = "_rtld_global", .bytes = (const uint8_t *)"", .type = STT_OBJECT },
	};
	const struct built_code longer[] = { FUNCTION("malloc_", BODY), FUNCTION("free_", BODY),
					     FUNCTION("mallo", BODY), FUNCTION("", BODY) };
	struct built_code chosen[] = { FUNCTION("malloc", BODY), FUNCTION("free", BODY) };

	assert_int_equal(count_sites(operators, ARRAY_SIZE(operators)), 0);
	assert_int_equal(count_sites(half, ARRAY_SIZE(half)), 0);
	assert_int_equal(count_sites(mixed, ARRAY_SIZE(mixed)), 0);
	assert_int_equal(count_sites(prefixed, ARRAY_SIZE(prefixed)), 3);
	assert_int_equal(count_sites(rust, ARRAY_SIZE(rust)), 3);
	assert_int_equal(count_sites(versioned, ARRAY_SIZE(versioned)), 2);
	assert_int_equal(count_sites(linker, 2), 2);
	assert_int_equal(count_sites(linker, 3), 0);
	assert_int_equal(count_sites(longer, ARRAY_SIZE(longer)), 0);
	assert_int_equal(count_sites(chosen, ARRAY_SIZE(chosen)), 2);
	chosen[0].type = STT_GNU_IFUNC;
	assert_int_equal(count_sites(chosen, ARRAY_SIZE(chosen)), 0);
}

/* --- files that lie ----------------------------------------------------------------------------
 */
static void test_other_machines(void **state)
{
	const struct built_code functions[] = { FUNCTION("malloc", BODY), FUNCTION("free", BODY) };
	_cleanup_buf_ struct buf bytes = BUF_INIT;
	struct heap_sites s;
	Elf64_Ehdr ehdr;
	Elf32_Ehdr small = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32,
					  ELFDATA2LSB, EV_CURRENT },
			     .e_type = ET_DYN,
			     .e_machine = EM_386,
			     .e_version = EV_CURRENT,
			     .e_ehsize = sizeof(small) };
	int fd;

	build_code(functions, ARRAY_SIZE(functions), &bytes);
	memcpy(&ehdr, bytes.data, sizeof(ehdr));
	ehdr.e_machine = EM_AARCH64;
	memcpy(bytes.data, &ehdr, sizeof(ehdr));
	sites_of_bytes(&bytes, &s);
	assert_int_equal(s.sites_cnt, 0);
	assert_int_equal(s.refusal, HEAP_REFUSAL_NONE);
	fd = file_of_bytes(&small, sizeof(small));
	assert_int_equal(sites_of_fd(fd, &s), PARSE_OK);
	assert_int_equal(s.refusal, HEAP_REFUSAL_32BIT);
	close(fd);
}

/* Symbols that point nowhere, to the last byte of the text, or to data. */
static void test_wild_addresses(void **state)
{
	const uint64_t wild[] = { 0, 1, UINT64_MAX, 0x403000,
				  BUILT_TEXT_VADDR + BUILT_TEXT_BYTES - 1 };

	for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
		const struct built_symbol symbols[] = {
			{ "malloc", wild[i], UINT64_MAX, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
			{ "free", wild[i], 0, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
			{ NULL },
		};
		const struct built_elf spec = { .dynsym = symbols };
		int fd = file_of_elf(&spec);
		struct heap_sites s;

		assert_int_equal(sites_of_fd(fd, &s), PARSE_OK);
		for (size_t j = 0; j < s.sites_cnt; j++)
			assert_int_equal(s.sites[j].offset,
					 BUILT_TEXT_OFFSET + BUILT_TEXT_BYTES - 1);
		close(fd);
	}
}

/* A table full of functions of the same names, each somewhere else: bounded in time and number. */
static void test_many_of_one_name(void **state)
{
	enum { CNT = 1000000 };
	static const char *const names[] = { "malloc", "free", "calloc", "realloc" };
	struct built_symbol *symbols = calloc(CNT + 1, sizeof(*symbols));
	struct built_elf spec = { .symtab = symbols };
	uint64_t start_ns;
	struct heap_sites s;
	int fd;

	assert_non_null(symbols);
	for (size_t i = 0; i < CNT; i++)
		symbols[i] = (struct built_symbol){ names[i % 4], BUILT_TEXT_VADDR + i % 0x700,
						    0x100,        STT_FUNC,
						    STB_GLOBAL,   BUILT_TEXT };
	fd = file_of_elf(&spec);
	start_ns = clock__mono_ns();
	assert_int_equal(sites_of_fd(fd, &s), PARSE_OK);
	assert_true(clock__mono_ns() - start_ns < 2000000000ull);
	assert_true(s.sites_cnt <= HEAP_SITES_MAX);
	free(symbols);
	close(fd);
}

/* Every name there is, each a function of its own that calls the next: more than there is room for.
 */
static void test_more_than_fit(void **state)
{
	struct built_symbol symbols[200] = { { NULL } };
	const struct built_elf spec = { .dynsym = symbols };
	/* push %rbx; call to the next one, 16 bytes on; pop %rbx; ret */
	const uint8_t code[16] = { 0x53, 0xe8, 10, 0, 0, 0, 0x5b, 0xc3 };
	_cleanup_buf_ struct buf bytes = BUF_INIT;
	size_t cnt = 0;
	struct heap_sites s;

	for (size_t i = 0; i < heap_functions_cnt && cnt < 127; i++)
		if (heap_functions[i].family != HEAP_FAMILY_CXX) {
			symbols[cnt] = (struct built_symbol){ heap_functions[i].name,
							      BUILT_TEXT_VADDR + 16 * cnt,
							      8,
							      STT_FUNC,
							      STB_GLOBAL,
							      BUILT_TEXT };
			cnt++;
		}
	build_elf(&spec, &bytes);
	for (size_t i = 0; i < cnt; i++)
		memcpy(bytes.data + BUILT_TEXT_OFFSET + 16 * i, code, sizeof(code));
	sites_of_bytes(&bytes, &s);
	assert_true(cnt > HEAP_SITES_MAX);
	assert_int_equal(s.sites_cnt, HEAP_SITES_MAX);
	assert_int_equal(s.ranges_cnt, HEAP_RANGES_MAX);
}

/* An allocator damaged in a thousand places: whatever comes out lies in the file. */
static void test_damaged(void **state)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT;
	uint64_t seed = 88172645463325252ull;
	char chunk[65536];
	size_t n;
	FILE *f;

	f = fopen(LIBRARIES "libmimalloc.so.2", "re");
	if (!f)
		f = fopen(LIBRARIES "libc.so.6", "re");
	assert_non_null(f);
	while ((n = fread(chunk, 1, sizeof(chunk), f)))
		buf__append(&bytes, chunk, n);
	fclose(f);
	for (int round = 0; round < 60; round++) {
		struct heap_sites s = { .sites_cnt = 0 };
		int fd;

		for (int i = 0; i < 200; i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			/* Not the header, so that most of them are read. */
			bytes.data[1024 + seed % (bytes.len - 1024)] = (char)(seed >> 40);
		}
		fd = file_of_bytes(bytes.data, bytes.len);
		if (sites_of_fd(fd, &s) == PARSE_OK) {
			assert_true(s.sites_cnt <= HEAP_SITES_MAX);
			assert_true(s.ranges_cnt <= HEAP_RANGES_MAX);
			for (size_t i = 0; i < s.sites_cnt; i++)
				assert_true(s.sites[i].offset < bytes.len);
		}
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_glibc),
		cmocka_unit_test(test_jemalloc),
		cmocka_unit_test(test_tcmalloc),
		cmocka_unit_test(test_mimalloc),
		cmocka_unit_test(test_no_allocators),
		cmocka_unit_test(test_static_program),
		cmocka_unit_test(test_static_cxx_program),
		cmocka_unit_test(test_dynamic_program),
		cmocka_unit_test(test_own_library),
		cmocka_unit_test(test_go_program),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_other_machines),
		cmocka_unit_test(test_wild_addresses),
		cmocka_unit_test(test_many_of_one_name),
		cmocka_unit_test(test_more_than_fit),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests_name("heap_sites", tests, NULL, NULL);
}
