/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jobs of the worker. Questions are sorted here, because parse/ wants them so, and answered in the
 * order asked; neighbours in the sorted order that fell into the same symbol share its strings.
 */
#include "worker/worker_job.h"

#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "parse/demangle.h"
#include "parse/elf_image.h"
#include "parse/elf_symbols.h"
#include "parse/heap_sites.h"
#include "parse/kallsyms.h"
#include "worker/rows_job.h"

_Static_assert(WIRE_SEGMENTS_MAX >= PARSE_EXEC_MAX, "all segments fit");
_Static_assert(WIRE_BUILD_ID_MAX >= ELF_BUILD_ID_MAX, "any build-id fits");
_Static_assert(WIRE_NAME_BYTES >= PARSE_NAME_BYTES, "any name fits");
_Static_assert(WIRE_NAME_BYTES >= PARSE_KALLSYMS_NAME_BYTES, "any name fits");
_Static_assert(WIRE_MODULES_MAX > PARSE_KALLSYMS_MODULES_MAX, "the kernel and its modules fit");

struct question {
	uint64_t address;
	int32_t segment;
	uint32_t asked_idx;
};

/* The reply's tables while they are filled. */
struct tables {
	struct wire_segment segments[WIRE_SEGMENTS_MAX];
	uint32_t segments_cnt;
	struct wire_symbol *symbols;
	uint32_t symbols_cnt;
	struct heap_sites heap;
	uint32_t *modules;
	uint32_t modules_cnt;
	struct buf strings;
};

static int compare_questions(const void *a, const void *b)
{
	const struct question *qa = a, *qb = b;

	return (qa->address > qb->address) - (qa->address < qb->address);
}

/* Sorts the questions; the sorted addresses alone are what parse/ takes. To be freed. */
static uint64_t *sort_questions(struct question *questions, size_t cnt)
{
	uint64_t *sorted = calloc(cnt + 1, sizeof(*sorted));

	if (!sorted)
		return NULL;
	qsort(questions, cnt, sizeof(*questions), compare_questions);
	for (size_t i = 0; i < cnt; i++)
		sorted[i] = questions[i].address;
	return sorted;
}

static uint32_t add_string(struct buf *strings, const char *s)
{
	uint32_t offset = (uint32_t)strings->len;

	buf__append(strings, s, strlen(s) + 1);
	return offset;
}

/* Appends both forms of a name (len bytes, not terminated). */
static enum parse_status add_names(struct tables *t, const char *name, size_t len,
				   struct wire_symbol *symbol)
{
	_cleanup_free_ char *readable = NULL;

	symbol->system_name = (uint32_t)t->strings.len;
	buf__append(&t->strings, name, len);
	buf__putc(&t->strings, '\0');
	symbol->name = symbol->system_name;
	if (!buf__error(&t->strings)) {
		readable = demangle__name(t->strings.data + symbol->system_name);
		if (readable)
			symbol->name = add_string(&t->strings, readable);
	}
	return buf__error(&t->strings) || t->strings.len > WIRE_REPLY_BYTES ? PARSE_LIMIT
									    : PARSE_OK;
}

static enum parse_status fill_elf_symbols(struct tables *t, const struct question *questions,
					  const struct elf_symbol *found, size_t cnt)
{
	const struct wire_symbol *last = NULL;
	size_t last_idx = 0;

	for (size_t i = 0; i < cnt; i++) {
		struct wire_symbol *symbol = &t->symbols[questions[i].asked_idx];
		enum parse_status status;

		symbol->address = questions[i].address;
		symbol->segment = questions[i].segment;
		/* Names lie in the image: the same place is the same symbol. */
		if (!found[i].name || symbol->segment < 0)
			continue;
		if (last && found[last_idx].name == found[i].name) {
			symbol->name = last->name;
			symbol->system_name = last->system_name;
			continue;
		}
		status = add_names(t, found[i].name, found[i].name_len, symbol);
		if (status != PARSE_OK)
			return status;
		last = symbol;
		last_idx = i;
	}
	return PARSE_OK;
}

