/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which instruction of a function is probed: prologues assembled by hand, one rule each.
 */
#include "code_builder.h"

#include "base/array.h"

enum { MALLOC, FREE };

#define RDI 5
#define RSI 4
#define RDX 1
#define RAX 0
#define RBX 3

#define MOV_RDI_RBX  0x48, 0x89, 0xfb
#define MOV_RSI_RDX  0x48, 0x89, 0xf2
#define XOR_EDI_EDI  0x31, 0xff
#define SUB_RSP_8    0x48, 0x83, 0xec, 0x08
#define ADD_RSP_8    0x48, 0x83, 0xc4, 0x08
#define ENDBR64      0xf3, 0x0f, 0x1e, 0xfa
#define PUSH_RBP     0x55
#define PUSH_R12     0x41, 0x54
#define POP_RBP      0x5d
#define RET          0xc3
#define NOP          0x90
#define LONG_NOP     0x0f, 0x1f, 0x40, 0x00
#define NOP_OF_FIVE  0x0f, 0x1f, 0x44, 0x00, 0x00
#define TEST_RDI_RDI 0x48, 0x85, 0xff
#define CMP_RDI_100  0x48, 0x81, 0xff, 0x00, 0x01, 0x00, 0x00
#define JE(d)        0x74, (uint8_t)(d)
#define JA(d)        0x77, (uint8_t)(d)
#define JMP(d)       0xeb, (uint8_t)(d)
#define LOAD_RIP_RAX 0x48, 0x8b, 0x05, 0x10, 0x00, 0x00, 0x00

struct expected {
	const char *what;
	const uint8_t *bytes;
	size_t len;
	int distance;
	uint8_t reg, flags; /* of the one argument */
};

static void check(const struct expected *e, bool is_malloc)
{
	const uint8_t other[] = { PUSH_RBP, POP_RBP, RET };
	const struct built_code functions[] = {
		[MALLOC] = { .name = "malloc",
			     .bytes = is_malloc ? e->bytes : other,
			     .len = is_malloc ? e->len : sizeof(other) },
		[FREE] = { .name = "free",
			   .bytes = is_malloc ? other : e->bytes,
			   .len = is_malloc ? sizeof(other) : e->len },
	};
	const size_t n = is_malloc ? MALLOC : FREE;
	const struct heap_site *site;
	struct heap_sites s;

	sites_of_code(functions, ARRAY_SIZE(functions), &s);
	site = site_in(&s, CODE_FILE(n), CODE_STEP);
	if (e->distance < 0) {
		if (site)
			fail_msg("%s: a site", e->what);
		return;
	}
	if (!site)
		fail_msg("%s: no site", e->what);
	if (site->offset != CODE_FILE(n) + (unsigned int)e->distance || site->flags != e->flags ||
	    (is_malloc ? site->size_reg : site->ptr_reg) != e->reg)
		fail_msg("%s: at %d, register %u, flags %u", e->what,
			 (int)(site->offset - CODE_FILE(n)),
			 is_malloc ? site->size_reg : site->ptr_reg, site->flags);
	assert_int_equal(site->call, is_malloc ? HEAP_CALL_ALLOC : HEAP_CALL_FREE);
	assert_int_equal(is_malloc ? site->ptr_reg : site->size_reg, HEAP_NO_REG);
	assert_int_equal(site->count_reg, HEAP_NO_REG);
	assert_int_equal(site->out_reg, HEAP_NO_REG);
	assert_int_equal(site->semaphore_offset, 0);
	assert_int_equal(site->reserved, 0);
}

