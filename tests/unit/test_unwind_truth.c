/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every row against libdw's own interpretation of the same call frame information, at both ends of
 * each of its rows and in every gap: of this program, the libraries it runs with and, when named as
 * arguments, any other files.
 */
#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "base/cleanup.h"
#include "parse/unwind_rows.h"

#define GAP_STEP      7  /* bytes; no divisor of an alignment */
#define SHOWN_MAX     20 /* differences printed per file */
#define PATHS_MAX     256
#define SIGNAL_OFFSET 160

static const char *paths[PATHS_MAX];
static size_t paths_cnt;
static bool paths_are_arguments;

struct comparison {
	const char *path;
	uint64_t entry;
	struct unwind_rows rows;
	Dwarf_CFI *cfi[2]; /* .eh_frame, .debug_frame */
	uint64_t compared, unsupported, gaps, padding, different;
};

/* --- what libdw says, as a rule ----------------------------------------------------------------
 */
static bool is_plt(const Dwarf_Op *ops, size_t cnt)
{
	static const uint8_t atoms[] = { DW_OP_breg7, DW_OP_breg16, DW_OP_lit15, DW_OP_and, 0,
					 DW_OP_ge,    DW_OP_lit3,   DW_OP_shl,   DW_OP_plus };

	if (cnt != sizeof(atoms) || ops[0].number != 8 || ops[1].number)
		return false;
	for (size_t i = 0; i < cnt; i++)
		if (i != 4 && ops[i].atom != atoms[i])
			return false;
	return true;
}

static bool expect_cfa(Dwarf_Frame *frame, struct unwind_rule *rule)
{
	Dwarf_Op *ops;
	size_t cnt;

	if (dwarf_frame_cfa(frame, &ops, &cnt) || !cnt)
		return false;
	rule->cfa_offset = (int32_t)ops[0].number2;
	if (cnt == 1 && ops[0].atom == DW_OP_bregx) {
		rule->kind = ops[0].number == UNWIND_REG_SP   ? UNWIND_RULE_SP
			     : ops[0].number == UNWIND_REG_FP ? UNWIND_RULE_FP
							      : UNWIND_RULE_REG;
		if (rule->kind == UNWIND_RULE_REG)
			rule->arg = (uint8_t)ops[0].number;
		return true;
	}
	if (is_plt(ops, cnt)) {
		rule->kind = UNWIND_RULE_PLT;
		rule->cfa_offset = 8;
		rule->arg = (uint8_t)(ops[4].atom - DW_OP_lit0);
		return true;
	}
	if (cnt < 2 || cnt > 3 || ops[1].atom != DW_OP_deref ||
	    (ops[0].atom != DW_OP_breg7 && ops[0].atom != DW_OP_breg6))
		return false;
	rule->kind = ops[0].atom == DW_OP_breg7 ? UNWIND_RULE_DEREF_SP : UNWIND_RULE_DEREF_FP;
	rule->cfa_offset = (int32_t)ops[0].number;
	if (cnt == 3 && (ops[2].atom != DW_OP_plus_uconst || ops[2].number % 8))
		return false;
	rule->arg = cnt == 3 ? (uint8_t)(ops[2].number / 8) : 0;
	return true;
}

static bool expect_fp(Dwarf_Frame *frame, struct unwind_rule *rule)
{
	Dwarf_Op mem[3], *ops;
	size_t cnt;

	if (dwarf_frame_register(frame, UNWIND_REG_FP, mem, &ops, &cnt))
		return false;
	if (!cnt) {
		rule->fp_kind = ops ? UNWIND_FP_UNDEFINED : UNWIND_FP_SAME;
		return true;
	}
	if (cnt == 1 && ops[0].atom == DW_OP_regx) {
		rule->fp_kind = (uint8_t)(UNWIND_IN_REGISTER + ops[0].number);
		return true;
	}
	if (ops[0].atom != DW_OP_call_frame_cfa || cnt > 2)
		return false;
	if (cnt == 1 || ops[1].atom == DW_OP_plus_uconst)
		rule->fp_kind = UNWIND_FP_AT_CFA;
	else if (ops[1].atom == DW_OP_breg6)
		rule->fp_kind = UNWIND_FP_AT_FP;
	else if (ops[1].atom == DW_OP_breg7)
		rule->fp_kind = UNWIND_FP_AT_SP;
	else
		return false;
	rule->fp_offset = cnt == 1 ? 0 : (int32_t)ops[1].number;
	return true;
}

