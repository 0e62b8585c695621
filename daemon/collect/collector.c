/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See collect.h: the lifecycle over the one skeleton.
 */
#include "collect/collect.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "base/array.h"
#include "base/log.h"
#include "collect/probe_ops.h"
#include "cprofd.skel.h"

#define RING_MIN_BYTES    (8U << 20) /* copies of stacks come first: 16 KiB each */
#define RING_MAX_BYTES    (8U << 20)
#define RING_SECONDS      1 /* of samples of RING_SAMPLE_BYTES that fit without a reader */
#define RING_SAMPLE_BYTES 600
#define FOLLOW_TGIDS_MAX  32768 /* kernel.pid_max as shipped */

struct attached_probe {
	const struct probe *probe;
	void *state; /* NULL: not attached yet */
	bool is_running;
	uint64_t consumed, bad_records, stacks_consumed, stacks_bad_records;
};

struct collector {
	struct cprofd_bpf *skel;
	struct ring_buffer *ring;
	int wake_fd;                    /* epoll */
	struct collector_config config; /* borrowed pointers are cleared after attach */
	struct attached_probe *probes;
	size_t probes_cnt;
	collector_sample_fn fn; /* of the drain in progress */
	void *ctx;
	int fn_result;
	size_t drained_bytes; /* by it */
};

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list args)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (log__level() < LOG_LEVEL_DEBUG || level == LIBBPF_DEBUG)
		return 0;
	if (vasprintf(&text, fmt, args) < 0) {
		text = NULL;
		return 0;
	}
	len = strlen(text);
	if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	log_debug("%s", text);
	return 0;
}

static uint32_t ring_bytes(const struct collector_config *config)
{
	uint64_t need =
		(uint64_t)config->freq_hz * config->cpus_cnt * RING_SAMPLE_BYTES * RING_SECONDS;
	uint32_t bytes = RING_MIN_BYTES;

	while (bytes < need && bytes < RING_MAX_BYTES * (1 + config->cpus_cnt / 8))
		bytes *= 2;
	return bytes;
}

static void configure_filter(struct cprofd_bpf *skel, const struct collector_config *config)
{
	size_t tgids = config->targets_cnt ? config->targets_cnt : 1;

	skel->rodata->filter_mode = config->filter_mode;
	skel->rodata->cold_ring_bytes = ring_bytes(config) / 4 * 3;
	skel->rodata->ring_wake_bytes = ring_bytes(config) / 4;
	if (config->comm)
		strncpy((char *)skel->rodata->filter_comm, config->comm,
			sizeof(skel->rodata->filter_comm) - 1);
	if (config->follow_pid) {
		skel->rodata->follow_pid = (uint32_t)config->follow_pid;
		bpf_program__set_autoload(skel->progs.follow_exec, true);
		bpf_program__set_autoload(skel->progs.follow_fork, true);
		tgids = FOLLOW_TGIDS_MAX;
	}
	bpf_map__set_max_entries(skel->maps.filter_tgids, (uint32_t)tgids);
}

static int fill_filter(struct cprofd_bpf *skel, const struct collector_config *config)
{
	uint32_t zero = 0, cgroup_fd = (uint32_t)config->cgroup_fd;
	size_t i;

	for (i = 0; i < config->targets_cnt; i++) {
		uint32_t tgid = (uint32_t)config->targets[i].pid;
		struct filter_tgid target = { .start_ticks = config->targets[i].start_ticks };
		int err = bpf_map__update_elem(skel->maps.filter_tgids, &tgid, sizeof(tgid),
					       &target, sizeof(target), BPF_ANY);

		if (err)
			return err;
	}
	if (config->filter_mode != FILTER_CGROUP)
		return 0;
	return bpf_map__update_elem(skel->maps.filter_cgroup, &zero, sizeof(zero), &cgroup_fd,
				    sizeof(cgroup_fd), BPF_ANY);
}

static struct attached_probe *find_probe(struct collector *c, const struct probe *probe)
{
	size_t i;

	for (i = 0; i < c->probes_cnt; i++)
		if (c->probes[i].probe == probe)
			return &c->probes[i];
	return NULL;
}

/* Whose record this is, and as what it counts; one of an unknown kind is a bad record of the first
 * probe. */
static struct attached_probe *record_owner(struct collector *c, const void *data, size_t size,
					   enum record_account *ret_account)
{
	uint32_t kind = 0;
	size_t i, k;

	if (size >= sizeof(kind))
		memcpy(&kind, data, sizeof(kind));
	for (i = 0; i < c->probes_cnt; i++) {
		const struct probe_ops *ops = c->probes[i].probe->ops;

		for (k = 0; k < ops->records_cnt; k++) {
			if (ops->records[k].kind != kind)
				continue;
			*ret_account = ops->records[k].account;
			return &c->probes[i];
		}
	}
	*ret_account = RECORD_COUNTED;
	return &c->probes[0];
}

