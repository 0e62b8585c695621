/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of an allocator that lead to each other: each allocation is to be counted once.
 */
#include "code_builder.h"

#include "base/array.h"

#define PUSH_RBX 0x53
#define POP_RBX  0x5b
#define RET      0xc3
#define XOR_EAX  0x31, 0xc0
#define MOV_EAX  0xb8, 0x16, 0x00, 0x00, 0x00
#define TEST_RDI 0x48, 0x85, 0xff
#define CMP_16   0x48, 0x83, 0xff, 0x10
#define CMP_32   0x48, 0x83, 0xff, 0x20
#define JUMP_RAX 0xff, 0xe0

enum { MALLOC, FREE, OTHER, PART, PLAIN_CNT };

#define MALLOC_AND_FREE                                                                            \
	[MALLOC] = FUNCTION("malloc", PUSH_RBX, POP_RBX, RET), [FREE] = FUNCTION("free", PUSH_RBX, \
										 POP_RBX, RET)

static bool is_probed(const struct heap_sites *s, size_t n)
{
	return site_in(s, CODE_FILE(n), CODE_STEP);
}

static bool is_range(const struct heap_sites *s, size_t n)
{
	for (size_t i = 0; i < s->ranges_cnt; i++)
		if (s->ranges[i].start == CODE_FILE(n) && s->ranges[i].end > CODE_FILE(n) &&
		    s->ranges[i].end <= CODE_FILE(n) + CODE_STEP)
			return true;
	return false;
}

struct expected {
	const char *name;
	const uint8_t *bytes;
	size_t len;
	bool is_probed, is_range;
	uint8_t flags;
};

static void check(const struct expected *e, const struct built_code *part)
{
	const struct built_code functions[] = {
		MALLOC_AND_FREE,
		[OTHER] = { .name = e->name, .bytes = e->bytes, .len = e->len },
		[PART] = part ? *part : (struct built_code)FUNCTION(NULL, RET),
	};
	struct heap_sites s;

	sites_of_code(functions, ARRAY_SIZE(functions), &s);
	assert_true(is_probed(&s, MALLOC));
	assert_true(is_probed(&s, FREE));
	if (is_probed(&s, OTHER) != e->is_probed)
		fail_msg("%s: probed %d", e->name, !e->is_probed);
	if (is_range(&s, OTHER) != e->is_range)
		fail_msg("%s: range %d", e->name, !e->is_range);
	if (e->is_probed && site_of(&s, OTHER)->flags != e->flags)
		fail_msg("%s: flags %u", e->name, site_of(&s, OTHER)->flags);
	assert_int_equal(s.ranges_cnt, is_range(&s, OTHER) + is_range(&s, PART));
}

