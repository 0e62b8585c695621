// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Scheduler waits: runs at every switch of every CPU. The task that leaves gets the origin of its
 * next wait and perhaps its stack taken; the one that comes has its wait measured by the kernel's
 * own account (sched_info), split, judged and counted. Nothing is hooked at wake-up: last_queued
 * and run_delay already say when the wait began, over migrations, too.
 */
#include "compat.bpf.h"
#include "filter.bpf.h"
#include "maps.bpf.h"
#include "sched_count.bpf.h"
#include "sched_cpu.bpf.h"
#include "sched_stack.bpf.h"
#include "sched_task.bpf.h"

#define TASK_DEAD      0x80 /* include/linux/sched.h: the last switch of a task */
#define NR_SCHED_YIELD 24   /* x86-64 */
#define CGROUP_LEVELS  32
#define SHARE_BITS     10 /* of a length of time: products then fit 64 bits */

const volatile bool sched_switch_has_state = false; /* the tracepoint's fourth argument: 5.18 */
const volatile __u64 sched_filter_cgroup = 0;       /* id of the TARGET, where it is a cgroup */
volatile __u64 sched_since_ns = 0; /* CLOCK_MONOTONIC: threads born later are new */

/* While it is 0 nothing is counted; what ended threads had is still sent. */
volatile __u32 sched_is_open = 0;

static __always_inline u32 prev_state(const u64 *ctx, struct task_struct *prev)
{
	if (sched_switch_has_state)
		return (u32)ctx[3];
	if (bpf_core_field_exists(prev->__state))
		return prev->__state;
	return (u32)prev->state;
}

/* Below the TARGET's cgroup. Its own answer for a task that is not the current one. */
static __noinline bool is_below(struct cgroup *cgroup)
{
	int level = BPF_CORE_READ(cgroup, level), i;
	struct cgroup *ancestor;
	u64 id = 0;

	for (i = 0; i < CGROUP_LEVELS && i <= level; i++) {
		if (bpf_core_field_exists(cgroup->ancestors)) {
			bpf_probe_read_kernel(&ancestor, sizeof(ancestor), &cgroup->ancestors[i]);
			id = BPF_CORE_READ(ancestor, kn, id);
		} else {
			bpf_probe_read_kernel(&id, sizeof(id), &cgroup->ancestor_ids[i]);
		}
		if (id == sched_filter_cgroup)
			return true;
	}
	return false;
}

static __always_inline bool is_of_target(struct task_struct *task, struct sched_task *t)
{
	if (filter_mode == FILTER_NONE)
		return true;
	if (filter_mode != FILTER_CGROUP)
		return filter__admits(task->group_leader, task->tgid);
	if (t && t->filtered == (u64)task->cgroups->dfl_cgrp)
		return t->is_inside;
	if (!t)
		return is_below(task->cgroups->dfl_cgrp);
	t->filtered = (u64)task->cgroups->dfl_cgrp;
	t->is_inside = is_below(task->cgroups->dfl_cgrp);
	return t->is_inside;
}

/* Sum of the times in which the queue it is on had no bandwidth, by its own limit or one above. */
static __always_inline u64 throttled_ns(struct task_struct *task)
{
	struct cfs_rq *q = task->se.cfs_rq;

	if (bpf_core_field_exists(q->throttled_clock_self_time))
		return q->throttled_clock_self_time;
	if (bpf_core_field_exists(q->throttled_clock_pelt_time))
		return q->throttled_clock_pelt_time;
	if (bpf_core_field_exists(q->throttled_clock_task_time))
		return q->throttled_clock_task_time;
	return 0; /* CONFIG_CFS_BANDWIDTH is not set */
}

/* The kernel counts a switch as voluntary when the task wanted to sleep, also if a pending signal
 * kept it runnable: it is not preempted then, whatever its state says by now. */
