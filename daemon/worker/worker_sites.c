/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The collector's side of a WIRE_SITES request: one exchange, copied into plain data. What the
 * worker said was checked when it came (worker_channel.c).
 */
#include "worker/worker_internal.h"

#include <stdlib.h>
#include <string.h>

static void copy_answer(const struct worker_answer *a, struct worker_sites *r)
{
	const struct wire_reply *h = &a->header;

	r->build_id_len = h->build_id_len;
	memcpy(r->build_id, h->build_id, h->build_id_len);
	r->sites_cnt = h->sites_cnt;
	memcpy(r->sites, a->sites, h->sites_cnt * sizeof(*a->sites));
	r->ranges_cnt = h->ranges_cnt;
	memcpy(r->ranges, a->ranges, h->ranges_cnt * sizeof(*a->ranges));
	r->refusal = h->refusal;
	r->is_static = h->file_flags & WIRE_FILE_STATIC;
	r->is_stripped = h->file_flags & WIRE_FILE_STRIPPED;
	r->is_go = h->file_flags & WIRE_FILE_GO;
	r->has_sanitizer = h->file_flags & WIRE_FILE_SANITIZER;
	r->is_musl = h->file_flags & WIRE_FILE_MUSL;
	r->has_malloc = h->file_flags & WIRE_FILE_MALLOC;
}

int worker__heap_sites(struct worker *w, int fd, struct worker_sites *ret)
{
	const struct worker_question question = { .kind = WIRE_SITES, .fd = fd, .rows_fd = -1 };
	struct worker_answer answer = { .tables = NULL };
	enum parse_status status = PARSE_IO;
	int err = 0;

	*ret = (struct worker_sites){ .status = PARSE_CRASHED };
	if (fd >= 0)
		err = worker__ask(w, &question, &status, &answer);
	if (!err) {
		ret->status = status;
		if (status == PARSE_OK)
			copy_answer(&answer, ret);
	}
	free(answer.tables);
	w->stats.status[ret->status]++;
	return err;
}