static void test_forwards(void **state)
{
	const struct expected all[] = {
		{ "calloc", CODE(CODE_JUMP(OTHER, 0, MALLOC)), false, false, 0 },
		/* reallocarray of glibc: an overflow returns NULL. */
		{ "reallocarray", CODE(0x70, 0x05, CODE_JUMP(OTHER, 2, MALLOC), XOR_EAX, RET),
		  false, false, 0 },
		{ "pvalloc",
		  CODE(PUSH_RBX, 0x70, 0x06, POP_RBX, CODE_JUMP(OTHER, 4, MALLOC), XOR_EAX, POP_RBX,
		       RET),
		  false, false, 0 },
		/* What is returned is not NULL. */
		{ "valloc", CODE(0x70, 0x05, CODE_JUMP(OTHER, 2, MALLOC), MOV_EAX, RET), true,
		  false, 0 },
		/* The xor is branched over. */
		{ "calloc",
		  CODE(0x70, 0x07, 0x71, 0x02, XOR_EAX, RET, 0x90, 0x90,
		       CODE_JUMP(OTHER, 9, MALLOC)),
		  true, false, 0 },
		{ "calloc", CODE(0x70, 0x05, CODE_JUMP(OTHER, 2, MALLOC), JUMP_RAX), true, false,
		  0 },
		/* Of C a call does not pass on: memalign of musl returns something else. */
		{ "memalign", CODE(PUSH_RBX, CODE_CALL(OTHER, 1, MALLOC), POP_RBX, RET), true, true,
		  0 },
		/* Of C++ it does. */
		{ "_Znwm", CODE(PUSH_RBX, CODE_CALL(OTHER, 1, MALLOC), POP_RBX, RET), false, false,
		  0 },
		{ "_Znam", CODE(PUSH_RBX, 0x70, 0x05, CODE_CALL(OTHER, 3, MALLOC), POP_RBX, RET),
		  true, true, HEAP_SITE_THROWS | HEAP_SITE_THROWS_AT_WILL },
		{ "reallocarray", CODE(PUSH_RBX, CODE_CALL(OTHER, 1, MALLOC), POP_RBX, RET), false,
		  false, 0 },
		/* One kind does not pass on to the other. */
		{ "_Znwm", CODE(CODE_JUMP(OTHER, 0, FREE)), true, false,
		  HEAP_SITE_THROWS | HEAP_SITE_THROWS_AT_WILL },
		{ "_ZdlPv", CODE(CODE_JUMP(OTHER, 0, FREE)), false, false, 0 },
		/* delete(NULL) returns. */
		{ "_ZdlPvm", CODE(TEST_RDI, 0x74, 0x05, CODE_JUMP(OTHER, 5, FREE), RET), false,
		  false, 0 },
		{ "_ZdlPvm", CODE(TEST_RDI, 0x75, 0x05, CODE_JUMP(OTHER, 5, FREE), RET), true,
		  false, 0 },
		/* Somewhere else, and to code that cannot be read. */
		{ "calloc",
		  CODE(0x70, 0x05, CODE_JUMP(OTHER, 2, MALLOC), CODE_JUMP(OTHER, 7, PART)), true,
		  false, 0 },
		{ "calloc", CODE(CODE_JUMP(OTHER, 0, MALLOC), 0x06), true, false, 0 },
		/* Round and round. */
		{ "calloc", CODE(CODE_JUMP(OTHER, 0, OTHER)), true, false, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		check(&all[i], NULL);
}

static void test_realloc_of_null(void **state)
{
	const struct expected all[] = {
		{ "realloc", CODE(PUSH_RBX, POP_RBX, 0x70, 0x05, CODE_JUMP(OTHER, 4, MALLOC), RET),
		  true, false, HEAP_SITE_NULL_ELSEWHERE },
		{ "realloc", CODE(PUSH_RBX, POP_RBX, 0x70, 0x05, CODE_JUMP(OTHER, 4, FREE), RET),
		  true, false, 0 },
		{ "realloc", CODE(PUSH_RBX, CODE_CALL(OTHER, 1, MALLOC), POP_RBX, RET), true, true,
		  0 },
		/* A conditional jump does as well: je. */
		{ "realloc", CODE(PUSH_RBX, POP_RBX, 0x0f, 0x84, CODE_REL32(OTHER, 3, MALLOC), RET),
		  true, false, HEAP_SITE_NULL_ELSEWHERE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		check(&all[i], NULL);
}

static void test_small_alignment(void **state)
{
	const struct built_code below = FUNCTION(NULL, PUSH_RBX, POP_RBX, CMP_16, 0x76, 0x01, RET,
						 CODE_JUMP(PART, 9, MALLOC));
	const struct built_code above = FUNCTION(NULL, PUSH_RBX, POP_RBX, CMP_16, 0x77, 0x05,
						 CODE_JUMP(PART, 8, MALLOC), RET);
	const struct built_code wider = FUNCTION(NULL, PUSH_RBX, POP_RBX, CMP_32, 0x76, 0x01, RET,
						 CODE_JUMP(PART, 9, MALLOC));
	const struct expected jumps = { "memalign",
					CODE(PUSH_RBX, POP_RBX, CODE_JUMP(OTHER, 2, PART)), true,
					false, HEAP_SITE_SMALL_ALIGN_ELSEWHERE };
	const struct expected calls = { "posix_memalign",
					CODE(PUSH_RBX, CODE_CALL(OTHER, 1, PART), POP_RBX, RET),
					true, false, HEAP_SITE_SMALL_ALIGN_ELSEWHERE };
	const struct expected itself = { "aligned_alloc",
					 CODE(PUSH_RBX, POP_RBX, CMP_16, 0x76, 0x01, RET,
					      CODE_JUMP(OTHER, 9, MALLOC)),
					 true, false, HEAP_SITE_SMALL_ALIGN_ELSEWHERE };
	const struct expected at_once = { "aligned_alloc",
					  CODE(PUSH_RBX, POP_RBX, CMP_16, 0x0f, 0x86,
					       CODE_REL32(OTHER, 7, MALLOC), RET),
					  true, false, HEAP_SITE_SMALL_ALIGN_ELSEWHERE };
	/* malloc would return into a range: nested, so this one counts. */
	const struct expected ranged = { "posix_memalign",
					 CODE(PUSH_RBX, CODE_CALL(OTHER, 1, PART),
					      CODE_CALL(OTHER, 6, MALLOC), POP_RBX, RET),
					 true, true, 0 };
	/* No alignment among its arguments: a page is more than 16. */
	const struct expected valloc = { "valloc",
					 CODE(PUSH_RBX, POP_RBX, CODE_JUMP(OTHER, 2, PART)), true,
					 false, 0 };
	struct expected unflagged = jumps;

	unflagged.flags = 0;
	check(&jumps, &below);
	check(&jumps, &above);
	check(&unflagged, &wider);
	check(&calls, &below);
	check(&itself, NULL);
	check(&at_once, NULL);
	check(&ranged, &below);
	check(&valloc, &below);
}

static void test_alignment_is_kept(void **state)
{
	const struct built_code functions[] = {
		MALLOC_AND_FREE,
		FUNCTION("posix_memalign", PUSH_RBX, POP_RBX, CMP_16, 0x76, 0x01, RET,
			 CODE_JUMP(OTHER, 9, MALLOC)),
	};
	const struct heap_site *site;
	struct heap_sites s;

	sites_of_code(functions, ARRAY_SIZE(functions), &s);
	site = site_of(&s, OTHER);
	assert_int_equal(site->call, HEAP_CALL_POSIX_MEMALIGN);
	assert_int_equal(site->out_reg, 5);
	assert_int_equal(site->count_reg, 4);
	assert_int_equal(site->size_reg, 1);
}

/* A part without a name that calls malloc: a range, whether it is called or jumped to. */
static void test_parts(void **state)
{
	const struct built_code part =
		FUNCTION(NULL, PUSH_RBX, CODE_CALL(PART, 1, MALLOC), POP_RBX, RET);
	const struct expected all[] = {
		{ "calloc", CODE(PUSH_RBX, CODE_CALL(OTHER, 1, PART), POP_RBX, RET), true, false,
		  0 },
		{ "calloc", CODE(PUSH_RBX, POP_RBX, CODE_JUMP(OTHER, 2, PART)), true, false, 0 },
	};
	/* What free does for itself is not on behalf of an allocation. */
	const struct expected frees = { "cfree",
					CODE(PUSH_RBX, CODE_CALL(OTHER, 1, PART), POP_RBX, RET),
					true, false, 0 };
	struct heap_sites s;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const struct built_code functions[] = {
			MALLOC_AND_FREE,
			{ .name = all[i].name, .bytes = all[i].bytes, .len = all[i].len },
			part,
		};

		check(&all[i], &part);
		sites_of_code(functions, ARRAY_SIZE(functions), &s);
		assert_true(is_range(&s, PART));
		assert_int_equal(s.ranges[0].end - s.ranges[0].start, part.len);
	}
	check(&frees, &part);
	{
		const struct built_code functions[] = {
			MALLOC_AND_FREE,
			{ .name = frees.name, .bytes = frees.bytes, .len = frees.len },
			part,
		};

		sites_of_code(functions, ARRAY_SIZE(functions), &s);
		assert_int_equal(s.ranges_cnt, 0);
	}
}

/* What cannot be probed keeps nobody from being counted. */
static void test_refused(void **state)
{
	const struct built_code functions[] = {
		MALLOC_AND_FREE,
		/* lock incq (%rdi); sub $8,%rsp; call */
		[OTHER] = FUNCTION("calloc", 0xf0, 0x48, 0xff, 0x07, 0x48, 0x83, 0xec, 0x08,
				   CODE_CALL(OTHER, 8, MALLOC), RET),
	};
	struct heap_sites s;

	sites_of_code(functions, ARRAY_SIZE(functions), &s);
	assert_int_equal(s.sites_cnt, 2);
	assert_int_equal(s.ranges_cnt, 0);
}

static void test_names_of_one_address(void **state)
{
	const struct built_symbol symbols[] = {
		{ "memalign", CODE_AT(2), 3, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
		{ "cfree", CODE_AT(1), 3, STT_FUNC, STB_WEAK, BUILT_TEXT },
		{ "_ZdlPv", CODE_AT(1), 3, STT_FUNC, STB_WEAK, BUILT_TEXT },
		{ "aligned_alloc", CODE_AT(2), 3, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
		{ "free", CODE_AT(1), 3, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
		{ "malloc", CODE_AT(0), 3, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
		{ "tc_malloc", CODE_AT(0), 3, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
		{ "tc_free", CODE_AT(1), 3, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
		{ NULL },
	};
	const struct built_elf spec = { .symtab = symbols, .dynsym = symbols };
	const uint8_t code[] = { PUSH_RBX, POP_RBX, RET };
	_cleanup_buf_ struct buf bytes = BUF_INIT;
	struct heap_sites s;

	build_elf(&spec, &bytes);
	for (int i = 0; i < 3; i++)
		memcpy(bytes.data + CODE_FILE(i), code, sizeof(code));
	sites_of_bytes(&bytes, &s);
	assert_int_equal(s.sites_cnt, 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(s.sites[i].offset, CODE_FILE(i));
	assert_int_equal(s.sites[1].call, HEAP_CALL_FREE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forwards),
		cmocka_unit_test(test_realloc_of_null),
		cmocka_unit_test(test_small_alignment),
		cmocka_unit_test(test_alignment_is_kept),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_names_of_one_address),
	};

	return cmocka_run_group_tests_name("heap_flow", tests, NULL, NULL);
}
