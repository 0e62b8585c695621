/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One exchange with the worker, under a deadline, and the check of what it answered. The worker has
 * parsed hostile bytes before it wrote: every count, index and offset is checked here, once, so
 * that nobody behind has to.
 */
#include "worker/worker_internal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "base/clock.h"

/* Waits until the socket is ready or the deadline passes. Returns 0 or -errno. */
static int wait_ready(int fd, short events, uint64_t deadline_ns)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		uint64_t now = clock__mono_ns();
		int n;

		if (now >= deadline_ns)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)((deadline_ns - now) / 1000000) + 1);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static int channel_error(int err)
{
	return err == EPIPE ? -ECONNRESET : -err;
}

static int receive_bytes(int fd, void *data, size_t len, uint64_t deadline_ns)
{
	char *p = data;

	while (len) {
		ssize_t n = recv(fd, p, len, MSG_DONTWAIT);

		if (n == 0)
			return -ECONNRESET;
		if (n < 0) {
			int err;

			if (errno == EINTR)
				continue;
			if (errno != EAGAIN)
				return channel_error(errno);
			err = wait_ready(fd, POLLIN, deadline_ns);
			if (err)
				return err;
			continue;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The descriptors go with the first byte, so they are attached until something was sent. */
static int send_request(int socket_fd, const struct wire_request *request,
			const struct worker_question *question, uint64_t deadline_ns)
{
	const int fds[2] = { question->fd, question->rows_fd };
	const size_t fds_bytes = request->kind == WIRE_ROWS ? sizeof(fds) : sizeof(fds[0]);
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(fds))];
	} control = { .bytes = { 0 } };
	const uint64_t *addresses = question->addresses;
	const size_t addresses_bytes = request->addresses_cnt * sizeof(*addresses);
	const size_t total = sizeof(*request) + addresses_bytes;
	struct cmsghdr *c = &control.align;
	size_t sent = 0;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(fds_bytes);
	memcpy(CMSG_DATA(c), fds, fds_bytes);
	while (sent < total) {
		size_t skip = sent < sizeof(*request) ? 0 : sent - sizeof(*request);
		struct iovec iov[2] = {
			{ (char *)(uintptr_t)request + sent, sizeof(*request) - sent },
			{ (char *)(uintptr_t)addresses + skip, addresses_bytes - skip },
		};
		bool header_left = sent < sizeof(*request);
		struct msghdr msg = {
			.msg_iov = header_left ? iov : iov + 1,
			.msg_iovlen = header_left ? 2 : 1,
			.msg_control = sent ? NULL : control.bytes,
			.msg_controllen = sent ? 0 : CMSG_SPACE(fds_bytes),
		};
		ssize_t n = sendmsg(socket_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EAGAIN) {
			int err = wait_ready(socket_fd, POLLOUT, deadline_ns);

			if (err)
				return err;
		} else if (errno != EINTR) {
			return channel_error(errno);
		}
	}
	return 0;
}

/* --- checks ------------------------------------------------------------------------------------
 */
static bool has_tables(uint32_t kind, uint32_t status)
{
	if (status == PARSE_OK)
		return true;
	if (kind == WIRE_SITES)
		return false;
	return status == (kind == WIRE_ROWS ? PARSE_NO_CFI : PARSE_NO_SYMBOLS);
}

static bool status_is_workers(uint32_t kind, uint32_t status)
{
	return has_tables(kind, status) || status == PARSE_NOT_ELF || status == PARSE_CORRUPT ||
	       status == PARSE_LIMIT || status == PARSE_IO;
}

static bool row_counts_are_valid(const struct wire_reply *h, const struct wire_request *request)
{
	if (request->kind != WIRE_ROWS || h->status != PARSE_OK)
		return !h->rows_base && !h->blocks_cnt && !h->rules_cnt && !h->rows_cnt;
	return h->blocks_cnt && h->blocks_cnt <= WIRE_BLOCKS_MAX && h->rules_cnt &&
	       h->rules_cnt <= WIRE_RULES_MAX && h->rows_cnt && h->rows_cnt <= WIRE_ROWS_MAX;
}