static int on_record(void *ctx, void *data, size_t size)
{
	struct collector *c = ctx;
	enum record_account account;
	struct attached_probe *a = record_owner(c, data, size, &account);
	struct sample sample;
	int ret;

	a->consumed += account == RECORD_COUNTED;
	a->stacks_consumed += account == RECORD_STACK;
	ret = a->probe->ops->decode(a->state, data, size, &sample);
	if (ret == -EBADMSG) {
		a->bad_records += account == RECORD_COUNTED;
		a->stacks_bad_records += account == RECORD_STACK;
	}
	if (!ret)
		c->fn_result = c->fn(&sample, c->ctx);
	c->drained_bytes += size;
	/* Stops libbpf behind this record, which it frees. */
	return c->drained_bytes < bpf_map__max_entries(c->skel->maps.samples) ? 0 : -EAGAIN;
}

static bool is_wanted(const struct collector_config *config, const struct probe *probe)
{
	size_t i;

	for (i = 0; i < config->probes_cnt; i++)
		if (config->probes[i] == probe)
			return true;
	return false;
}

static int load(struct collector *c, const struct collector_config *config)
{
	size_t i;
	int err;

	c->skel = cprofd_bpf__open();
	if (!c->skel)
		return -errno;
	for (i = 0; i < config->probes_cnt; i++)
		c->probes[i].probe = config->probes[i];
	for (i = 0; i < probes_cnt; i++) {
		err = probes[i]->ops->configure(c->skel, config, is_wanted(config, probes[i]));
		if (err)
			return err;
	}
	bpf_map__set_max_entries(c->skel->maps.samples, ring_bytes(config));
	bpf_map__set_autocreate(c->skel->maps.filter_cgroup, config->filter_mode == FILTER_CGROUP);
	bpf_map__set_max_entries(c->skel->maps.unwind_leaf, config->unwind_leaf_pages);
	bpf_map__set_max_entries(c->skel->maps.unwind_block, config->unwind_block_pages);
	configure_filter(c->skel, config);
	err = cprofd_bpf__load(c->skel);
	if (err)
		return err;
	return fill_filter(c->skel, config);
}

/* Edge-triggered: a ring that merely holds something is not worth waking up for. */
static int watch_ring(struct collector *c)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	c->wake_fd = epoll_create1(EPOLL_CLOEXEC);
	if (c->wake_fd < 0)
		return -errno;
	if (epoll_ctl(c->wake_fd, EPOLL_CTL_ADD, bpf_map__fd(c->skel->maps.samples), &event))
		return -errno;
	return 0;
}

int collector__wake_fd(const struct collector *c)
{
	return c->wake_fd;
}

int collector__new(struct collector **ret, const struct collector_config *config)
{
	_cleanup_(collector__freep) struct collector *c = calloc(1, sizeof(*c));
	int err;

	libbpf_set_print(print_libbpf);
	if (!c)
		return -ENOMEM;
	c->config = *config;
	c->wake_fd = -1;
	c->probes = calloc(config->probes_cnt, sizeof(*c->probes));
	if (!c->probes)
		return -ENOMEM;
	c->probes_cnt = config->probes_cnt;
	err = load(c, config);
	if (err)
		return err;
	c->ring = ring_buffer__new(bpf_map__fd(c->skel->maps.samples), on_record, c, NULL);
	if (!c->ring)
		return -errno;
	err = watch_ring(c);
	if (err)
		return err;
	*ret = take_ptr(c);
	return 0;
}

void collector__free(struct collector *c)
{
	size_t i;

	if (!c)
		return;
	for (i = 0; i < c->probes_cnt; i++)
		if (c->probes && c->probes[i].probe)
			c->probes[i].probe->ops->free(c->probes[i].state);
	close_fdp(&c->wake_fd);
	ring_buffer__free(c->ring);
	cprofd_bpf__destroy(c->skel);
	free(c->probes);
	free(c);
}

void collector__unwind_maps(const struct collector *c, struct collector_unwind_maps *ret)
{
	*ret = (struct collector_unwind_maps){
		.leaf = bpf_map__fd(c->skel->maps.unwind_leaf),
		.block = bpf_map__fd(c->skel->maps.unwind_block),
		.files = bpf_map__fd(c->skel->maps.unwind_files),
		.rules = bpf_map__fd(c->skel->maps.unwind_rules),
		.slots = bpf_map__fd(c->skel->maps.unwind_slots),
		.control = bpf_map__fd(c->skel->maps.unwind_control),
		.processes = bpf_map__fd(c->skel->maps.unwind_processes),
	};
}

/* Attaches one of the tracepoint programs of follow.bpf.c; the skeleton owns the link. */
static int attach_follower(struct bpf_program *program, struct bpf_link **ret_link)
{
	*ret_link = bpf_program__attach(program);
	return *ret_link ? 0 : -errno;
}

