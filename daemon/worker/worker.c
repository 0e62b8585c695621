/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The look-ups of worker.h: cuts what was asked into requests, puts the answers together, and turns
 * the end of a worker into the outcome of the file it was working on. A file that ended a worker is
 * not tried again; a worker that had left by itself before it took the request is replaced once.
 */
#include "worker/worker_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"

_Static_assert(WIRE_BUILD_ID_MAX == WORKER_BUILD_ID_MAX, "build-ids are copied whole");
_Static_assert(WIRE_SEGMENTS_MAX == WORKER_SEGMENTS_MAX, "segments are copied whole");

/* What a reply's pointers point into. */
struct storage {
	void **tables; /* of each answer */
	size_t tables_cnt, tables_cap;
	size_t modules_cap;
};

struct lookup {
	enum wire_kind kind;
	int fd;
	const uint64_t *addresses;
	size_t cnt;
};

/* --- putting answers together ------------------------------------------------------------------
 */
static int add_module(struct worker_reply *r, const char *name, int32_t *ret_idx)
{
	struct storage *storage = r->storage;

	for (size_t i = 0; i < r->modules_cnt; i++) {
		if (!strcmp(r->modules[i], name)) {
			*ret_idx = (int32_t)i;
			return 0;
		}
	}
	if (array__reserve(r->modules, storage->modules_cap, r->modules_cnt + 1))
		return -ENOMEM;
	*ret_idx = (int32_t)r->modules_cnt;
	r->modules[r->modules_cnt++] = name;
	return 0;
}

/* Indices of the answer's modules among those of the reply; to be freed. */
static int32_t *merge_modules(struct worker_reply *r, const struct worker_answer *a)
{
	int32_t *map = calloc(a->header.modules_cnt + 1, sizeof(*map));

	for (uint32_t i = 0; map && i < a->header.modules_cnt; i++) {
		if (add_module(r, a->strings + a->modules[i], &map[i])) {
			free(map);
			map = NULL;
		}
	}
	return map;
}

/* The file's own facts: taken from the first answer; another one must not differ. */
static bool merge_file_facts(struct worker_reply *r, const struct worker_answer *a, bool is_first)
{
	const struct wire_reply *h = &a->header;

	if (!is_first && (r->status != h->status || r->build_id_len != h->build_id_len ||
			  r->segments_cnt != h->segments_cnt ||
			  memcmp(r->build_id, h->build_id, h->build_id_len) != 0))
		return false;
	r->status = h->status;
	r->build_id_len = h->build_id_len;
	memcpy(r->build_id, h->build_id, h->build_id_len);
	r->segments_cnt = h->segments_cnt;
	for (uint32_t i = 0; i < h->segments_cnt; i++) {
		const struct worker_segment s = {
			.vaddr = a->segments[i].vaddr,
			.limit = a->segments[i].limit,
			.offset = a->segments[i].offset,
		};

		if (!is_first && memcmp(&r->segments[i], &s, sizeof(s)) != 0)
			return false;
		r->segments[i] = s;
	}
	return true;
}

/* Appends the symbols of one answer and takes its tables. Returns 0, -ENOMEM, or -ESTALE when
 * the file is not the one the earlier answers were about. */
static int merge_answer(struct worker_reply *r, struct worker_answer *a, bool is_kernel)
{
	struct storage *storage = r->storage;
	_cleanup_free_ int32_t *modules = NULL;
	bool is_first = storage->tables_cnt == 0;

	if (array__reserve(storage->tables, storage->tables_cap, storage->tables_cnt + 1)) {
		free(a->tables);
		return -ENOMEM;
	}
	storage->tables[storage->tables_cnt++] = a->tables;
	if (!merge_file_facts(r, a, is_first))
		return -ESTALE;
	modules = merge_modules(r, a);
	if (!modules)
		return -ENOMEM;
	for (uint32_t i = 0; i < a->header.symbols_cnt; i++) {
		const struct wire_symbol *s = &a->symbols[i];

		r->symbols[r->symbols_cnt++] = (struct worker_symbol){
			.address = s->address,
			.segment = is_kernel && s->segment >= 0 ? modules[s->segment] : s->segment,
			.name = s->name ? a->strings + s->name : NULL,
			.system_name = s->system_name ? a->strings + s->system_name : NULL,
		};
	}
	return 0;
}

/* --- asking ------------------------------------------------------------------------------------
 */
