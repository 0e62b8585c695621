/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is looked at while the window lasts: what the probes cost and what the budget makes of it,
 * the size of the processes, and the live set at the moments that growth is told by.
 */
#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "profile/heap_report.h"
#include "session/heap_facts.h"
#include "session/heap_targets_state.h"

#define MEASURE_NS     (NSEC_PER_SEC / 2)
#define LOOK_NS        (5 * NSEC_PER_SEC) /* for stacks that nobody refers to any more */
#define FIRST_POINT_NS (5 * NSEC_PER_SEC) /* of a window without a planned end */
#define RSS_READS_MAX  64                 /* processes in one measure; the others' turn comes */
#define READ_SHARE     20                 /* of the time at most is spent with reading clocks */
#define NEWCOMERS_NS   (NSEC_PER_SEC / 100)

/* Children that a process has waited for are of the TARGET where all its descendants are. */
static bool counts_children(const struct heap_targets *t)
{
	switch (t->s->opts->target) {
	case TARGET_COMMAND:
	case TARGET_CGROUP:
	case TARGET_HOST:
		return true;
	case TARGET_PIDS:
	case TARGET_COMM:
		break;
	}
	return false;
}

static int note_rss(struct heap_targets *t, const struct heap_target *target)
{
	uint64_t rss_bytes = heap_facts__rss(target->pid);

	if (!rss_bytes)
		return 0;
	return heap_run__note_process(t->run->heap, target->pid, target->comm, rss_bytes);
}

/* What it used: of one that ends the last is kept. */
static void read_cpu(struct heap_targets *t, struct heap_target *target)
{
	uint64_t ns;

	if (heap_cost__read_cpu(target->pid, counts_children(t), &ns))
		return;
	if (ns > target->cpu_start_ns && ns - target->cpu_start_ns > target->cpu_ns)
		target->cpu_ns = ns - target->cpu_start_ns;
}

int heap_tick__enter(struct heap_targets *t, struct heap_target *target, bool is_new)
{
	/* What a new process has used is all ours. */
	if (!is_new)
		heap_cost__read_cpu(target->pid, counts_children(t), &target->cpu_start_ns);
	return target->pid == t->command_pid ? 0 : note_rss(t, target);
}

void heap_tick__leave(struct heap_targets *t, struct heap_target *target)
{
	/* What it used is in the account of whoever waits for it. */
	if (counts_children(t) && heap_targets__find(t, target->ppid))
		return;
	t->cpu_gone_ns += target->cpu_ns;
}

/* Of the TARGET. They are read while others add to them, one after the other: never less than the
 * last time. */
static void add_own_hits(const struct event_counters *c, uint64_t *hits, uint64_t *others)
{
	uint64_t fired = c->value[COUNTER_FIRED], filtered = c->value[COUNTER_FILTERED];

	if (fired > filtered && fired - filtered > *hits)
		*hits = fired - filtered;
	*others += filtered;
}

static void read_hits(struct heap_targets *t, struct heap_hits *ret)
{
	struct probe_counters counters;
	struct event_counters frees;
	uint64_t others = 0;
	const __u64 *v;

	*ret = t->hits;
	if (!collector__counters(t->s->collector, t->run->probe, &counters)) {
		v = counters.kernel.value;
		add_own_hits(&counters.kernel, &ret->allocs, &others);
		ret->selected = v[COUNTER_SUBMITTED] + v[COUNTER_FAILED] + v[COUNTER_UNFINISHED] +
				v[COUNTER_DROPPED_NO_RETURN];
	}
	if (!collector__heap_frees(t->s->collector, &frees))
		add_own_hits(&frees, &ret->frees, &others);
	if (others > ret->others)
		ret->others = others;
}

/* How large they are: all of a few processes; of many as many as there is time for, in turns. */
static void read_sizes(struct heap_targets *t)
{
	struct heap_target *target = heap_targets__find(t, t->size_cursor);
	size_t cnt = HASH_COUNT(t->processes), i;

	for (i = 0; i < cnt && i < RSS_READS_MAX; i++) {
		target = target && target->hh.next ? target->hh.next : t->processes;
		note_rss(t, target);
		t->size_cursor = target->pid;
	}
}

static uint64_t read_cpu_of_all(struct heap_targets *t)
{
	uint64_t ns = t->cpu_gone_ns, command_ns;
	struct heap_target *target;

	for (target = t->processes; target; target = target->hh.next) {
		read_cpu(t, target);
		ns += target->cpu_ns;
	}
	/* At its end the kernel has it to the nanosecond, with all who went before. */
	command_ns = t->s->command ? command__cpu_ns(t->s->command) : 0;
	return command_ns > ns ? command_ns : ns;
}

