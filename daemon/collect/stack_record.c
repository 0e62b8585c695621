/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records of stacks, of whatever kind: the one decoder of struct stack_event and struct cold_event.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include "collect/probe_ops.h"

static void decode_header(const struct stack_event_header *h, struct sample *ret)
{
	*ret = (struct sample){
		.probe = ret->probe,
		.stack_id = h->stack_id,
		.thread_start_ns = h->thread_start_ns,
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

int stack_record__decode(const void *record, size_t size, bool is_cold, struct sample *ret)
{
	const struct stack_event_header *h = record;

	if (size < sizeof(*h) || h->size > size || h->outcome >= UNWIND_OUTCOME_CNT)
		return -EBADMSG;
	return is_cold ? decode_cold(record, size, ret) : decode_walked(record, ret);
}
