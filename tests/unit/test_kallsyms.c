/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kallsyms.c: the kernel, modules, BPF programs, what lies between and behind them, hidden
 * addresses and broken text; and this host's own file.
 */
#include "elf_builder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "parse/kallsyms.h"

static const char kernel[] = "0000000000000000 A fixed_percpu_data\n"
			     "0000000000012345 A some_constant\n"
			     "ffffffff81000000 T _stext\n"
			     "ffffffff81000000 T _text\n"
			     "ffffffff81000000 t startup_64\n"
			     "ffffffff81000100 T do_idle\n"
			     "ffffffff81000200 t local_alias_of_read\n"
			     "ffffffff81000200 T read\n"
			     "ffffffff81000200 T ksys_read\n"
			     "ffffffff81000300 W weak_one\n"
			     "ffffffff81000400 T __entry_text_start\n"
			     "ffffffff81000400 t entry_local\n"
			     "ffffffff81001000 T _etext\n"
			     "ffffffff81002000 D jiffies\n"
			     "ffffffff81003000 T _sinittext\n"
			     "ffffffff81003000 T init_function\n"
			     "ffffffff81004000 T _einittext\n"
			     "ffffffffc0100000 t mod_first\t[nf_tables]\n"
			     "ffffffffc0100100 T mod_exported\t[nf_tables]\n"
			     "ffffffffc0100180 r mod_table\t[nf_tables]\n"
			     "ffffffffc0200000 t other_function\t[ext4]\n"
			     "ffffffffc0300040 t bpf_prog_6deef7357e7b4530_one\t[bpf]\n"
			     "ffffffffc0300140 t bpf_prog_1234567812345678_two\t[bpf]\n";

static enum parse_status find(const char *text, const uint64_t *addresses, size_t cnt,
			      struct kallsyms_result *ret)
{
	int fd = file_of_bytes(text, strlen(text));
	enum parse_status status;

	*ret = (struct kallsyms_result){ .matches = NULL };
	status = kallsyms__find(fd, addresses, cnt, ret);
	close(fd);
	return status;
}

static void check(uint64_t address, const char *module, uint64_t offset, const char *name)
{
	struct kallsyms_result r;
	const struct kallsyms_match *m;

	assert_int_equal(find(kernel, &address, 1, &r), PARSE_OK);
	assert_int_equal(r.matches_cnt, 1);
	m = &r.matches[0];
	assert_true(m->module >= 0 && (size_t)m->module < r.modules_cnt);
	assert_string_equal(r.modules[m->module], module);
	assert_int_equal(m->address, offset);
	if (name) {
		assert_non_null(m->name);
		assert_string_equal(m->name, name);
	} else {
		assert_null(m->name);
	}
	kallsyms_result__done(&r);
}

static void test_kernel_text(void **state)
{
	check(0xffffffff81000000, "", 0, "startup_64");
	check(0xffffffff810000ff, "", 0xff, "startup_64");
	check(0xffffffff81000100, "", 0x100, "do_idle");
	check(0xffffffff81000210, "", 0x210, "read");
	check(0xffffffff810003ff, "", 0x3ff, "weak_one");
	check(0xffffffff81000410, "", 0x410, "entry_local");
	check(0xffffffff81000fff, "", 0xfff, "entry_local");
}

static void test_outside_text(void **state)
{
	/* behind _etext, in data, in init text, far away, user space: nobody, and no base leaks */
	check(0xffffffff81001000, "", KALLSYMS_UNKNOWN_BIT, NULL);
	check(0xffffffff81002010, "", KALLSYMS_UNKNOWN_BIT | 0x10, NULL);
	check(0xffffffff81003010, "", KALLSYMS_UNKNOWN_BIT | 0x10, NULL);
	check(0xffffffffffffffff, "", KALLSYMS_UNKNOWN_BIT | 0xfff, NULL);
	check(0xffffffff80ffffff, "", KALLSYMS_UNKNOWN_BIT | 0xfff, NULL);
	check(0x401234, "", KALLSYMS_UNKNOWN_BIT | 0x234, NULL);
	check(0, "", KALLSYMS_UNKNOWN_BIT, NULL);
}