static bool expect_ra(Dwarf_Frame *frame, struct unwind_rule *rule)
{
	Dwarf_Op mem[3], *ops;
	size_t cnt;

	if (dwarf_frame_register(frame, UNWIND_REG_RA, mem, &ops, &cnt))
		return false;
	if (!cnt && ops) {
		*rule = (struct unwind_rule){ .kind = UNWIND_RULE_END };
		return true;
	}
	if (cnt == 1 && ops[0].atom == DW_OP_regx) {
		rule->ra_kind = (uint8_t)(UNWIND_IN_REGISTER + ops[0].number);
		return true;
	}
	return cnt == 2 && ops[0].atom == DW_OP_call_frame_cfa &&
	       ops[1].atom == DW_OP_plus_uconst && (int64_t)ops[1].number == -8;
}

/* The caller's stack pointer where it is not the CFA: longjmp has all in registers. */
static bool expect_sp(Dwarf_Frame *frame, struct unwind_rule *rule)
{
	Dwarf_Op mem[3], *ops;
	size_t cnt;

	if (dwarf_frame_register(frame, UNWIND_REG_SP, mem, &ops, &cnt))
		return false;
	if (cnt != 1 || ops[0].atom != DW_OP_regx)
		return true;
	rule->kind = UNWIND_RULE_REG;
	rule->arg = (uint8_t)ops[0].number;
	rule->cfa_offset = 0;
	return rule->ra_kind >= UNWIND_IN_REGISTER &&
	       (rule->fp_kind >= UNWIND_IN_REGISTER || rule->fp_kind == UNWIND_FP_SAME ||
		rule->fp_kind == UNWIND_FP_UNDEFINED);
}

static struct unwind_rule expected_rule(Dwarf_Frame *frame)
{
	const struct unwind_rule unsupported = { .kind = UNWIND_RULE_UNSUPPORTED };
	struct unwind_rule rule = { .kind = 0 };
	bool has_cfa = expect_cfa(frame, &rule);

	if (has_cfa && rule.kind == UNWIND_RULE_DEREF_SP && rule.cfa_offset == SIGNAL_OFFSET &&
	    !rule.arg)
		return (struct unwind_rule){ .kind = UNWIND_RULE_SIGNAL };
	if (!expect_ra(frame, &rule))
		return unsupported;
	if (rule.kind == UNWIND_RULE_END)
		return rule;
	return has_cfa && expect_fp(frame, &rule) && expect_sp(frame, &rule) ? rule : unsupported;
}

/* --- comparison --------------------------------------------------------------------------------
 */
static void show(const char *what, const struct unwind_rule *r)
{
	fprintf(stderr, "  %s kind %u arg %u cfa %+d, fp %u %+d, ra %u", what, r->kind, r->arg,
		r->cfa_offset, r->fp_kind, r->fp_offset, r->ra_kind);
}

static void compare_rule(struct comparison *c, uint64_t address, const struct unwind_rule *want)
{
	const struct unwind_rule got = unwind_rows__find(&c->rows, address);

	c->compared++;
	if (got.kind == UNWIND_RULE_UNSUPPORTED)
		c->unsupported++;
	if (!memcmp(&got, want, sizeof(got)))
		return;
	if (++c->different > SHOWN_MAX)
		return;
	fprintf(stderr, "%s: %#lx:", c->path, address);
	show("ours", &got);
	show("libdw", want);
	fputc('\n', stderr);
}

/* True and the frame to be freed when an FDE covers the address. */
static bool find_frame(struct comparison *c, uint64_t address, Dwarf_Frame **ret)
{
	for (int i = 0; i < 2; i++)
		if (c->cfi[i] && !dwarf_cfi_addrframe(c->cfi[i], address, ret))
			return true;
	return false;
}