static __always_inline u8 origin_of(struct task_struct *prev, const struct sched_task *t,
				    bool preempt, u32 state)
{
	if (!preempt && state)
		return SCHED_ORIGIN_WOKEN;
	if (preempt)
		return SCHED_ORIGIN_PREEMPTED;
	if (prev->nvcsw != t->nvcsw)
		return SCHED_ORIGIN_WOKEN;
	if (BPF_CORE_READ(compat__saved_regs(prev), orig_ax) == NR_SCHED_YIELD)
		return SCHED_ORIGIN_WOKEN;
	return SCHED_ORIGIN_PREEMPTED;
}

/* What holds of the next wait unless leave() knows better. */
static __always_inline void expect_wake_up(struct sched_task *t)
{
	t->origin = SCHED_ORIGIN_WOKEN;
	t->out_ns = 0;
	t->stack_id = STACK_ID_NONE;
}

static __always_inline bool has_waited(const struct sched_task *t)
{
	return t->sums.waits[0] || t->sums.waits[1];
}

static __always_inline void describe_thread(struct sched_thread_event *ev,
					    const struct sched_task *t, u32 tgid, u32 tid)
{
	ev->kind = EVENT_SCHED_THREAD;
	ev->size = sizeof(*ev);
	ev->start_ns = t->start_ns;
	ev->process_start_ns = t->process_start_ns;
	ev->cgroup = t->cgroup_id;
	ev->tgid = tgid;
	ev->tid = tid;
	__builtin_memcpy(ev->comm, t->comm, sizeof(ev->comm));
	__builtin_memcpy(ev->leader_comm, t->leader_comm, sizeof(ev->leader_comm));
	ev->sums = t->sums;
}

static __noinline void send_thread(struct sched_cpu *cpu, struct task_struct *task,
				   struct sched_task *t)
{
	struct sched_thread_event *ev;

	task__update_name(t, task, &cpu->next_name, cpu->counts.notes);
	if (has_waited(t) && !t->is_sent) {
		ev = bpf_ringbuf_reserve(&samples, sizeof(*ev), 0);
		if (ev) {
			describe_thread(ev, t, task->tgid, task->pid);
			bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
		} else {
			cpu->counts.notes[SCHED_NOTE_THREADS_LOST]++;
		}
	}
	t->is_sent = 1;
	task__forget(task);
}

/* A thread's account when the window began: what it waited before is not ours. 'delay' is what it
 * says now, which holds of those not met yet. */
static __always_inline u64 delay_before(const struct task_struct *task, const struct sched_task *t,
					u64 delay)
{
	return t->is_met ? t->met_delay : task->start_time >= sched_since_ns ? 0 : delay;
}

/* Length of the wait that ends now by the kernel's account: its last leg, which sched_info will add
 * right behind us, and legs that it closed when it moved the task. False: it counts none. */
static __always_inline bool measure(struct task_struct *next, struct sched_task *t, u64 now,
				    u64 *ret_from, u64 *ret_earlier_ns)
{
	u64 queued = next->sched_info.last_queued, delay = next->sched_info.run_delay;
	u64 leg = queued ? now - queued : 0, before;

	*ret_from = queued ? queued : now;
	if (!unlikely(!t->is_known)) {
		before = t->run_delay;
	} else {
		before = delay_before(next, t, delay);
		t->is_known = 1;
		t->origin = SCHED_ORIGIN_WOKEN;
		sampling__start(t);
	}
	if (before > delay)
		before = delay;
	*ret_earlier_ns = delay - before;
	t->run_delay = delay + leg;
	return queued || delay != before;
}

