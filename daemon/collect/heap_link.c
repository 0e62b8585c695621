/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_link.h.
 */
#include "collect/heap_link.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "base/array.h"
#include "base/cleanup.h"

/* uapi of 6.6; the headers built against may be older. */
struct uprobe_multi_attr {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t cnt, uprobe_multi_flags, pid, padding;
};

#define UPROBE_MULTI_RETURN 1

/* perf_event_attr.config of a uprobe: /sys/bus/event_source/devices/uprobe/format */
#define PERF_UPROBE_RETURN          1
#define PERF_UPROBE_SEMAPHORE_SHIFT 32

#define PATH_BYTES      32
#define CLOSERS_MAX     16
#define COOKIE_KEY_SLOT (-4) /* of the stack of a program */

int heap_link__create_multi(const struct heap_link_request *request, const char *path)
{
	bool is_session = request->how == HEAP_LINK_SESSION;
	const size_t cnt = request->sites_cnt;
	_cleanup_free_ uint64_t *values = calloc(3 * cnt, sizeof(*values));
	struct uprobe_multi_attr attr = {
		.prog_fd = (uint32_t)request->prog_fd,
		.attach_type = is_session ? ATTACH_TRACE_UPROBE_SESSION : ATTACH_TRACE_UPROBE_MULTI,
		.path = (uintptr_t)path,
		.cnt = (uint32_t)cnt,
		.uprobe_multi_flags = request->how == HEAP_LINK_RETURN ? UPROBE_MULTI_RETURN : 0,
		.pid = (uint32_t)request->pid,
	};
	int fd;

	if (!values)
		return -ENOMEM;
	attr.offsets = (uintptr_t)values;
	attr.ref_ctr_offsets = (uintptr_t)(values + cnt);
	attr.cookies = (uintptr_t)(values + 2 * cnt);
	for (size_t i = 0; i < cnt; i++) {
		values[i] = request->sites[i].offset;
		values[cnt + i] = request->sites[i].semaphore_offset;
		values[2 * cnt + i] = request->sites[i].cookie;
	}
	fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}

static int open_event(const struct heap_linker *linker, const struct heap_link_request *request,
		      const struct heap_link_site *site, const char *path)
{
	struct perf_event_attr attr = {
		.type = (uint32_t)linker->perf_type,
		.size = sizeof(attr),
		.config = site->semaphore_offset << PERF_UPROBE_SEMAPHORE_SHIFT |
			  (request->how == HEAP_LINK_RETURN ? PERF_UPROBE_RETURN : 0),
		.config1 = (uintptr_t)path,
		.config2 = site->offset,
	};
	bool is_everywhere = request->pid == 0;
	int fd;

	if (site->semaphore_offset > UINT32_MAX)
		return -ERANGE;
	/* Of all processes it fires on all CPUs, whichever is named. */
	fd = (int)syscall(SYS_perf_event_open, &attr, is_everywhere ? -1 : request->pid,
			  is_everywhere ? 0 : -1, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A program that leaves the cookie and goes on to ours: links had none before 5.15. */
static int load_cookie_bearer(const struct heap_linker *linker, uint64_t cookie)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1 },
		{ .code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = 10, .off = COOKIE_KEY_SLOT },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = COOKIE_KEY_SLOT },
		{ .code = BPF_LD | BPF_IMM | BPF_DW,
		  .dst_reg = 1,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = linker->cookie_fd },
		{ 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .off = 8 },
		{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .imm = (int32_t)cookie },
		{ .imm = (int32_t)(cookie >> 32) },
		{ .code = BPF_STX | BPF_MEM | BPF_DW, .src_reg = 1 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 6 },
		{ .code = BPF_LD | BPF_IMM | BPF_DW,
		  .dst_reg = 2,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = linker->entry_programs_fd },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_tail_call },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_KPROBE, "cprof_heap_site", "GPL", insns,
			     ARRAY_SIZE(insns), NULL);
}

