/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * perf side-band: one software dummy event per CPU delivers MMAP2, COMM, FORK and EXIT records of
 * the whole host, stamped with CLOCK_MONOTONIC. This file owns the descriptors and the mapped rings
 * and decodes the records; what they mean is process_table's business.
 *
 * An MMAP2 record carries either device and inode or the build-id, and both are wanted: the first
 * cannot be forged by another file, the second still tells a file whose device means nothing to us.
 * So a second event per CPU, writing into the same ring, repeats each mapping with its build-id.
 */
#ifndef PROCESS_SIDEBAND_H
#define PROCESS_SIDEBAND_H

#include "process/process.h"

struct sideband;

/* Opens and enables the events on the given online CPUs; does without build-ids where the kernel
 * (before 5.12) has none. Returns 0 or -errno (-EACCES, -EPERM: not allowed). */
int sideband__open(struct sideband **ret, const int *cpus, size_t cpus_cnt);
void sideband__free(struct sideband *s);
DEFINE_CLEANUP(struct sideband *, sideband__free);

/* CPUs going off- and on-line: an event on a CPU that went away never fires again by itself.
 * sideband__remove_cpu() drains nothing: call sideband__read() first. -EEXIST, -ENOENT. */
int sideband__add_cpu(struct sideband *s, int cpu);
int sideband__remove_cpu(struct sideband *s, int cpu);

typedef int (*sideband_event_fn)(struct process_event *ev, void *ctx);

/*
 * Decodes all records now in the rings, CPU by CPU (within one CPU in time order). fn may take
 * ev->path (set it to NULL). Stops at the first non-zero result of fn and returns it. Records of
 * unknown type or lying length are counted, never trusted.
 */
int sideband__read(struct sideband *s, sideband_event_fn fn, void *ctx);

struct sideband_stats {
	uint64_t records, lost, malformed;
};
void sideband__stats(const struct sideband *s, struct sideband_stats *ret);

#endif
