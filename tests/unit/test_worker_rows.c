/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unwind rows through the worker: what comes out of real files and goes into tables says the same
 * of every address as the rows made here; files without rows, files that are broken, and a worker
 * that lies or goes on writing.
 */
#include "worker_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/array.h"
#include "base/clock.h"
#include "process/vdso.h"
#include "unwind_tables_fixture.h"
#include "worker/rows_job.h"

#define ROWS_STUB_ENV "CPROF_TEST_ROWS"

/* --- a worker that lies ------------------------------------------------------------------------
 */
struct rows_answer {
	struct wire_reply header;
	struct wire_segment segment;
	char strings[8];
};

enum { STUB_BLOCKS = 3, STUB_RULES = 2, STUB_ROWS = 5 };

static void tell_rows_lie(const char *lie, struct rows_answer *a)
{
	struct wire_reply *h = &a->header;

	if (!strcmp(lie, "blocks_none"))
		h->blocks_cnt = 0;
	else if (!strcmp(lie, "blocks_many"))
		h->blocks_cnt = WIRE_BLOCKS_MAX + 1;
	else if (!strcmp(lie, "blocks_huge"))
		h->blocks_cnt = UINT32_MAX;
	else if (!strcmp(lie, "rules_none"))
		h->rules_cnt = 0;
	else if (!strcmp(lie, "rules_many"))
		h->rules_cnt = WIRE_RULES_MAX + 1;
	else if (!strcmp(lie, "rules_huge"))
		h->rules_cnt = UINT32_MAX;
	else if (!strcmp(lie, "rows_none"))
		h->rows_cnt = 0;
	else if (!strcmp(lie, "rows_many"))
		h->rows_cnt = WIRE_ROWS_MAX + 1;
	else if (!strcmp(lie, "rows_huge"))
		h->rows_cnt = UINT32_MAX;
	else if (!strcmp(lie, "no_cfi_with_rows"))
		h->status = PARSE_NO_CFI;
	else if (!strcmp(lie, "corrupt_with_rows"))
		h->status = PARSE_CORRUPT;
	else if (!strcmp(lie, "no_symbols"))
		h->status = PARSE_NO_SYMBOLS;
	else if (!strcmp(lie, "symbols"))
		h->symbols_cnt = 1;
	else if (!strcmp(lie, "segment_reversed"))
		a->segment.limit = 0;
}

static const char *const rows_lies[] = { "blocks_none",      "blocks_many",       "blocks_huge",
					 "rules_none",       "rules_many",        "rules_huge",
					 "rows_none",        "rows_many",         "rows_huge",
					 "no_cfi_with_rows", "corrupt_with_rows", "no_symbols",
					 "symbols",          "segment_reversed" };

/* The memory as the real worker gets it: _exit(50 + n) where it can be given another size. */
static uint32_t *map_rows_memory(int fd)
{
	uint32_t *memory;

	if (!ftruncate(fd, 4096) || errno != EPERM)
		_exit(50);
	if (!ftruncate(fd, (off_t)WIRE_ROWS_BYTES + 4096) || errno != EPERM)
		_exit(51);
	if (!fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE))
		_exit(52);
	memory = mmap(NULL, WIRE_ROWS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		_exit(53);
	return memory;
}

static void receive_rows_request(int socket_fd, struct wire_request *request, int *fds)
{
	char control[CMSG_SPACE(2 * sizeof(int))];
	struct iovec iov = { request, sizeof(*request) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };

	if (recvmsg(socket_fd, &msg, 0) != sizeof(*request) ||
	    CMSG_FIRSTHDR(&msg)->cmsg_len != CMSG_LEN(2 * sizeof(int)))
		_exit(54);
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&msg)), 2 * sizeof(int));
}