static void test_modules(void **state)
{
	check(0xffffffffc0100010, "nf_tables", 0x10, "mod_first");
	check(0xffffffffc0100110, "nf_tables", 0x110, "mod_exported");
	check(0xffffffffc0100190, "", KALLSYMS_UNKNOWN_BIT | 0x190, NULL);
	check(0xffffffffc0200004, "ext4", 0x4, "other_function");
	/* beyond what a module's last function can reach */
	check(0xffffffffc0220004, "", KALLSYMS_UNKNOWN_BIT | 0x004, NULL);
}

static void test_bpf_programs(void **state)
{
	const uint64_t addresses[] = { 0xffffffffc0300040, 0xffffffffc0300048, 0xffffffffc0300148 };
	struct kallsyms_result r;

	assert_int_equal(find(kernel, addresses, 3, &r), PARSE_OK);
	assert_string_equal(r.modules[r.matches[0].module], "bpf");
	assert_string_equal(r.matches[1].name, "bpf_prog_6deef7357e7b4530_one");
	assert_string_equal(r.matches[2].name, "bpf_prog_1234567812345678_two");
	assert_int_equal(r.matches[1].address - r.matches[0].address, 8);
	/* the same offset in another program is another address, and no address is one of ours */
	assert_int_equal(r.matches[1].address & 0xffffff, 8);
	assert_int_equal(r.matches[2].address & 0xffffff, 8);
	assert_int_not_equal(r.matches[1].address, r.matches[2].address);
	assert_true(r.matches[2].address < KALLSYMS_UNKNOWN_BIT << 1);
	assert_int_equal(r.modules_cnt, 2); /* only what was met */
	kallsyms_result__done(&r);
}

/* All at once, and with modules before the kernel, as on arm64. */
static void test_order_does_not_matter(void **state)
{
	const uint64_t addresses[] = { 0x1000, 0xffff800000001010, 0xffff800000001010,
				       0xffff800010000010, 0xffff800010000990 };
	const char text[] = "ffff800010000800 T late\n"
			    "ffff800010000000 T _text\n"
			    "ffff800010000000 T _stext\n"
			    "ffff800010001000 T _etext\n"
			    "ffff800010000008 t early\n"
			    "ffff800000001000 t in_module\t[mod]\n";
	struct kallsyms_result r;

	assert_int_equal(find(text, addresses, ARRAY_SIZE(addresses), &r), PARSE_OK);
	assert_null(r.matches[0].name);
	assert_string_equal(r.matches[1].name, "in_module");
	assert_string_equal(r.matches[2].name, "in_module");
	assert_string_equal(r.matches[3].name, "early");
	assert_string_equal(r.matches[4].name, "late");
	assert_int_equal(r.matches[4].address, 0x990);
	kallsyms_result__done(&r);
}

static void test_hidden(void **state)
{
	const char text[] = "0000000000000000 T _stext\n0000000000000000 T _text\n"
			    "0000000000000000 T do_idle\n0000000000000000 T _etext\n";
	const uint64_t address = 0xffffffff81000123;
	struct kallsyms_result r;

	assert_int_equal(find(text, &address, 1, &r), PARSE_NO_SYMBOLS);
	assert_null(r.matches[0].name);
	assert_int_equal(r.matches[0].address, KALLSYMS_UNKNOWN_BIT | 0x123);
	kallsyms_result__done(&r);
	assert_int_equal(find("", &address, 1, &r), PARSE_NO_SYMBOLS);
	kallsyms_result__done(&r);
}

