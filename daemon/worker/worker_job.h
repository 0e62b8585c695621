/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One request answered: parse/ is run on the descriptor and its findings are packed into the wire
 * shape. Runs in the worker; does no I/O on the socket.
 */
#ifndef WORKER_WORKER_JOB_H
#define WORKER_WORKER_JOB_H

#include <stdint.h>
#include "base/buf.h"
#include "worker/protocol.h"

/* What comes with a request. */
struct worker_job_input {
	int fd;      /* the file */
	int rows_fd; /* WIRE_ROWS: where the rows go, else -1 */
	const uint64_t *addresses;
};

/* Fills the header and appends what follows it to payload (emptied first). Never fails: whatever
 * goes wrong is the reply's status. There are request->addresses_cnt addresses. */
void worker_job__run(const struct wire_request *request, const struct worker_job_input *in,
		     struct wire_reply *ret, struct buf *payload);

#endif