static enum parse_status name_elf_offsets(const struct elf_image *image, const uint64_t *offsets,
					  size_t cnt, struct tables *t)
{
	_cleanup_free_ struct question *questions = calloc(cnt + 1, sizeof(*questions));
	_cleanup_free_ struct elf_symbol *found = calloc(cnt + 1, sizeof(*found));
	_cleanup_free_ uint64_t *sorted = NULL;
	enum parse_status status, filled;

	if (!questions || !found)
		return PARSE_LIMIT;
	for (size_t i = 0; i < cnt; i++) {
		questions[i].asked_idx = (uint32_t)i;
		questions[i].address = elf_image__vaddr(image, offsets[i], &questions[i].segment);
	}
	sorted = sort_questions(questions, cnt);
	if (!sorted)
		return PARSE_LIMIT;
	status = elf_symbols__find(image, sorted, cnt, found);
	if (status != PARSE_OK && status != PARSE_NO_SYMBOLS)
		return status;
	filled = fill_elf_symbols(t, questions, found, cnt);
	return filled == PARSE_OK ? status : filled;
}

static void describe_image(const struct elf_image *image, struct tables *t,
			   struct wire_reply *reply)
{
	reply->build_id_len = (uint32_t)image->build_id_len;
	memcpy(reply->build_id, image->build_id, image->build_id_len);
	t->segments_cnt = (uint32_t)image->segments_cnt;
	for (size_t i = 0; i < image->segments_cnt; i++)
		t->segments[i] = (struct wire_segment){
			.vaddr = image->segments[i].vaddr,
			.limit = image->segments[i].limit,
			.offset = image->segments[i].offset,
		};
}

static enum parse_status run_elf(const struct worker_job_input *in, size_t cnt, struct tables *t,
				 struct wire_reply *reply)
{
	_cleanup_(elf_image__done) struct elf_image image = { .map = NULL };
	enum parse_status status;

	status = elf_image__open(in->fd, &image);
	if (status != PARSE_OK)
		return status;
	describe_image(&image, t, reply);
	return name_elf_offsets(&image, in->addresses, cnt, t);
}

static enum parse_status run_rows(const struct worker_job_input *in, struct tables *t,
				  struct wire_reply *reply)
{
	_cleanup_(unwind_rows__done) struct unwind_rows rows = { .blocks = NULL };
	_cleanup_(elf_image__done) struct elf_image image = { .map = NULL };
	enum parse_status status;

	status = elf_image__open(in->fd, &image);
	if (status != PARSE_OK)
		return status;
	describe_image(&image, t, reply);
	status = unwind_rows__read(&image, &rows);
	return status == PARSE_OK ? rows_job__pack(&rows, in->rows_fd, reply) : status;
}

static enum parse_status run_sites(const struct worker_job_input *in, struct tables *t,
				   struct wire_reply *reply)
{
	_cleanup_(elf_image__done) struct elf_image image = { .map = NULL };
	enum parse_status status;

	status = elf_image__open(in->fd, &image);
	if (status != PARSE_OK)
		return status;
	describe_image(&image, t, reply);
	status = heap_sites__find(&image, &t->heap);
	reply->refusal = (uint8_t)t->heap.refusal;
	reply->file_flags = (uint8_t)((t->heap.is_static ? WIRE_FILE_STATIC : 0) |
				      (t->heap.is_stripped ? WIRE_FILE_STRIPPED : 0) |
				      (t->heap.is_go ? WIRE_FILE_GO : 0) |
				      (t->heap.has_sanitizer ? WIRE_FILE_SANITIZER : 0) |
				      (t->heap.is_musl ? WIRE_FILE_MUSL : 0) |
				      (t->heap.has_malloc ? WIRE_FILE_MALLOC : 0));
	return status;
}

static enum parse_status fill_kernel_symbols(struct tables *t, const struct question *questions,
					     const struct kallsyms_result *found)
{
	const struct wire_symbol *last = NULL;
	const char *last_name = NULL;

	t->modules = calloc(found->modules_cnt, sizeof(*t->modules));
	if (!t->modules)
		return PARSE_LIMIT;
	t->modules_cnt = (uint32_t)found->modules_cnt;
	for (size_t i = 1; i < found->modules_cnt; i++)
		t->modules[i] = add_string(&t->strings, found->modules[i]);
	for (size_t i = 0; i < found->matches_cnt; i++) {
		const struct kallsyms_match *m = &found->matches[i];
		struct wire_symbol *symbol = &t->symbols[questions[i].asked_idx];
		enum parse_status status;

		symbol->address = m->address;
		symbol->segment = m->module;
		if (!m->name)
			continue;
		if (last && !strcmp(last_name, m->name)) {
			symbol->name = last->name;
			symbol->system_name = last->system_name;
			continue;
		}
		status = add_names(t, m->name, strlen(m->name), symbol);
		if (status != PARSE_OK)
			return status;
		last = symbol;
		last_name = m->name;
	}
	return PARSE_OK;
}

