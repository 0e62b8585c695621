/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPU samples: one perf CPU-clock event per CPU, at whose every period bpf/cpu.bpf.c runs.
 */
#include <errno.h>
#include <stddef.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <bpf/libbpf.h>
#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "collect/probe_ops.h"
#include "cprofd.skel.h"

struct cpu_tick_event {
	int cpu;
	int fd;
};

struct cpu_state {
	int prog_fd;
	uint64_t period_ns;
	struct cpu_tick_event *events;
	size_t events_cnt, events_cap;
};

/* A period instead of a rate: rates are held against kernel.perf_event_max_sample_rate, and for
 * this clock the kernel turns them into the same fixed period anyway. */
static int open_tick(const struct cpu_state *state, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = state->period_ns,
		.disabled = 1,
	};
	_cleanup_close_ int fd = -1;

	fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* By ioctl, not by bpf_link: 5.10 has no perf_event link. The program goes with the event.
	 */
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, state->prog_fd) < 0)
		return -errno;
	if (ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) < 0)
		return -errno;
	return take_fd(&fd);
}

static int add_cpu(void *data, int cpu)
{
	struct cpu_state *state = data;
	int err, fd;

	err = array__reserve(state->events, state->events_cap, state->events_cnt + 1);
	if (err)
		return err;
	fd = open_tick(state, cpu);
	if (fd < 0)
		return fd;
	state->events[state->events_cnt++] = (struct cpu_tick_event){ .cpu = cpu, .fd = fd };
	return 0;
}

/* Disabling is a call to the event's CPU: when it returns the program does not run there. */
static void close_tick(struct cpu_tick_event *event)
{
	ioctl(event->fd, PERF_EVENT_IOC_DISABLE, 0);
	close(event->fd);
}

static void remove_cpu(void *data, int cpu)
{
	struct cpu_state *state = data;
	size_t i;

	for (i = 0; i < state->events_cnt; i++) {
		if (state->events[i].cpu != cpu)
			continue;
		close_tick(&state->events[i]);
		state->events[i] = state->events[--state->events_cnt];
		return;
	}
}

static void detach(void *data)
{
	struct cpu_state *state = data;
	size_t i;

	for (i = 0; i < state->events_cnt; i++)
		close_tick(&state->events[i]);
	state->events_cnt = 0;
}

static void free_state(void *data)
{
	struct cpu_state *state = data;

	if (!state)
		return;
	detach(state);
	free(state->events);
	free(state);
}

static int attach(struct cprofd_bpf *skel, const struct collector_config *config, void **ret_state)
{
	struct cpu_state *state = calloc(1, sizeof(*state));
	size_t i;
	int err;

	if (!state)
		return -ENOMEM;
	state->prog_fd = bpf_program__fd(skel->progs.cpu_tick);
	state->period_ns = NSEC_PER_SEC / config->freq_hz;
	for (i = 0; i < config->cpus_cnt; i++) {
		err = add_cpu(state, config->cpus[i]);
		if (err == -ENODEV) {
			log_debug("cpu %d went offline before its clock was opened",
				  config->cpus[i]);
			continue;
		}
		if (err) {
			free_state(state);
			return err;
		}
	}
	*ret_state = state;
	return 0;
}

static int configure(struct cprofd_bpf *skel, const struct collector_config *config, bool is_wanted)
{
	bpf_program__set_autoload(skel->progs.cpu_tick, is_wanted);
	return 0;
}

static int decode(void *state, const void *record, size_t size, struct sample *ret)
{
	const struct stack_event_header *h = record;

	ret->probe = &probe_cpu;
	return stack_record__decode(record, size, h->kind == EVENT_CPU_COLD, ret);
}

static const struct probe_ops cpu_ops = {
	.counted_kind = EVENT_CPU,
	.records = { { EVENT_CPU, RECORD_COUNTED }, { EVENT_CPU_COLD, RECORD_COUNTED } },
	.records_cnt = 2,
	.configure = configure,
	.attach = attach,
	.detach = detach,
	.free = free_state,
	.add_cpu = add_cpu,
	.remove_cpu = remove_cpu,
	.decode = decode,
};

const struct probe probe_cpu = {
	.name = "cpu",
	.help = "where CPU time goes: samples of the user and kernel stacks that run",
	.sample_types = { { "samples", "count" }, { "cpu", "nanoseconds" } },
	.sample_types_cnt = 2,
	.default_type = 1,
	.period_type = { "cpu", "nanoseconds" },
	.ops = &cpu_ops,
};
