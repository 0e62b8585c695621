/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See session.h. Order of start: targets, outputs and COMMAND are checked before anything touches
 * the kernel; side-band records flow before /proc is scanned and the scan is done before the first
 * tick, so that no sample can be older than what is known of its process.
 */
#include "session/session.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "collect/kernel_features.h"
#include "profile/heap_report.h"
#include "session/command.h"
#include "session/heap_run.h"
#include "session/heap_targets.h"
#include "session/loop.h"
#include "session/session_state.h"
#include "session/summary.h"

static int status_of_kernel_error(int err)
{
	switch (err) {
	case -EPERM:
	case -EACCES:
		return EXIT_STATUS_PERMISSION;
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
		return EXIT_STATUS_FAILURE;
	default:
		return EXIT_STATUS_KERNEL;
	}
}

static int check_kernel(void)
{
	struct kernel_features features;
	const struct feature *missing;

	kernel_features__probe(&features, true);
	missing = kernel_features__first_missing(&features);
	if (!missing)
		return EXIT_STATUS_OK;
	log_err("%s: %s%s%s", missing->name, missing->detail, *missing->advice ? "; " : "",
		missing->advice);
	return missing->state == FEATURE_MISSING_PERMISSION ? EXIT_STATUS_PERMISSION
							    : EXIT_STATUS_KERNEL;
}

static enum filter_mode filter_of(enum target_kind target)
{
	switch (target) {
	case TARGET_PIDS:
	case TARGET_COMMAND:
		return FILTER_TGIDS;
	case TARGET_COMM:
		return FILTER_COMM;
	case TARGET_CGROUP:
		return FILTER_CGROUP;
	case TARGET_HOST:
		break;
	}
	return FILTER_NONE;
}

/* Each open module is a descriptor: as many as this process may have without asking anybody. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void free_environment(char ***env)
{
	size_t i;

	for (i = 0; *env && (*env)[i]; i++)
		free((*env)[i]);
	free(*env);
}

static int fork_command(struct session *s)
{
	_cleanup_(free_environment) char **env = NULL;
	const struct options *opts = s->opts;
	int status, err;

	if (opts->target != TARGET_COMMAND)
		return EXIT_STATUS_OK;
	status = heap_targets__environment(opts, &env);
	if (status)
		return status;
	signals__release(&s->signals);
	err = command__fork(&s->command, opts->command, opts->user, env);
	signals__hold(&s->signals);
	if (err == -ENOENT) {
		log_err("no user named '%s'", opts->user);
		return EXIT_STATUS_USAGE;
	}
	if (err) {
		log_errno(err, "fork for '%s'", opts->command[0]);
		return EXIT_STATUS_FAILURE;
	}
	return EXIT_STATUS_OK;
}

static int load_collector(struct session *s)
{
	const struct probe *wanted[OPTIONS_KINDS_MAX];
	struct collector_config config = {
		.probes = wanted,
		.probes_cnt = s->opts->kinds_cnt,
		.freq_hz = s->opts->freq_hz,
		.cpus = s->cpus.cpus,
		.cpus_cnt = s->cpus.cnt,
		.filter_mode = filter_of(s->opts->target),
		.targets = s->targets.list,
		.targets_cnt = s->targets.cnt,
		.comm = s->opts->comm,
		.cgroup_fd = s->targets.cgroup_fd,
		.sched_by = s->opts->sched_by,
		.sched_worst = s->opts->sched_worst,
		.follow_pid = s->command ? command__pid(s->command) : 0,
		.heap_interval_bytes = s->opts->heap_interval_bytes,
		.heap_is_live = s->opts->heap_is_live,
	};
	size_t i;
	int err;

	unwind__plan_memory(s->opts->unwind_memory_bytes, &config.unwind_leaf_pages,
			    &config.unwind_block_pages);
	s->unwind_leaf_pages = config.unwind_leaf_pages;
	s->unwind_block_pages = config.unwind_block_pages;
	for (i = 0; i < s->opts->kinds_cnt; i++)
		wanted[i] = s->opts->kinds[i].probe;
	err = collector__new(&s->collector, &config);
	if (err == -ENOSYS) /* and what is missing has been said */
		return EXIT_STATUS_KERNEL;
	if (err) {
		log_errno(err, "loading the BPF programs; `cprofd doctor` tells what is missing");
		return status_of_kernel_error(err);
	}
	return EXIT_STATUS_OK;
}

