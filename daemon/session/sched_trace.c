/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See sched_trace.h.
 */
#include "session/sched_trace.h"

#include <errno.h>
#include <string.h>
#include "base/array.h"

/* What a thread had waited at the end of the interval before. */
struct trace_thread {
	pid_t tid;
	uint64_t start_ns;
	struct sched_sums sums;
};

void sched_trace__done(struct sched_trace *t)
{
	free(t->rows);
	free(t->seen);
	*t = (struct sched_trace){ 0 };
}

void sched_sums__add(struct sched_sums *into, const struct sched_sums *sums)
{
	size_t i;

	for (i = 0; i < SCHED_ORIGINS; i++)
		into->waits[i] += sums->waits[i];
	into->preempted_ns += sums->preempted_ns;
	into->delayed_ns += sums->delayed_ns;
	into->runnable_ns += sums->runnable_ns;
}

static int compare(pid_t tid_a, uint64_t start_a, pid_t tid_b, uint64_t start_b)
{
	if (tid_a != tid_b)
		return tid_a < tid_b ? -1 : 1;
	return start_a < start_b ? -1 : start_a > start_b;
}

static uint64_t grown(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static int add_row(struct sched_trace *t, const struct sched_thread_sums *now,
		   const struct sched_sums *before)
{
	struct sched_report_trace row = {
		.tid = now->tid,
		.reason_ns = {
			[SCHED_PREEMPTED] = grown(now->sums.preempted_ns, before->preempted_ns),
			[SCHED_DELAYED] = grown(now->sums.delayed_ns, before->delayed_ns),
			[SCHED_RUNNABLE] = grown(now->sums.runnable_ns, before->runnable_ns),
		},
	};

	if (!grown(sched_sums__waits(&now->sums), sched_sums__waits(before)))
		return 0;
	if (t->rows_cnt >= SCHED_TRACE_ROWS_MAX) {
		t->rows_dropped++;
		return 0;
	}
	if (array__reserve(t->rows, t->rows_cap, t->rows_cnt + 1))
		return -ENOMEM;
	memcpy(row.thread, now->comm, sizeof(row.thread) - 1);
	t->rows[t->rows_cnt++] = row;
	return 0;
}

int sched_trace__add_interval(struct sched_trace *t, const struct sched_thread_sums *threads,
			      size_t threads_cnt)
{
	static const struct sched_sums none;
	struct trace_thread *merged;
	size_t i = 0, j = 0, cnt = 0;
	int err = 0;

	merged = calloc(t->seen_cnt + threads_cnt + 1, sizeof(*merged));
	if (!merged)
		return -ENOMEM;
	while (!err && (i < t->seen_cnt || j < threads_cnt)) {
		const struct trace_thread *old = i < t->seen_cnt ? &t->seen[i] : NULL;
		const struct sched_thread_sums *now = j < threads_cnt ? &threads[j] : NULL;
		int order = !old   ? 1
			    : !now ? -1
				   : compare(old->tid, old->start_ns, now->tid, now->start_ns);

		i += order <= 0;
		j += order >= 0;
		if (order < 0) {
			merged[cnt++] = *old;
			continue;
		}
		merged[cnt++] = (struct trace_thread){
			.tid = now->tid,
			.start_ns = now->start_ns,
			.sums = now->sums,
		};
		err = add_row(t, now, order ? &none : &old->sums);
	}
	free(t->seen);
	t->seen = merged;
	t->seen_cnt = cnt;
	return err;
}