/* Returns the descriptor that holds the probe, or -errno. */
static int attach_event(const struct heap_linker *linker, const struct heap_link_request *request,
			const struct heap_link_site *site, const char *path)
{
	_cleanup_close_ int event_fd = open_event(linker, request, site, path), bearer_fd = -1;
	LIBBPF_OPTS(bpf_link_create_opts, opts, .perf_event.bpf_cookie = site->cookie);
	int link_fd, prog_fd = request->prog_fd;

	if (event_fd < 0)
		return event_fd;
	if (linker->has_cookie) {
		if (ioctl(event_fd, PERF_EVENT_IOC_ENABLE, 0) < 0)
			return -errno;
		link_fd = bpf_link_create(prog_fd, event_fd, BPF_PERF_EVENT, &opts);
		return link_fd; /* keeps the event */
	}
	if (request->how == HEAP_LINK_ENTRY) {
		bearer_fd = load_cookie_bearer(linker, site->cookie);
		if (bearer_fd < 0)
			return bearer_fd;
		prog_fd = bearer_fd;
	}
	if (ioctl(event_fd, PERF_EVENT_IOC_SET_BPF, prog_fd) < 0 ||
	    ioctl(event_fd, PERF_EVENT_IOC_ENABLE, 0) < 0)
		return -errno;
	return take_fd(&event_fd);
}

static int add_events(struct heap_links *l, const struct heap_linker *linker,
		      const struct heap_link_request *request, const char *path)
{
	_cleanup_(heap_links__close) struct heap_links added = { 0 };
	int fd, err;

	for (size_t i = 0; i < request->sites_cnt; i++) {
		err = array__reserve(added.fds, added.cap, added.cnt + 1);
		if (err)
			return err;
		fd = attach_event(linker, request, &request->sites[i], path);
		if (fd < 0)
			return fd;
		added.fds[added.cnt++] = fd;
	}
	return heap_links__move(l, &added);
}

int heap_links__add(struct heap_links *l, const struct heap_linker *linker,
		    const struct heap_link_request *request)
{
	char path[PATH_BYTES];
	int fd, err;

	if (!request->sites_cnt)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", request->file_fd);
	if (!linker->has_multi)
		return add_events(l, linker, request, path);
	err = array__reserve(l->fds, l->cap, l->cnt + 1);
	if (err)
		return err;
	fd = heap_link__create_multi(request, path);
	if (fd < 0)
		return fd;
	l->fds[l->cnt++] = fd;
	return 0;
}

int heap_links__move(struct heap_links *l, struct heap_links *from)
{
	int err = array__reserve(l->fds, l->cap, l->cnt + from->cnt);

	if (err)
		return err;
	for (size_t i = 0; i < from->cnt; i++)
		l->fds[l->cnt++] = from->fds[i];
	free(from->fds);
	*from = (struct heap_links){ 0 };
	return 0;
}

struct closing {
	const struct heap_links *links;
	atomic_size_t next;
};

static void *close_links(void *data)
{
	struct closing *c = data;
	size_t i;

	while ((i = atomic_fetch_add(&c->next, 1)) < c->links->cnt)
		close(c->links->fds[i]);
	return NULL;
}

/* Each close waits for a grace period of RCU, tens of milliseconds: all wait for the same one. */
void heap_links__close(struct heap_links *l)
{
	struct closing c = { .links = l };
	pthread_t threads[CLOSERS_MAX];
	size_t threads_cnt = 0;

	while (threads_cnt + 1 < l->cnt && threads_cnt < CLOSERS_MAX &&
	       !pthread_create(&threads[threads_cnt], NULL, close_links, &c))
		threads_cnt++;
	close_links(&c);
	while (threads_cnt)
		pthread_join(threads[--threads_cnt], NULL);
	free(l->fds);
	*l = (struct heap_links){ 0 };
}
