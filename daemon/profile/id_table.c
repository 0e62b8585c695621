/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See id_table.h.
 */
#include "profile/id_table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include "base/clock.h"

#define ID_TABLE_SLOTS_MIN 16

static void put(struct id_table *t, struct id_slot slot)
{
	size_t mask = t->slots_cnt - 1;
	size_t i = slot.hash & mask;

	while (t->slots[i].id)
		i = (i + 1) & mask;
	t->slots[i] = slot;
}

int id_table__reserve(struct id_table *t)
{
	struct id_table bigger = { .used = t->used };
	size_t i;

	/* At most three quarters full: linear probing stays short. */
	if (t->used + 1 <= t->slots_cnt / 4 * 3)
		return 0;
	bigger.slots_cnt = t->slots_cnt ? t->slots_cnt * 2 : ID_TABLE_SLOTS_MIN;
	bigger.slots = calloc(bigger.slots_cnt, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (i = 0; i < t->slots_cnt; i++)
		if (t->slots[i].id)
			put(&bigger, t->slots[i]);
	free(t->slots);
	*t = bigger;
	return 0;
}

void id_table__add(struct id_table *t, uint32_t hash, uint32_t id)
{
	put(t, (struct id_slot){ .hash = hash, .id = id });
	t->used++;
}

void id_table__done(struct id_table *t)
{
	free(t->slots);
	*t = (struct id_table){ .slots = NULL };
}

uint64_t id_hash__seed(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = clock__mono_ns() ^ (uintptr_t)&seed;
	return seed;
}
