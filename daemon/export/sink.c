/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See sink.h. The bytes go into a file without a name where the file system has O_TMPFILE, so that
 * not even SIGKILL leaves a part behind; linkat() cannot replace, so it gets a temporary name just
 * before the rename.
 */
#include "export/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

#define FILE_MODE     0600
#define NAME_ATTEMPTS 16

struct temporary {
	int dir_fd, fd;
	char name[32]; /* "" while it has none */
};

static void temporary_done(struct temporary *t)
{
	if (t->name[0])
		unlinkat(t->dir_fd, t->name, 0);
	close_fdp(&t->fd);
	close_fdp(&t->dir_fd);
}

/* Opens the directory of path; *ret_name is the last component, inside path. */
static int open_directory(const char *path, const char **ret_name)
{
	_cleanup_free_ char *dir = NULL;
	const char *slash = strrchr(path, '/');
	int fd;

	*ret_name = slash ? slash + 1 : path;
	if (!**ret_name)
		return *path ? -EISDIR : -ENOENT;
	dir = slash == path ? strdup("/")
	      : slash       ? strndup(path, (size_t)(slash - path))
			    : strdup(".");
	if (!dir)
		return -ENOMEM;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fd;
}

/* What a rename would replace must be a regular file or nothing: no device, no FIFO. */
static int check_existing(int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return S_ISREG(st.st_mode) ? 0 : -EEXIST;
}

static void make_name(struct temporary *t)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = clock__mono_ns() ^ (uint64_t)getpid() << 32;
	snprintf(t->name, sizeof(t->name), ".cprof-%016" PRIx64 "~", random);
}

static int create_named(struct temporary *t)
{
	int i;

	for (i = 0; i < NAME_ATTEMPTS; i++) {
		make_name(t);
		t->fd = openat(t->dir_fd, t->name,
			       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
		if (t->fd >= 0)
			return 0;
		t->name[0] = '\0';
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int create_temporary(struct temporary *t)
{
	t->fd = openat(t->dir_fd, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, FILE_MODE);
	if (t->fd >= 0)
		return 0;
	/* File systems without it say one of these. */
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
		return -errno;
	return create_named(t);
}

static int give_name(struct temporary *t)
{
	char self[64];
	int i;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", t->fd);
	for (i = 0; !t->name[0] && i < NAME_ATTEMPTS; i++) {
		make_name(t);
		if (!linkat(AT_FDCWD, self, t->dir_fd, t->name, AT_SYMLINK_FOLLOW))
			return 0;
		t->name[0] = '\0';
		if (errno != EEXIST)
			return -errno;
	}
	return t->name[0] ? 0 : -EEXIST;
}

static int fill(struct temporary *t, const void *data, size_t len, const struct sink_owner *owner)
{
	int err;

	/* The umask may have taken bits from the mode. */
	if (fchmod(t->fd, FILE_MODE) < 0)
		return -errno;
	if (owner && (owner->uid != (uid_t)-1 || owner->gid != (gid_t)-1) &&
	    fchown(t->fd, owner->uid, owner->gid) < 0)
		return -errno;
	err = file__write_all(t->fd, data, len);
	if (err)
		return err;
	return fsync(t->fd) < 0 ? -errno : 0;
}

int sink__write_file(const char *path, const void *data, size_t len, const struct sink_owner *owner)
{
	_cleanup_(temporary_done) struct temporary t = { .dir_fd = -1, .fd = -1 };
	const char *name;
	int err;

	t.dir_fd = open_directory(path, &name);
	if (t.dir_fd < 0)
		return t.dir_fd;
	err = check_existing(t.dir_fd, name) ?: create_temporary(&t) ?: fill(&t, data, len, owner) ?:
	      give_name(&t);
	if (err)
		return err;
	if (renameat(t.dir_fd, t.name, t.dir_fd, name) < 0)
		return -errno;
	t.name[0] = '\0';
	/* The name is there whatever comes of this; some file systems cannot sync a directory. */
	if (fsync(t.dir_fd) < 0 && errno != EINVAL && errno != EROFS)
		return -errno;
	return 0;
}

int sink__check_file(const char *path)
{
	_cleanup_(temporary_done) struct temporary t = { .dir_fd = -1, .fd = -1 };
	const char *name;

	t.dir_fd = open_directory(path, &name);
	if (t.dir_fd < 0)
		return t.dir_fd;
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	return check_existing(t.dir_fd, name) ?: create_temporary(&t);
}