static _Noreturn void rows_stub__main(int socket_fd, const char *lie)
{
	const struct wire_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION };
	struct rows_answer a = {
		.header = { .magic = WIRE_MAGIC,
			    .status = PARSE_OK,
			    .segments_cnt = 1,
			    .strings_bytes = sizeof(a.strings),
			    .rows_base = 0x400000,
			    .blocks_cnt = STUB_BLOCKS,
			    .rules_cnt = STUB_RULES,
			    .rows_cnt = STUB_ROWS },
		.segment = { .vaddr = 0x400000, .limit = 0x402000 },
	};
	struct wire_request request;
	uint32_t *memory;
	int fds[2];

	/* A test that fails leaves nobody to end us. */
	alarm(20);
	stub_send(socket_fd, &hello, sizeof(hello));
	receive_rows_request(socket_fd, &request, fds);
	memory = map_rows_memory(fds[1]);
	for (uint32_t i = 0; i < STUB_BLOCKS + 1 + 3 * STUB_RULES + STUB_ROWS; i++)
		memory[i] = i;
	a.header.sequence = request.sequence;
	tell_rows_lie(lie, &a);
	stub_send(socket_fd, &a, sizeof(a));
	/* The answer is out, and the memory still ours. */
	for (;;) {
		if (strcmp(lie, "writes_on") != 0)
			pause();
		for (uint32_t i = 0; i < STUB_BLOCKS + 1 + 3 * STUB_RULES + STUB_ROWS; i++)
			__atomic_fetch_add(&memory[i], 12345, __ATOMIC_RELAXED);
	}
}

static void assert_rows_stub(const char *lie, enum parse_status expected)
{
	_cleanup_(worker__freep) struct worker *w = worker__new();
	int fd = file_of_elf(&plain_elf);
	struct worker_rows r;

	w->timeout_ms = 5000;
	setenv(ROWS_STUB_ENV, lie, 1);
	assert_int_equal(worker__unwind_rows(w, fd, &r), 0);
	unsetenv(ROWS_STUB_ENV);
	if (r.status != expected)
		fail_msg("%s: %s", lie, parse_status__name(r.status));
	if (expected != PARSE_OK) {
		assert_null(r.rows);
		assert_int_equal(r.rows_cnt + r.blocks_cnt + r.rules_cnt + r.segments_cnt, 0);
		w->timeout_ms = WORKER_TIMEOUT_MS;
		assert_works(w);
	}
	worker_rows__done(&r);
	close(fd);
}

static void test_lies(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows_lies); i++)
		assert_rows_stub(rows_lies[i], PARSE_BAD_REPLY);
}

static void test_as_written(void **state)
{
	_cleanup_(worker__freep) struct worker *w = worker__new();
	int fd = file_of_elf(&plain_elf);
	struct worker_rows r;

	setenv(ROWS_STUB_ENV, "none", 1);
	assert_int_equal(worker__unwind_rows(w, fd, &r), 0);
	unsetenv(ROWS_STUB_ENV);
	assert_int_equal(r.status, PARSE_OK);
	assert_int_equal(r.base, 0x400000);
	assert_int_equal(r.blocks_cnt, STUB_BLOCKS);
	assert_int_equal(r.rules_cnt, STUB_RULES);
	assert_int_equal(r.rows_cnt, STUB_ROWS);
	assert_int_equal(r.segments_cnt, 1);
	assert_int_equal(r.segments[0].limit, 0x402000);
	assert_int_equal(r.blocks[STUB_BLOCKS], STUB_BLOCKS);
	assert_int_equal(r.rules[1].fp_offset, STUB_BLOCKS + 1 + 5);
	assert_int_equal(r.rows[STUB_ROWS - 1], STUB_BLOCKS + 6 + STUB_ROWS);
	worker_rows__done(&r);
	close(fd);
}

/* What was given out does not change, though the one who wrote it goes on. */
static void test_writes_on(void **state)
{
	_cleanup_(worker__freep) struct worker *w = worker__new();
	const size_t bytes = (STUB_BLOCKS + 1 + 3 * STUB_RULES + STUB_ROWS) * sizeof(uint32_t);
	_cleanup_free_ void *kept = malloc(bytes);
	int fd = file_of_elf(&plain_elf);
	struct worker_rows r;

	setenv(ROWS_STUB_ENV, "writes_on", 1);
	assert_int_equal(worker__unwind_rows(w, fd, &r), 0);
	unsetenv(ROWS_STUB_ENV);
	assert_int_equal(r.status, PARSE_OK);
	memcpy(kept, r.blocks, bytes);
	for (int i = 0; i < 20; i++) {
		usleep(1000);
		assert_memory_equal(kept, r.blocks, bytes);
	}
	worker_rows__done(&r);
	close(fd);
}

