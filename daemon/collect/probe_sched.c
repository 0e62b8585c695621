/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scheduler waits: one tracepoint program (bpf/sched.bpf.c) for all CPUs, whose records are stacks,
 * the waits they stand for, and what ended threads have waited. The rest stays in maps until
 * sched_snapshot.c reads it.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "base/clock.h"
#include "base/log.h"
#include "collect/probe_ops.h"
#include "collect/sched_kernel.h"
#include "collect/sched_state.h"

static void choose_maps(struct cprofd_bpf *skel, const struct collector_config *config,
			bool is_wanted, bool has_task_storage)
{
	bool has_groups = is_wanted && config->sched_by != SCHED_BY_NOTHING;

	bpf_map__set_autocreate(skel->maps.sched_tasks, is_wanted && has_task_storage);
	bpf_map__set_autocreate(skel->maps.sched_tasks_hash, is_wanted && !has_task_storage);
	bpf_map__set_autocreate(skel->maps.sched_cpus, is_wanted);
	bpf_map__set_autocreate(skel->maps.sched_names, is_wanted);
	bpf_map__set_autocreate(skel->maps.sched_stretches, is_wanted);
	bpf_map__set_autocreate(skel->maps.sched_matrix, is_wanted);
	bpf_map__set_autocreate(skel->maps.sched_groups, has_groups);
	bpf_map__set_autocreate(skel->maps.sched_no_group, has_groups);
	bpf_map__set_max_entries(skel->maps.sched_stretches, (uint32_t)libbpf_num_possible_cpus());
}

static int find_kernel(struct sched_kernel *kernel)
{
	int err = sched_kernel__probe_quick(kernel);

	if (err)
		return err;
	if (kernel->missing) {
		log_err("--sched: this kernel lacks %s", kernel->missing);
		return -ENOSYS;
	}
	if (!kernel->has_task_storage)
		log_info(
			"sched: this kernel has no task storage for tracing programs (5.13): threads are kept in a hash");
	return 0;
}

static int configure(struct cprofd_bpf *skel, const struct collector_config *config, bool is_wanted)
{
	struct sched_kernel kernel = { 0 };
	struct stat st;
	int err;

	bpf_program__set_autoload(skel->progs.sched_switch, is_wanted);
	bpf_program__set_autoload(skel->progs.sched_threads, is_wanted);
	bpf_program__set_autoload(skel->progs.sched_meet, is_wanted);
	err = is_wanted ? find_kernel(&kernel) : 0;
	choose_maps(skel, config, is_wanted, kernel.has_task_storage);
	if (err || !is_wanted)
		return err;
	skel->rodata->sched_has_task_storage = kernel.has_task_storage;
	skel->rodata->sched_switch_has_state = kernel.switch_has_state;
	skel->rodata->sched_cgroup_v1 = sched_kernel__has_cgroup_v1();
	skel->rodata->sched_by = config->sched_by;
	skel->rodata->sched_worst_cnt = config->sched_worst;
	if (config->filter_mode != FILTER_CGROUP)
		return 0;
	/* A cgroup's inode number is its id. */
	if (fstat(config->cgroup_fd, &st))
		return -errno;
	skel->rodata->sched_filter_cgroup = st.st_ino;
	return 0;
}

/* Where what finds no other place is counted. */
static int make_others(struct sched_state *s)
{
	int cpus_cnt = libbpf_num_possible_cpus(), err;
	_cleanup_free_ struct sched_cell *cells = NULL;
	_cleanup_free_ struct sched_observations *group = calloc(1, sizeof(*group));
	const struct sched_pair pair = { 0 };
	const uint64_t other = SCHED_OTHER_KEY;

	if (cpus_cnt < 0)
		return cpus_cnt;
	cells = calloc((size_t)cpus_cnt, sizeof(*cells));
	if (!cells || !group)
		return -ENOMEM;
	err = bpf_map__update_elem(s->skel->maps.sched_matrix, &pair, sizeof(pair), cells,
				   (size_t)cpus_cnt * sizeof(*cells), BPF_NOEXIST);
	if (err || !s->has_groups)
		return err;
	return bpf_map__update_elem(s->skel->maps.sched_groups, &other, sizeof(other), group,
				    sizeof(*group), BPF_NOEXIST);
}

static void free_state(void *data)
{
	struct sched_state *s = data;

	if (!s)
		return;
	bpf_link__destroy(s->switch_link);
	bpf_link__destroy(s->threads_link);
	free(s->ended.items);
	free(s->alive.items);
	free(s);
}

/* Runs the iterator once; it prints nothing. */
static int meet_threads(struct cprofd_bpf *skel)
{
	struct bpf_link *link = bpf_program__attach_iter(skel->progs.sched_meet, NULL);
	_cleanup_close_ int fd = -1;
	char nothing[64];
	int err = 0;

	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0 || read(fd, nothing, sizeof(nothing)) < 0)
		err = -errno;
	bpf_link__destroy(link);
	return err;
}