static __always_inline void split(struct sched_cpu *cpu, struct sched_counts *counts, u64 from,
				  u64 earlier_ns)
{
	struct sched_wait *w = &cpu->wait;
	u64 rt = 0;

	w->reason_ns[SCHED_PREEMPTED] = 0;
	w->reason_ns[SCHED_DELAYED] = 0;
	w->reason_ns[SCHED_RUNNABLE] = 0;
	if (w->origin == SCHED_ORIGIN_PREEMPTED) {
		w->reason_ns[SCHED_PREEMPTED] = w->wait_ns;
		return;
	}
	cpu->is_short = from < cpu->first_ns;
	if (unlikely(cpu->stretch_end_ns > from))
		rt = sched_rt_since(from);
	if (rt > w->wait_ns - earlier_ns)
		rt = w->wait_ns - earlier_ns;
	w->reason_ns[SCHED_DELAYED] = rt;
	w->reason_ns[SCHED_RUNNABLE] = w->wait_ns - rt;
	if (unlikely(cpu->is_short))
		counts->notes[SCHED_NOTE_LOOKBACK_SHORT]++;
	if (unlikely(earlier_ns))
		counts->notes[SCHED_NOTE_MIGRATED_LEG]++;
}

/* Who had the CPU while the waiting task was not allowed to have it took nothing from it. When
 * that was is not known: of everybody's share the same part. */
static __always_inline void take_out_throttled(struct sched_verdict *v, u64 wait_ns)
{
	const u64 throttled = v->parts[SCHED_CAUSE_THROTTLE] >> SHARE_BITS;
	const u64 all = (wait_ns >> SHARE_BITS) + 1;
	u32 i;

	for (i = 0; i < SCHED_CAUSES; i++)
		if (i != SCHED_CAUSE_THROTTLE)
			v->parts[i] -= (v->parts[i] >> SHARE_BITS) * throttled / all << SHARE_BITS;
}

/* Sets the cause and the culprit of cpu->wait from cpu->verdict. */
__noinline int sched_choose_cause(u32 zero)
{
	struct sched_cpu *cpu = bpf_map_lookup_elem(&sched_cpus, &zero);
	struct sched_verdict *v;
	u64 best = 0;
	u32 i;

	if (!cpu)
		return 0;
	v = &cpu->verdict;
	cpu->wait.cause = SCHED_CAUSE_UNKNOWN;
	if (v->parts[SCHED_CAUSE_THROTTLE])
		take_out_throttled(v, cpu->wait.wait_ns);
	for (i = 0; i < SCHED_CAUSES; i++) {
		if (v->parts[i] > best) {
			best = v->parts[i];
			cpu->wait.cause = i;
		}
	}
	/* Nobody is blamed for what went by where we did not look. */
	best = v->parts[SCHED_CAUSE_UNKNOWN] + v->parts[SCHED_CAUSE_MIGRATION];
	cpu->wait.culprit_nr = v->share_ns >= best ? v->nr : 0;
	return 0;
}

/* How much of the wait went by without bandwidth. The queue's time is known at two switch-ins on
 * the same CPU; what may have been before the thread was queued is not counted. */
static __always_inline u64 throttled_part(const struct sched_wait *w, const struct sched_task *t,
					  u64 throttled, u64 from)
{
	u64 ns, slept_ns;

	if (!unlikely(throttled > t->throttled_ns) || t->run_cpu != bpf_get_smp_processor_id() ||
	    !t->entered_ns)
		return 0;
	ns = throttled - t->throttled_ns;
	slept_ns = w->origin == SCHED_ORIGIN_WOKEN ? from - t->entered_ns : 0;
	if (ns <= slept_ns)
		return 0;
	ns -= slept_ns;
	return ns < w->wait_ns ? ns : w->wait_ns;
}

static __always_inline void judge(struct sched_cpu *cpu, const struct sched_task *t, u64 now,
				  u64 from, u64 earlier_ns, u64 throttled)
{
	u64 part;

	if (!cpu->wait.wait_ns) { /* woken and switched to at once: nobody is to blame */
		cpu->wait.cause = SCHED_CAUSE_UNKNOWN;
		cpu->wait.culprit_nr = 0;
		return;
	}
	part = throttled_part(&cpu->wait, t, throttled, from);
	if (!unlikely(earlier_ns) && !unlikely(part) && cpu__judge_at_once(cpu, from, t->cgroup))
		return;
	cpu__judge(cpu, from, now, t->cgroup);
	cpu->verdict.parts[SCHED_CAUSE_MIGRATION] = earlier_ns;
	cpu->verdict.parts[SCHED_CAUSE_THROTTLE] = part;
	sched_choose_cause(0);
}

