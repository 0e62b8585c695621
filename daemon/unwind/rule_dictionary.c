/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chained hashing over indices: the entries themselves lie where the kernel wants them. Index 0 is
 * never in a chain, so it ends one.
 */
#include "unwind/rule_dictionary.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

_Static_assert(UNWIND_RULES_MAX <= 1 << 16, "an index has 16 bits");
_Static_assert((RULE_BUCKETS & (RULE_BUCKETS - 1)) == 0, "a mask finds a bucket");

static uint32_t bucket_of(const struct unwind_rule *rule)
{
	uint32_t words[3];
	uint64_t hash;

	_Static_assert(sizeof(words) == sizeof(*rule), "hashed whole");
	memcpy(words, rule, sizeof(words));
	hash = (words[0] | (uint64_t)words[1] << 32) ^ (uint64_t)words[2] * 0x9e3779b1u;
	return (uint32_t)((hash * 0x9e3779b97f4a7c15ull) >> 40) & (RULE_BUCKETS - 1);
}

static bool rules_are_equal(const struct unwind_rule *a, const struct unwind_rule *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

void rule_dictionary__init(struct rule_dictionary *d, struct unwind_rule_entry *entries)
{
	memset(d, 0, sizeof(*d));
	d->entries = entries;
	d->entries[0] = (struct unwind_rule_entry){ .rule = { .kind = UNWIND_RULE_FP_CHAIN } };
	d->cnt = 1;
	d->first_free = 1;
	for (uint32_t i = 1; i < UNWIND_RULES_MAX - 1; i++)
		d->next[i] = (uint16_t)(i + 1);
}

int rule_dictionary__take(struct rule_dictionary *d, const struct unwind_rule *rule)
{
	uint16_t *head = &d->heads[bucket_of(rule)];
	uint16_t idx;

	if (rules_are_equal(&d->entries[0].rule, rule))
		return 0;
	for (idx = *head; idx; idx = d->next[idx]) {
		if (rules_are_equal(&d->entries[idx].rule, rule)) {
			d->users[idx]++;
			return idx;
		}
	}
	idx = d->first_free;
	if (!idx)
		return -ENFILE;
	d->first_free = d->next[idx];
	d->entries[idx] = (struct unwind_rule_entry){ .rule = *rule };
	d->users[idx] = 1;
	d->next[idx] = *head;
	*head = idx;
	d->cnt++;
	return idx;
}

void rule_dictionary__put(struct rule_dictionary *d, uint32_t idx)
{
	uint16_t *link;

	if (!idx || --d->users[idx])
		return;
	link = &d->heads[bucket_of(&d->entries[idx].rule)];
	while (*link != idx)
		link = &d->next[*link];
	*link = d->next[idx];
	d->next[idx] = d->first_free;
	d->first_free = (uint16_t)idx;
	d->cnt--;
}
