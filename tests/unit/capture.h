/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What code under test writes to a standard descriptor, as a string: for tests of messages and
 * reports. Includes nothing of cmocka, so that a forked child can use it too.
 */
#ifndef TESTS_UNIT_CAPTURE_H
#define TESTS_UNIT_CAPTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct capture {
	int fd;       /* 1 or 2 */
	int saved_fd; /* what it was */
	int mem_fd;   /* where it goes meanwhile */
};

static inline struct capture capture__start(int fd)
{
	struct capture c = { .fd = fd };

	fflush(fd == STDOUT_FILENO ? stdout : stderr);
	c.saved_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	c.mem_fd = memfd_create("capture", MFD_CLOEXEC);
	if (c.saved_fd < 0 || c.mem_fd < 0 || dup2(c.mem_fd, fd) < 0)
		abort();
	return c;
}

/* Puts the descriptor back; returns the text, NUL-terminated, to be freed by the caller. */
static inline char *capture__finish(struct capture *c)
{
	off_t len;
	char *text;

	fflush(c->fd == STDOUT_FILENO ? stdout : stderr);
	len = lseek(c->mem_fd, 0, SEEK_END);
	text = calloc(1, (size_t)len + 1);
	if (!text || pread(c->mem_fd, text, (size_t)len, 0) != len || dup2(c->saved_fd, c->fd) < 0)
		abort();
	close(c->saved_fd);
	close(c->mem_fd);
	return text;
}

#endif
