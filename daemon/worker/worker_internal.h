/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The collector's side of the worker, split: worker.c, worker_rows.c, worker_sites.c (the calls of
 * worker.h), worker_process.c (its life) and worker_channel.c (one exchange over the socket).
 * Nobody outside this folder and its tests includes it.
 */
#ifndef WORKER_WORKER_INTERNAL_H
#define WORKER_WORKER_INTERNAL_H

#include "worker/protocol.h"
#include "worker/worker.h"

#define WORKER_TIMEOUT_MS    15000
#define WORKER_ABANDONED_MAX 8

struct worker {
	pid_t pid;  /* 0: none runs */
	int pidfd;  /* of pid, or -1 */
	int socket; /* to pid, or -1 */
	uint64_t sequence;
	unsigned int timeout_ms; /* for one exchange; shorter in tests */
	bool started_before;
	pid_t abandoned[WORKER_ABANDONED_MAX]; /* killed, did not die yet (stuck in the kernel) */
	struct worker_stats stats;
};

/* --- worker_process.c */

/* Starts a worker unless one is alive and waits for its hello. Returns 0 or -errno. */
int worker_process__start(struct worker *w);

/* Ends the worker and reaps it. 'fallback' is the answer where its end does not say more. With
 * *ret_clean (may be NULL) true it left by itself before taking a request. */
enum parse_status worker_process__stop(struct worker *w, enum parse_status fallback,
				       bool *ret_clean);

/* Reads the running worker's peak resident size into the stats. */
void worker_process__sample_rss(struct worker *w);

/* --- worker_channel.c */

/* What is asked in one exchange. */
struct worker_question {
	enum wire_kind kind;
	int fd;      /* what it is about */
	int rows_fd; /* WIRE_ROWS only: where the rows go */
	const uint64_t *addresses;
	size_t addresses_cnt;
};

/* What one exchange brought; 'tables' is what wire_reply__bytes() describes, checked. */
struct worker_answer {
	struct wire_reply header;
	const struct wire_segment *segments;
	const struct wire_symbol *symbols;
	const struct heap_site *sites;
	const struct heap_range *ranges;
	const uint32_t *modules;
	const char *strings;
	void *tables; /* owned by whoever takes it */
};

/* Waits for the hello of a worker just started. Returns 0 or -errno. */
int worker_channel__hello(const struct worker *w);

/*
 * Sends one request and receives its answer. Returns 0 with *ret filled (the file's own status is
 * in its header), -ECONNRESET when the worker hung up, -ETIMEDOUT, -EPROTO when the answer breaks
 * the protocol, or -ENOMEM. After any failure the worker must be stopped.
 */
int worker_channel__exchange(struct worker *w, const struct worker_question *question,
			     struct worker_answer *ret);

/* --- worker.c */

/*
 * Asks, with a new worker where the one there was had left by itself. Returns 0 with *ret_status;
 * the answer is filled where that is one of those with tables. -errno when no worker could be
 * started.
 */
int worker__ask(struct worker *w, const struct worker_question *question,
		enum parse_status *ret_status, struct worker_answer *ret);

#endif