/* --- real files --------------------------------------------------------------------------------
 */
static struct file_rows rows_of(const struct worker_rows *r)
{
	return (struct file_rows){
		.base = r->base,
		.blocks = r->blocks,
		.blocks_cnt = r->blocks_cnt,
		.rows = r->rows,
		.rows_cnt = r->rows_cnt,
		.rules = r->rules,
		.rules_cnt = r->rules_cnt,
	};
}

static void assert_same_rule(const struct tables *t, uint32_t file, const struct unwind_rows *rows,
			     uint64_t address)
{
	const struct unwind_rule *found = tables__find(t, file, address);
	const struct unwind_rule chain = { .kind = UNWIND_RULE_FP_CHAIN };
	struct unwind_rule expected = unwind_rows__find(rows, address);

	assert_memory_equal(found ? found : &chain, &expected, sizeof(expected));
}

/* At each row, before it, and between. */
static void assert_same_rules(const struct tables *t, uint32_t file, const struct unwind_rows *rows)
{
	for (size_t i = 0; i < rows->ranges_cnt; i++) {
		const struct unwind_range *range = &rows->ranges[i];

		for (uint32_t b = 0; b < range->blocks_cnt; b++) {
			const uint32_t *blocks = &rows->blocks[range->first_block + b];
			uint64_t start = range->start + ((uint64_t)b << UNWIND_BLOCK_SHIFT);

			for (uint32_t k = blocks[0]; k < blocks[1]; k++) {
				if (rows->rows[k] == UNWIND_ROW_PAD)
					continue;
				for (int d = -1; d <= 1; d++)
					assert_same_rule(t, file, rows,
							 start + UNWIND_ROW_BYTE(rows->rows[k]) +
								 (uint64_t)d);
			}
			assert_same_rule(t, file, rows, start + UNWIND_BLOCK_BYTES - 1);
		}
	}
}

/* Returns the rows' number. */
static size_t assert_rows_are_right(struct worker *w, int fd)
{
	struct tables t = tables_in_memory(4096, 512);
	struct worker_rows r;
	struct elf_image image;
	struct unwind_rows rows;
	struct file_rows given;
	uint32_t file;
	size_t cnt;

	assert_int_equal(worker__unwind_rows(w, fd, &r), 0);
	assert_string_equal(parse_status__name(r.status), "ok");
	assert_int_equal(elf_image__open(fd, &image), PARSE_OK);
	assert_int_equal(unwind_rows__read(&image, &rows), PARSE_OK);
	assert_int_equal(r.build_id_len, image.build_id_len);
	assert_memory_equal(r.build_id, image.build_id, image.build_id_len);
	assert_int_equal(r.segments_cnt, image.segments_cnt);
	for (size_t i = 0; i < r.segments_cnt; i++)
		assert_int_equal(r.segments[i].vaddr, image.segments[i].vaddr);
	given = rows_of(&r);
	assert_int_equal(tables__add(&t, &given, &file, NULL, NULL), 0);
	assert_same_rules(&t, file, &rows);
	cnt = r.rows_cnt;
	unwind_rows__done(&rows);
	elf_image__done(&image);
	worker_rows__done(&r);
	tables_in_memory__done(&t);
	return cnt;
}

static int find_libc(struct dl_phdr_info *info, size_t size, void *path)
{
	if (!strstr(info->dlpi_name, "libc.so"))
		return 0;
	snprintf(path, 4096, "%s", info->dlpi_name);
	return 1;
}

