/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The executable mappings of one address space: sorted, disjoint, newest wins. Shared by reference
 * between a parent and its forked child until one of them changes it. Private to process/.
 */
#ifndef PROCESS_ADDRESS_SPACE_H
#define PROCESS_ADDRESS_SPACE_H

#include "process/process.h"

/* A process that maps more than this has the rest unnamed. */
#define ADDRESS_SPACE_MAPPINGS_MAX 65536

/* NULL is a valid, empty address space everywhere below. */
struct address_space;

struct address_space *address_space__ref(struct address_space *as);
void address_space__unref(struct address_space *as);
DEFINE_CLEANUP(struct address_space *, address_space__unref);

/*
 * Lays m over what is there: older ranges are cut or vanish, equal neighbours grow together. *as is
 * replaced by an own copy when it is shared. -ENOMEM; -E2BIG: cap reached, m is not taken;
 * -EINVAL: empty range.
 */
int address_space__add(struct address_space **as, const struct mapping *m);

/* The mapping that covers addr, or NULL. Valid until the next add. */
const struct mapping *address_space__find(const struct address_space *as, uint64_t addr);

/* The mapping with exactly these bounds, or NULL. */
const struct mapping *address_space__find_exact(const struct address_space *as, uint64_t start,
						uint64_t end);

size_t address_space__cnt(const struct address_space *as);
const struct mapping *address_space__get(const struct address_space *as, size_t idx);

#endif
