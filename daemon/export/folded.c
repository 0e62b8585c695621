/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Profile → folded stacks, what flamegraph.pl and its kin read: "comm;root;…;leaf VALUE", sorted
 * bytewise. A frame is rendered once per location; rows are compared and merged as sequences of
 * frames, so that the file's text exists once, in the output.
 */
#include "export/export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "export/printable.h"

/* A piece of a line: the comm, or all frames of a location, outermost first; each name after a
 * ';', so that a line is the pieces one after the other, without the first byte. */
struct piece {
	size_t start, len; /* in folder.text */
};

struct row {
	uint32_t comm; /* string, 0: none */
	const struct profile_sample *sample;
	int64_t value;
};

struct folder {
	const struct profile *p;
	struct buf text;
	struct piece *locations; /* by id - 1 */
	struct piece *comms;     /* by string */
	struct row *rows;
};

/* Reads a row's text piece by piece. */
struct cursor {
	const struct row *row;
	uint32_t left; /* locations */
	bool at_comm;
};

static void folder_done(struct folder *f)
{
	buf__done(&f->text);
	free(f->locations);
	free(f->comms);
	free(f->rows);
}

static void append_frame(struct folder *f, const char *name, bool is_kernel)
{
	buf__putc(&f->text, ';');
	printable__append(&f->text, name, ";");
	if (is_kernel)
		buf__puts(&f->text, "_[k]");
}

static void append_object(struct folder *f, const struct profile_mapping *m)
{
	_cleanup_buf_ struct buf name = BUF_INIT;
	const char *base = "";
	size_t len = 0;

	if (m && m->file)
		base = top__basename(profile__str(f->p, m->file), &len);
	if (!len)
		buf__puts(&name, "<unknown>");
	else if (base[0] == '[' && base[len - 1] == ']')
		buf__append(&name, base, len);
	else
		buf__printf(&name, "[%.*s]", (int)len, base);
	if (buf__error(&name))
		f->text.failed = true;
	else
		append_frame(f, name.data, m && m->is_kernel);
}

static const char *function_name(const struct profile *p, uint32_t id)
{
	const struct profile_function *fn = &p->functions[id - 1];

	return profile__str(p, fn->name ?: fn->system_name);
}

static void render_location(struct folder *f, size_t i)
{
	const struct profile_location *l = &f->p->locations[i];
	const struct profile_mapping *m = l->mapping ? &f->p->mappings[l->mapping - 1] : NULL;
	size_t start = f->text.len, k;

	if (!l->lines_cnt)
		append_object(f, m);
	for (k = l->lines_cnt; k > 0; k--) {
		const char *name = function_name(f->p, l->lines[k - 1].function);

		if (*name)
			append_frame(f, name, m && m->is_kernel);
		else
			append_object(f, m);
	}
	f->locations[i] = (struct piece){ .start = start, .len = f->text.len - start };
}

static void render_comm(struct folder *f, uint32_t comm)
{
	size_t start = f->text.len;

	if (!comm || f->comms[comm].len)
		return;
	buf__putc(&f->text, ';');
	printable__append(&f->text, profile__str(f->p, comm), ";");
	f->comms[comm] = (struct piece){ .start = start, .len = f->text.len - start };
}

static uint32_t comm_of(const struct profile *p, const struct profile_sample *s)
{
	uint32_t i;

	for (i = 0; i < s->labels_cnt; i++)
		if (s->labels[i].str && !strcmp(profile__str(p, s->labels[i].key), "comm"))
			return s->labels[i].str;
	return 0;
}

static struct cursor cursor_at(const struct row *row)
{
	return (struct cursor){ .row = row,
				.left = row->sample->locations_cnt,
				.at_comm = row->comm };
}

/* The next piece that is not empty; an empty one at the end. */
static struct piece next_piece(const struct folder *f, struct cursor *c)
{
	if (c->at_comm) {
		c->at_comm = false;
		return f->comms[c->row->comm];
	}
	if (c->left)
		return f->locations[c->row->sample->locations[--c->left] - 1];
	return (struct piece){ .len = 0 };
}

/* memcmp() of the two lines without making them. */
static int compare_rows(const void *a_, const void *b_, void *ctx)
{
	const struct folder *f = ctx;
	struct cursor a = cursor_at(a_), b = cursor_at(b_);
	struct piece x = { .len = 0 }, y = { .len = 0 };

	for (;;) {
		size_t n;
		int diff;

		if (!x.len)
			x = next_piece(f, &a);
		if (!y.len)
			y = next_piece(f, &b);
		if (!x.len || !y.len)
			return (x.len != 0) - (y.len != 0);
		n = x.len < y.len ? x.len : y.len;
		diff = x.start == y.start
			       ? 0
			       : memcmp(f->text.data + x.start, f->text.data + y.start, n);
		if (diff)
			return diff;
		x = (struct piece){ .start = x.start + n, .len = x.len - n };
		y = (struct piece){ .start = y.start + n, .len = y.len - n };
	}
}

/* cpu profiles count samples, the others what they are about. */
static size_t choose_value(const struct profile *p)
{
	size_t value_idx = profile__default_value(p), i;

	if (strcmp(profile__str(p, p->sample_types[value_idx].type), "cpu"))
		return value_idx;
	for (i = 0; i < p->sample_types_cnt; i++)
		if (!strcmp(profile__str(p, p->sample_types[i].type), "samples") &&
		    !strcmp(profile__str(p, p->sample_types[i].unit), "count"))
			return i;
	return value_idx;
}

static int render(struct folder *f)
{
	const struct profile *p = f->p;
	size_t value_idx = choose_value(p), i;

	f->locations = calloc(p->locations_cnt + 1, sizeof(*f->locations));
	f->comms = calloc(p->strings_cnt, sizeof(*f->comms));
	f->rows = calloc(p->samples_cnt + 1, sizeof(*f->rows));
	if (!f->locations || !f->comms || !f->rows)
		return -ENOMEM;
	for (i = 0; i < p->locations_cnt; i++)
		render_location(f, i);
	for (i = 0; i < p->samples_cnt; i++) {
		const struct profile_sample *s = &p->samples[i];

		f->rows[i] = (struct row){ .comm = comm_of(p, s),
					   .sample = s,
					   .value = s->values[value_idx] };
		render_comm(f, f->rows[i].comm);
	}
	return buf__error(&f->text);
}

static void write_row(const struct folder *f, const struct row *row, int64_t value, struct buf *out)
{
	struct cursor c = cursor_at(row);
	struct piece piece = next_piece(f, &c);
	size_t skip = 1;

	for (; piece.len; piece = next_piece(f, &c), skip = 0)
		buf__append(out, f->text.data + piece.start + skip, piece.len - skip);
	buf__printf(out, " %" PRId64 "\n", value);
}

int folded__encode(const struct profile *p, struct buf *out)
{
	_cleanup_(folder_done) struct folder f = { .p = p, .text = BUF_INIT };
	size_t i = 0;
	int err;

	if (!p->sample_types_cnt)
		return 0;
	err = render(&f);
	if (err)
		return err;
	qsort_r(f.rows, p->samples_cnt, sizeof(*f.rows), compare_rows, &f);
	while (i < p->samples_cnt) {
		const struct row *row = &f.rows[i];
		int64_t value = 0;

		for (; i < p->samples_cnt && !compare_rows(row, &f.rows[i], &f); i++)
			value = (int64_t)((uint64_t)value + (uint64_t)f.rows[i].value);
		/* A stack without frames and comm has no line. */
		if (value && (row->comm || row->sample->locations_cnt))
			write_row(&f, row, value, out);
	}
	return buf__error(out);
}