/* A wait whose stack was taken: the record that gives that stack its weight. */
static __noinline void send_wait(struct event_counters *counters, const struct sched_wait *w,
				 const struct sched_task *t)
{
	struct sched_wait_event *ev;
	int i;

	ev = bpf_ringbuf_reserve(&samples, sizeof(*ev), 0);
	if (!ev) {
		counters__add(counters, COUNTER_DROPPED_RING_FULL);
		return;
	}
	ev->kind = EVENT_SCHED_WAIT;
	ev->size = sizeof(*ev);
	ev->time_ns = bpf_ktime_get_ns();
	ev->stack_id = t->stack_id;
	ev->thread_start_ns = t->start_ns;
	ev->tgid = w->tgid;
	ev->tid = w->tid;
	ev->cpu = bpf_get_smp_processor_id();
	ev->q = t->sampled_q;
	for (i = 0; i < SCHED_REASONS; i++)
		ev->reason_ns[i] = w->reason_ns[i];
	ev->origin = w->origin;
	__builtin_memset(ev->reserved, 0, sizeof(ev->reserved));
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
	counters__add(counters, COUNTER_SUBMITTED);
}

static __always_inline void add_to_thread(struct sched_task *t, const struct sched_wait *w)
{
	if (w->origin == SCHED_ORIGIN_PREEMPTED) {
		t->sums.waits[SCHED_ORIGIN_PREEMPTED]++;
		t->sums.preempted_ns += w->wait_ns;
	} else {
		t->sums.waits[SCHED_ORIGIN_WOKEN]++;
		t->sums.delayed_ns += w->reason_ns[SCHED_DELAYED];
		t->sums.runnable_ns += w->reason_ns[SCHED_RUNNABLE];
	}
	sampling__learn(t, w->wait_ns);
}

/* cpu->wait is measured, split and judged. */
static __always_inline void account(struct sched_cpu *cpu, struct event_counters *counters,
				    struct task_struct *task, struct sched_task *t)
{
	struct sched_wait *w = &cpu->wait;

	count__wait(cpu);
	if (unlikely(w->wait_ns > cpu->worst_ns) && sched_worst_cnt)
		count__worst(cpu, task);
	add_to_thread(t, w);
	if (unlikely(t->stack_id != STACK_ID_NONE))
		send_wait(counters, w, t);
	else
		counters__add(counters, COUNTER_UNSAMPLED);
}

static __always_inline void begin_wait(struct sched_wait *w, struct task_struct *task,
				       const struct sched_task *t)
{
	w->tgid = task->tgid;
	w->tid = task->pid;
	w->name = t->name;
	w->cgroup_id = t->cgroup_id;
	w->origin = t->origin;
}

/* Filtered threads are measured, too: they may become the TARGET's. */
static __always_inline void count_wait(struct sched_cpu *cpu, struct event_counters *counters,
				       struct task_struct *next, struct sched_task *t, u64 now,
				       u64 throttled, bool is_ours)
{
	struct sched_wait *w = &cpu->wait;
	u64 from, earlier_ns;
	bool is_wait = measure(next, t, now, &from, &earlier_ns);

	if (!is_ours) {
		counters__add(counters, COUNTER_FILTERED);
		return;
	}
	if (!is_wait) {
		counters__add(counters, COUNTER_UNACCOUNTED);
		if (t->out_ns) {
			cpu->counts.notes[SCHED_NOTE_UNACCOUNTED]++;
			cpu->counts.unaccounted_ns += now - t->out_ns;
		}
		return;
	}
	begin_wait(w, next, t);
	w->wait_ns = now - from + earlier_ns;
	split(cpu, &cpu->counts, from, earlier_ns);
	judge(cpu, t, now, from, earlier_ns, throttled);
	account(cpu, counters, next, t);
}

