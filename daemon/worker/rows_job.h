/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unwind rows into the shared memory of a WIRE_ROWS request. Runs in the worker.
 */
#ifndef WORKER_ROWS_JOB_H
#define WORKER_ROWS_JOB_H

#include "parse/unwind_rows.h"
#include "worker/protocol.h"

/* Fills the memory behind fd and the reply's base and counts. PARSE_OK, PARSE_LIMIT (no room), or
 * PARSE_IO (the descriptor is not what it should be). */
enum parse_status rows_job__pack(const struct unwind_rows *rows, int fd, struct wire_reply *reply);

#endif