int collector__attach(struct collector *c)
{
	struct cprofd_bpf *skel = c->skel;
	size_t i;
	int err;

	if (c->config.follow_pid) {
		err = attach_follower(skel->progs.follow_fork, &skel->links.follow_fork);
		if (!err)
			err = attach_follower(skel->progs.follow_exec, &skel->links.follow_exec);
		if (err)
			return err;
	}
	for (i = 0; i < c->probes_cnt; i++) {
		err = c->probes[i].probe->ops->attach(skel, &c->config, &c->probes[i].state);
		if (err)
			return err;
		c->probes[i].is_running = true;
	}
	return 0;
}

void collector__detach(struct collector *c, const struct probe *probe)
{
	struct attached_probe *a = find_probe(c, probe);

	if (!a || !a->is_running)
		return;
	a->is_running = false;
	probe->ops->detach(a->state);
}

void *collector__probe_state(const struct collector *c, const struct probe *probe)
{
	const struct attached_probe *a = find_probe((struct collector *)c, probe);

	return a ? a->state : NULL;
}

int collector__add_cpu(struct collector *c, int cpu)
{
	size_t i;
	int err;

	for (i = 0; i < c->probes_cnt; i++) {
		if (!c->probes[i].is_running || !c->probes[i].probe->ops->add_cpu)
			continue;
		err = c->probes[i].probe->ops->add_cpu(c->probes[i].state, cpu);
		if (err)
			return err;
	}
	return 0;
}

void collector__remove_cpu(struct collector *c, int cpu)
{
	size_t i;

	for (i = 0; i < c->probes_cnt; i++)
		if (c->probes[i].is_running && c->probes[i].probe->ops->remove_cpu)
			c->probes[i].probe->ops->remove_cpu(c->probes[i].state, cpu);
}

void collector__forget_pid(struct collector *c, pid_t pid, uint64_t exited_ns)
{
	uint32_t tgid = (uint32_t)pid;
	struct filter_tgid target;

	if (c->config.filter_mode != FILTER_TGIDS ||
	    bpf_map__lookup_elem(c->skel->maps.filter_tgids, &tgid, sizeof(tgid), &target,
				 sizeof(target), 0) != 0)
		return;
	if (target.admitted_ns < exited_ns)
		bpf_map__delete_elem(c->skel->maps.filter_tgids, &tgid, sizeof(tgid), 0);
}

int collector__drain(struct collector *c, collector_sample_fn fn, void *ctx)
{
	struct epoll_event event;
	int cnt;

	/* So that what comes from here on wakes again. */
	epoll_wait(c->wake_fd, &event, 1, 0);
	c->fn = fn;
	c->ctx = ctx;
	c->fn_result = 0;
	c->drained_bytes = 0;
	cnt = ring_buffer__consume(c->ring);
	return cnt < 0 && cnt != -EAGAIN ? cnt : c->fn_result;
}

int event_counters__sum(const struct cprofd_bpf *skel, enum event_kind kind,
			struct event_counters *ret)
{
	int cpus_cnt = libbpf_num_possible_cpus(), cpu, i, err;
	_cleanup_free_ struct event_counters *per_cpu = NULL;
	const uint32_t key = kind;

	*ret = (struct event_counters){ 0 };
	if (cpus_cnt < 0)
		return cpus_cnt;
	per_cpu = calloc((size_t)cpus_cnt, sizeof(*per_cpu));
	if (!per_cpu)
		return -ENOMEM;
	err = bpf_map__lookup_elem(skel->maps.event_counters, &key, sizeof(key), per_cpu,
				   (size_t)cpus_cnt * sizeof(*per_cpu), 0);
	for (cpu = 0; !err && cpu < cpus_cnt; cpu++)
		for (i = 0; i < COUNTER_CNT; i++)
			ret->value[i] += per_cpu[cpu].value[i];
	return err;
}

int collector__counters(struct collector *c, const struct probe *probe, struct probe_counters *ret)
{
	const struct attached_probe *a = find_probe(c, probe);
	int err;

	*ret = (struct probe_counters){
		.consumed = a->consumed,
		.bad_records = a->bad_records,
		.stacks_consumed = a->stacks_consumed,
		.stacks_bad_records = a->stacks_bad_records,
	};
	err = probe->ops->counters
		      ? probe->ops->counters(a->state, &ret->kernel)
		      : event_counters__sum(c->skel, probe->ops->counted_kind, &ret->kernel);
	if (!err && probe->ops->stacks_kind)
		err = event_counters__sum(c->skel, probe->ops->stacks_kind, &ret->stacks);
	return err;
}

uint64_t collector__follow_failed(const struct collector *c)
{
	return c->skel->bss->follow_failed;
}
