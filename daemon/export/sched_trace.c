/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scheduler latency as text trace lines, in the form of the kernel's tracepoints: a line per thread
 * and interval, for grep and awk. Fields are key=value with one space between them, whatever a
 * thread calls itself. The report has a row where there was a wait, were it one of 0 ns.
 */
#include "export/export.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "base/escape.h"

#define NSEC_PER_USEC 1000

static void put_line(const struct sched_report_trace *t, struct buf *out)
{
	buf__puts(out, "sched:sched_latency_trace: comm=");
	escape__append(out, t->thread, strnlen(t->thread, sizeof(t->thread)), ESCAPE_UTF8, " =");
	buf__printf(out,
		    " pid=%d preempted=%" PRIu64 "us delayed=%" PRIu64 "us runnable=%" PRIu64
		    "us\n",
		    t->tid, t->reason_ns[SCHED_PREEMPTED] / NSEC_PER_USEC,
		    t->reason_ns[SCHED_DELAYED] / NSEC_PER_USEC,
		    t->reason_ns[SCHED_RUNNABLE] / NSEC_PER_USEC);
}

int sched_trace__encode(const struct profile *p, struct buf *out)
{
	const struct sched_report *r = p->sched;
	size_t i;

	if (!r)
		return -EINVAL;
	for (i = 0; i < r->trace_cnt; i++)
		put_line(&r->trace[i], out);
	return buf__error(out);
}
