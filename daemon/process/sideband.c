/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the perf events and rings behind the side-band; see sideband.h. Decoding is in
 * sideband_decode.c.
 */
#include "process/sideband.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/array.h"
#include "process/sideband_decode.h"

/* A fork, exec and exit of a small dynamic program is 1.3 KB of records. With its one page for the
 * header this is what perf_event_mlock_kb allows an unprivileged user per CPU. */
#define RING_BYTES_MAX   (512U << 10)
#define RING_BYTES_MIN   (64U << 10)
#define RINGS_BYTES_GOAL (16U << 20)

struct ring {
	int cpu;
	int fd;          /* what happens; owns the ring */
	int build_id_fd; /* mappings again, with their build-id; -1 without */
	uint64_t build_id_event;
	void *base;
};

struct sideband {
	struct ring *rings;
	size_t cnt, cap;
	size_t page_bytes, ring_bytes;
	bool no_build_id;
	uint8_t *scratch;
	struct sideband_stats stats;
};

static int open_event(int cpu, bool build_id)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = SIDEBAND_SAMPLE_TYPE,
		.sample_id_all = 1,
		.disabled = 1,
		.mmap = 1,
		.mmap2 = 1,
		.build_id = build_id,
		.comm = !build_id,
		.comm_exec = !build_id,
		.task = !build_id,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
	};
	long fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : (int)fd;
}

static void close_ring(struct sideband *s, struct ring *r)
{
	if (r->build_id_fd >= 0)
		close(r->build_id_fd);
	if (r->base)
		munmap(r->base, s->page_bytes + s->ring_bytes);
	if (r->fd >= 0)
		close(r->fd);
}

/* The kernel tells newer events first: opened before the main one, this one repeats what the table
 * knows already. Its absence costs build-ids, nothing else. */
static void open_build_id_event(struct sideband *s, struct ring *r)
{
	if (s->no_build_id)
		return;
	r->build_id_fd = open_event(r->cpu, true);
	if (r->build_id_fd == -EINVAL)
		s->no_build_id = true;
	if (r->build_id_fd >= 0 &&
	    ioctl(r->build_id_fd, PERF_EVENT_IOC_ID, &r->build_id_event) < 0) {
		close(r->build_id_fd);
		r->build_id_fd = -1;
	}
}

static int open_ring(struct sideband *s, struct ring *r)
{
	void *base;

	open_build_id_event(s, r);
	r->fd = open_event(r->cpu, false);
	if (r->fd < 0)
		return r->fd;
	base = mmap(NULL, s->page_bytes + s->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
		    0);
	if (base == MAP_FAILED)
		return -errno;
	r->base = base;
	if (ioctl(r->fd, PERF_EVENT_IOC_ENABLE, 0) < 0)
		return -errno;
	if (r->build_id_fd >= 0 && (ioctl(r->build_id_fd, PERF_EVENT_IOC_SET_OUTPUT, r->fd) < 0 ||
				    ioctl(r->build_id_fd, PERF_EVENT_IOC_ENABLE, 0) < 0)) {
		close(r->build_id_fd);
		r->build_id_fd = -1;
	}
	return 0;
}

static struct ring *find_ring(struct sideband *s, int cpu)
{
	for (size_t i = 0; i < s->cnt; i++)
		if (s->rings[i].cpu == cpu)
			return &s->rings[i];
	return NULL;
}

int sideband__add_cpu(struct sideband *s, int cpu)
{
	struct ring r = { .cpu = cpu, .fd = -1, .build_id_fd = -1 };
	int err;

	if (find_ring(s, cpu))
		return -EEXIST;
	if (array__reserve(s->rings, s->cap, s->cnt + 1) < 0)
		return -ENOMEM;
	err = open_ring(s, &r);
	if (err) {
		close_ring(s, &r);
		return err;
	}
	s->rings[s->cnt++] = r;
	return 0;
}