/* From the entry point on, up to the next FDE, nobody was called. */
static bool is_behind_entry(struct comparison *c, uint64_t address)
{
	Dwarf_Frame *frame;

	if (address < c->entry)
		return false;
	for (uint64_t at = c->entry; at < address; at += GAP_STEP) {
		if (find_frame(c, at, &frame)) {
			free(frame);
			return false;
		}
	}
	return true;
}

static void compare_gap(struct comparison *c, uint64_t address)
{
	const struct unwind_rule fp_chain = { .kind = UNWIND_RULE_FP_CHAIN };
	const struct unwind_rule end = { .kind = UNWIND_RULE_END };
	const uint64_t aligned = (address + 15) & ~15UL;
	const struct unwind_rule got = unwind_rows__find(&c->rows, address);
	Dwarf_Frame *frame;

	c->gaps++;
	if (!memcmp(&got, &fp_chain, sizeof(got)))
		return;
	/* Alignment: a function begins at the next multiple of 16. */
	if (find_frame(c, aligned, &frame)) {
		free(frame);
		c->padding++;
		return;
	}
	compare_rule(c, address, is_behind_entry(c, address) ? &end : &fp_chain);
}

static void compare_range(struct comparison *c, uint64_t address, uint64_t end)
{
	while (address < end) {
		struct unwind_rule want;
		Dwarf_Addr row_start, row_end;
		Dwarf_Frame *frame;

		if (!find_frame(c, address, &frame)) {
			compare_gap(c, address);
			address += GAP_STEP;
			continue;
		}
		want = expected_rule(frame);
		assert_true(dwarf_frame_info(frame, &row_start, &row_end, NULL) >= 0);
		free(frame);
		if (row_start < address)
			row_start = address;
		compare_rule(c, row_start, &want);
		compare_rule(c, row_end - 1, &want);
		assert_true(row_end > address);
		address = row_end;
	}
}

static void compare_file(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct comparison c = { .path = path };
	enum parse_status status;
	struct elf_image image;
	Dwarf *dwarf;
	Elf *elf;

	assert_true(fd >= 0);
	assert_int_equal(elf_image__open(fd, &image), PARSE_OK);
	c.entry = image.entry;
	status = unwind_rows__read(&image, &c.rows);
	if (status == PARSE_NO_CFI && paths_are_arguments) {
		print_message("%s: no call frame information\n", path);
		elf_image__done(&image);
		return;
	}
	assert_int_equal(status, PARSE_OK);
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	assert_non_null(elf);
	dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	c.cfi[0] = dwarf_getcfi_elf(elf);
	c.cfi[1] = dwarf ? dwarf_getcfi(dwarf) : NULL;
	assert_true(c.cfi[0] || c.cfi[1]);
	for (size_t i = 0; i < image.segments_cnt; i++)
		compare_range(&c, image.segments[i].vaddr,
			      image.segments[i].vaddr + image.segments[i].file_end -
				      image.segments[i].offset);
	print_message("%s: %lu compared, %lu unsupported, %lu in gaps, %lu of them padding, "
		      "%lu different\n",
		      path, c.compared, c.unsupported, c.gaps, c.padding, c.different);
	assert_true(c.compared > 0);
	assert_int_equal(c.different, 0);
	dwarf_cfi_end(c.cfi[0]);
	dwarf_end(dwarf);
	elf_end(elf);
	unwind_rows__done(&c.rows);
	elf_image__done(&image);
}

static void test_files(void **state)
{
	assert_true(paths_cnt);
	for (size_t i = 0; i < paths_cnt; i++)
		compare_file(paths[i]);
}

static int take_path(struct dl_phdr_info *info, size_t size, void *data)
{
	/* The vDSO has no path; the first one without is ourselves. */
	if (paths_cnt < PATHS_MAX && info->dlpi_name[0] == '/')
		paths[paths_cnt++] = info->dlpi_name;
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_files) };

	for (int i = 1; i < argc && paths_cnt < PATHS_MAX; i++)
		paths[paths_cnt++] = argv[i];
	paths_are_arguments = argc > 1;
	if (!paths_are_arguments) {
		paths[paths_cnt++] = "/proc/self/exe";
		dl_iterate_phdr(take_path, NULL);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
