/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * What sched.bpf.c remembers of every CPU: who ran in its last switches, which names the culprit of
 * a wait, and when it ran real-time tasks, which splits a wait. Written at every switch-out, read
 * at every switch-in. Private to sched.bpf.c. Times are the run queue's clock.
 */
#ifndef SCHED_CPU_BPF_H
#define SCHED_CPU_BPF_H

#include "sched_task.bpf.h"

#define RUNS          64 /* a power of two, above */
#define RUNS_JUDGED   32
#define STRETCHES     4096
#define STRETCH_STEPS 12  /* log2(STRETCHES) */
#define PRIO_RT_END   100 /* MAX_RT_PRIO: effective priorities below are not fair ones */

/* From a switch-in, when all but times and cause is filled in, to the next switch-out. */
struct sched_run {
	u64 start_ns, end_ns;
	u64 cgroup; /* address */
	u64 cgroup_id;
	u32 tid, tgid; /* 0: idle */
	u32 name;
	u32 last_nr; /* of the same thread on this CPU, 0: not known */
	u32 next_nr; /* likewise; 0: none yet */
	u32 q;       /* its stack is taken with probability q / 2^32 */
	u8 cause;    /* what it is to whoever waits, but for SAME_CGROUP */
	u8 has_state;
	u8 reserved[6];
	char comm[TASK_COMM_BYTES];
};

/* Time in which real-time, deadline or stop tasks ran without a gap. */
struct sched_stretch {
	u64 start_ns, end_ns;
	u64 before_ns; /* sum of all earlier ones */
};

/* Of one CPU; too long for a per-CPU map (32 KiB). */
struct sched_stretches {
	struct sched_stretch ring[STRETCHES];
};

#define SCHED_PARTS 8 /* SCHED_CAUSES, rounded up to a power of two */

/* What a look back over the last runs found. */
struct sched_verdict {
	u64 from_ns, cgroup; /* of the wait */
	u64 seen_ns;
	u64 share_ns; /* the culprit's */
	u32 nr;       /* the culprit's last run; 0: unknown */
	u32 padding;
	u64 parts[SCHED_PARTS];
};

/* The wait that is being counted. */
struct sched_wait {
	u64 wait_ns;
	u64 reason_ns[SCHED_REASONS];
	u64 cgroup_id;
	u32 tgid, tid, name;
	u32 culprit_nr; /* of its last run; 0: unknown */
	u8 origin, cause;
	u8 reserved[6];
};

struct sched_cpu {
	struct sched_counts counts; /* first: user space reads it */
	u64 first_ns;               /* what lies before is not known; 0: nothing is */
	u64 since_ns;               /* the current task was switched in */
	u64 next_name;
	u64 stack_seq;
	u64 stacks_until_ns; /* what has been taken counts as used until then */
	u64 stretches_cnt;
	u64 stretch_end_ns; /* of the last stretch */
	u64 random;
	u32 runs_cnt;
	u32 idle_nr; /* last run of the idle task */
	u32 is_rt;   /* the current task was when it was switched in */
	u32 worst_idx;
	u64 worst_ns; /* the least of the worst waits that are kept */
	struct sched_run runs[RUNS];
	u32 is_short; /* the last look back at real-time stretches did not reach */
	struct sched_wait wait;
	struct sched_verdict verdict;
	/* Of the verdict: number of the last run of the same thread, and what all of them got. */
	u32 heads[RUNS];
	u64 shares[RUNS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sched_cpu);
} sched_cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* possible CPUs */
	__type(key, u32);
	__type(value, struct sched_stretches);
} sched_stretches SEC(".maps");