static __always_inline void enter(struct sched_cpu *cpu, struct event_counters *counters,
				  struct task_struct *next, u64 now)
{
	struct sched_task *t = task__get(next);
	u64 throttled = throttled_ns(next);
	bool is_ours;

	if (unlikely(!t)) {
		/* A new thread's account is then taken up at its next switch-in. */
		cpu->counts.notes[SCHED_NOTE_NO_STATE]++;
		counters__add(counters, COUNTER_UNACCOUNTED);
		cpu__begin_run(cpu, next, NULL);
		return;
	}
	task__update_name(t, next, &cpu->next_name, cpu->counts.notes);
	task__update_cgroup(t, next);
	is_ours = is_of_target(next, t);
	count_wait(cpu, counters, next, t, now, throttled, is_ours);
	expect_wake_up(t);
	t->nvcsw = next->nvcsw;
	t->entered_ns = now;
	t->throttled_ns = throttled;
	cpu__begin_run(cpu, next, t);
	if (unlikely(!is_ours))
		cpu__current_run(cpu)->q = 0;
}

/* A task is seen for the first time while it runs: since before the window, or it was switched in
 * behind our back, too. */
static __always_inline void meet_running(struct sched_task *t, struct task_struct *task)
{
	t->is_known = 1;
	t->run_delay = delay_before(task, t, task->sched_info.run_delay);
	sampling__start(t);
	expect_wake_up(t);
}

/*
 * It was switched in behind our back: tracing programs are not called everywhere. How long it had
 * waited the kernel says; that nobody is to blame, we say.
 */
static __always_inline void count_missed(struct sched_cpu *cpu, struct event_counters *counters,
					 struct task_struct *prev, struct sched_task *t)
{
	u64 delay = prev->sched_info.run_delay;
	struct sched_wait *w = &cpu->wait;

	if (delay > t->run_delay && is_of_target(prev, t)) {
		begin_wait(w, prev, t);
		w->wait_ns = delay - t->run_delay;
		w->reason_ns[SCHED_DELAYED] = 0;
		w->reason_ns[SCHED_PREEMPTED] =
			w->origin == SCHED_ORIGIN_PREEMPTED ? w->wait_ns : 0;
		w->reason_ns[SCHED_RUNNABLE] = w->wait_ns - w->reason_ns[SCHED_PREEMPTED];
		w->cause = SCHED_CAUSE_UNKNOWN;
		w->culprit_nr = 0;
		counters__add(counters, COUNTER_FIRED);
		account(cpu, counters, prev, t);
	}
	t->run_delay = delay;
	t->nvcsw = prev->nvcsw;
	expect_wake_up(t);
}

/* Its run began before the window, without memory for its state, or unseen. */
static __always_inline struct sched_task *
refresh_run(struct sched_cpu *cpu, struct event_counters *counters, struct task_struct *prev)
{
	struct sched_task *t = task__get(prev);

	if (t) {
		task__update_name(t, prev, &cpu->next_name, cpu->counts.notes);
		task__update_cgroup(t, prev);
		if (!t->is_known)
			meet_running(t, prev);
		count_missed(cpu, counters, prev, t);
	}
	cpu__begin_run(cpu, prev, t);
	if (!is_of_target(prev, t))
		cpu__current_run(cpu)->q = 0;
	return t;
}

/* It was preempted, ends, or its stack is wanted: then its state is needed. */
static __always_inline void leave_awake(u64 *ctx, struct sched_cpu *cpu, struct task_struct *prev,
					struct sched_task *t, u64 now, bool is_wanted)
{
	u32 state = prev_state(ctx, prev);
	bool preempt = ctx[0];

