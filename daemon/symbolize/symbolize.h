/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Gives the locations of a profile their names: asks the worker, module by module, in batches.
 * Knows modules (process/) and the profile's mappings and locations only through the request below;
 * it does not know samples, rings or encoders.
 */
#ifndef SYMBOLIZE_SYMBOLIZE_H
#define SYMBOLIZE_SYMBOLIZE_H

#include "base/cleanup.h"
#include "process/process.h"
#include "worker/worker.h"

struct symbolizer;

struct symbolizer *symbolizer__new(struct worker *worker);
void symbolizer__free(struct symbolizer *s);
DEFINE_CLEANUP(struct symbolizer *, symbolizer__free);

/*
 * Looks up file offsets of one module (its pinned descriptor; the vDSO from our own image through a
 * memfd). Where there is no file the reply has status PARSE_IO and no segments. The caller
 * releases *ret with worker_reply__done(). Returns 0 or -errno (worker could not be started).
 */
int symbolizer__module(struct symbolizer *s, const struct module *module, const uint64_t *offsets,
		       size_t cnt, struct worker_reply *ret);

/* Looks up kernel addresses (modules and BPF programs included). */
int symbolizer__kernel(struct symbolizer *s, const uint64_t *addresses, size_t cnt,
		       struct worker_reply *ret);

#endif
