/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_callers.h. Sums only grow, so the heaviest chain of a site is known at any time.
 */
#include "profile/heap_callers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "profile/id_table.h"

struct heap_callers {
	struct heap_chain *chains;
	size_t chains_cnt, chains_cap;
	struct id_table by_frames;
	uint64_t seed;
	uint32_t *heaviest; /* by site: index of a chain, + 1; 0: none */
};

struct heap_callers *heap_callers__new(size_t sites_cnt)
{
	struct heap_callers *hc = calloc(1, sizeof(*hc));

	if (!hc)
		return NULL;
	hc->seed = id_hash__seed();
	hc->heaviest = calloc(sites_cnt + 1, sizeof(*hc->heaviest));
	if (!hc->heaviest) {
		heap_callers__free(hc);
		return NULL;
	}
	return hc;
}

void heap_callers__free(struct heap_callers *hc)
{
	if (!hc)
		return;
	id_table__done(&hc->by_frames);
	free(hc->chains);
	free(hc->heaviest);
	free(hc);
}

static bool chain_equal(const void *ctx, uint32_t id, const void *key)
{
	const struct heap_chain *a = &((const struct heap_callers *)ctx)->chains[id - 1], *b = key;

	return a->frames_cnt == b->frames_cnt &&
	       !memcmp(a->frames, b->frames, a->frames_cnt * sizeof(*a->frames));
}

/* Id of the chain of these frames, made with nothing in it where there was none; 0: no memory. */
static uint32_t find_chain(struct heap_callers *hc, const struct heap_chain *chain)
{
	uint32_t hash = id_hash__fold(id_hash__bytes(hc->seed, chain->frames,
						     chain->frames_cnt * sizeof(*chain->frames)));
	uint32_t id = id_table__find(&hc->by_frames, hash, chain_equal, hc, chain);
	struct heap_chain *made;

	if (id)
		return id;
	if (hc->chains_cnt >= UINT32_MAX - 1 || id_table__reserve(&hc->by_frames) ||
	    array__reserve(hc->chains, hc->chains_cap, hc->chains_cnt + 1))
		return 0;
	made = &hc->chains[hc->chains_cnt++];
	*made = *chain;
	made->inuse_bytes = made->alloc_bytes = 0;
	id_table__add(&hc->by_frames, hash, (uint32_t)hc->chains_cnt);
	return (uint32_t)hc->chains_cnt;
}

static bool is_heavier(const struct heap_chain *a, const struct heap_chain *b)
{
	if (a->inuse_bytes != b->inuse_bytes)
		return a->inuse_bytes > b->inuse_bytes;
	return a->alloc_bytes > b->alloc_bytes;
}

int heap_callers__add(struct heap_callers *hc, const struct heap_chain *chain)
{
	uint32_t *heaviest = &hc->heaviest[chain->frames[0]], id = find_chain(hc, chain);
	struct heap_chain *to;

	if (!id)
		return -ENOMEM;
	to = &hc->chains[id - 1];
	to->inuse_bytes += chain->inuse_bytes;
	to->alloc_bytes += chain->alloc_bytes;
	if (!*heaviest || is_heavier(to, &hc->chains[*heaviest - 1]))
		*heaviest = id;
	return 0;
}

const struct heap_chain *heap_callers__heaviest(const struct heap_callers *hc, size_t site)
{
	return hc->heaviest[site] ? &hc->chains[hc->heaviest[site] - 1] : NULL;
}