/* The task that ran from since_ns on did so as a real-time task. */
static __noinline void cpu__add_stretch(struct sched_cpu *cpu, u64 start_ns, u64 now)
{
	u32 key = bpf_get_smp_processor_id();
	struct sched_stretches *all = bpf_map_lookup_elem(&sched_stretches, &key);
	u64 last = cpu->stretches_cnt - 1, idx = cpu->stretches_cnt;
	u64 before = 0;

	if (!all)
		return;
	BOUND(last, STRETCHES - 1);
	BOUND(idx, STRETCHES - 1);
	if (cpu->stretches_cnt) {
		if (all->ring[last].end_ns == start_ns) {
			all->ring[last].end_ns = now;
			cpu->stretch_end_ns = now;
			return;
		}
		before = all->ring[last].before_ns + all->ring[last].end_ns -
			 all->ring[last].start_ns;
	}
	all->ring[idx].start_ns = start_ns;
	all->ring[idx].end_ns = now;
	all->ring[idx].before_ns = before;
	cpu->stretches_cnt++;
	cpu->stretch_end_ns = now;
}

/* How long real-time tasks ran from 'from' until now. cpu->is_short: the record does not reach
 * back. */
__noinline u64 sched_rt_since(u64 from)
{
	u32 key = bpf_get_smp_processor_id(), zero = 0;
	struct sched_cpu *cpu = bpf_map_lookup_elem(&sched_cpus, &zero);
	struct sched_stretches *all = bpf_map_lookup_elem(&sched_stretches, &key);
	u64 cnt, oldest, last, lo, mid, total, before;
	int step;

	if (!cpu || !all)
		return 0;
	cnt = cpu->stretches_cnt;
	if (!cnt)
		return 0;
	last = cnt - 1;
	oldest = cnt > STRETCHES ? cnt - STRETCHES : 0;
	/* The last one that begins at or before 'from', else the oldest. */
	lo = oldest;
	for (step = STRETCHES / 2; step; step >>= 1) {
		mid = lo + step;
		if (mid > last)
			continue;
		BOUND(mid, STRETCHES - 1);
		if (all->ring[mid].start_ns <= from)
			lo += step;
	}
	mid = lo;
	BOUND(mid, STRETCHES - 1);
	BOUND(last, STRETCHES - 1);
	if (oldest && lo == oldest && all->ring[mid].start_ns > from)
		cpu->is_short = 1;
	total = all->ring[last].before_ns + all->ring[last].end_ns - all->ring[last].start_ns;
	before = all->ring[mid].before_ns;
	if (from > all->ring[mid].start_ns) {
		u64 end = all->ring[mid].end_ns;

		before += (end < from ? end : from) - all->ring[mid].start_ns;
	}
	return total - before;
}

/* The run in progress. */
static __always_inline struct sched_run *cpu__current_run(struct sched_cpu *cpu)
{
	u64 idx = cpu->runs_cnt + 1;

	BOUND(idx, RUNS - 1);
	return &cpu->runs[idx];
}

/* What is known of the task that runs from now on; 't' is NULL for the idle task and where there is
 * no memory for more. */
static __always_inline void cpu__begin_run(struct sched_cpu *cpu, struct task_struct *task,
					   struct sched_task *t)
{
	u32 nr = cpu->runs_cnt + 1, this_cpu = bpf_get_smp_processor_id();
	struct sched_run *r = cpu__current_run(cpu);

	r->tid = task->pid;
	r->tgid = task->tgid;
	r->next_nr = 0;
	r->last_nr = 0;
	r->has_state = t != NULL;
	if (t) {
		r->cgroup = t->cgroup;
		r->cgroup_id = t->cgroup_id;
		r->name = t->name;
		r->q = t->q;
		copy_comm(r->comm, t->comm);
		if (t->run_cpu == this_cpu)
			r->last_nr = t->run_nr;
		t->run_cpu = this_cpu;
		t->run_nr = nr;
		return;
	}
	r->cgroup = 0;
	r->cgroup_id = 0;
	r->name = 0;
	r->q = 0;
	__builtin_memset(r->comm, 0, sizeof(r->comm));
	if (!task->pid) {
		r->last_nr = cpu->idle_nr;
		cpu->idle_nr = nr;
	}
}

