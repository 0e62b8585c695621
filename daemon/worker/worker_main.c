/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's loop: sandbox, hello, then one request after the other until the collector hangs up
 * or nothing was asked for a minute. A request that breaks the protocol ends the worker, since the
 * stream cannot be trusted to be in step any more.
 */
#include "worker/worker.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "worker/protocol.h"
#include "worker/worker_job.h"
#include "worker/worker_sandbox.h"

#define IDLE_MS 60000

static int send_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int receive_all(int fd, void *data, size_t len)
{
	char *p = data;

	while (len) {
		ssize_t n = recv(fd, p, len, MSG_WAITALL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Descriptors that come with a request: the file, and where rows go. */
#define FDS_MAX 2

/* Takes the descriptors out of the message; unused ones are -1. Returns how many, or -EPROTO. */
static int take_descriptors(struct msghdr *msg, int *ret_fds)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    msg->msg_flags & MSG_CTRUNC)
		return -EPROTO;
	for (int cnt = 1; cnt <= FDS_MAX; cnt++) {
		if (c->cmsg_len == CMSG_LEN(cnt * sizeof(int))) {
			memcpy(ret_fds, CMSG_DATA(c), cnt * sizeof(int));
			return cnt;
		}
	}
	return -EPROTO;
}

static bool request_is_valid(const struct wire_request *r, int fds_cnt)
{
	switch (r->kind) {
	case WIRE_ELF:
	case WIRE_KERNEL:
		return r->magic == WIRE_MAGIC && fds_cnt == 1 &&
		       r->addresses_cnt <= WIRE_ADDRESSES_MAX;
	case WIRE_ROWS:
		return r->magic == WIRE_MAGIC && fds_cnt == 2 && !r->addresses_cnt;
	case WIRE_SITES:
		return r->magic == WIRE_MAGIC && fds_cnt == 1 && !r->addresses_cnt;
	}
	return false;
}

/* Returns 1 with the header and its descriptors, 0 at the end of file, or -errno. */
static int receive_request(int socket_fd, struct wire_request *ret, int *ret_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	int fds_cnt;
	ssize_t n;

	do
		n = recvmsg(socket_fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	if (n < 0)
		return -errno;
	fds_cnt = take_descriptors(&msg, ret_fds);
	if (fds_cnt < 0)
		return fds_cnt;
	if ((size_t)n < sizeof(*ret) &&
	    receive_all(socket_fd, (char *)ret + n, sizeof(*ret) - (size_t)n))
		return -EPROTO;
	return request_is_valid(ret, fds_cnt) ? 1 : -EPROTO;
}

/* Returns 1 when a request was answered, 0 when there will be no more, or -errno. */
static int serve_request(int socket_fd, uint64_t *addresses)
{
	_cleanup_buf_ struct buf payload = BUF_INIT;
	int fds[FDS_MAX] = { -1, -1 };
	struct wire_request request;
	struct worker_job_input in;
	struct wire_reply reply;
	int err;

	/* After an error the process ends, and its descriptors with it. */
	err = receive_request(socket_fd, &request, fds);
	if (err <= 0)
		return err;
	err = receive_all(socket_fd, addresses, request.addresses_cnt * sizeof(*addresses));
	if (!err)
		err = sandbox__begin_job();
	if (err)
		return err;
	in = (struct worker_job_input){ .fd = fds[0], .rows_fd = fds[1], .addresses = addresses };
	worker_job__run(&request, &in, &reply, &payload);
	sandbox__end_job();
	/* Before the answer: whoever has it may count on the file being let go. */
	for (int i = 0; i < FDS_MAX; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	err = send_all(socket_fd, &reply, sizeof(reply));
	if (!err && payload.len)
		err = send_all(socket_fd, payload.data, payload.len);
	return err ? err : 1;
}

int worker__main(int socket_fd)
{
	const struct wire_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION };
	_cleanup_free_ uint64_t *addresses = NULL;
	int err;

	if (sandbox__enter(socket_fd))
		return WORKER_EXIT_SANDBOX;
	addresses = calloc(WIRE_ADDRESSES_MAX, sizeof(*addresses));
	if (!addresses || send_all(socket_fd, &hello, sizeof(hello)))
		return WORKER_EXIT_PROTOCOL;
	for (;;) {
		struct pollfd p = { .fd = socket_fd, .events = POLLIN };
		int n = poll(&p, 1, IDLE_MS);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? WORKER_EXIT_PROTOCOL : WORKER_EXIT_DONE;
		err = serve_request(socket_fd, addresses);
		if (err <= 0)
			return err < 0 ? WORKER_EXIT_PROTOCOL : WORKER_EXIT_DONE;
	}
}
