/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See loop.h. One round every ROUND_MS reads both streams; what a round delivers is everything
 * stamped before the round before it began, when all rings have certainly been read that far.
 */
#include "session/loop.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "session/sched_run.h"
#include "session/session_state.h"

#define ROUND_MS      100
#define COLD_ROUND_MS 10 /* after one with cold samples: their tables end the copying */
#define CPU_CHECK_NS                                                                               \
	NSEC_PER_SEC /* between looks at the list of CPUs, should a uevent get lost                \
		      */

struct loop {
	struct session *s;
	int hotplug_fd;
	bool is_cold;      /* the last round had samples that came with their stack */
	bool filters_pids; /* the TARGET is a list of processes, or COMMAND */
	uint64_t last_round_ns, next_cpu_check_ns, next_tick_ns;
	uint64_t next_interval_ns; /* --interval; 0: nobody would see it */
	bool is_ended[OPTIONS_KINDS_MAX];
	int err; /* first failure of a callback: memory */
};

static int push_sample(const struct sample *sample, void *ctx)
{
	struct loop *l = ctx;
	struct session *s = l->s;
	size_t i;

	l->is_cold |= sample->regs != NULL;
	if (!s->costs.first_sample_ns && sample->time_ns > s->started_ns)
		s->costs.first_sample_ns = sample->time_ns - s->started_ns;
	if (timeline__push_sample(s->timeline, sample) == 0)
		return 0;
	for (i = 0; i < s->opts->kinds_cnt; i++) {
		struct accounting *a = &s->runs[i].account;

		if (s->runs[i].probe != sample->probe)
			continue;
		if (accounting__has_own_stacks(a) && sample->kind == SAMPLE_STACK)
			a->stacks_dropped_no_memory++;
		else
			a->dropped_no_memory++;
	}
	return 0;
}

static int push_event(struct process_event *ev, void *ctx)
{
	struct loop *l = ctx;

	l->err = timeline__push_event(l->s->timeline, ev) ?: l->err;
	return 0;
}

static int deliver_sample(const struct sample *sample, void *ctx)
{
	struct loop *l = ctx;

	return pipeline__sample(l->s->pipeline, sample);
}

static int deliver_event(const struct process_event *ev, void *ctx)
{
	struct loop *l = ctx;
	struct session *s = l->s;
	int err = pipeline__event(s->pipeline, ev);

	if (!err && s->heap_targets)
		err = heap_targets__event(s->heap_targets, ev);
	if (!err && l->filters_pids && ev->kind == PROCESS_EVENT_EXIT &&
	    process_table__is_gone(s->processes, ev->pid))
		collector__forget_pid(s->collector, ev->pid, ev->time_ns);
	return err;
}

/* Reads everything, delivers what is stamped before 'horizon_ns'. */
static void read_round(struct loop *l, uint64_t horizon_ns)
{
	struct session *s = l->s;
	const struct timeline_ops ops = {
		.on_sample = deliver_sample,
		.on_event = deliver_event,
		.ctx = l,
	};
	int err;

	err = collector__drain(s->collector, push_sample, l);
	if (err < 0)
		log_debug("draining the ring: %s", strerror(-err));
	err = sideband__read(s->sideband, push_event, l);
	if (err < 0)
		log_debug("reading side-band records: %s", strerror(-err));
	err = timeline__flush(s->timeline, horizon_ns, &ops);
	if (err)
		l->err = l->err ?: err;
}

static void run_round(struct loop *l)
{
	uint64_t began_ns = clock__mono_ns();

	l->is_cold = false;
	read_round(l, l->last_round_ns);
	l->last_round_ns = began_ns;
	if (began_ns >= l->next_tick_ns) {
		l->next_tick_ns = began_ns + NSEC_PER_SEC;
		unwind__tick(l->s->unwind);
	}
}

static void remove_cpu(struct loop *l, int cpu)
{
	struct session *s = l->s;
	size_t i;

	collector__remove_cpu(s->collector, cpu);
	sideband__read(s->sideband, push_event, l);
	sideband__remove_cpu(s->sideband, cpu);
	for (i = 0; i < s->cpus.cnt; i++) {
		if (s->cpus.cpus[i] != cpu)
			continue;
		memmove(&s->cpus.cpus[i], &s->cpus.cpus[i + 1],
			(s->cpus.cnt - i - 1) * sizeof(int));
		s->cpus.cnt--;
		log_info("cpu %d went offline", cpu);
		return;
	}
}

