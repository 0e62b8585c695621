/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sorted executable mappings with copy on write; see address_space.h. Knows modules only as
 * pointers to compare.
 */
#include "process/address_space.h"

#include <errno.h>
#include <string.h>

#include "base/array.h"

struct address_space {
	uint32_t refs;
	size_t cnt, cap;
	struct mapping *v;
};

struct address_space *address_space__ref(struct address_space *as)
{
	if (as)
		as->refs++;
	return as;
}

void address_space__unref(struct address_space *as)
{
	if (!as || --as->refs > 0)
		return;
	free(as->v);
	free(as);
}

/* Index of the first mapping that ends above addr. */
static size_t lower_bound(const struct address_space *as, uint64_t addr)
{
	size_t lo = 0, hi = as->cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (as->v[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct mapping *address_space__find(const struct address_space *as, uint64_t addr)
{
	size_t i;

	if (!as)
		return NULL;
	i = lower_bound(as, addr);
	return i < as->cnt && as->v[i].start <= addr ? &as->v[i] : NULL;
}

const struct mapping *address_space__find_exact(const struct address_space *as, uint64_t start,
						uint64_t end)
{
	const struct mapping *m = address_space__find(as, start);

	return m && m->start == start && m->end == end ? m : NULL;
}

size_t address_space__cnt(const struct address_space *as)
{
	return as ? as->cnt : 0;
}

const struct mapping *address_space__get(const struct address_space *as, size_t idx)
{
	return &as->v[idx];
}

/* Makes *as writable with room for 'extra' more mappings. */
static int own(struct address_space **as, size_t extra)
{
	struct address_space *old = *as, *fresh;
	size_t cnt = address_space__cnt(old);

	if (old && old->refs == 1)
		return array__reserve(old->v, old->cap, cnt + extra);
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	fresh->refs = 1;
	if (array__reserve(fresh->v, fresh->cap, cnt + extra) < 0) {
		free(fresh);
		return -ENOMEM;
	}
	if (cnt)
		memcpy(fresh->v, old->v, cnt * sizeof(*old->v));
	fresh->cnt = cnt;
	address_space__unref(old);
	*as = fresh;
	return 0;
}

/* a lies directly below b and continues it: the same file, the next bytes. */
static bool continues(const struct mapping *a, const struct mapping *b)
{
	return a->end == b->start && a->module == b->module &&
	       a->offset + (a->end - a->start) == b->offset;
}

static bool covers_already(const struct address_space *as, const struct mapping *m)
{
	const struct mapping *have = address_space__find(as, m->start);

	return have && have->end >= m->end && have->module == m->module &&
	       have->offset + (m->start - have->start) == m->offset;
}

/* Fills 'pieces' with what replaces the mappings [first, last) when m is laid over them. */
static size_t cut_pieces(const struct address_space *as, size_t first, size_t last,
			 const struct mapping *m, struct mapping pieces[3])
{
	size_t n = 0;

	if (first < last && as->v[first].start < m->start) {
		pieces[n] = as->v[first];
		pieces[n++].end = m->start;
	}
	pieces[n++] = *m;
	if (first < last && as->v[last - 1].end > m->end) {
		pieces[n] = as->v[last - 1];
		pieces[n].offset += m->end - pieces[n].start;
		pieces[n++].start = m->end;
	}
	return n;
}

static void join_neighbours(struct address_space *as, size_t from, size_t to)
{
	for (size_t i = to; i-- > from;) {
		if (i + 1 >= as->cnt || !continues(&as->v[i], &as->v[i + 1]))
			continue;
		as->v[i].end = as->v[i + 1].end;
		memmove(&as->v[i + 1], &as->v[i + 2], (as->cnt - i - 2) * sizeof(*as->v));
		as->cnt--;
	}
}

int address_space__add(struct address_space **as, const struct mapping *m)
{
	struct mapping pieces[3];
	struct address_space *a;
	size_t first, last, n;
	int err;

	if (m->start >= m->end)
		return -EINVAL;
	/* Told twice, as by a scan and the event it raced with: a shared copy stays shared. */
	if (covers_already(*as, m))
		return 0;
	if (address_space__cnt(*as) + 2 > ADDRESS_SPACE_MAPPINGS_MAX)
		return -E2BIG;
	err = own(as, 2);
	if (err)
		return err;
	a = *as;
	first = lower_bound(a, m->start);
	for (last = first; last < a->cnt && a->v[last].start < m->end;)
		last++;
	n = cut_pieces(a, first, last, m, pieces);
	memmove(&a->v[first + n], &a->v[last], (a->cnt - last) * sizeof(*a->v));
	memcpy(&a->v[first], pieces, n * sizeof(*pieces));
	a->cnt = a->cnt - (last - first) + n;
	join_neighbours(a, first ? first - 1 : 0, first + n);
	return 0;
}