/* Processes other than the TARGET's are not worth keeping where the TARGET is a list of them. */
static struct process_table *new_process_table(const struct session *s)
{
	_cleanup_free_ pid_t *pids = NULL;
	pid_t command_pid;
	size_t i;

	if (s->command) {
		command_pid = command__pid(s->command);
		return process_table__new(&command_pid, 1, true);
	}
	pids = calloc(s->targets.cnt + 1, sizeof(*pids));
	if (!pids)
		return NULL;
	for (i = 0; i < s->targets.cnt; i++)
		pids[i] = s->targets.list[i].pid;
	return process_table__new(pids, s->targets.cnt, false);
}

static int watch_processes(struct session *s)
{
	int err;

	s->processes = new_process_table(s);
	s->timeline = timeline__new();
	s->worker = worker__new();
	s->symbolizer = s->worker ? symbolizer__new(s->worker) : NULL;
	if (!s->processes || !s->timeline || !s->symbolizer) {
		log_errno(-ENOMEM, "start");
		return EXIT_STATUS_FAILURE;
	}
	err = sideband__open(&s->sideband, s->cpus.cpus, s->cpus.cnt);
	if (err) {
		log_errno(err, "perf side-band events; `cprofd doctor` tells what is missing");
		return status_of_kernel_error(err);
	}
	err = process_table__scan(s->processes);
	if (err) {
		log_errno(err, "reading /proc");
		return EXIT_STATUS_FAILURE;
	}
	return EXIT_STATUS_OK;
}

static int make_unwind_tables(struct session *s)
{
	struct collector_unwind_maps fds;
	struct unwind_maps maps;
	int err;

	collector__unwind_maps(s->collector, &fds);
	maps = (struct unwind_maps){
		.leaf = fds.leaf,
		.block = fds.block,
		.files = fds.files,
		.rules = fds.rules,
		.slots = fds.slots,
		.control = fds.control,
		.processes = fds.processes,
		.leaf_pages = s->unwind_leaf_pages,
		.block_pages = s->unwind_block_pages,
	};
	err = unwind__new(&s->unwind, &maps, s->processes, s->worker);
	if (err) {
		log_errno(err, "unwind tables");
		return EXIT_STATUS_FAILURE;
	}
	return EXIT_STATUS_OK;
}

static int make_pipeline(struct session *s)
{
	struct pipeline_config config = {
		.opts = s->opts,
		.processes = s->processes,
		.symbolizer = s->symbolizer,
		.unwind = s->unwind,
		.runs = s->runs,
		.runs_cnt = s->opts->kinds_cnt,
		.start_real_ns = clock__real_ns(),
		.main_pid = s->command            ? command__pid(s->command)
			    : s->targets.cnt == 1 ? s->targets.list[0].pid
						  : 0,
	};
	size_t i;
	int err;

	for (i = 0; i < s->opts->kinds_cnt; i++)
		s->runs[i].probe = s->opts->kinds[i].probe;
	err = pipeline__new(&s->pipeline, &config);
	if (err) {
		log_errno(err, "start");
		return EXIT_STATUS_FAILURE;
	}
	return EXIT_STATUS_OK;
}