static enum parse_status run_kernel(int fd, const uint64_t *addresses, size_t cnt, struct tables *t)
{
	_cleanup_(kallsyms_result__done) struct kallsyms_result found = { .matches = NULL };
	_cleanup_free_ struct question *questions = calloc(cnt + 1, sizeof(*questions));
	_cleanup_free_ uint64_t *sorted = NULL;
	enum parse_status status, filled;

	if (!questions)
		return PARSE_LIMIT;
	for (size_t i = 0; i < cnt; i++)
		questions[i] =
			(struct question){ .address = addresses[i], .asked_idx = (uint32_t)i };
	sorted = sort_questions(questions, cnt);
	if (!sorted)
		return PARSE_LIMIT;
	status = kallsyms__find(fd, sorted, cnt, &found);
	if (status != PARSE_OK && status != PARSE_NO_SYMBOLS)
		return status;
	filled = fill_kernel_symbols(t, questions, &found);
	return filled == PARSE_OK ? status : filled;
}

static enum parse_status pack(const struct tables *t, struct wire_reply *reply, struct buf *payload)
{
	reply->segments_cnt = t->segments_cnt;
	reply->symbols_cnt = t->symbols_cnt;
	reply->sites_cnt = (uint8_t)t->heap.sites_cnt;
	reply->ranges_cnt = (uint8_t)t->heap.ranges_cnt;
	reply->modules_cnt = t->modules_cnt;
	reply->strings_bytes = (uint32_t)t->strings.len;
	if (wire_reply__bytes(reply) > WIRE_REPLY_BYTES)
		return PARSE_LIMIT;
	buf__append(payload, t->segments, t->segments_cnt * sizeof(*t->segments));
	buf__append(payload, t->symbols, t->symbols_cnt * sizeof(*t->symbols));
	buf__append(payload, t->heap.sites, t->heap.sites_cnt * sizeof(*t->heap.sites));
	buf__append(payload, t->heap.ranges, t->heap.ranges_cnt * sizeof(*t->heap.ranges));
	buf__append(payload, t->modules, t->modules_cnt * sizeof(*t->modules));
	buf__append(payload, t->strings.data, t->strings.len);
	return buf__error(payload) ? PARSE_LIMIT : PARSE_OK;
}

static enum parse_status run(const struct wire_request *request, const struct worker_job_input *in,
			     struct tables *t, struct wire_reply *reply)
{
	switch (request->kind) {
	case WIRE_ELF:
		return run_elf(in, request->addresses_cnt, t, reply);
	case WIRE_KERNEL:
		return run_kernel(in->fd, in->addresses, request->addresses_cnt, t);
	case WIRE_ROWS:
		return run_rows(in, t, reply);
	case WIRE_SITES:
		return run_sites(in, t, reply);
	}
	return PARSE_LIMIT;
}

static bool has_tables(enum parse_status status)
{
	return status == PARSE_OK || status == PARSE_NO_SYMBOLS || status == PARSE_NO_CFI;
}

void worker_job__run(const struct wire_request *request, const struct worker_job_input *in,
		     struct wire_reply *ret, struct buf *payload)
{
	const size_t cnt = request->addresses_cnt;
	enum parse_status status = PARSE_LIMIT;
	struct tables t = { .symbols_cnt = (uint32_t)cnt, .strings = BUF_INIT };

	*ret = (struct wire_reply){ .magic = WIRE_MAGIC, .sequence = request->sequence };
	buf__clear(payload);
	t.symbols = calloc(cnt + 1, sizeof(*t.symbols));
	buf__putc(&t.strings, '\0');
	if (t.symbols && !buf__error(&t.strings))
		status = run(request, in, &t, ret);
	if (has_tables(status)) {
		enum parse_status packed = pack(&t, ret, payload);

		status = packed == PARSE_OK ? status : packed;
	}
	if (!has_tables(status)) {
		buf__clear(payload);
		*ret = (struct wire_reply){ .magic = WIRE_MAGIC, .sequence = request->sequence };
	}
	ret->status = status;
	free(t.symbols);
	free(t.modules);
	buf__done(&t.strings);
}
