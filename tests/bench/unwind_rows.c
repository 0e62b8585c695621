/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Measures the making of unwind rows: for each ELF file named (or listed on stdin) the best of
 * several runs, then the sum and how the rows are spread over the kinds of rules.
 *
 *	unwind_rows [-r RUNS] [-q] [FILE...]
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "parse/unwind_rows.h"

static const char *const kind_names[UNWIND_RULE_KIND_CNT] = {
	"fp_chain", "end", "sp",     "fp",  "deref_sp",
	"deref_fp", "plt", "signal", "reg", "unsupported",
};

struct totals {
	uint64_t files, with_rows, statuses[PARSE_STATUS_CNT], fdes, fdes_bad, fdes_overlaid;
	uint64_t rows, stored_rows, blocks, rules, ns, rules_max;
	uint64_t kinds[UNWIND_RULE_KIND_CNT], fp_kinds[5], fp_in_register, ra_in_register;
};

static void count_kinds(struct totals *t, const struct unwind_rows *rows)
{
	for (size_t i = 0; i < rows->rows_cnt; i++) {
		const struct unwind_rule *rule;

		if (rows->rows[i] == UNWIND_ROW_PAD)
			continue;
		rule = &rows->rules[UNWIND_ROW_RULE(rows->rows[i])];
		t->kinds[rule->kind]++;
		if (rule->fp_kind >= UNWIND_IN_REGISTER)
			t->fp_in_register++;
		else
			t->fp_kinds[rule->fp_kind]++;
		t->ra_in_register += rule->ra_kind >= UNWIND_IN_REGISTER;
	}
}

static void count_file(struct totals *t, const struct unwind_rows *rows, uint64_t ns)
{
	t->with_rows++;
	t->fdes += rows->fdes_cnt;
	t->fdes_bad += rows->fdes_bad_cnt;
	t->fdes_overlaid += rows->fdes_overlaid_cnt;
	t->rows += rows->rows_made_cnt;
	t->stored_rows += rows->rows_cnt;
	t->blocks += rows->blocks_cnt;
	t->rules += rows->rules_cnt;
	t->ns += ns;
	if (rows->rules_cnt > t->rules_max)
		t->rules_max = rows->rules_cnt;
	count_kinds(t, rows);
}

static double megabytes(uint64_t rows, uint64_t blocks, uint64_t rules)
{
	return (double)(4 * (rows + blocks) + sizeof(struct unwind_rule) * rules) / 1e6;
}

static void measure_file(struct totals *t, const char *path, int runs, bool quiet)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t best_ns = UINT64_MAX;
	enum parse_status status = PARSE_IO;
	struct unwind_rows rows;
	struct elf_image image;

	t->files++;
	for (int i = 0; i < runs; i++) {
		uint64_t start_ns = clock__mono_ns(), ns;

		status = elf_image__open(fd, &image);
		if (status != PARSE_OK)
			break;
		status = unwind_rows__read(&image, &rows);
		ns = clock__mono_ns() - start_ns;
		if (ns < best_ns)
			best_ns = ns;
		elf_image__done(&image);
		if (status != PARSE_OK)
			break;
		if (i + 1 < runs)
			unwind_rows__done(&rows);
	}
	t->statuses[status]++;
	if (status != PARSE_OK)
		return;
	count_file(t, &rows, best_ns);
	if (!quiet)
		printf("%-40s %8lu FDEs %9lu rows %5zu rules %7.2f MB %8.2f ms %6.1f rows/us\n",
		       strrchr(path, '/') ? strrchr(path, '/') + 1 : path, rows.fdes_cnt,
		       rows.rows_made_cnt, rows.rules_cnt,
		       megabytes(rows.rows_cnt, rows.blocks_cnt, rows.rules_cnt),
		       (double)best_ns / 1e6, (double)rows.rows_made_cnt * 1e3 / (double)best_ns);
	unwind_rows__done(&rows);
}

static void print_totals(const struct totals *t)
{
	printf("\n%lu files, %lu with rows:", t->files, t->with_rows);
	for (int i = 0; i < PARSE_STATUS_CNT; i++)
		if (t->statuses[i])
			printf(" %s %lu", parse_status__name(i), t->statuses[i]);
	printf("\n%lu FDEs (%lu bad, %lu overlaid), %lu rows (stored: %lu in %lu blocks), %.2f MB, "
	       "rules per file <= %lu\n",
	       t->fdes, t->fdes_bad, t->fdes_overlaid, t->rows, t->stored_rows, t->blocks,
	       megabytes(t->stored_rows, t->blocks, t->rules), t->rules_max);
	printf("%.2f ms, %.1f rows/us\n", (double)t->ns / 1e6,
	       t->ns ? (double)t->rows * 1e3 / (double)t->ns : 0);
	for (size_t i = 0; i < UNWIND_RULE_KIND_CNT; i++)
		printf("  %-12s %10lu\n", kind_names[i], t->kinds[i]);
	printf("  frame pointer: same %lu, at CFA %lu, at fp %lu, at sp %lu, undefined %lu, "
	       "in a register %lu; return address in a register %lu\n",
	       t->fp_kinds[0], t->fp_kinds[1], t->fp_kinds[2], t->fp_kinds[3], t->fp_kinds[4],
	       t->fp_in_register, t->ra_in_register);
}

int main(int argc, char **argv)
{
	struct totals totals = { .files = 0 };
	bool quiet = false;
	int option, runs = 3;

	while ((option = getopt(argc, argv, "r:q")) != -1) {
		if (option == 'q')
			quiet = true;
		else if (option == 'r' && atoi(optarg) > 0)
			runs = atoi(optarg);
		else
			return 2;
	}
	for (int i = optind; i < argc; i++)
		measure_file(&totals, argv[i], runs, quiet);
	if (optind == argc) {
		_cleanup_free_ char *line = NULL;
		size_t cap = 0;

		while (getline(&line, &cap, stdin) > 0) {
			line[strcspn(line, "\n")] = '\0';
			measure_file(&totals, line, runs, quiet);
		}
	}
	print_totals(&totals);
	return 0;
}