static bool site_counts_are_valid(const struct wire_reply *h, const struct wire_request *request)
{
	if (request->kind != WIRE_SITES || h->status != PARSE_OK)
		return !h->sites_cnt && !h->ranges_cnt && !h->refusal && !h->file_flags;
	return h->sites_cnt <= HEAP_SITES_MAX && h->ranges_cnt <= HEAP_RANGES_MAX &&
	       h->refusal < HEAP_REFUSALS && h->file_flags <= WIRE_FILE_FLAGS;
}

static bool header_is_valid(const struct wire_reply *h, const struct wire_request *request)
{
	if (h->magic != WIRE_MAGIC || h->sequence != request->sequence ||
	    !status_is_workers(request->kind, h->status) || h->build_id_len > WIRE_BUILD_ID_MAX ||
	    !row_counts_are_valid(h, request) || !site_counts_are_valid(h, request))
		return false;
	if (!has_tables(request->kind, h->status))
		return !h->segments_cnt && !h->symbols_cnt && !h->modules_cnt &&
		       !h->strings_bytes && !h->build_id_len;
	if (request->kind == WIRE_KERNEL ? h->segments_cnt > 0 || !h->modules_cnt
					 : h->modules_cnt > 0)
		return false;
	return h->segments_cnt <= WIRE_SEGMENTS_MAX && h->modules_cnt <= WIRE_MODULES_MAX &&
	       h->symbols_cnt == request->addresses_cnt && h->strings_bytes > 0 &&
	       h->strings_bytes <= WIRE_REPLY_BYTES && wire_reply__bytes(h) <= WIRE_REPLY_BYTES;
}

static bool name_is_valid(const struct worker_answer *a, uint32_t offset)
{
	size_t room;

	if (offset >= a->header.strings_bytes)
		return false;
	room = a->header.strings_bytes - offset;
	return memchr(a->strings + offset, '\0', room < WIRE_NAME_BYTES ? room : WIRE_NAME_BYTES);
}

/* Offsets are of code only by what the worker said of segments: the kernel probes nothing but
 * executable mappings, whatever they are. That one begins an instruction nobody checks. */
static bool is_in_code(const struct worker_answer *a, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < a->header.segments_cnt; i++) {
		const struct wire_segment *s = &a->segments[i];
		uint64_t segment_end;

		if (!__builtin_add_overflow(s->offset, s->limit - s->vaddr, &segment_end) &&
		    start >= s->offset && end <= segment_end)
			return start < end;
	}
	return false;
}

static bool is_register(uint8_t reg, bool wanted)
{
	return wanted ? reg < HEAP_NO_REG : reg <= HEAP_NO_REG;
}

static bool site_is_valid(const struct worker_answer *a, const struct heap_site *s)
{
	const uint8_t flags = HEAP_SITE_STEPPED | HEAP_SITE_NULL_ELSEWHERE |
			      HEAP_SITE_SMALL_ALIGN_ELSEWHERE | HEAP_SITE_PUSHED |
			      HEAP_SITE_THROWS | HEAP_SITE_THROWS_AT_WILL;
	const bool is_usdt = s->call == HEAP_CALL_USDT_ALLOC || s->call == HEAP_CALL_USDT_FREE;
	const bool frees = s->call == HEAP_CALL_FREE || s->call == HEAP_CALL_USDT_FREE;
	const bool needs_return = !is_usdt && !frees;

	return s->call >= HEAP_CALL_ALLOC && s->call < HEAP_CALLS && !(s->flags & ~flags) &&
	       !s->reserved && is_in_code(a, s->offset, s->offset + 1) &&
	       s->semaphore_offset <= INT64_MAX && (is_usdt || !s->semaphore_offset) &&
	       !(needs_return && s->flags & HEAP_SITE_PUSHED) && is_register(s->size_reg, !frees) &&
	       is_register(s->count_reg, s->call == HEAP_CALL_USDT_ALLOC ||
						 s->flags & HEAP_SITE_SMALL_ALIGN_ELSEWHERE) &&
	       is_register(s->ptr_reg, is_usdt || frees || s->call == HEAP_CALL_REALLOC) &&
	       is_register(s->out_reg, s->call == HEAP_CALL_POSIX_MEMALIGN);
}

