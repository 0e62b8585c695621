/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From "offset in this module's file" to pprof's mappings and names. While samples come in, each
 * module (and the kernel) has one provisional mapping whose locations hold file offsets (kernel:
 * addresses); naming__resolve() asks the symbolizer and turns them into segments, ELF virtual
 * addresses and lines. Used by pipeline.c only; where profile/ and process/ meet.
 */
#ifndef SESSION_NAMING_H
#define SESSION_NAMING_H

#include "process/process.h"
#include "profile/profile.h"
#include "symbolize/symbolize.h"

struct provisional_mapping {
	uint32_t mapping;            /* id in the profile */
	const struct module *module; /* NULL: the kernel */
};

/* What became of the modules that samples fell into. */
struct naming_stats {
	uint64_t status[PARSE_STATUS_CNT]; /* of those looked up */
	uint64_t without_file;             /* not to be had: process/ counts why */
	uint64_t no_worker;                /* look-ups without a worker: it could not be started */
	uint64_t replaced; /* another build-id than what had been mapped: not used */
};

struct naming {
	struct provisional_mapping *mappings;
	size_t mappings_cnt, mappings_cap;
	uint32_t *by_module; /* module idx → mapping id, 0: none yet */
	size_t by_module_cnt, by_module_cap;
	uint32_t kernel; /* mapping id, 0: none yet */
};

void naming__done(struct naming *n);

/* The provisional mapping, made at first use. 0 or -ENOMEM. */
int naming__module_mapping(struct naming *n, struct profile *p, const struct module *module,
			   uint32_t *ret_id);
/* Makes the profile's first mapping for a module to come; 'name' stands in until it is bound. */
int naming__reserve_first(struct naming *n, struct profile *p, const char *name);
int naming__bind_first(struct naming *n, struct profile *p, const struct module *module);
int naming__kernel_mapping(struct naming *n, struct profile *p, uint32_t *ret_id);

/* Names everything; adds to *stats. A module that cannot be read leaves its locations without
 * lines. 0 or -errno. */
int naming__resolve(struct naming *n, struct profile *p, struct symbolizer *symbolizer,
		    struct naming_stats *stats);

#endif
