/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which file system is behind a device or a path, from /proc/PID/mountinfo: asked before anything
 * is opened, since opening (even looking up) a file of FUSE or NFS may hang. Private to process/.
 */
#ifndef PROCESS_MOUNTINFO_H
#define PROCESS_MOUNTINFO_H

#include "process/process.h"

#define MOUNTINFO_MOUNTS_MAX 65536

struct mount {
	uint32_t dev_major, dev_minor;
	char *mount_point; /* unescaped; fs_type lies in the same allocation */
	char *fs_type;
};

struct mountinfo {
	struct mount *mounts; /* in the file's order */
	size_t cnt, cap;
	bool incomplete; /* a line was unreadable or there were too many */
};

/* One line, changed in place. 0, -EBADMSG or -ENOMEM. */
int mountinfo__add_line(struct mountinfo *mi, char *line);

/* Reads a whole file into *ret (zeroed by the caller). 0 or -errno; release in both cases. */
int mountinfo__read(struct mountinfo *mi, const char *path);
void mountinfo__done(struct mountinfo *mi);

/* The mount of a device (of several the last), or NULL. */
const struct mount *mountinfo__find_device(const struct mountinfo *mi, uint32_t dev_major,
					   uint32_t dev_minor);

/* The mount an absolute path lies on: the longest mount point that is a prefix of it, of several
 * the last; or NULL. */
const struct mount *mountinfo__find_path(const struct mountinfo *mi, const char *path);

/* True when walking to an absolute path may touch a foreign file system: not only the last mount
 * on the way counts, since each is asked for the next name. */
bool mountinfo__path_is_foreign(const struct mountinfo *mi, const char *path);

/* FUSE, network and other file systems whose server may be anybody, slow or gone. */
bool mountinfo__fs_is_foreign(const char *fs_type);

/* proc, sysfs and the like: no program lies there, and opening a file may do something. */
bool mountinfo__fs_is_pseudo(const char *fs_type);

#endif