static void measure_hits(struct heap_targets *t)
{
	struct heap_site_counts sites;
	struct heap_hits hits;

	read_hits(t, &hits);
	heap_probes__site_counts(t->links, &sites);
	heap_cost__add(&t->totals, &t->hits, &hits, &t->costs, &sites);
	t->hits = hits;
}

/* What was used and what it cost, up to now; all of it belongs to the state since the last time. */
static void measure(struct heap_targets *t)
{
	uint64_t start_ns = clock__mono_ns(), now_ns, cpu_ns;
	double cost_ns = t->totals.cost_ns, own_ns;

	cpu_ns = read_cpu_of_all(t);
	measure_hits(t);
	now_ns = clock__mono_ns();
	t->read_took_ns = now_ns - start_ns;
	if (cpu_ns < t->totals.cpu_ns)
		cpu_ns = t->totals.cpu_ns;
	/* Whoever ends is not asked again, and has been hit until then. */
	if (cpu_ns > t->totals.cpu_ns)
		t->totals.untimed_cost_ns = 0;
	else
		t->totals.untimed_cost_ns += t->totals.cost_ns - cost_ns;
	own_ns = heap_cost__own(cpu_ns - t->totals.cpu_ns, t->totals.cost_ns - cost_ns);
	t->totals.cpu_ns = cpu_ns;
	t->totals.own_ns += own_ns;
	if (t->is_sliced) {
		t->slice_own_ns += own_ns;
		t->slice_cost_ns += t->totals.cost_ns - cost_ns;
	}
	if (t->is_sliced || !t->is_on) {
		t->totals.sliced_own_ns += own_ns;
		t->totals.sliced_cost_ns += t->totals.cost_ns - cost_ns;
	}
	if (t->is_on)
		t->totals.on_ns += now_ns - t->read_ns;
	t->read_ns = now_ns;
	t->totals.total_ns = now_ns - t->start_ns;
}

static void end_live(struct heap_targets *t, double percent)
{
	collector__heap_end_live(t->s->collector);
	heap_run__end_live(t->run->heap, clock__mono_ns());
	log_warn("heap: probes took %.1f %% of the target's CPU time, over the budget of %g %%: "
		 "frees are not followed any more, only what is allocated is counted",
		 percent, t->s->opts->heap_budget_percent);
}

static void end_slice(struct heap_targets *t)
{
	double error = heap_cost__error(&t->costs, heap_probes__own_processes(t->links));

	if (t->is_sliced)
		heap_run__end_slice(t->run->heap, t->slice_own_ns, error * t->slice_cost_ns,
				    t->slice_planned_ns);
	t->slice_own_ns = t->slice_cost_ns = 0;
	t->is_sliced = false;
}

/* Hits of probes that go are counted, but nothing is selected any more. */
static void switch_off(struct heap_targets *t)
{
	int err;

	end_slice(t);
	collector__heap_set_q(t->s->collector, 0);
	t->is_on = false;
	err = heap_probes__pause(t->links);
	if (err)
		log_debug("heap: probes off: %s", strerror(-err));
}

static void begin_slice(struct heap_targets *t)
{
	uint32_t q = heap_budget__q(&t->budget);

	end_slice(t);
	t->is_sliced = q != UINT32_MAX;
	if (t->is_sliced && heap_run__begin_slice(t->run->heap, clock__mono_ns(), q))
		log_warn("heap: out of memory, ignoring: the intervals of error are wrong");
	collector__heap_set_q(t->s->collector, q);
	t->is_on = true;
	t->slice_planned_ns = heap_budget__slot_ns(&t->budget);
	heap_budget__began(&t->budget, &t->totals, t->read_ns);
}

static void switch_on(struct heap_targets *t)
{
	int err;

	if (t->is_on) {
		begin_slice(t);
		return;
	}
	err = heap_probes__resume(t->links);
	if (err)
		log_debug("heap: probes on: %s", strerror(-err));
	measure(t);
	begin_slice(t);
}

static void keep_budget(struct heap_targets *t)
{
	bool had_slices = t->budget.has_slices;
	double percent = 0;

	if (heap_budget__measure(&t->budget, &t->totals, t->read_ns, &percent) ==
	    HEAP_BUDGET_END_LIVE)
		end_live(t, percent);
	if (t->budget.has_slices && !had_slices)
		log_warn("heap: probes took %.1f %% of the target's CPU time, over the budget of "
			 "%g %%: they are on in a random part of the time, which weights are "
			 "corrected for",
			 percent, t->s->opts->heap_budget_percent);
}

