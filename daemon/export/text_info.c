/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a profile is and how far its stacks can be trusted: the text of `cprof info`.
 */
#include "export/export.h"

#include <inttypes.h>
#include <string.h>
#include "export/printable.h"
#include "profile/completeness.h"

/* Names come from other processes. */
static void put_name(struct buf *out, const char *name)
{
	printable__append(out, name, NULL);
}

static void put_line(struct buf *out, const char *title, const char *text)
{
	buf__printf(out, "%-18s", title);
	put_name(out, text);
	buf__putc(out, '\n');
}

static void put_types(const struct profile *p, struct buf *out)
{
	size_t i, standard = profile__default_value(p);

	for (i = 0; i < p->sample_types_cnt; i++) {
		buf__printf(out, "%-18s", i ? "" : "sample types:");
		put_name(out, profile__str(p, p->sample_types[i].type));
		buf__putc(out, '/');
		put_name(out, profile__str(p, p->sample_types[i].unit));
		buf__puts(out, i == standard ? " (default)\n" : "\n");
	}
}

static void put_share(struct buf *out, const char *title, int64_t cnt, int64_t of)
{
	buf__printf(out, "  %-16s%" PRId64 " (%.2f %%)\n", title, cnt,
		    of ? 100.0 * (double)cnt / (double)of : 0.0);
}

static void put_broken(const struct profile *p, const struct completeness *c, struct buf *out)
{
	int64_t stacks = c->complete + c->cut + c->unknown;
	size_t i;

	for (i = 0; i < c->broken_cnt; i++) {
		const struct broken_stacks *b = &c->broken[i];

		buf__printf(out, "    %.2f %%  ", 100.0 * (double)b->cnt / (double)stacks);
		put_name(out, profile__str(p, b->reason));
		buf__puts(out, " in ");
		put_name(out, b->file ? profile__str(p, b->file) : "no module");
		buf__putc(out, '\n');
	}
}

/* Where rows stand for more than what was sampled (waits, allocations), a stack is counted once for
 * each. */
static void put_stacks(const struct profile *p, const struct completeness *c, struct buf *out)
{
	int64_t stacks = c->complete + c->cut + c->unknown;
	const char *type = p->sample_types_cnt ? profile__str(p, p->sample_types[0].type) : "";
	const char *counted = !strcmp(type, "waits")           ? "waits"
			      : !strcmp(type, "alloc_objects") ? "allocations"
							       : NULL;

	buf__printf(out, "%-18s%" PRId64 " of %" PRId64 " %s",
		    counted ? "with user stack:" : "user stacks:", stacks, c->samples,
		    counted ?: "samples");
	buf__printf(out, " (%" PRId64 " kernel only, %" PRId64 " lost", c->kernel_only, c->lost);
	if (c->unsampled)
		buf__printf(out, ", %" PRId64 " without any", c->unsampled);
	buf__puts(out, ")\n");
	put_share(out, "complete", c->complete, stacks);
	put_share(out, "cut short", c->cut, stacks);
	put_broken(p, c, out);
	put_share(out, "unknown process", c->unknown, stacks);
}

int text__info(const struct profile *p, struct buf *out)
{
	_cleanup_(completeness__done) struct completeness c = { 0 };
	size_t i;
	int err;

	err = completeness__compute(&c, p);
	if (err)
		return err;
	if (p->mappings_cnt)
		put_line(out, "file:", profile__str(p, p->mappings[0].file));
	put_types(p, out);
	buf__printf(out, "%-18s%.2f s\n", "duration:", (double)p->duration_ns / 1e9);
	buf__printf(out, "%-18s%zu rows, %zu locations, %zu functions, %zu mappings\n",
		    "size:", p->samples_cnt, p->locations_cnt, p->functions_cnt, p->mappings_cnt);
	put_stacks(p, &c, out);
	for (i = 0; i < p->comments_cnt; i++)
		put_line(out, i ? "" : "comments:", profile__str(p, p->comments[i]));
	return buf__error(out);
}
