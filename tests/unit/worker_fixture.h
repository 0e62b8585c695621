/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of worker/ share: a worker for each test, a file with known names, and whether the
 * worker still answers.
 */
#ifndef TESTS_UNIT_WORKER_FIXTURE_H
#define TESTS_UNIT_WORKER_FIXTURE_H

#include "elf_builder.h"
#include "worker_stub.h"
#include "worker/worker_internal.h"

#define FUNC(n, v, s)                                                                              \
	{                                                                                          \
		n, v, s, STT_FUNC, STB_GLOBAL, BUILT_TEXT                                          \
	}
#define T0         BUILT_TEXT_VADDR
#define OFF(vaddr) ((vaddr)-BUILT_TEXT_VADDR + BUILT_TEXT_OFFSET)

static const struct built_symbol plain_symbols[] = {
	FUNC("outer", T0 + 0x100, 0x100),
	FUNC("_ZN2ns5Class6methodEi", T0 + 0x140, 0x20),
	FUNC("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", T0 + 0x300, 0x10),
	FUNC("_RNvCs1234_7mycrate3foo", T0 + 0x310, 0x10),
	{ NULL },
};
static const struct built_elf plain_elf = { .symtab = plain_symbols };

static inline int set_up(void **state)
{
	*state = worker__new();
	return *state ? 0 : -1;
}

static inline int tear_down(void **state)
{
	worker__free(*state);
	return 0;
}

static inline void assert_works(struct worker *w)
{
	const uint64_t offset = OFF(T0 + 0x100);
	struct worker_reply r;
	int fd = file_of_elf(&plain_elf);

	assert_int_equal(worker__resolve_elf(w, fd, &offset, 1, &r), 0);
	assert_int_equal(r.status, PARSE_OK);
	assert_string_equal(r.symbols[0].name, "outer");
	worker_reply__done(&r);
	close(fd);
}

static inline void assert_status(struct worker *w, int fd, enum parse_status expected)
{
	const uint64_t offset = OFF(T0 + 0x100);
	struct worker_reply r;

	assert_int_equal(worker__resolve_elf(w, fd, &offset, 1, &r), 0);
	assert_string_equal(parse_status__name(r.status), parse_status__name(expected));
	assert_int_equal(r.symbols_cnt, 0);
	assert_null(r.symbols);
	worker_reply__done(&r);
}

#define worker_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