static void test_broken_text(void **state)
{
	const char *const broken[] = {
		"garbage\n",
		"ffffffff81000000\n",
		"ffffffff81000000 T\n",
		"ffffffff81000000 T \n",
		"ffffffff81000000  name\n",
		"ffffffff810000000 T seventeen_digits\n",
		"ffffffff81000000 T name\tmodule\n",
		"ffffffff81000000 T name\t[\n",
		"ffffffff81000000 T name\t[]\n",
		"ffffffff81000000 T not_ended",
		" T name\n",
		"\n",
	};
	_cleanup_buf_ struct buf text = BUF_INIT;
	const uint64_t address = 0xffffffff81000123;
	struct kallsyms_result r;

	for (size_t i = 0; i < ARRAY_SIZE(broken); i++)
		assert_int_equal(find(broken[i], &address, 1, &r), PARSE_CORRUPT);
	/* a name that is too long, a module's too, and a line that never ends */
	for (int kind = 0; kind < 3; kind++) {
		buf__clear(&text);
		buf__puts(&text, kind == 1 ? "ffffffff81000000 T n\t[" : "ffffffff81000000 T ");
		for (int i = 0; i < (kind == 2 ? 200000 : 600); i++)
			buf__putc(&text, 'n');
		buf__puts(&text, kind == 1 ? "]\n" : "\n");
		assert_int_equal(find(text.data, &address, 1, &r), PARSE_CORRUPT);
	}
}

/* Lines are cut anywhere by the reads; 200,000 of them are a real kernel's number. */
static void test_many_lines(void **state)
{
	uint64_t addresses[1000];
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct kallsyms_result r;

	buf__puts(&text, "ffffffff81000000 T _text\nffffffff81000000 T _stext\n");
	for (unsigned int i = 1; i < 200000; i++)
		buf__printf(&text, "%016llx t f%u\n", 0xffffffff81000000ULL + i * 16, i);
	buf__puts(&text, "ffffffff82000000 T _etext\n");
	for (unsigned int i = 0; i < 1000; i++)
		addresses[i] = 0xffffffff81000000ULL + (i * 199 + 1) * 16 + i % 16;
	assert_int_equal(find(text.data, addresses, 1000, &r), PARSE_OK);
	for (unsigned int i = 0; i < 1000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "f%u", i * 199 + 1);
		assert_string_equal(r.matches[i].name, name);
	}
	kallsyms_result__done(&r);
}

static void test_this_host(void **state)
{
	int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	struct kallsyms_result r = { .matches = NULL };
	_cleanup_free_ char *line = NULL;
	_cleanup_fclose_ FILE *f = fopen("/proc/kallsyms", "re");
	uint64_t address = 0, text = 0;
	char type, name[600];
	size_t cap = 0;

	assert_true(fd >= 0);
	assert_non_null(f);
	while (getline(&line, &cap, f) > 0) {
		unsigned long long a;

		if (sscanf(line, "%llx %c %599s", &a, &type, name) != 3)
			fail();
		if (!strcmp(name, "_text"))
			text = a;
		if (!strcmp(name, "vfs_read"))
			address = a;
	}
	if (!address) {
		print_message(
			"skipped: /proc/kallsyms shows no addresses (kptr_restrict or not root)\n");
		close(fd);
		skip();
	}
	address += 1;
	assert_int_equal(kallsyms__find(fd, &address, 1, &r), PARSE_OK);
	assert_string_equal(r.matches[0].name, "vfs_read");
	assert_int_equal(r.matches[0].address, address - text);
	kallsyms_result__done(&r);
	/* once more on the same descriptor, which is at its end now */
	assert_int_equal(kallsyms__find(fd, &address, 1, &r), PARSE_OK);
	assert_string_equal(r.matches[0].name, "vfs_read");
	kallsyms_result__done(&r);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernel_text),
		cmocka_unit_test(test_outside_text),
		cmocka_unit_test(test_modules),
		cmocka_unit_test(test_bpf_programs),
		cmocka_unit_test(test_order_does_not_matter),
		cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_broken_text),
		cmocka_unit_test(test_many_lines),
		cmocka_unit_test(test_this_host),
	};

	return cmocka_run_group_tests_name("kallsyms", tests, NULL, NULL);
}
