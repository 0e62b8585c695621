/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_kernel.h.
 */
#include "collect/heap_kernel.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "collect/heap_link.h"
#include "collect/heap_own.h"

#define PERF_TYPE_PATH "/sys/bus/event_source/devices/uprobe/type"
#define TYPE_MAX_BYTES 64
#define KEY_SLOT       (-4) /* of the stack of a program */

/* Counts its runs in the first value of the map; returns 0. */
static int load_counting(int map_fd, int attach_type)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = 10, .off = KEY_SLOT },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = KEY_SLOT },
		{ .code = BPF_LD | BPF_IMM | BPF_DW,
		  .dst_reg = 1,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = map_fd },
		{ 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .off = 2 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 1, .imm = 1 },
		{ .code = BPF_STX | BPF_ATOMIC | BPF_DW, .src_reg = 1, .imm = BPF_ADD },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts,
		    .expected_attach_type = (enum bpf_attach_type)attach_type);

	return bpf_prog_load(BPF_PROG_TYPE_KPROBE, "cprof_feature", "GPL", insns, ARRAY_SIZE(insns),
			     &opts);
}

/* A link to a directory is refused: with EBADF by a kernel that knows such links, else otherwise.
 */
static bool knows_link(int map_fd, enum heap_link_how how, int attach_type)
{
	_cleanup_close_ int prog_fd = load_counting(map_fd, attach_type);
	const struct heap_link_site site = { 0 };
	_cleanup_close_ int link_fd = prog_fd < 0 ? -EINVAL
						  : heap_link__create_multi(
							    &(struct heap_link_request){
								    .how = how,
								    .prog_fd = prog_fd,
								    .sites = &site,
								    .sites_cnt = 1,
							    },
							    "/");

	return link_fd == -EBADF;
}

static void *call_own(void *data)
{
	heap_own_alloc(0);
	return NULL;
}

/*
 * Whether a link to a process sees its threads. Until 6.10 (46ba0e49b642) programs ran for the
 * thread only that was looked up when the link was made: the leader. -errno: not found out.
 */
static int sees_threads(int map_fd)
{
	_cleanup_close_ int prog_fd = load_counting(map_fd, ATTACH_TRACE_UPROBE_MULTI);
	_cleanup_close_ int file_fd = heap_own__open(), link_fd = -1;
	int64_t offset = heap_own__offset((uintptr_t)heap_own_alloc);
	struct heap_link_site site = { .offset = (uint64_t)offset };
	uint32_t zero = 0;
	uint64_t hits = 0;
	pthread_t thread;
	int err;

	if (prog_fd < 0 || file_fd < 0 || offset < 0)
		return -ENOENT;
	link_fd = heap_link__create_multi(
		&(struct heap_link_request){
			.how = HEAP_LINK_ENTRY,
			.prog_fd = prog_fd,
			.pid = getpid(),
			.sites = &site,
			.sites_cnt = 1,
		},
		"/proc/self/exe");
	if (link_fd < 0)
		return link_fd;
	err = pthread_create(&thread, NULL, call_own, NULL);
	if (err)
		return -err;
	pthread_join(thread, NULL);
	err = bpf_map_lookup_elem(map_fd, &zero, &hits);
	return err ?: hits > 0;
}

int heap_kernel__perf_type(void)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	int err = file__read(PERF_TYPE_PATH, TYPE_MAX_BYTES, &text);

	if (err)
		return err;
	return text.len ? atoi(text.data) : -ENOENT;
}

void heap_kernel__probe(struct heap_kernel *ret)
{
	_cleanup_close_ int map_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "cprof_feature",
						    sizeof(uint32_t), sizeof(uint64_t), 1, NULL);

	*ret = (struct heap_kernel){ .perf_type = heap_kernel__perf_type() };
	if (map_fd < 0) {
		ret->err = map_fd;
		return;
	}
	ret->has_multi = knows_link(map_fd, HEAP_LINK_ENTRY, ATTACH_TRACE_UPROBE_MULTI);
	ret->has_session = ret->has_multi &&
			   knows_link(map_fd, HEAP_LINK_SESSION, ATTACH_TRACE_UPROBE_SESSION);
	/* Where there are sessions the filter is right, and the test would take its time. */
	ret->misses_threads = ret->has_multi && !ret->has_session && sees_threads(map_fd) != 1;
	ret->is_multi_usable = ret->has_multi && !ret->misses_threads;
	ret->has_cookie =
		ret->has_multi || libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE,
							  BPF_FUNC_get_attach_cookie, NULL) == 1;
}
