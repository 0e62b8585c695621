/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * perf records as bytes -> struct process_event. Pure: no descriptor, no clock. The bytes come from
 * the kernel, but from memory that is shared with it and with names other users chose, so no length
 * is believed. Private to process/.
 */
#ifndef PROCESS_SIDEBAND_DECODE_H
#define PROCESS_SIDEBAND_DECODE_H

#include <linux/perf_event.h>
#include "process/process.h"

/* What every record ends with: PERF_SAMPLE_TID | TIME | IDENTIFIER with sample_id_all. */
#define SIDEBAND_SAMPLE_TYPE (PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_IDENTIFIER)

struct sideband_trailer {
	uint32_t pid, tid;
	uint64_t time_ns;
	uint64_t event_id;
};

/* One record can be this long: header.size has 16 bits. */
#define SIDEBAND_RECORD_MAX 65535

/*
 * The record at *tail of a ring of 'size' bytes (a power of two) filled up to head: a pointer into
 * the ring, or to scratch (SIDEBAND_RECORD_MAX bytes) when it wraps. *tail moves behind it. NULL at
 * the end; on a length that cannot be, *tail moves to head and *ret_lying is set.
 */
const struct perf_event_header *sideband__next_record(const uint8_t *ring, uint64_t size,
						      uint64_t *tail, uint64_t head,
						      uint8_t *scratch, bool *ret_lying);

/*
 * Decodes one record of header->size bytes. 1: *ret is filled, ret->path owned by the caller; 0: of
 * no interest (data mappings, and what the event that repeats mappings with their build-id says of
 * anything else); -EBADMSG: too short or contradictory; -ENOMEM.
 */
int sideband__decode(const struct perf_event_header *header, uint64_t build_id_event,
		     struct process_event *ret);

#endif