/* The window's planned length; 0: it has none. */
static uint64_t planned_ns(const struct heap_targets *t)
{
	size_t i;

	for (i = 0; i < t->s->opts->kinds_cnt; i++)
		if (t->s->opts->kinds[i].probe == t->run->probe)
			return t->s->opts->kinds[i].duration_ns;
	return 0;
}

/* Evenly over the window; without an end the last but one moves on whenever the time has doubled.
 * The last is the window's end, and not ours. */
static void plan_point(struct heap_targets *t)
{
	uint64_t planned = planned_ns(t);

	if (planned && t->next_point >= HEAP_POINTS - 1)
		t->next_point_ns = UINT64_MAX;
	else if (planned)
		t->next_point_ns =
			t->start_ns + planned / HEAP_POINTS * (uint64_t)(t->next_point + 1);
	else
		t->next_point_ns = t->start_ns + (FIRST_POINT_NS << t->next_point);
}

static void look(struct heap_targets *t, uint64_t now_ns)
{
	int point = -1, err;

	if (now_ns >= t->next_point_ns) {
		point = t->next_point < HEAP_POINTS - 1 ? t->next_point : HEAP_POINTS - 2;
		t->next_point++;
		plan_point(t);
	} else if (now_ns < t->next_look_ns) {
		return;
	}
	t->next_look_ns = now_ns + LOOK_NS;
	err = heap_run__look(t->run->heap, t->s->collector, point);
	if (err)
		log_debug("heap: the live set: %s", strerror(-err));
}

void heap_tick__start(struct heap_targets *t)
{
	collector__heap_costs(t->s->collector, &t->costs);
	t->start_ns = t->read_ns = clock__mono_ns();
	t->next_measure_ns = t->start_ns + MEASURE_NS;
	t->next_look_ns = t->start_ns + LOOK_NS;
	t->is_on = true;
	plan_point(t);
}

/* What a hit costs decides how long a slice was. */
static void refine_costs(struct heap_targets *t)
{
	if (t->s->opts->heap_budget_percent < 0 || !t->is_on)
		return;
	collector__heap_refine_costs(t->s->collector);
	collector__heap_costs(t->s->collector, &t->costs);
}

static void take_turn(struct heap_targets *t)
{
	switch (heap_budget__turn(&t->budget, &t->totals, t->read_ns)) {
	case HEAP_BUDGET_ON:
		switch_on(t);
		break;
	case HEAP_BUDGET_OFF:
		switch_off(t);
		break;
	case HEAP_BUDGET_END_LIVE:
	case HEAP_BUDGET_NOTHING:
		break;
	}
}

static uint64_t turn_due_ns(const struct heap_targets *t)
{
	uint64_t due_ns = heap_budget__due_ns(&t->budget);
	uint64_t earliest_ns = t->read_ns + READ_SHARE * t->read_took_ns;

	return due_ns > earliest_ns ? due_ns : earliest_ns;
}

void heap_targets__tick(struct heap_targets *t, uint64_t now_ns)
{
	t->newcomers_ns = now_ns + NEWCOMERS_NS;
	if (t->is_detached)
		return;
	if (now_ns >= t->next_measure_ns) {
		t->next_measure_ns = now_ns + MEASURE_NS;
		read_sizes(t);
		refine_costs(t);
		measure(t);
		keep_budget(t);
	}
	if (now_ns >= turn_due_ns(t)) {
		measure(t);
		take_turn(t);
	}
	look(t, now_ns);
}

/* What somebody new allocates until probes of its own are in is not seen: it is looked for more
 * often than samples need. */
static bool awaits_newcomers(const struct heap_targets *t)
{
	switch (t->s->opts->target) {
	case TARGET_COMMAND:
	case TARGET_COMM:
	case TARGET_CGROUP:
		return t->sources != HEAP_SOURCE_PRELOAD && !heap_probes__is_shared(t->links);
	case TARGET_PIDS:
	case TARGET_HOST:
		break;
	}
	return false;
}

uint64_t heap_targets__due_ns(const struct heap_targets *t)
{
	uint64_t due_ns = turn_due_ns(t);

	if (t->is_detached)
		return UINT64_MAX;
	if (t->next_measure_ns < due_ns)
		due_ns = t->next_measure_ns;
	if (awaits_newcomers(t) && t->newcomers_ns < due_ns)
		due_ns = t->newcomers_ns;
	return t->next_point_ns < due_ns ? t->next_point_ns : due_ns;
}

void heap_tick__finish(struct heap_targets *t)
{
	measure(t);
	if (t->is_sliced)
		collector__heap_set_q(t->s->collector, 0);
	end_slice(t);
	t->is_on = false;
	heap_probes__detach(t->links);
	measure_hits(t);
}