static void add_cpu(struct loop *l, int cpu)
{
	struct session *s = l->s;
	int err;

	err = array__reserve(s->cpus.cpus, s->cpus.cap, s->cpus.cnt + 1);
	if (!err)
		err = sideband__add_cpu(s->sideband, cpu);
	if (!err || err == -EEXIST)
		err = collector__add_cpu(s->collector, cpu);
	if (err) {
		log_warn("cpu %d came online but cannot be sampled: %s, ignoring", cpu,
			 strerror(-err));
		return;
	}
	s->cpus.cpus[s->cpus.cnt++] = cpu;
	log_info("cpu %d came online", cpu);
}

/* An event on a CPU that went away stays dead when it comes back: it is always opened anew. */
static void follow_hotplug(struct loop *l)
{
	bool more = true, online;
	int cpu;

	while (more) {
		if (!cpu_hotplug__read(l->hotplug_fd, &cpu, &online, &more))
			continue;
		if (cpu_list__has(&l->s->cpus, cpu))
			remove_cpu(l, cpu);
		if (online)
			add_cpu(l, cpu);
	}
}

static void check_cpus(struct loop *l)
{
	struct session *s = l->s;
	struct cpu_list now = { 0 };
	size_t i;

	l->next_cpu_check_ns = clock__mono_ns() + CPU_CHECK_NS;
	if (cpu_list__read_online(&now) == 0) {
		for (i = s->cpus.cnt; i-- > 0;)
			if (!cpu_list__has(&now, s->cpus.cpus[i]))
				remove_cpu(l, s->cpus.cpus[i]);
		for (i = 0; i < now.cnt; i++)
			if (!cpu_list__has(&s->cpus, now.cpus[i]))
				add_cpu(l, now.cpus[i]);
	}
	cpu_list__done(&now);
}

/* The exact sums, as soon as nothing adds to them: a thread that ends from now on may take its own
 * with it. */
static void take_snapshot(struct loop *l, struct kind_run *run)
{
	struct sched_snapshot snapshot = { .threads = NULL };
	int err;

	read_round(l, l->last_round_ns);
	err = collector__sched_snapshot(l->s->collector, &snapshot);
	if (err) {
		log_errno(err, "reading the sums of the scheduler's waits");
		run->has_failed = true;
	}
	sched_run__end(run->sched, &snapshot);
}

static void end_kind(struct loop *l, size_t i, uint64_t now_ns)
{
	struct kind_run *run = &l->s->runs[i];

	if (run->heap)
		heap_targets__detach(l->s->heap_targets);
	collector__detach(l->s->collector, run->probe);
	run->window_ns = now_ns - l->s->window_start_ns;
	l->is_ended[i] = true;
	if (!run->sched)
		return;
	take_snapshot(l, run);
	l->next_interval_ns = 0;
}

/* What the threads have waited up to the end of an interval. One that was missed is part of the
 * next. */
static void take_interval(struct loop *l)
{
	const struct options *opts = l->s->opts;
	uint64_t now_ns = clock__mono_ns();
	size_t i;

	if (!l->next_interval_ns || now_ns < l->next_interval_ns)
		return;
	l->next_interval_ns += ((now_ns - l->next_interval_ns) / opts->sched_interval_ns + 1) *
			       opts->sched_interval_ns;
	for (i = 0; i < opts->kinds_cnt; i++) {
		struct kind_run *run = &l->s->runs[i];
		struct sched_snapshot threads = { .threads = NULL };
		int err;

		if (!run->sched)
			continue;
		err = collector__sched_threads(l->s->collector, &threads);
		if (!err)
			err = sched_run__interval(run->sched, &threads);
		if (err)
			log_debug("threads at the end of an interval: %s, ignoring",
				  strerror(-err));
		sched_snapshot__done(&threads);
	}
}

/* Ends the kinds whose time is up, or all of them. True when none is left. */
static bool end_kinds(struct loop *l, bool all)
{
	uint64_t now_ns = clock__mono_ns();
	bool none_left = true;
	size_t i;

	for (i = 0; i < l->s->opts->kinds_cnt; i++) {
		uint64_t duration_ns = l->s->opts->kinds[i].duration_ns;

		if (l->is_ended[i])
			continue;
		if (all || (duration_ns && now_ns - l->s->window_start_ns >= duration_ns))
			end_kind(l, i, now_ns);
		else
			none_left = false;
	}
	return none_left;
}

static bool target_has_ended(struct loop *l)
{
	int status;

	if (l->s->command)
		return command__has_exited(l->s->command, &status);
	return targets__all_gone(&l->s->targets);
}

/* The longest of the windows; 0 when one of them has no end. */
static uint64_t total_ns(const struct options *opts)
{
	uint64_t longest = 0;
	size_t i;

	for (i = 0; i < opts->kinds_cnt; i++) {
		if (!opts->kinds[i].duration_ns)
			return 0;
		if (opts->kinds[i].duration_ns > longest)
			longest = opts->kinds[i].duration_ns;
	}
	return longest;
}

