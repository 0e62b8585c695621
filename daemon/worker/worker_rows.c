/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The collector's side of a WIRE_ROWS request: the memory the worker writes to, and a copy of what
 * it says it wrote. The copy is read, not mapped: holes cost nothing, and nobody can change what
 * was checked.
 */
#include "worker/worker_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u /* 6.3; with sysctl vm.memfd_noexec=2 there is none without */
#endif

/* Sparse, and of a size that the worker cannot change. */
static int open_rows_memory(void)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;
	_cleanup_close_ int fd = -1;

	fd = memfd_create("cprofd-rows", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("cprofd-rows", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)WIRE_ROWS_BYTES) || fcntl(fd, F_ADD_SEALS, seals))
		return -errno;
	return take_fd(&fd);
}

static int read_memory(int fd, void *to, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t n = pread(fd, (char *)to + done, bytes - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPROTO;
		done += (size_t)n;
	}
	return 0;
}

static void copy_file_facts(const struct worker_answer *a, struct worker_rows *r)
{
	const struct wire_reply *h = &a->header;

	r->build_id_len = h->build_id_len;
	memcpy(r->build_id, h->build_id, h->build_id_len);
	r->segments_cnt = h->segments_cnt;
	for (uint32_t i = 0; i < h->segments_cnt; i++)
		r->segments[i] = (struct worker_segment){
			.vaddr = a->segments[i].vaddr,
			.limit = a->segments[i].limit,
			.offset = a->segments[i].offset,
		};
}

static int copy_rows(const struct wire_reply *h, int fd, struct worker_rows *r)
{
	const size_t bytes = wire_rows__bytes(h);
	_cleanup_free_ void *storage = malloc(bytes);
	int err;

	if (!storage)
		return -ENOMEM;
	err = read_memory(fd, storage, bytes);
	if (err)
		return err;
	r->base = h->rows_base;
	r->blocks = storage;
	r->blocks_cnt = h->blocks_cnt;
	r->rules = (struct unwind_rule *)(r->blocks + r->blocks_cnt + 1);
	r->rules_cnt = h->rules_cnt;
	r->rows = (uint32_t *)(r->rules + r->rules_cnt);
	r->rows_cnt = h->rows_cnt;
	r->storage = take_ptr(storage);
	return 0;
}

/* Fills *r by r->status. Returns as worker__ask(). */
static int ask_rows(struct worker *w, int fd, int rows_fd, struct worker_rows *r)
{
	const struct worker_question question = { .kind = WIRE_ROWS, .fd = fd, .rows_fd = rows_fd };
	struct worker_answer answer = { .tables = NULL };
	int err;

	err = worker__ask(w, &question, &r->status, &answer);
	if (err)
		return err;
	if (r->status == PARSE_OK || r->status == PARSE_NO_CFI)
		copy_file_facts(&answer, r);
	if (r->status == PARSE_OK && copy_rows(&answer.header, rows_fd, r))
		*r = (struct worker_rows){ .status = PARSE_LIMIT };
	free(answer.tables);
	return 0;
}

int worker__unwind_rows(struct worker *w, int fd, struct worker_rows *ret)
{
	_cleanup_close_ int rows_fd = -1;
	struct worker_rows r = { .status = PARSE_IO };
	int err = 0;

	rows_fd = open_rows_memory();
	if (rows_fd < 0)
		r.status = PARSE_LIMIT;
	else if (fd >= 0)
		err = ask_rows(w, fd, rows_fd, &r);
	if (err)
		r = (struct worker_rows){ .status = PARSE_CRASHED };
	w->stats.status[r.status]++;
	*ret = r;
	return err;
}

void worker_rows__done(struct worker_rows *r)
{
	free(r->storage);
	*r = (struct worker_rows){ .status = PARSE_OK };
}