static int attach(struct cprofd_bpf *skel, const struct collector_config *config, void **ret_state)
{
	struct sched_state *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->skel = skel;
	s->has_groups = config->sched_by != SCHED_BY_NOTHING;
	s->worst_cnt = config->sched_worst;
	err = make_others(s);
	if (!err) {
		s->threads_link = bpf_program__attach_iter(skel->progs.sched_threads, NULL);
		err = s->threads_link ? 0 : -errno;
	}
	if (!err) {
		skel->bss->sched_since_ns = clock__mono_ns();
		skel->bss->sched_is_open = 1;
		s->switch_link = bpf_program__attach(skel->progs.sched_switch);
		err = s->switch_link ? 0 : -errno;
	}
	if (!err)
		err = meet_threads(skel);
	if (err) {
		free_state(s);
		return err;
	}
	*ret_state = s;
	return 0;
}

/* Until every CPU has gone through a switch since. membarrier(2) waits for that, but not where some
 * CPUs run without ticks: there we go and see ourselves. */
static void wait_for_all_cpus(void)
{
	const int cpus_cnt = libbpf_num_possible_cpus();
	cpu_set_t before, one;

	if (!syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) ||
	    sched_getaffinity(0, sizeof(before), &before))
		return;
	for (int cpu = 0; cpu < cpus_cnt && cpu < CPU_SETSIZE; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one); /* fails where it is offline */
	}
	sched_setaffinity(0, sizeof(before), &before);
}

/*
 * Nothing is counted any more once the gate is closed and whoever was past it is through. The
 * program stays on until those alive have been read: who ends meanwhile still sends its sums.
 */
static void detach(void *data)
{
	struct sched_state *s = data;
	int err;

	s->skel->bss->sched_is_open = 0;
	wait_for_all_cpus();
	err = sched_state__read_alive(s, &s->alive);
	if (err)
		log_warn("reading the threads' waits: %s, their rows are missing", strerror(-err));
	bpf_link__destroy(s->switch_link);
	s->switch_link = NULL;
	s->is_detached = true;
}

/* How many waits a sampled one stands for. */
static double inverse_of(uint32_t q)
{
	return q == UINT32_MAX ? 1 : 0x1p32 / ((double)q + 1);
}

static int decode_wait(const struct sched_wait_event *ev, size_t size, struct sample *ret)
{
	if (size < sizeof(*ev) || ev->size != sizeof(*ev) || ev->origin >= SCHED_ORIGINS || !ev->q)
		return -EBADMSG;
	*ret = (struct sample){
		.probe = &probe_sched,
		.kind = SAMPLE_WAIT,
		.stack_id = ev->stack_id,
		.time_ns = ev->time_ns,
		.thread_start_ns = ev->thread_start_ns,
		.pid = (pid_t)ev->tgid,
		.tid = (pid_t)ev->tid,
		.cpu = ev->cpu,
		.wait = { .origin = ev->origin, .inverse_q = inverse_of(ev->q) },
	};
	for (int i = 0; i < SCHED_REASONS; i++)
		ret->wait.reason_ns[i] = ev->reason_ns[i];
	return 0;
}

static int decode(void *state, const void *record, size_t size, struct sample *ret)
{
	const uint32_t *kind = record;
	struct sched_state *s = state;

	ret->probe = &probe_sched;
	switch (*kind) {
	case EVENT_SCHED_WAIT:
		return decode_wait(record, size, ret);
	case EVENT_SCHED_STACK:
		return stack_record__decode(record, size, false, ret);
	case EVENT_SCHED_STACK_COLD:
		return stack_record__decode(record, size, true, ret);
	case EVENT_SCHED_THREAD:
		if (size < sizeof(struct sched_thread_event)) {
			s->ended.lost++;
			return -EBADMSG;
		}
		sched_threads__add(&s->ended, record);
		return DECODE_KEPT;
	}
	return -EBADMSG;
}

static int counters(void *state, struct event_counters *ret)
{
	*ret = (struct event_counters){ 0 };
	return state ? sched_state__read_switches(state, ret) : 0;
}

static const struct probe_ops sched_ops = {
	.counted_kind = EVENT_SCHED_WAIT,
	.stacks_kind = EVENT_SCHED_STACK,
	.records = { { EVENT_SCHED_WAIT, RECORD_COUNTED },
		     { EVENT_SCHED_STACK, RECORD_STACK },
		     { EVENT_SCHED_STACK_COLD, RECORD_STACK },
		     { EVENT_SCHED_THREAD, RECORD_PRIVATE } },
	.records_cnt = 4,
	.configure = configure,
	.attach = attach,
	.detach = detach,
	.free = free_state,
	.counters = counters,
	.decode = decode,
};

const struct probe probe_sched = {
	.name = "sched",
	.help = "why threads that were ready did not run: preempted, delayed, runnable",
	.sample_types = { { "waits", "count" },
			  { "preempted", "nanoseconds" },
			  { "delayed", "nanoseconds" },
			  { "runnable", "nanoseconds" },
			  { "latency", "nanoseconds" } },
	.sample_types_cnt = 5,
	.default_type = 4,
	.counts_waits = true,
	.ops = &sched_ops,
};