static double cost_percent(const struct session *s)
{
	struct heap_cost_totals cost;

	if (!s->heap_targets)
		return -1;
	heap_targets__costs(s->heap_targets, &cost);
	return heap_cost__percent(&cost);
}

static void show_progress(struct loop *l)
{
	struct session *s = l->s;
	struct probe_counters counters;
	uint64_t samples = 0, lost = 0;
	size_t i;

	if (!s->progress.is_shown)
		return;
	for (i = 0; i < s->opts->kinds_cnt; i++) {
		if (collector__counters(s->collector, s->runs[i].probe, &counters) != 0)
			continue;
		samples += counters.kernel.value[COUNTER_SUBMITTED];
		lost += counters.kernel.value[COUNTER_DROPPED_RING_FULL] +
			counters.kernel.value[COUNTER_DROPPED_SCRATCH_BUSY] +
			counters.kernel.value[COUNTER_DROPPED_NO_RETURN] +
			counters.stacks.value[COUNTER_DROPPED_RING_FULL] +
			counters.stacks.value[COUNTER_DROPPED_SCRATCH_BUSY];
	}
	progress__draw(&s->progress, clock__mono_ns() - s->window_start_ns, total_ns(s->opts),
		       samples, lost, cost_percent(s));
}

/* What is left of 'left_ns' when something is due at 'due_ns'. */
static uint64_t earlier(uint64_t left_ns, uint64_t now_ns, uint64_t due_ns)
{
	if (due_ns <= now_ns)
		return 0;
	return due_ns - now_ns < left_ns ? due_ns - now_ns : left_ns;
}

/* Milliseconds until something is due: the next round, the end of an interval or of a kind. */
static int time_left_ms(const struct loop *l)
{
	uint64_t now_ns = clock__mono_ns(), left_ns;
	size_t i;

	left_ns = (l->is_cold ? COLD_ROUND_MS : ROUND_MS) * 1000000ULL;
	for (i = 0; i < l->s->opts->kinds_cnt; i++) {
		uint64_t end_ns = l->s->window_start_ns + l->s->opts->kinds[i].duration_ns;

		if (l->is_ended[i] || !l->s->opts->kinds[i].duration_ns)
			continue;
		left_ns = earlier(left_ns, now_ns, end_ns);
	}
	if (l->next_interval_ns)
		left_ns = earlier(left_ns, now_ns, l->next_interval_ns);
	if (l->s->heap_targets)
		left_ns = earlier(left_ns, now_ns, heap_targets__due_ns(l->s->heap_targets));
	return (int)((left_ns + 999999) / 1000000);
}

static void run_until_end(struct loop *l)
{
	struct pollfd fds[] = {
		{ .fd = l->s->signals.fd, .events = POLLIN },
		{ .fd = l->hotplug_fd, .events = POLLIN },
		{ .fd = collector__wake_fd(l->s->collector), .events = POLLIN },
		{ .fd = l->s->command ? command__pidfd(l->s->command) : -1, .events = POLLIN },
	};
	bool all = false;

	while (!end_kinds(l, all)) {
		if (poll(fds, ARRAY_SIZE(fds), time_left_ms(l)) < 0 && errno != EINTR)
			log_debug("poll: %s", strerror(errno));
		if (fds[1].revents)
			follow_hotplug(l);
		if (clock__mono_ns() >= l->next_cpu_check_ns)
			check_cpus(l);
		run_round(l);
		take_interval(l);
		if (l->s->heap_targets)
			heap_targets__tick(l->s->heap_targets, clock__mono_ns());
		show_progress(l);
		all = signals__take(&l->s->signals) || target_has_ended(l);
	}
}

int loop__run(struct session *s)
{
	struct loop l = {
		.s = s,
		.hotplug_fd = -1,
		.is_cold = true, /* nobody has tables yet */
		.filters_pids = s->command || s->targets.cnt,
	};

	l.hotplug_fd = cpu_hotplug__open();
	if (l.hotplug_fd < 0)
		log_debug("uevents: %s, ignoring", strerror(-l.hotplug_fd));
	l.next_cpu_check_ns = clock__mono_ns() + CPU_CHECK_NS;
	/* Reading what every thread has waited is no small thing. */
	if (s->opts->sched_interval_ns && output_plan__has_intervals(&s->plan))
		l.next_interval_ns = s->window_start_ns + s->opts->sched_interval_ns;
	run_until_end(&l);
	signals__arm_abort(&s->signals);
	read_round(&l, UINT64_MAX);
	if (l.err)
		log_warn("out of memory in the window, ignoring: names or samples are missing");
	close_fdp(&l.hotplug_fd);
	return 0;
}
