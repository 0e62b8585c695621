/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where in a function a probe costs least and still sees the arguments. Called by heap_sites.c;
 * knows one function at a time.
 */
#ifndef PARSE_HEAP_SITE_RULE_H
#define PARSE_HEAP_SITE_RULE_H

#include "abi/heap.h"
#include "parse/heap_functions.h"
#include "parse/code.h"

/* Every address that some decoded instruction branches to, sorted. */
struct branch_targets {
	uint64_t *items;
	size_t cnt, cap;
};

/* PARSE_OK or PARSE_LIMIT; release with branch_targets__done(). */
enum parse_status branch_targets__collect(const struct code *code, struct branch_targets *ret);
void branch_targets__done(struct branch_targets *t); /* safe on a zeroed one */

/*
 * Fills the registers, the flags HEAP_SITE_STEPPED and _PUSHED, and the offset, to which the site's
 * distance from the entry is added. 'flags' are those that the site will carry besides. False: the
 * kernel takes no probe anywhere it would do.
 */
bool heap_site_rule__choose(const struct code_body *b, const struct branch_targets *targets,
			    const struct heap_function *f, uint8_t flags, struct heap_site *site);

#endif