	if (!t)
		t = task__find(prev);
	if (!t)
		return;
	if (unlikely(state & TASK_DEAD)) {
		send_thread(cpu, prev, t);
		return;
	}
	t->origin = origin_of(prev, t, preempt, state);
	t->out_ns = preempt && state ? now : 0;
	if (unlikely(is_wanted) && is_of_target(prev, t)) {
		t->sampled_q = t->q;
		t->stack_id = sampling__take(ctx, cpu, prev);
	}
}

/* Most tasks leave to sleep, without their stack being taken: what enter() left is right then, and
 * their state need not be looked up. */
static __always_inline void leave(u64 *ctx, struct sched_cpu *cpu, struct event_counters *counters,
				  struct task_struct *prev, u64 now)
{
	struct sched_run *r = cpu__current_run(cpu);
	bool preempt = ctx[0], is_wanted;
	u32 state = prev_state(ctx, prev), q;
	struct sched_task *t = NULL;

	if (unlikely(!r->has_state || r->tid != (u32)prev->pid))
		t = refresh_run(cpu, counters, prev);
	q = r->q;
	cpu__end_run(cpu, prev, now);
	is_wanted = sampling__wants(cpu, q, now);
	if (unlikely(preempt || !state || state & TASK_DEAD || is_wanted))
		leave_awake(ctx, cpu, prev, t, now, is_wanted);
}

SEC("?tp_btf/sched_switch")
int sched_switch(u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1], *next = (void *)ctx[2];
	u32 zero = 0;
	struct sched_cpu *cpu = bpf_map_lookup_elem(&sched_cpus, &zero);
	struct event_counters *counters;
	struct sched_task *t;
	u64 now;

	if (!cpu)
		return 0;
	if (unlikely(!sched_is_open)) {
		if (prev_state(ctx, prev) & TASK_DEAD && (t = task__find(prev)))
			send_thread(cpu, prev, t);
		return 0;
	}
	/* The clock sched_info goes by; every task has the fair queue of the CPU it is on. */
	now = prev->se.cfs_rq->rq->clock;
	if (unlikely(!cpu->first_ns)) {
		cpu->first_ns = now;
		cpu->random = bpf_ktime_get_ns() | 1;
	}
	counters = &cpu->counts.switches;
	counters__add(counters, COUNTER_FIRED);
	if (prev->pid) {
		leave(ctx, cpu, counters, prev, now);
	} else {
		if (cpu__current_run(cpu)->tid)
			cpu__begin_run(cpu, prev, NULL); /* as it was met */
		cpu__end_run(cpu, prev, now);
	}
	if (next->pid) {
		enter(cpu, counters, next, now);
	} else {
		counters__add(counters, COUNTER_IDLE);
		cpu__begin_run(cpu, next, NULL);
	}
	cpu->since_ns = now;
	cpu->is_rt = next->pid && next->prio < PRIO_RT_END;
	return 0;
}

/*
 * Run once when the window begins: what everybody has waited until then. Who is switched in for the
 * first time may have been moved from queue to queue since.
 */
SEC("?iter/task")
int sched_meet(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct sched_task *t;

	if (!task || !task->pid || task->exit_state || !is_of_target(task, NULL))
		return 0;
	t = task__get(task);
	if (!t || t->is_met)
		return 0;
	t->met_delay = task->sched_info.run_delay;
	t->is_met = 1;
	return 0;
}

/* Reads out the threads that are alive. */
SEC("?iter/task")
int sched_threads(struct bpf_iter__task *ctx)
{
	struct sched_thread_event ev;
	struct task_struct *task = ctx->task;
	struct sched_task *t;

	if (!task)
		return 0;
	t = task__find(task);
	if (!t || !has_waited(t) || t->is_sent)
		return 0;
	if (!sched_is_open)
		t->is_sent = 1;
	__builtin_memset(&ev, 0, sizeof(ev));
	describe_thread(&ev, t, task->tgid, task->pid);
	bpf_seq_write(ctx->meta->seq, &ev, sizeof(ev));
	return 0;
}