static void test_of_malloc(void **state)
{
	const struct expected all[] = {
		{ "push", CODE(PUSH_RBP, POP_RBP, RET), 0, RDI, 0 },
		{ "push of a new register", CODE(PUSH_R12, 0x41, 0x5c, RET), 0, RDI, 0 },
		{ "nop", CODE(NOP, RET), 0, RDI, 0 },
		{ "endbr64, push", CODE(ENDBR64, PUSH_RBP, POP_RBP, RET), 4, RDI, 0 },
		{ "long nop is not emulated everywhere", CODE(LONG_NOP, PUSH_RBP, POP_RBP, RET), 4,
		  RDI, 0 },
		{ "nop of five, push", CODE(NOP_OF_FIVE, PUSH_RBP, POP_RBP, RET), 5, RDI, 0 },
		{ "nop of five only", CODE(NOP_OF_FIVE, RET), -1, 0, 0 },
		{ "comparison, branch", CODE(CMP_RDI_100, JA(1), RET, RET), 7, RDI, 0 },
		{ "rip-relative on the way", CODE(LOAD_RIP_RAX, PUSH_RBP, POP_RBP, RET), 7, RDI,
		  0 },
		{ "copied, still there", CODE(MOV_RDI_RBX, PUSH_RBP, POP_RBP, RET), 3, RDI, 0 },
		{ "copied, then lost", CODE(MOV_RDI_RBX, XOR_EDI_EDI, PUSH_RBP, POP_RBP, RET), 5,
		  RBX, 0 },
		{ "lost", CODE(XOR_EDI_EDI, PUSH_RBP, POP_RBP, RET), 0, RDI, HEAP_SITE_STEPPED },
		{ "half of it written", CODE(0x40, 0xb7, 0x00, PUSH_RBP, POP_RBP, RET), 0, RDI,
		  HEAP_SITE_STEPPED },
		{ "written behind one's back (rep stos)", CODE(0xf3, 0xaa, PUSH_RBP, POP_RBP, RET),
		  0, RDI, HEAP_SITE_STEPPED },
		{ "the copy is lost too",
		  CODE(MOV_RDI_RBX, XOR_EDI_EDI, 0x31, 0xdb, PUSH_RBP, POP_RBP, RET), 0, RDI,
		  HEAP_SITE_STEPPED },
		{ "half a copy is none", CODE(0x89, 0xfb, XOR_EDI_EDI, PUSH_RBP, POP_RBP, RET), 0,
		  RDI, HEAP_SITE_STEPPED },
		{ "stack moved before", CODE(SUB_RSP_8, JMP(0), ADD_RSP_8, RET), 0, RDI,
		  HEAP_SITE_STEPPED },
		{ "branch back to the entry", CODE(MOV_RDI_RBX, PUSH_RBP, POP_RBP, JE(-7), RET), 3,
		  RDI, 0 },
		{ "branch back to the site", CODE(MOV_RDI_RBX, PUSH_RBP, POP_RBP, JE(-4), RET), 0,
		  RDI, HEAP_SITE_STEPPED },
		{ "branch back into the way",
		  CODE(MOV_RDI_RBX, MOV_RSI_RDX, PUSH_RBP, POP_RBP, JE(-7), RET), 0, RDI,
		  HEAP_SITE_STEPPED },
		{ "indirect call first", CODE(0xff, 0xd0, PUSH_RBP, POP_RBP, RET), 0, RDI,
		  HEAP_SITE_STEPPED },
		{ "return first", CODE(RET), 0, RDI, HEAP_SITE_STEPPED },
		{ "system call first", CODE(0x0f, 0x05, PUSH_RBP, POP_RBP, RET), 2, RDI, 0 },
		{ "a push from memory is none", CODE(0xff, 0x37, 0x58, RET), 0, RDI,
		  HEAP_SITE_STEPPED },
		{ "short jump with operand prefix", CODE(0x66, 0xeb, 0x00, RET), 0, RDI,
		  HEAP_SITE_STEPPED },
		{ "branch with a segment prefix", CODE(TEST_RDI_RDI, 0x3e, JE(0), RET), 0, RDI,
		  HEAP_SITE_STEPPED },
		{ "push with a prefix", CODE(0x48, 0x55, POP_RBP, RET), 0, RDI, HEAP_SITE_STEPPED },
		{ "push of 16 bits", CODE(0x66, 0x55, 0x66, POP_RBP, RET), 0, RDI,
		  HEAP_SITE_STEPPED },
		{ "locked", CODE(0xf0, 0x48, 0xff, 0x07, RET), -1, 0, 0 },
		{ "breakpoint", CODE(0xcc, RET), -1, 0, 0 },
		{ "nothing decodable", CODE(0x06, 0x06), -1, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		check(&all[i], true);
}

static void test_of_free(void **state)
{
	const struct expected all[] = {
		{ "NULL leaves before", CODE(TEST_RDI_RDI, JE(3), PUSH_RBP, POP_RBP, RET, RET), 5,
		  RDI, 0 },
		{ "nothing behind the branch", CODE(TEST_RDI_RDI, JE(1), RET, RET), 3, RDI, 0 },
		{ "lost behind the branch",
		  CODE(TEST_RDI_RDI, JE(5), XOR_EDI_EDI, PUSH_RBP, POP_RBP, RET, RET), 3, RDI, 0 },
		{ "another branch is the site",
		  CODE(CMP_RDI_100, JA(3), PUSH_RBP, POP_RBP, RET, RET), 7, RDI, 0 },
		{ "a copy is tested",
		  CODE(MOV_RDI_RBX, 0x48, 0x85, 0xdb, JE(5), XOR_EDI_EDI, PUSH_RBP, POP_RBP, RET,
		       RET),
		  10, RBX, 0 },
		{ "the other way round", CODE(TEST_RDI_RDI, 0x75, 3, PUSH_RBP, POP_RBP, RET, RET),
		  3, RDI, 0 },
		{ "indirect call first", CODE(0xff, 0xd0, PUSH_RBP, POP_RBP, RET), 0, RDI,
		  HEAP_SITE_STEPPED },
		{ "something else is tested",
		  CODE(0x48, 0x85, 0xf6, JE(3), PUSH_RBP, POP_RBP, RET, RET), 3, RDI, 0 },
		{ "stack moved before", CODE(SUB_RSP_8, JMP(0), ADD_RSP_8, RET), 4, RDI,
		  HEAP_SITE_PUSHED },
		{ "the call is the site",
		  CODE(TEST_RDI_RDI, JE(14), SUB_RSP_8, 0xe8, 0x30, 0, 0, 0, ADD_RSP_8, RET, RET),
		  9, RDI, HEAP_SITE_PUSHED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		check(&all[i], false);
}

/* 61 bytes of nops of the long kind, then a push: within reach, and one byte more: not. */
static void test_reach(void **state)
{
	uint8_t bytes[80];
	struct expected e = { "far", bytes, sizeof(bytes), 64, RDI, 0 };
	const uint8_t nop[] = { LONG_NOP }, end[] = { PUSH_RBP, POP_RBP, RET };

	memset(bytes, RET, sizeof(bytes));
	for (size_t i = 0; i < 64; i += sizeof(nop))
		memcpy(bytes + i, nop, sizeof(nop));
	memcpy(bytes + 64, end, sizeof(end));
	check(&e, true);
	bytes[64] = 0x0f;
	bytes[65] = 0x1f;
	bytes[66] = 0x00;
	memcpy(bytes + 67, end, sizeof(end));
	e.distance = 0;
	e.flags = HEAP_SITE_STEPPED;
	check(&e, true);
}

/* More code than is looked at: what branches into the way cannot be known. */
static void test_not_whole(void **state)
{
	const uint8_t start[] = { MOV_RDI_RBX, PUSH_RBP, POP_RBP, RET };
	const uint8_t broken[] = { MOV_RDI_RBX, PUSH_RBP, 0x06, POP_RBP, RET };
	struct expected e = { "ends well", start, sizeof(start), 3, RDI, 0 };

	check(&e, true);
	e = (struct expected){ "cannot be decoded", broken, sizeof(broken), 0, RDI,
			       HEAP_SITE_STEPPED };
	check(&e, true);
}

/* A branch from another function into the way of this one. */
static void test_branch_from_outside(void **state)
{
	const struct built_code functions[] = {
		FUNCTION("malloc", MOV_RDI_RBX, PUSH_RBP, POP_RBP, RET),
		FUNCTION("free", PUSH_RBP, POP_RBP, CODE_JUMP(1, 2, 0)),
		FUNCTION("calloc", PUSH_RBP, POP_RBP, 0xe9, 0xfc, 0xfd, 0xff, 0xff),
	};
	struct heap_sites s;

	sites_of_code(functions, 2, &s);
	assert_int_equal(site_of(&s, 0)->offset, CODE_FILE(0) + 3);
	/* 0x207 - 0x204 = 3: calloc jumps to malloc's push. */
	sites_of_code(functions, 3, &s);
	assert_int_equal(site_of(&s, 0)->offset, CODE_FILE(0));
	assert_int_equal(site_of(&s, 0)->flags, HEAP_SITE_STEPPED);
}

/* Which registers hold which arguments, of each kind of function. */
static void test_arguments(void **state)
{
	const struct {
		const char *name;
		struct heap_site expected;
	} all[] = {
		{ "calloc",
		  { .call = HEAP_CALL_ALLOC,
		    .size_reg = RSI,
		    .count_reg = RDI,
		    .ptr_reg = 16,
		    .out_reg = 16 } },
		{ "realloc",
		  { .call = HEAP_CALL_REALLOC,
		    .size_reg = RSI,
		    .count_reg = 16,
		    .ptr_reg = RDI,
		    .out_reg = 16 } },
		{ "reallocarray",
		  { .call = HEAP_CALL_REALLOC,
		    .size_reg = RDX,
		    .count_reg = RSI,
		    .ptr_reg = RDI,
		    .out_reg = 16 } },
		{ "posix_memalign",
		  { .call = HEAP_CALL_POSIX_MEMALIGN,
		    .size_reg = RDX,
		    .count_reg = 16,
		    .ptr_reg = 16,
		    .out_reg = RDI } },
		{ "aligned_alloc",
		  { .call = HEAP_CALL_ALLOC,
		    .size_reg = RSI,
		    .count_reg = 16,
		    .ptr_reg = 16,
		    .out_reg = 16 } },
		{ "pvalloc",
		  { .call = HEAP_CALL_ALLOC,
		    .size_reg = RDI,
		    .count_reg = 16,
		    .ptr_reg = 16,
		    .out_reg = 16 } },
		{ "_ZnwmSt11align_val_t",
		  { .call = HEAP_CALL_ALLOC,
		    .size_reg = RDI,
		    .count_reg = 16,
		    .ptr_reg = 16,
		    .out_reg = 16,
		    .flags = HEAP_SITE_THROWS | HEAP_SITE_THROWS_AT_WILL } },
		{ "free_sized",
		  { .call = HEAP_CALL_FREE,
		    .size_reg = 16,
		    .count_reg = 16,
		    .ptr_reg = RDI,
		    .out_reg = 16 } },
		{ "_ZdaPvmSt11align_val_t",
		  { .call = HEAP_CALL_FREE,
		    .size_reg = 16,
		    .count_reg = 16,
		    .ptr_reg = RDI,
		    .out_reg = 16 } },
		{ "rallocx",
		  { .call = HEAP_CALL_REALLOC,
		    .size_reg = RSI,
		    .count_reg = 16,
		    .ptr_reg = RDI,
		    .out_reg = 16 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const struct built_code functions[] = {
			FUNCTION("malloc", PUSH_RBP, POP_RBP, RET),
			FUNCTION("free", PUSH_RBP, POP_RBP, RET),
			FUNCTION(all[i].name, PUSH_RBP, POP_RBP, RET),
		};
		struct heap_site expected = all[i].expected;
		struct heap_sites s;

		sites_of_code(functions, ARRAY_SIZE(functions), &s);
		expected.offset = CODE_FILE(2);
		assert_int_equal(s.sites_cnt, 3);
		assert_memory_equal(site_of(&s, 2), &expected, sizeof(expected));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_malloc),
		cmocka_unit_test(test_of_free),
		cmocka_unit_test(test_reach),
		cmocka_unit_test(test_not_whole),
		cmocka_unit_test(test_branch_from_outside),
		cmocka_unit_test(test_arguments),
	};

	return cmocka_run_group_tests_name("heap_site_rule", tests, NULL, NULL);
}
