/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules of all files, each distinct one once, in the array that the BPF programs read. A rule
 * is counted by whoever uses it and its place is used again when nobody is left. Private to
 * unwind/.
 */
#ifndef UNWIND_RULE_DICTIONARY_H
#define UNWIND_RULE_DICTIONARY_H

#include <stdint.h>
#include "abi/unwind_table.h"

#define RULE_BUCKETS UNWIND_RULES_MAX

struct rule_dictionary {
	struct unwind_rule_entry *entries; /* UNWIND_RULES_MAX, the caller's */
	uint32_t users[UNWIND_RULES_MAX];
	uint16_t heads[RULE_BUCKETS];    /* 0: empty */
	uint16_t next[UNWIND_RULES_MAX]; /* of the same bucket, or of the free ones; 0: the last */
	uint16_t first_free;
	uint32_t cnt; /* the one of UNWIND_RULE_FP_CHAIN included */
};

/* Entry 0 is UNWIND_RULE_FP_CHAIN from now on and for ever. */
void rule_dictionary__init(struct rule_dictionary *d, struct unwind_rule_entry *entries);

/* Index of the rule, counted as used once more; -ENFILE: full. */
int rule_dictionary__take(struct rule_dictionary *d, const struct unwind_rule *rule);
void rule_dictionary__put(struct rule_dictionary *d, uint32_t idx);

#endif