static bool sites_are_valid(const struct worker_answer *a)
{
	for (uint32_t i = 0; i < a->header.sites_cnt; i++)
		if (!site_is_valid(a, &a->sites[i]))
			return false;
	for (uint32_t i = 0; i < a->header.ranges_cnt; i++)
		if (!is_in_code(a, a->ranges[i].start, a->ranges[i].end))
			return false;
	return true;
}

static bool tables_are_valid(const struct worker_answer *a, enum wire_kind kind)
{
	const struct wire_reply *h = &a->header;
	int64_t places = kind == WIRE_KERNEL ? h->modules_cnt : h->segments_cnt;

	if (a->strings[0] || a->strings[h->strings_bytes - 1])
		return false;
	for (uint32_t i = 0; i < h->segments_cnt; i++)
		if (a->segments[i].vaddr >= a->segments[i].limit)
			return false;
	if (!sites_are_valid(a))
		return false;
	for (uint32_t i = 0; i < h->modules_cnt; i++)
		if (!name_is_valid(a, a->modules[i]))
			return false;
	for (uint32_t i = 0; i < h->symbols_cnt; i++) {
		const struct wire_symbol *s = &a->symbols[i];

		if (s->segment < -1 || s->segment >= places || !s->name != !s->system_name ||
		    !name_is_valid(a, s->name) || !name_is_valid(a, s->system_name))
			return false;
		if (s->name && (!a->strings[s->name] || !a->strings[s->system_name]))
			return false;
	}
	return true;
}

static void point_into_tables(struct worker_answer *a)
{
	const char *p = a->tables;

	a->segments = (const void *)p;
	p += a->header.segments_cnt * sizeof(*a->segments);
	a->symbols = (const void *)p;
	p += a->header.symbols_cnt * sizeof(*a->symbols);
	a->sites = (const void *)p;
	p += a->header.sites_cnt * sizeof(*a->sites);
	a->ranges = (const void *)p;
	p += a->header.ranges_cnt * sizeof(*a->ranges);
	a->modules = (const void *)p;
	p += a->header.modules_cnt * sizeof(*a->modules);
	a->strings = p;
}

static int receive_answer(const struct worker *w, const struct wire_request *request,
			  uint64_t deadline_ns, struct worker_answer *ret)
{
	_cleanup_free_ void *tables = NULL;
	struct worker_answer a = { .tables = NULL };
	size_t bytes;
	int err;

	err = receive_bytes(w->socket, &a.header, sizeof(a.header), deadline_ns);
	if (err)
		return err;
	if (!header_is_valid(&a.header, request))
		return -EPROTO;
	bytes = wire_reply__bytes(&a.header);
	if (bytes) {
		tables = malloc(bytes);
		if (!tables)
			return -ENOMEM;
		err = receive_bytes(w->socket, tables, bytes, deadline_ns);
		if (err)
			return err;
		a.tables = tables;
		point_into_tables(&a);
		if (!tables_are_valid(&a, request->kind))
			return -EPROTO;
	}
	a.tables = take_ptr(tables);
	*ret = a;
	return 0;
}

int worker_channel__hello(const struct worker *w)
{
	uint64_t deadline_ns = clock__mono_ns() + w->timeout_ms * 1000000ULL;
	struct wire_hello hello;
	int err;

	err = receive_bytes(w->socket, &hello, sizeof(hello), deadline_ns);
	if (err)
		return err;
	return hello.magic == WIRE_MAGIC && hello.version == WIRE_VERSION ? 0 : -EPROTO;
}

int worker_channel__exchange(struct worker *w, const struct worker_question *question,
			     struct worker_answer *ret)
{
	uint64_t deadline_ns = clock__mono_ns() + w->timeout_ms * 1000000ULL;
	const struct wire_request request = {
		.magic = WIRE_MAGIC,
		.kind = question->kind,
		.sequence = ++w->sequence,
		.addresses_cnt = (uint32_t)question->addresses_cnt,
	};
	int err;

	err = send_request(w->socket, &request, question, deadline_ns);
	return err ? err : receive_answer(w, &request, deadline_ns, ret);
}