static enum parse_status status_of_failure(int err)
{
	switch (err) {
	case -ETIMEDOUT:
		return PARSE_TIMEOUT;
	case -EPROTO:
		return PARSE_BAD_REPLY;
	case -ENOMEM:
		return PARSE_LIMIT;
	default:
		return PARSE_CRASHED;
	}
}

int worker__ask(struct worker *w, const struct worker_question *question,
		enum parse_status *ret_status, struct worker_answer *ret)
{
	bool clean = true;
	int err = 0;

	for (int attempt = 0; attempt < 2 && clean; attempt++) {
		err = worker_process__start(w);
		if (err == -ECONNRESET && !attempt)
			continue; /* killed before it could say hello */
		if (err)
			return err;
		w->stats.requests++;
		err = worker_channel__exchange(w, question, ret);
		if (!err) {
			*ret_status = ret->header.status;
			return 0;
		}
		*ret_status = worker_process__stop(w, status_of_failure(err), &clean);
		/* Nothing but an idle worker's exit hangs up in good order. */
		clean &= err == -ECONNRESET;
	}
	return 0;
}

static bool has_tables(enum parse_status status)
{
	return status == PARSE_OK || status == PARSE_NO_SYMBOLS;
}

/* Fills *r, which has its storage. Returns as ask() does; r->status says how far it got. */
static int ask_in_batches(struct worker *w, const struct lookup *l, struct worker_reply *r)
{
	size_t first = 0;

	do {
		size_t left = l->cnt - first;
		size_t cnt = left < WIRE_ADDRESSES_MAX ? left : WIRE_ADDRESSES_MAX;
		const struct worker_question question = {
			.kind = l->kind,
			.fd = l->fd,
			.rows_fd = -1,
			.addresses = l->addresses + first,
			.addresses_cnt = cnt,
		};
		struct worker_answer answer = { .tables = NULL };
		enum parse_status status = PARSE_CRASHED;
		int err;

		err = worker__ask(w, &question, &status, &answer);
		if (err)
			return err;
		if (!has_tables(status)) {
			r->status = status;
			return 0;
		}
		err = merge_answer(r, &answer, l->kind == WIRE_KERNEL);
		if (err) {
			r->status = err == -ESTALE ? PARSE_FILE_CHANGED : PARSE_LIMIT;
			return 0;
		}
		first += cnt;
	} while (first < l->cnt);
	return 0;
}

static int look_up(struct worker *w, const struct lookup *l, struct worker_reply *ret)
{
	struct worker_reply r = { .status = PARSE_CRASHED };
	int err = 0;

	r.symbols = calloc(l->cnt + 1, sizeof(*r.symbols));
	r.storage = calloc(1, sizeof(struct storage));
	if (l->fd < 0)
		r.status = PARSE_IO;
	else if (!r.symbols || !r.storage)
		r.status = PARSE_LIMIT;
	else
		err = ask_in_batches(w, l, &r);
	if (err || !has_tables(r.status)) {
		enum parse_status status = err ? PARSE_CRASHED : r.status;

		worker_reply__done(&r);
		r.status = status;
	}
	w->stats.status[r.status]++;
	*ret = r;
	return err;
}

int worker__resolve_elf(struct worker *w, int fd, const uint64_t *offsets, size_t cnt,
			struct worker_reply *ret)
{
	const struct lookup l = { .kind = WIRE_ELF, .fd = fd, .addresses = offsets, .cnt = cnt };

	return look_up(w, &l, ret);
}

int worker__resolve_kernel(struct worker *w, int kallsyms_fd, const uint64_t *addresses, size_t cnt,
			   struct worker_reply *ret)
{
	const struct lookup l = {
		.kind = WIRE_KERNEL, .fd = kallsyms_fd, .addresses = addresses, .cnt = cnt
	};

	return look_up(w, &l, ret);
}

void worker_reply__done(struct worker_reply *r)
{
	struct storage *storage = r->storage;

	for (size_t i = 0; storage && i < storage->tables_cnt; i++)
		free(storage->tables[i]);
	if (storage)
		free(storage->tables);
	free(storage);
	free(r->symbols);
	free(r->modules);
	*r = (struct worker_reply){ .status = PARSE_OK };
}

/* --- the object --------------------------------------------------------------------------------
 */
struct worker *worker__new(void)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->pidfd = w->socket = -1;
	w->timeout_ms = WORKER_TIMEOUT_MS;
	return w;
}

void worker__free(struct worker *w)
{
	if (!w)
		return;
	worker_process__stop(w, PARSE_OK, NULL);
	free(w);
}

void worker__stats(struct worker *w, struct worker_stats *ret)
{
	worker_process__sample_rss(w);
	*ret = w->stats;
}
