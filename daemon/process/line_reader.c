/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines of a /proc file, one at a time, in bounded memory; see line_reader.h.
 */
#include "process/line_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct line_reader *line_reader__open(const char *path, int *ret_err)
{
	struct line_reader *r = malloc(sizeof(*r));

	if (!r) {
		*ret_err = -ENOMEM;
		return NULL;
	}
	r->pos = 0;
	r->len = 0;
	r->eof = false;
	r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (r->fd < 0) {
		*ret_err = -errno;
		line_reader__free(r);
		return NULL;
	}
	return r;
}

void line_reader__free(struct line_reader *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

static int fill_buffer(struct line_reader *r)
{
	ssize_t n;

	if (r->pos > 0) {
		memmove(r->data, r->data + r->pos, r->len - r->pos);
		r->len -= r->pos;
		r->pos = 0;
	}
	do {
		n = read(r->fd, r->data + r->len, sizeof(r->data) - 1 - r->len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	r->eof = n == 0;
	r->len += (size_t)n;
	return 0;
}

/* The line in front fills the whole buffer: keeps its head, drops its rest. */
static int skip_rest(struct line_reader *r)
{
	char tail[4096];
	ssize_t n;
	char *nl;

	for (;;) {
		n = read(r->fd, tail, sizeof(tail));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) {
			r->eof = true;
			return 0;
		}
		nl = memchr(tail, '\n', (size_t)n);
		if (nl)
			break;
	}
	/* What follows the newline belongs to the next line; /proc files can be read at an offset.
	 */
	if (lseek(r->fd, -(off_t)(tail + n - nl - 1), SEEK_CUR) < 0)
		return -errno;
	return 0;
}

int line_reader__next(struct line_reader *r, char **ret_line)
{
	char *nl;
	int err;

	for (;;) {
		char *line = r->data + r->pos;
		size_t have = r->len - r->pos;

		nl = memchr(line, '\n', have);
		if (nl) {
			*nl = '\0';
			r->pos = (size_t)(nl + 1 - r->data);
			*ret_line = line;
			return 1;
		}
		if (r->eof) {
			if (have == 0)
				return 0;
			line[have] = '\0';
			r->pos = r->len;
			*ret_line = line;
			return 1;
		}
		if (have == sizeof(r->data) - 1) {
			err = skip_rest(r);
			if (err)
				return err;
			line[have] = '\0';
			r->pos = r->len;
			*ret_line = line;
			return 1;
		}
		err = fill_buffer(r);
		if (err)
			return err;
	}
}
