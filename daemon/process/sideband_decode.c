/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walks a perf ring and decodes its records; see sideband_decode.h. Layouts are those of
 * perf_event_open(2).
 */
#include "process/sideband_decode.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

struct fork_record {
	struct perf_event_header header;
	uint32_t pid, ppid, tid, ptid;
	uint64_t time_ns;
};

struct comm_record {
	struct perf_event_header header;
	uint32_t pid, tid;
	char comm[];
};

struct lost_record {
	struct perf_event_header header;
	uint64_t id, lost;
};

struct mmap2_record {
	struct perf_event_header header;
	uint32_t pid, tid;
	uint64_t addr, len, pgoff;
	union {
		struct {
			uint32_t maj, min;
			uint64_t ino, ino_generation;
		};
		struct {
			uint8_t build_id_size, reserved[3];
			uint8_t build_id[20];
		};
	};
	uint32_t prot, flags;
	char filename[];
};

_Static_assert(sizeof(struct fork_record) == 32, "perf ABI");
_Static_assert(sizeof(struct comm_record) == 16, "perf ABI");
_Static_assert(sizeof(struct lost_record) == 24, "perf ABI");
_Static_assert(sizeof(struct mmap2_record) == 72, "perf ABI");
_Static_assert(sizeof(struct sideband_trailer) == 24, "perf ABI");

/* Not in the headers of kernels before 5.12. */
#ifndef PERF_RECORD_MISC_MMAP_BUILD_ID
#define PERF_RECORD_MISC_MMAP_BUILD_ID (1 << 14)
#endif

static void copy_out(const uint8_t *ring, uint64_t size, uint64_t at, void *to, size_t len)
{
	uint64_t offset = at & (size - 1);
	size_t first = len < size - offset ? len : (size_t)(size - offset);

	memcpy(to, ring + offset, first);
	memcpy((uint8_t *)to + first, ring, len - first);
}

const struct perf_event_header *sideband__next_record(const uint8_t *ring, uint64_t size,
						      uint64_t *tail, uint64_t head,
						      uint8_t *scratch, bool *ret_lying)
{
	uint64_t at = *tail, left = head - at;
	struct perf_event_header header;

	if (left == 0)
		return NULL;
	if (left > size || left < sizeof(header))
		goto lying;
	copy_out(ring, size, at, &header, sizeof(header));
	if (header.size < sizeof(header) || header.size > left || header.size % 8)
		goto lying;
	*tail = at + header.size;
	if ((at & (size - 1)) + header.size <= size)
		return (const struct perf_event_header *)(ring + (at & (size - 1)));
	copy_out(ring, size, at, scratch, header.size);
	return (const struct perf_event_header *)scratch;
lying:
	*tail = head;
	*ret_lying = true;
	return NULL;
}

/* Length of the string that starts at s and must end before 'end'. -EBADMSG without its NUL. */
static int string_len(const char *s, const void *end, size_t *ret)
{
	const char *nul =
		(const char *)end > s ? memchr(s, '\0', (size_t)((const char *)end - s)) : NULL;

	if (!nul)
		return -EBADMSG;
	*ret = (size_t)(nul - s);
	return 0;
}

static int decode_task(const struct perf_event_header *header, size_t body, bool is_fork,
		       struct process_event *ret)
{
	const struct fork_record *r = (const struct fork_record *)header;

	if (body < sizeof(*r))
		return -EBADMSG;
	ret->kind = is_fork ? PROCESS_EVENT_FORK : PROCESS_EVENT_EXIT;
	ret->pid = (pid_t)r->pid;
	ret->tid = (pid_t)r->tid;
	ret->ppid = (pid_t)r->ppid;
	return 1;
}

static int decode_comm(const struct perf_event_header *header, const void *end,
		       struct process_event *ret)
{
	const struct comm_record *r = (const struct comm_record *)header;
	size_t len;

