/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker and hostile files: not ELF, too large, cut short while mapped, corrupted at random.
 */
#include "worker_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/array.h"
#include "base/cleanup.h"

static void test_not_files(void **state)
{
	int pipe_fds[2], dir = open("/", O_RDONLY | O_CLOEXEC), path = open("/bin/sh", O_PATH);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), empty = file_of_bytes("", 0);
	int script = file_of_bytes("#!/bin/sh\nexit 0\n# padding padding padding padding\n", 51);

	assert_int_equal(pipe(pipe_fds), 0);
	assert_status(*state, -1, PARSE_IO);
	assert_status(*state, dir, PARSE_IO);
	assert_status(*state, path, PARSE_IO);
	assert_status(*state, null, PARSE_IO);
	assert_status(*state, pipe_fds[0], PARSE_IO);
	assert_status(*state, empty, PARSE_NOT_ELF);
	assert_status(*state, script, PARSE_NOT_ELF);
	assert_works(*state);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(dir);
	close(path);
	close(null);
	close(empty);
	close(script);
}

/* The built file with its symbol table moved to the end and 'cnt' symbols long: zeros, sparse. */
static int file_of_many_symbols(size_t cnt)
{
	_cleanup_buf_ struct buf elf = BUF_INIT;
	Elf64_Shdr *symtab;
	Elf64_Ehdr ehdr;
	int fd;

	build_elf(&plain_elf, &elf);
	memcpy(&ehdr, elf.data, sizeof(ehdr));
	symtab = (Elf64_Shdr *)(void *)(elf.data + ehdr.e_shoff) + BUILT_SYMTAB;
	symtab->sh_offset = (elf.len + 7) & ~7UL;
	symtab->sh_size = cnt * sizeof(Elf64_Sym);
	fd = file_of_bytes(elf.data, elf.len);
	assert_int_equal(ftruncate(fd, (off_t)(symtab->sh_offset + symtab->sh_size)), 0);
	return fd;
}

static void test_too_many_symbols(void **state)
{
	int fd = file_of_many_symbols(10000001);

	assert_status(*state, fd, PARSE_LIMIT);
	assert_works(*state);
	close(fd);
}

struct truncation {
	int fd;
	unsigned int delay_us;
};

static void *truncate_later(void *arg)
{
	const struct truncation *t = arg;

	usleep(t->delay_us);
	assert_int_equal(ftruncate(t->fd, 4096), 0);
	return NULL;
}

static void test_truncated_while_mapped(void **state)
{
	const uint64_t offset = OFF(T0 + 0x100);
	enum parse_status status = PARSE_OK;
	struct worker_stats stats;

	assert_works(*state);
	/* When the cut comes is a matter of scheduling: before the file is mapped it is merely
	 * corrupt, after the pass it is too late. */
	for (unsigned int i = 0; i < 40 && status != PARSE_FILE_CHANGED; i++) {
		struct truncation t = { .fd = file_of_many_symbols(4000000),
					.delay_us = 500 + 1000 * (i % 20) };
		struct worker_reply r;
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, truncate_later, &t), 0);
		assert_int_equal(worker__resolve_elf(*state, t.fd, &offset, 1, &r), 0);
		status = r.status;
		assert_true(status == PARSE_FILE_CHANGED || status == PARSE_OK ||
			    status == PARSE_CORRUPT || status == PARSE_NOT_ELF);
		worker_reply__done(&r);
		pthread_join(thread, NULL);
		close(t.fd);
	}
	assert_int_equal(status, PARSE_FILE_CHANGED);
	assert_works(*state);
	worker__stats(*state, &stats);
	assert_int_equal(stats.status[PARSE_FILE_CHANGED], 1);
	assert_int_equal(stats.restarts, 1);
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Where a change is likely to matter: file header, program headers, section headers, tables. */
static size_t choose_place(const struct buf *elf, uint32_t *random)
{
	const Elf64_Ehdr *ehdr = (const void *)elf->data;
	size_t r = next_random(random);

	switch (next_random(random) % 4) {
	case 0:
		return r % (sizeof(*ehdr) + ehdr->e_phnum * sizeof(Elf64_Phdr));
	case 1:
	case 2:
		return ehdr->e_shoff + r % (ehdr->e_shnum * sizeof(Elf64_Shdr));
	default:
		return r % elf->len;
	}
}