static int open_libc(void)
{
	char path[4096] = "";
	int fd;

	dl_iterate_phdr(find_libc, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void test_libc(void **state)
{
	int fd = open_libc();

	assert_true(assert_rows_are_right(*state, fd) > 5000);
	close(fd);
}

static void test_own_executable(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_true(assert_rows_are_right(*state, fd) > 500);
	close(fd);
}

static void test_vdso(void **state)
{
	int fd = vdso__open();

	if (fd == -ENOENT) {
		print_message("skipped: this kernel gives no vDSO\n");
		skip();
	}
	assert_true(fd >= 0);
	assert_true(assert_rows_are_right(*state, fd) > 5);
	close(fd);
}

/* The code that node makes itself is in a segment like the others, without any description. */
static void test_node(void **state)
{
	int fd = open("/usr/bin/node", O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		print_message("skipped: no /usr/bin/node here\n");
		skip();
	}
	assert_true(assert_rows_are_right(*state, fd) > 1000);
	close(fd);
}

/* --- files without rows ------------------------------------------------------------------------
 */
static void assert_rows_status(struct worker *w, int fd, enum parse_status expected)
{
	struct worker_rows r;

	assert_int_equal(worker__unwind_rows(w, fd, &r), 0);
	assert_string_equal(parse_status__name(r.status), parse_status__name(expected));
	assert_null(r.rows);
	assert_int_equal(r.rows_cnt + r.blocks_cnt + r.rules_cnt, 0);
	assert_int_equal(r.segments_cnt, expected == PARSE_NO_CFI);
	assert_int_equal(r.build_id_len, expected == PARSE_NO_CFI ? sizeof(built_build_id) : 0);
	worker_rows__done(&r);
}

static void test_no_rows(void **state)
{
	int elf = file_of_elf(&plain_elf), dir = open("/", O_RDONLY | O_CLOEXEC);
	int text =
		file_of_bytes("not an ELF file, and long enough to be one in its length.....", 60);
	struct worker_stats stats;

	assert_rows_status(*state, elf, PARSE_NO_CFI);
	assert_rows_status(*state, text, PARSE_NOT_ELF);
	assert_rows_status(*state, dir, PARSE_IO);
	assert_rows_status(*state, -1, PARSE_IO);
	/* One worker answers all kinds of requests in turn. */
	assert_works(*state);
	assert_rows_status(*state, elf, PARSE_NO_CFI);
	worker__stats(*state, &stats);
	assert_int_equal(stats.status[PARSE_NO_CFI], 2);
	assert_int_equal(stats.status[PARSE_IO], 2);
	assert_int_equal(stats.restarts, 0);
	close(elf);
	close(dir);
	close(text);
}

/* Corruption where call frame information lies: whatever the worker makes of it, tables take it or
 * refuse it. */
static void test_corrupted(void **state)
{
	struct tables t = tables_in_memory(64, 8);
	uint64_t random = 1, counts[PARSE_STATUS_CNT] = { 0 };
	_cleanup_buf_ struct buf elf = BUF_INIT;
	int fd, taken = 0;

	assert_int_equal(file__read("/proc/self/exe", 64u << 20, &elf), 0);
	fd = file_of_bytes(elf.data, elf.len);
	for (int i = 0; i < 400; i++) {
		size_t at[16];
		struct worker_rows r;

		for (size_t k = 0; k < ARRAY_SIZE(at); k++) {
			uint8_t byte = (uint8_t)next_random(&random);

			/* Headers get hit once in a while, the rest at random. */
			at[k] = next_random(&random) % (k || i % 4 ? elf.len : 4096);
			assert_int_equal(pwrite(fd, &byte, 1, (off_t)at[k]), 1);
		}
		assert_int_equal(worker__unwind_rows(*state, fd, &r), 0);
		assert_in_range(r.status, 0, PARSE_STATUS_CNT - 1);
		counts[r.status]++;
		if (r.status == PARSE_OK) {
			struct file_rows given = rows_of(&r);
			uint32_t file;
			int err = tables__add(&t, &given, &file, NULL, NULL);

			assert_true(!err || err == -ENOSPC || err == -ENFILE);
			taken += !err;
			if (!err)
				tables__remove(&t, file);
		}
		worker_rows__done(&r);
		for (size_t k = 0; k < ARRAY_SIZE(at); k++)
			assert_int_equal(pwrite(fd, elf.data + at[k], 1, (off_t)at[k]), 1);
	}
	assert_true(taken > 0);
	assert_int_equal(counts[PARSE_CRASHED] + counts[PARSE_TIMEOUT] + counts[PARSE_BAD_REPLY],
			 0);
	assert_works(*state);
	close(fd);
	tables_in_memory__done(&t);
}

/* --- several segments --------------------------------------------------------------------------
 */
static uint32_t add_block(struct made_file *f, uint32_t rows_cnt, uint32_t first_rule)
{
	uint32_t first;

	if (f->rows.rows_cnt % UNWIND_LEAF_ROWS + rows_cnt > UNWIND_LEAF_ROWS)
		while (f->rows.rows_cnt % UNWIND_LEAF_ROWS)
			push_row(f, UNWIND_ROW_PAD);
	first = (uint32_t)f->rows.rows_cnt;
	for (uint32_t i = 0; i < rows_cnt; i++)
		push_row(f, UNWIND_ROW(i, first_rule + i % 3));
	return first;
}

/* Three ranges: 40 blocks that fill pages unevenly, a gap, 30 more, and 3 of which the first two
 * lie in the range before. */
static void test_several_segments(void **state)
{
	struct made_file f = { .rows = { .rules_cnt = 8 } };
	struct tables t = tables_in_memory(64, 1);
	struct wire_reply reply = { .magic = 0 };
	struct unwind_rule rules[8];
	uint32_t blocks[74], file;
	struct unwind_rows rows = {
		.ranges = { { 0x400000, 0, 40 }, { 0x480000, 40, 30 }, { 0x487000, 70, 3 } },
		.ranges_cnt = 3,
		.blocks = blocks,
		.blocks_cnt = 73,
		.rules = rules,
		.rules_cnt = 8,
	};
	int fd = memfd_create("rows", MFD_CLOEXEC);
	struct file_rows given;
	uint32_t *memory;

	rules[0] = (struct unwind_rule){ .kind = UNWIND_RULE_FP_CHAIN };
	for (uint32_t i = 1; i < 8; i++)
		rules[i] = numbered_rule(i);
	for (uint32_t i = 0; i < 73; i++)
		blocks[i] = add_block(&f, 1 + i * 37 % 300, 1 + i % 5);
	blocks[73] = (uint32_t)f.rows.rows_cnt;
	rows.rows = f.row_words;
	rows.rows_cnt = f.rows.rows_cnt;
	assert_int_equal(rows_job__pack(&rows, fd, &reply), PARSE_IO);
	assert_int_equal(ftruncate(fd, (off_t)WIRE_ROWS_BYTES), 0);
	assert_int_equal(rows_job__pack(&rows, fd, &reply), PARSE_OK);
	assert_int_equal(reply.rows_base, 0x400000);
	assert_int_equal(reply.blocks_cnt, (0x487000 + 3 * 1024 - 0x400000) / 1024);
	memory = mmap(NULL, WIRE_ROWS_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	given = (struct file_rows){
		.base = reply.rows_base,
		.blocks = memory,
		.blocks_cnt = reply.blocks_cnt,
		.rules = (struct unwind_rule *)(memory + reply.blocks_cnt + 1),
		.rules_cnt = reply.rules_cnt,
		.rows_cnt = reply.rows_cnt,
	};
	given.rows = (const uint32_t *)(given.rules + given.rules_cnt);
	assert_int_equal(tables__add(&t, &given, &file, NULL, NULL), 0);
	for (uint64_t a = 0x3ff000; a < 0x489000; a++)
		assert_same_rule(&t, file, &rows, a);
	munmap(memory, WIRE_ROWS_BYTES);
	made_file__done(&f);
	tables_in_memory__done(&t);
	close(fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lies),      cmocka_unit_test(test_as_written),
		cmocka_unit_test(test_writes_on), worker_test(test_libc),
		worker_test(test_own_executable), worker_test(test_vdso),
		worker_test(test_node),           worker_test(test_no_rows),
		worker_test(test_corrupted),      cmocka_unit_test(test_several_segments),
	};

	if (argc == 3 && !strcmp(argv[1], "--worker") && getenv(ROWS_STUB_ENV))
		rows_stub__main(atoi(argv[2]), getenv(ROWS_STUB_ENV));
	if (argc == 3 && !strcmp(argv[1], "--worker"))
		return worker_stub__main(atoi(argv[2]));
	return cmocka_run_group_tests_name("worker_rows", tests, NULL, NULL);
}
