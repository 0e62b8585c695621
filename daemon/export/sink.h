/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where encoded bytes end: a file that appears whole or not at all, or a descriptor.
 */
#ifndef EXPORT_SINK_H
#define EXPORT_SINK_H

#include <stddef.h>
#include <sys/types.h>

struct sink_owner {
	uid_t uid;
	gid_t gid; /* (uid_t)-1, (gid_t)-1: leave as created */
};

/*
 * Writes path atomically: a temporary file beside it with mode 0600, owned by 'owner', all bytes,
 * fsync, rename over path, fsync of the directory. On any failure nothing is left behind and an
 * existing file at path is untouched. Returns 0 or -errno.
 */
int sink__write_file(const char *path, const void *data, size_t len,
		     const struct sink_owner *owner);

/* Fails early with what sink__write_file() would fail with: the directory is missing or not
 * writable, path is a directory. Leaves nothing behind. Returns 0 or -errno. */
int sink__check_file(const char *path);

#endif
