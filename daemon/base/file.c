/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See file.h.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "base/cleanup.h"

int file__read_fd(int fd, size_t max_bytes, struct buf *out)
{
	char chunk[4096]; /* stacks are kept small: profiles hold them, too, our own not excepted */
	size_t total = 0;

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return buf__error(out);
		total += (size_t)n;
		if (total > max_bytes)
			return -EFBIG;
		buf__append(out, chunk, (size_t)n);
	}
}

int file__read_at(int dir_fd, const char *path, size_t max_bytes, struct buf *out)
{
	_cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return file__read_fd(fd, max_bytes, out);
}

int file__read(const char *path, size_t max_bytes, struct buf *out)
{
	return file__read_at(AT_FDCWD, path, max_bytes, out);
}

int file__write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}