static uint64_t choose_value(const struct buf *elf, uint32_t *random)
{
	const uint64_t values[] = { 0,
				    1,
				    UINT64_MAX,
				    1ULL << 31,
				    1ULL << 63,
				    elf->len,
				    elf->len - 1,
				    elf->len + 1,
				    0xfffffff8u,
				    0xffff,
				    16,
				    next_random(random),
				    (uint64_t)next_random(random) << 40 };

	return values[next_random(random) % ARRAY_SIZE(values)];
}

static void assert_reply_is_sane(const struct worker_reply *r, size_t cnt)
{
	bool has_tables = r->status == PARSE_OK || r->status == PARSE_NO_SYMBOLS;

	assert_int_equal(r->symbols_cnt, has_tables ? cnt : 0);
	for (size_t i = 0; i < r->symbols_cnt; i++) {
		const struct worker_symbol *s = &r->symbols[i];

		assert_true(s->segment >= -1 && s->segment < (int32_t)r->segments_cnt);
		if (s->name)
			assert_in_range(strlen(s->name) + strlen(s->system_name), 2, 8192);
	}
}

static void mutate_and_resolve(struct worker *w, const char *path, int rounds)
{
	uint64_t offsets[64], counts[PARSE_STATUS_CNT] = { 0 };
	_cleanup_buf_ struct buf elf = BUF_INIT;
	uint32_t random = 12345;
	int fd;

	assert_int_equal(file__read(path, 64u << 20, &elf), 0);
	fd = file_of_bytes(elf.data, elf.len);
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++)
		offsets[i] = next_random(&random) % elf.len;
	for (int i = 0; i < rounds; i++) {
		size_t places[3], widths[3];
		struct worker_reply r;

		for (int k = 0; k < 3; k++) {
			uint64_t value = choose_value(&elf, &random);

			widths[k] = 1u << next_random(&random) % 4;
			places[k] = choose_place(&elf, &random) & ~(widths[k] - 1);
			if (places[k] + widths[k] > elf.len)
				places[k] = 0;
			assert_int_equal(pwrite(fd, &value, widths[k], (off_t)places[k]),
					 widths[k]);
		}
		assert_int_equal(worker__resolve_elf(w, fd, offsets, ARRAY_SIZE(offsets), &r), 0);
		assert_in_range(r.status, 0, PARSE_STATUS_CNT - 1);
		counts[r.status]++;
		assert_reply_is_sane(&r, ARRAY_SIZE(offsets));
		worker_reply__done(&r);
		for (int k = 0; k < 3; k++)
			assert_int_equal(
				pwrite(fd, elf.data + places[k], widths[k], (off_t)places[k]),
				widths[k]);
	}
	/* Each kind of answer must have come up, or the changes missed what they aim at; and none
	 * of them may have brought the parser down. */
	assert_true(counts[PARSE_OK] > 0 && counts[PARSE_CORRUPT] > 0 && counts[PARSE_NOT_ELF] > 0);
	assert_int_equal(counts[PARSE_CRASHED] + counts[PARSE_TIMEOUT] + counts[PARSE_BAD_REPLY],
			 0);
	close(fd);
}

static void test_corrupted_at_random(void **state)
{
	mutate_and_resolve(*state, "/bin/true", 4000);
	mutate_and_resolve(*state, "/proc/self/exe", 500);
	assert_works(*state);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		worker_test(test_not_files),
		worker_test(test_too_many_symbols),
		worker_test(test_truncated_while_mapped),
		worker_test(test_corrupted_at_random),
	};

	if (argc == 3 && !strcmp(argv[1], "--worker"))
		return worker_stub__main(atoi(argv[2]));
	return cmocka_run_group_tests_name("worker_files", tests, NULL, NULL);
}
