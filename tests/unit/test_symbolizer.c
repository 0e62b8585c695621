/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbolizer.c: the vDSO from our own image, a pinned file, what has no file, the kernel.
 */
#include "elf_builder.h"
#include "worker_stub.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "symbolize/symbolize.h"

static bool reply_has_name(const struct worker_reply *r, const char *name)
{
	for (size_t i = 0; i < r->symbols_cnt; i++)
		if (r->symbols[i].name && !strcmp(r->symbols[i].name, name))
			return true;
	return false;
}

static void test_vdso(void **state)
{
	_cleanup_(worker__freep) struct worker *w = worker__new();
	_cleanup_(symbolizer__freep) struct symbolizer *s = symbolizer__new(w);
	const struct module vdso = { .kind = MODULE_VDSO, .path = "[vdso]", .fd = -1 };
	uint64_t offsets[512];

	if (!getauxval(AT_SYSINFO_EHDR)) {
		print_message("skipped: this kernel gives no vDSO\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++)
		offsets[i] = i * 16;
	for (int round = 0; round < 2; round++) {
		struct worker_reply r;

		assert_int_equal(symbolizer__module(s, &vdso, offsets, ARRAY_SIZE(offsets), &r), 0);
		assert_int_equal(r.status, PARSE_OK);
#if defined(__x86_64__)
		assert_true(reply_has_name(&r, "__vdso_clock_gettime") ||
			    reply_has_name(&r, "clock_gettime"));
#else
		assert_true(reply_has_name(&r, "__kernel_clock_gettime"));
#endif
		worker_reply__done(&r);
	}
}

static void test_file(void **state)
{
	const struct built_symbol symbols[] = {
		{ "_ZN2ns1fEv", BUILT_TEXT_VADDR, 0x10, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
		{ NULL },
	};
	_cleanup_(worker__freep) struct worker *w = worker__new();
	_cleanup_(symbolizer__freep) struct symbolizer *s = symbolizer__new(w);
	struct module file = { .kind = MODULE_FILE,
			       .fd = file_of_elf(&(struct built_elf){ .symtab = symbols }) };
	const uint64_t offset = BUILT_TEXT_OFFSET + 4;
	struct worker_reply r;

	assert_int_equal(symbolizer__module(s, &file, &offset, 1, &r), 0);
	assert_int_equal(r.status, PARSE_OK);
	assert_string_equal(r.symbols[0].name, "ns::f");
	assert_string_equal(r.symbols[0].system_name, "_ZN2ns1fEv");
	worker_reply__done(&r);
	close(file.fd);
}

/* Without a file nothing is asked, and nothing started for it. */
static void test_no_file(void **state)
{
	const enum module_kind kinds[] = { MODULE_JIT, MODULE_OTHER, MODULE_FILE };
	_cleanup_(worker__freep) struct worker *w = worker__new();
	_cleanup_(symbolizer__freep) struct symbolizer *s = symbolizer__new(w);
	const uint64_t offset = 0x1000;
	struct worker_stats stats;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct module m = { .kind = kinds[i], .fd = -1 };
		struct worker_reply r;

		assert_int_equal(symbolizer__module(s, &m, &offset, 1, &r), 0);
		assert_int_equal(r.status, PARSE_IO);
		assert_int_equal(r.segments_cnt, 0);
		worker_reply__done(&r);
	}
	worker__stats(w, &stats);
	assert_int_equal(stats.requests, 0);
	assert_int_equal(stats.status[PARSE_IO], ARRAY_SIZE(kinds));
}

static uint64_t kallsyms_address(const char *wanted)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/kallsyms", "re");
	_cleanup_free_ char *line = NULL;
	char type, name[600];
	size_t cap = 0;

	while (f && getline(&line, &cap, f) > 0) {
		unsigned long long address;

		if (sscanf(line, "%llx %c %599s", &address, &type, name) == 3 &&
		    !strcmp(name, wanted))
			return address;
	}
	return 0;
}

static void test_kernel(void **state)
{
	_cleanup_(worker__freep) struct worker *w = worker__new();
	_cleanup_(symbolizer__freep) struct symbolizer *s = symbolizer__new(w);
	uint64_t addresses[] = { kallsyms_address("vfs_read") + 1,
				 kallsyms_address("_etext") + 64 };
	uint64_t text = kallsyms_address("_text");
	struct worker_reply r;

	assert_int_equal(symbolizer__kernel(s, addresses, 2, &r), 0);
	if (!text) {
		assert_int_equal(r.status, PARSE_NO_SYMBOLS);
		worker_reply__done(&r);
		print_message(
			"skipped: /proc/kallsyms shows no addresses (kptr_restrict or not root)\n");
		skip();
	}
	assert_int_equal(r.status, PARSE_OK);
	assert_string_equal(r.symbols[0].name, "vfs_read");
	assert_int_equal(r.symbols[0].address, addresses[0] - text);
	assert_string_equal(r.modules[r.symbols[0].segment], "");
	assert_null(r.symbols[1].name);
	assert_true(r.symbols[1].address < text);
	worker_reply__done(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vdso),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_kernel),
	};

	if (argc == 3 && !strcmp(argv[1], "--worker"))
		return worker_stub__main(atoi(argv[2]));
	return cmocka_run_group_tests_name("symbolizer", tests, NULL, NULL);
}