static __always_inline void cpu__end_run(struct sched_cpu *cpu, struct task_struct *task, u64 now)
{
	struct sched_run *r = cpu__current_run(cpu);
	u64 last = r->last_nr;
	bool is_rt;

	r->start_ns = cpu->since_ns ? cpu->since_ns : now; /* 0: it has been running before */
	r->end_ns = now;
	is_rt = r->tid && (task->prio < PRIO_RT_END || cpu->is_rt);
	r->cause = !r->tid ? SCHED_CAUSE_IDLE_CPU : is_rt ? SCHED_CAUSE_RT : SCHED_CAUSE_FAIR;
	if (unlikely(is_rt))
		cpu__add_stretch(cpu, r->start_ns, now);
	cpu->runs_cnt++;
	if (last && last != cpu->runs_cnt && cpu->runs_cnt - last < RUNS_JUDGED) {
		BOUND(last, RUNS - 1);
		cpu->runs[last].next_nr = cpu->runs_cnt;
	}
}

/*
 * One step back in time: adds the run before 'back' others to the verdict. 0: there may be more. A
 * global function: verifiers check it once, not once per iteration and state.
 */
__noinline int sched_judge_run(u32 back)
{
	u32 zero = 0, nr, head;
	struct sched_cpu *cpu = bpf_map_lookup_elem(&sched_cpus, &zero);
	u64 idx, at, overlap, share, part;
	struct sched_verdict *v;
	struct sched_run *r;

	if (!cpu || cpu->runs_cnt <= back)
		return 1;
	v = &cpu->verdict;
	nr = head = cpu->runs_cnt - back;
	idx = nr;
	BOUND(idx, RUNS - 1);
	r = &cpu->runs[idx];
	if (r->end_ns <= v->from_ns)
		return 1;
	overlap = r->end_ns - (r->start_ns > v->from_ns ? r->start_ns : v->from_ns);
	v->seen_ns += overlap;
	part = r->cause;
	if (part == SCHED_CAUSE_FAIR && r->cgroup == v->cgroup)
		part = SCHED_CAUSE_SAME_CGROUP;
	BOUND(part, SCHED_PARTS - 1);
	v->parts[part] += overlap;
	if (r->next_nr) {
		at = r->next_nr;
		BOUND(at, RUNS - 1);
		head = cpu->heads[at];
	}
	at = head;
	BOUND(at, RUNS - 1);
	share = head == nr ? overlap : cpu->shares[at] + overlap;
	cpu->shares[at] = share;
	cpu->heads[idx] = head;
	if (share > v->share_ns) {
		v->share_ns = share;
		v->nr = head;
	}
	return r->start_ns <= v->from_ns;
}

/* Mostly whoever leaves now had the CPU for all of the wait. */
static __always_inline bool cpu__judge_at_once(struct sched_cpu *cpu, u64 from, u64 cgroup)
{
	u64 idx = cpu->runs_cnt;
	const struct sched_run *r;

	BOUND(idx, RUNS - 1);
	r = &cpu->runs[idx];
	if (unlikely(!cpu->runs_cnt || r->start_ns > from))
		return false;
	cpu->wait.culprit_nr = cpu->runs_cnt;
	cpu->wait.cause = r->cause == SCHED_CAUSE_FAIR && r->cgroup == cgroup
				  ? SCHED_CAUSE_SAME_CGROUP
				  : r->cause;
	return true;
}

/* Who had the CPU from 'from' until now, over its last runs: cpu->verdict. */
static __always_inline void cpu__judge(struct sched_cpu *cpu, u64 from, u64 now, u64 cgroup)
{
	struct sched_verdict *v = &cpu->verdict;
	u32 i;

	__builtin_memset(v, 0, sizeof(*v));
	v->from_ns = from;
	v->cgroup = cgroup;
	for (i = 0; i < RUNS_JUDGED; i++)
		if (sched_judge_run(i))
			break;
	if (now - from > v->seen_ns)
		v->parts[SCHED_CAUSE_UNKNOWN] = now - from - v->seen_ns;
}

#endif