	if ((const uint8_t *)end < (const uint8_t *)r->comm || string_len(r->comm, end, &len) < 0)
		return -EBADMSG;
	if (len > PROCESS_COMM_LEN - 1)
		len = PROCESS_COMM_LEN - 1;
	ret->kind =
		header->misc & PERF_RECORD_MISC_COMM_EXEC ? PROCESS_EVENT_EXEC : PROCESS_EVENT_COMM;
	ret->pid = (pid_t)r->pid;
	ret->tid = (pid_t)r->tid;
	memcpy(ret->comm, r->comm, len);
	return 1;
}

/*
 * The misc bit alone does not tell the form: the kernel sets it for one listener's event and leaves
 * it set in what the other listeners of the host get of the same mapping. An event that did not ask
 * for build-ids never has them.
 */
static int decode_mmap2(const struct perf_event_header *header, const void *end, bool build_id_only,
			struct process_event *ret)
{
	const struct mmap2_record *r = (const struct mmap2_record *)header;
	bool has_build_id = build_id_only && header->misc & PERF_RECORD_MISC_MMAP_BUILD_ID;
	size_t len;

	if ((const uint8_t *)end < (const uint8_t *)r->filename ||
	    string_len(r->filename, end, &len) < 0 || r->len == 0 || r->addr > UINT64_MAX - r->len)
		return -EBADMSG;
	if (!(r->prot & PROT_EXEC) || (build_id_only && !has_build_id))
		return 0;
	if (has_build_id && (r->build_id_size == 0 || r->build_id_size > sizeof(r->build_id)))
		return -EBADMSG;
	ret->kind = PROCESS_EVENT_MMAP;
	ret->pid = (pid_t)r->pid;
	ret->tid = (pid_t)r->tid;
	ret->start = r->addr;
	ret->end = r->addr + r->len;
	ret->offset = r->pgoff;
	if (has_build_id) {
		memcpy(ret->build_id, r->build_id, r->build_id_size);
		ret->build_id_len = r->build_id_size;
	} else {
		ret->dev_major = r->maj;
		ret->dev_minor = r->min;
		ret->inode = r->ino;
		ret->inode_generation = r->ino_generation;
	}
	ret->path = strndup(r->filename, len < PATH_MAX ? len : PATH_MAX);
	return ret->path ? 1 : -ENOMEM;
}

static int decode_lost(const struct perf_event_header *header, size_t body,
		       struct process_event *ret)
{
	const struct lost_record *r = (const struct lost_record *)header;

	if (body < sizeof(*r))
		return -EBADMSG;
	ret->kind = PROCESS_EVENT_LOST;
	ret->lost = r->lost;
	return 1;
}

int sideband__decode(const struct perf_event_header *header, uint64_t build_id_event,
		     struct process_event *ret)
{
	struct process_event ev = { 0 };
	struct sideband_trailer trailer;
	const uint8_t *end;
	size_t body;
	bool repeats;
	int n;

	if (header->size < sizeof(*header) + sizeof(trailer))
		return -EBADMSG;
	body = header->size - sizeof(trailer);
	end = (const uint8_t *)header + body;
	memcpy(&trailer, end, sizeof(trailer));
	repeats = build_id_event && trailer.event_id == build_id_event;
	if (repeats && header->type != PERF_RECORD_MMAP2 && header->type != PERF_RECORD_LOST)
		return 0;
	switch (header->type) {
	case PERF_RECORD_FORK:
	case PERF_RECORD_EXIT:
		n = decode_task(header, body, header->type == PERF_RECORD_FORK, &ev);
		break;
	case PERF_RECORD_COMM:
		n = decode_comm(header, end, &ev);
		break;
	case PERF_RECORD_MMAP2:
		n = decode_mmap2(header, end, repeats, &ev);
		break;
	case PERF_RECORD_LOST:
		n = decode_lost(header, body, &ev);
		break;
	default:
		n = 0;
	}
	if (n <= 0)
		return n;
	ev.time_ns = trailer.time_ns;
	*ret = ev;
	return 1;
}
