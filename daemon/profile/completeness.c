/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See completeness.h.
 */
#include "profile/completeness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"

static const char truncated_prefix[] = "[truncated: ";

/* The name of a synthetic frame, NULL for any other. */
static const char *synthetic_name(const struct profile *p, const struct profile_location *l,
				  uint32_t *ret_string)
{
	if (l->mapping || l->lines_cnt != 1)
		return NULL;
	*ret_string = p->functions[l->lines[0].function - 1].name;
	return profile__str(p, *ret_string);
}

static bool is_kernel_frame(const struct profile *p, const struct profile_location *l)
{
	return l->mapping && p->mappings[l->mapping - 1].is_kernel;
}

static int count_broken(struct completeness *c, uint32_t reason, uint32_t file, int64_t cnt)
{
	size_t i;

	for (i = 0; i < c->broken_cnt; i++) {
		if (c->broken[i].reason == reason && c->broken[i].file == file) {
			c->broken[i].cnt += cnt;
			return 0;
		}
	}
	if (array__reserve(c->broken, c->broken_cap, c->broken_cnt + 1))
		return -ENOMEM;
	c->broken[c->broken_cnt++] =
		(struct broken_stacks){ .reason = reason, .file = file, .cnt = cnt };
	return 0;
}

static uint32_t file_of(const struct profile *p, const struct profile_location *l)
{
	return l->mapping ? p->mappings[l->mapping - 1].file : 0;
}

static int count_sample(struct completeness *c, const struct profile *p,
			const struct profile_sample *s)
{
	const struct profile_location *root, *below;
	int64_t cnt = s->values[0];
	const char *name;
	uint32_t string;

	c->samples += cnt;
	if (!s->locations_cnt)
		return 0;
	root = &p->locations[s->locations[s->locations_cnt - 1] - 1];
	name = synthetic_name(p, root, &string);
	if (name && !strcmp(name, "[lost]")) {
		c->lost += cnt;
	} else if (name && !strncmp(name, truncated_prefix, sizeof(truncated_prefix) - 1)) {
		c->cut += cnt;
		below = s->locations_cnt > 1 ? &p->locations[s->locations[s->locations_cnt - 2] - 1]
					     : NULL;
		return count_broken(c, string, below ? file_of(p, below) : 0, cnt);
	} else if (name && !strcmp(name, "[unknown]")) {
		c->unknown += cnt;
	} else if (name && name[0] == '[') {
		c->unsampled += cnt;
	} else if (is_kernel_frame(p, root)) {
		c->kernel_only += cnt;
	} else {
		c->complete += cnt;
	}
	return 0;
}

static int compare_broken(const void *va, const void *vb)
{
	const struct broken_stacks *a = va, *b = vb;

	if (a->cnt != b->cnt)
		return a->cnt > b->cnt ? -1 : 1;
	if (a->reason != b->reason)
		return a->reason < b->reason ? -1 : 1;
	return a->file < b->file ? -1 : a->file > b->file;
}

int completeness__compute(struct completeness *c, const struct profile *p)
{
	size_t i;
	int err;

	*c = (struct completeness){ 0 };
	for (i = 0; i < p->samples_cnt; i++) {
		err = count_sample(c, p, &p->samples[i]);
		if (err)
			return err;
	}
	if (c->broken_cnt)
		qsort(c->broken, c->broken_cnt, sizeof(*c->broken), compare_broken);
	return 0;
}

void completeness__done(struct completeness *c)
{
	free(c->broken);
	*c = (struct completeness){ 0 };
}

double completeness__percent(const struct completeness *c)
{
	int64_t stacks = c->complete + c->cut + c->unknown;

	return stacks ? 100.0 * (double)c->complete / (double)stacks : 100.0;
}