static int prepare(struct session *s)
{
	int status, err;

	err = signals__init(&s->signals);
	if (err) {
		log_errno(err, "start");
		return EXIT_STATUS_FAILURE;
	}
	status = output_plan__make(&s->plan, s->opts, clock__real_ns());
	if (!status)
		status = check_kernel();
	if (!status)
		status = targets__resolve(&s->targets, s->opts);
	if (!status)
		status = fork_command(s);
	if (status)
		return status;
	raise_fd_limit(); /* COMMAND has been forked with the limit we were started with */
	/* A closed stdout and a file over RLIMIT_FSIZE are failed writes, reported as such. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	err = cpu_list__read_online(&s->cpus);
	if (err) {
		log_errno(err, "list of online CPUs");
		return EXIT_STATUS_FAILURE;
	}
	status = load_collector(s);
	if (!status)
		status = watch_processes(s);
	if (!status)
		status = make_unwind_tables(s);
	return status ?: make_pipeline(s);
}

static uint64_t cpu_time_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NSEC_PER_SEC +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static int exec_command(struct session *s)
{
	int err = s->command ? command__exec(s->command) : 0;

	if (!err)
		return EXIT_STATUS_OK;
	log_errno(err, "cannot run '%s'", s->opts->command[0]);
	return err == -ENOENT ? EXIT_STATUS_NOT_FOUND : EXIT_STATUS_NOT_EXECUTABLE;
}

/* Where there is a heap to probe is found process by process. */
static int probe_heap(struct session *s)
{
	size_t i;

	for (i = 0; i < s->opts->kinds_cnt; i++) {
		if (!s->runs[i].heap)
			continue;
		heap_run__use_collector(s->runs[i].heap, s->collector);
		return heap_targets__start(&s->heap_targets, s, &s->runs[i]);
	}
	return EXIT_STATUS_OK;
}

static int start(struct session *s)
{
	int status, err;

	if (targets__all_gone(&s->targets)) {
		log_err("pid %d exited before it could be profiled", s->targets.list[0].pid);
		return EXIT_STATUS_NO_TARGET;
	}
	if (signals__take(&s->signals))
		return EXIT_STATUS_INTERRUPTED;
	err = collector__attach(s->collector);
	if (err) {
		log_errno(err, "attaching the probes; `cprofd doctor` tells what is missing");
		return status_of_kernel_error(err);
	}
	status = probe_heap(s);
	if (status)
		return status;
	s->window_start_ns = clock__mono_ns();
	s->costs.startup_cpu_ns = cpu_time_ns();
	return exec_command(s);
}

static void take_kernel_counters(struct session *s, struct kind_run *run)
{
	struct accounting *a = &run->account;
	struct probe_counters counters;
	const __u64 *v;

	if (collector__counters(s->collector, run->probe, &counters) != 0)
		return;
	v = counters.kernel.value;
	a->fired = v[COUNTER_FIRED];
	a->filtered = v[COUNTER_FILTERED];
	a->idle = v[COUNTER_IDLE];
	a->submitted = v[COUNTER_SUBMITTED];
	a->dropped_ring_full = v[COUNTER_DROPPED_RING_FULL];
	a->dropped_scratch_busy = v[COUNTER_DROPPED_SCRATCH_BUSY];
	a->consumed = counters.consumed;
	a->dropped_bad_record = counters.bad_records;
	if (!kind_run__has_own_stacks(run))
		return;
	a->unsampled = v[COUNTER_UNSAMPLED];
	a->unaccounted = v[COUNTER_UNACCOUNTED];
	a->nested = v[COUNTER_NESTED];
	a->failed = v[COUNTER_FAILED];
	a->unfinished = v[COUNTER_UNFINISHED];
	a->dropped_no_return = v[COUNTER_DROPPED_NO_RETURN];
	run->heap_live_full = v[COUNTER_LIVE_FULL];
	v = counters.stacks.value;
	a->stacks_fired = v[COUNTER_FIRED];
	a->stacks_submitted = v[COUNTER_SUBMITTED];
	a->stacks_dropped_ring_full = v[COUNTER_DROPPED_RING_FULL];
	a->stacks_dropped_scratch_busy = v[COUNTER_DROPPED_SCRATCH_BUSY];
	a->stacks_consumed = counters.stacks_consumed;
	a->stacks_dropped_bad_record = counters.stacks_bad_records;
}

/* Probes are gone and all records in: the live set is as it was at the end of the window. */
static void take_heap(struct session *s, struct kind_run *run)
{
	int err = heap_run__look(run->heap, s->collector, HEAP_POINTS - 1);

	if (err)
		log_errno(err, "reading the live set: what is in use is incomplete");
	heap_targets__costs(s->heap_targets, &run->heap_cost);
	run->heap_sources = heap_targets__sources(s->heap_targets);
}

static int finish_run(struct session *s, struct kind_run *run)
{
	int status, err;

	if (run->has_failed)
		return EXIT_STATUS_FAILURE;
	take_kernel_counters(s, run);
	if (run->heap)
		take_heap(s, run);
	err = pipeline__finish(s->pipeline, run);
	if (err) {
		log_errno(err, "finishing the %s profile", run->probe->name);
		return EXIT_STATUS_FAILURE;
	}
	status = output_plan__write(&s->plan, run->probe, run->profile);
	progress__clear(&s->progress);
	summary__print_totals(s->opts, run, run->window_ns, s->cpus.cnt);
	err = summary__print_top(s->opts, &s->plan, run);
	if (err) {
		log_errno(err, "writing the top table");
		status = EXIT_STATUS_FAILURE;
	}
	if (!status && !s->opts->quiet)
		summary__print_next(&s->plan, run);
	return status;
}

static bool is_partial(const struct session *s, const struct kind_run *run)
{
	return s->opts->strict_percent >= 0 &&
	       accounting__lost_percent(&run->account) > s->opts->strict_percent;
}

static void print_costs(struct session *s)
{
	struct worker_stats worker;
	struct process_stats processes;
	struct sideband_stats sideband;
	struct unwind_stats tables;
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	worker__stats(s->worker, &worker);
	process_table__stats(s->processes, &processes);
	s->costs.peak_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
	s->costs.worker_peak_rss_bytes = worker.peak_rss_bytes;
	sideband__stats(s->sideband, &sideband);
	summary__print_process_stats(&processes, &sideband);
	unwind__stats(s->unwind, &tables);
	summary__print_unwind_stats(&tables);
	summary__print_costs(&s->costs);
}

static int finish(struct session *s)
{
	uint64_t ended_ns = clock__mono_ns(), failed;
	int status = EXIT_STATUS_OK, run_status;
	size_t i;

	for (i = 0; i < s->opts->kinds_cnt; i++) {
		run_status = finish_run(s, &s->runs[i]);
		if (!run_status && is_partial(s, &s->runs[i]))
			run_status = EXIT_STATUS_PARTIAL;
		status = status ?: run_status;
	}
	if (s->heap_targets)
		status = status ?: heap_targets__check(s->heap_targets);
	for (i = 0; i < s->opts->kinds_cnt; i++)
		if (summary__print_breaches(s->opts, &s->runs[i]))
			status = status ?: EXIT_STATUS_SLO;
	s->costs.window_to_file_ns = clock__mono_ns() - ended_ns;
	failed = collector__follow_failed(s->collector);
	if (failed)
		log_warn("%llu children of COMMAND did not fit the filter and are missing",
			 (unsigned long long)failed);
	if (s->opts->verbose)
		print_costs(s);
	return status;
}

/* The probes are gone; COMMAND may run on, and its status is ours. */
static int wait_for_command(struct session *s, int status)
{
	int command_status = 0;

	heap_targets__free(take_ptr(s->heap_targets));
	unwind__free(take_ptr(s->unwind)); /* maps what the collector owns */
	collector__free(take_ptr(s->collector));
	sideband__free(take_ptr(s->sideband));
	if (!s->command)
		return status;
	signals__leave_to_command(&s->signals);
	command__wait(s->command, &command_status);
	return status ?: command_status;
}

static void done(struct session *s)
{
	size_t i;

	heap_targets__free(s->heap_targets);
	for (i = 0; i < s->opts->kinds_cnt; i++)
		kind_run__done(&s->runs[i]);
	pipeline__free(s->pipeline);
	unwind__free(s->unwind);
	collector__free(s->collector);
	sideband__free(s->sideband);
	timeline__free(s->timeline);
	process_table__free(s->processes);
	symbolizer__free(s->symbolizer);
	worker__free(s->worker);
	command__free(s->command);
	output_plan__done(&s->plan);
	targets__done(&s->targets);
	cpu_list__done(&s->cpus);
	signals__done(&s->signals);
}

int session__run(const struct options *opts, uint64_t started_ns)
{
	struct session *s = calloc(1, sizeof(*s));
	int status;

	if (!s) {
		log_errno(-ENOMEM, "start");
		return EXIT_STATUS_FAILURE;
	}
	*s = (struct session){
		.opts = opts,
		.started_ns = started_ns,
		.signals = SIGNALS_INIT,
		.targets = TARGETS_INIT,
	};
	log__set_level(opts->verbose ? LOG_LEVEL_DEBUG
		       : opts->quiet ? LOG_LEVEL_WARN
				     : LOG_LEVEL_INFO);
	progress__init(&s->progress, opts);
	status = prepare(s);
	if (!status)
		status = start(s);
	if (!status)
		status = loop__run(s);
	if (!status)
		status = wait_for_command(s, finish(s));
	done(s);
	free(s);
	return status;
}