int sideband__remove_cpu(struct sideband *s, int cpu)
{
	struct ring *r = find_ring(s, cpu);

	if (!r)
		return -ENOENT;
	close_ring(s, r);
	*r = s->rings[--s->cnt];
	return 0;
}

static size_t choose_ring_bytes(size_t cpus_cnt)
{
	size_t bytes = RING_BYTES_MAX;

	while (bytes > RING_BYTES_MIN && bytes * cpus_cnt > RINGS_BYTES_GOAL)
		bytes /= 2;
	return bytes;
}

static void close_rings(struct sideband *s)
{
	while (s->cnt > 0)
		close_ring(s, &s->rings[--s->cnt]);
}

static int open_rings(struct sideband *s, const int *cpus, size_t cpus_cnt)
{
	int err;

	for (size_t i = 0; i < cpus_cnt; i++) {
		err = sideband__add_cpu(s, cpus[i]);
		if (err) {
			close_rings(s);
			return err;
		}
	}
	return 0;
}

static struct sideband *new_sideband(size_t cpus_cnt)
{
	struct sideband *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	s->ring_bytes = choose_ring_bytes(cpus_cnt);
	s->scratch = malloc(SIDEBAND_RECORD_MAX);
	if (!s->scratch) {
		sideband__free(s);
		return NULL;
	}
	return s;
}

int sideband__open(struct sideband **ret, const int *cpus, size_t cpus_cnt)
{
	_cleanup_(sideband__freep) struct sideband *s = new_sideband(cpus_cnt);
	int err;

	if (!s)
		return -ENOMEM;
	err = open_rings(s, cpus, cpus_cnt);
	/* EPERM of mmap: without CAP_IPC_LOCK, and others have used up what may be locked. */
	while (err == -EPERM && s->ring_bytes > RING_BYTES_MIN) {
		s->ring_bytes /= 2;
		err = open_rings(s, cpus, cpus_cnt);
	}
	if (err)
		return err;
	*ret = take_ptr(s);
	return 0;
}

void sideband__free(struct sideband *s)
{
	if (!s)
		return;
	close_rings(s);
	free(s->rings);
	free(s->scratch);
	free(s);
}

static int handle_record(struct sideband *s, const struct ring *r,
			 const struct perf_event_header *header, sideband_event_fn fn, void *ctx)
{
	struct process_event ev;
	int n;

	n = sideband__decode(header, r->build_id_fd >= 0 ? r->build_id_event : 0, &ev);
	if (n == -EBADMSG) {
		s->stats.malformed++;
		return 0;
	}
	if (n <= 0)
		return n;
	s->stats.records++;
	if (ev.kind == PROCESS_EVENT_LOST)
		s->stats.lost += ev.lost;
	n = fn(&ev, ctx);
	free(ev.path);
	return n;
}

/* Only what is there on entry: who writes faster than we read does not keep us here. */
static int read_ring(struct sideband *s, const struct ring *r, sideband_event_fn fn, void *ctx)
{
	struct perf_event_mmap_page *page = r->base;
	const uint8_t *data = (const uint8_t *)r->base + s->page_bytes;
	uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = page->data_tail;
	const struct perf_event_header *header;
	bool lying = false;
	int err = 0;

	while (!err && (header = sideband__next_record(data, s->ring_bytes, &tail, head, s->scratch,
						       &lying)))
		err = handle_record(s, r, header, fn, ctx);
	if (lying)
		s->stats.malformed++;
	__atomic_store_n(&page->data_tail, tail, __ATOMIC_RELEASE);
	return err;
}

int sideband__read(struct sideband *s, sideband_event_fn fn, void *ctx)
{
	int err;

	for (size_t i = 0; i < s->cnt; i++) {
		err = read_ring(s, &s->rings[i], fn, ctx);
		if (err)
			return err;
	}
	return 0;
}

void sideband__stats(const struct sideband *s, struct sideband_stats *ret)
{
	*ret = s->stats;
}
