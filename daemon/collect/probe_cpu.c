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

	if (!state)
		return;
	for (i = 0; i < state->events_cnt; i++)
		close_tick(&state->events[i]);
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
			detach(state);
			return err;
		}
	}
	*ret_state = state;
	return 0;
}

static void configure(struct cprofd_bpf *skel, const struct collector_config *config)
{
	bpf_program__set_autoload(skel->progs.cpu_tick, true);
}

static void decode_header(const struct stack_event_header *h, struct sample *ret)
{
	*ret = (struct sample){
		.probe = &probe_cpu,
		.time_ns = h->time_ns,
		.start_ns = h->start_ns,
		.exec_id = h->exec_id,
		.pid = (pid_t)h->tgid,
		.tid = (pid_t)h->tid,
		.cpu = h->cpu,
		.outcome = h->outcome,
		.kernel_cnt = h->kernel_frames_cnt,
		.user_cnt = h->user_frames_cnt,
	};
	memcpy(ret->comm, h->comm, sizeof(ret->comm) - 1);
	memcpy(ret->leader_comm, h->leader_comm, sizeof(ret->leader_comm) - 1);
}

static int decode_walked(const void *record, struct sample *ret)
{
	const struct stack_event *ev = record;
	size_t frames_cnt = (size_t)ev->header.kernel_frames_cnt + ev->header.user_frames_cnt;

	if (ev->header.size != STACK_EVENT_HEADER_BYTES + frames_cnt * sizeof(ev->frames[0]) ||
	    ev->header.outcome == UNWIND_COLD)
		return -EBADMSG;
	decode_header(&ev->header, ret);
	ret->kernel = (const uint64_t *)ev->frames;
	ret->user = ret->kernel + ret->kernel_cnt;
	return 0;
}

static int decode_cold(const void *record, size_t size, struct sample *ret)
{
	const struct cold_event *ev = record;

	if (size < offsetof(struct cold_event, stack) || ev->stack_bytes > COLD_STACK_BYTES ||
	    ev->header.size != offsetof(struct cold_event, stack) + ev->stack_bytes ||
	    ev->skipped_bytes > COLD_SKIPPED_MAX * COLD_CHUNK_BYTES ||
	    ev->header.kernel_frames_cnt > MAX_KERNEL_FRAMES || ev->header.user_frames_cnt ||
	    ev->header.outcome != UNWIND_COLD)
		return -EBADMSG;
	decode_header(&ev->header, ret);
	ret->kernel = (const uint64_t *)ev->kernel_frames;
	ret->regs = (const uint64_t *)ev->regs;
	ret->stack = ev->stack;
	ret->stack_bytes = ev->stack_bytes;
	ret->skipped_bytes = ev->skipped_bytes;
	return 0;
}

static int decode(const void *record, size_t size, struct sample *ret)
{
	const struct stack_event_header *h = record;

	if (size < sizeof(*h) || h->size > size || h->outcome >= UNWIND_OUTCOME_CNT)
		return -EBADMSG;
	return h->kind == EVENT_CPU_COLD ? decode_cold(record, size, ret)
					 : decode_walked(record, ret);
}

static const struct probe_ops cpu_ops = {
	.event_kind = EVENT_CPU,
	.cold_event_kind = EVENT_CPU_COLD,
	.configure = configure,
	.attach = attach,
	.detach = detach,
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
