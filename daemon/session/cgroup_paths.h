/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From ids of cgroups, as the kernel side gives them, to paths: an id is the inode number of the
 * cgroup's directory. Only what was asked for is kept; the search is bounded. Cgroups that are gone
 * have no path any more.
 */
#ifndef SESSION_CGROUP_PATHS_H
#define SESSION_CGROUP_PATHS_H

#include <stddef.h>
#include <stdint.h>

struct cgroup_path {
	uint64_t id;
	char *path; /* "/system.slice/nginx.service"; NULL: not found */
};

struct cgroup_paths {
	struct cgroup_path *items; /* by id, after resolve */
	size_t cnt, cap;
};

void cgroup_paths__done(struct cgroup_paths *c);

/* Before resolve: an id whose path will be asked for. 0 or -ENOMEM. */
int cgroup_paths__want(struct cgroup_paths *c, uint64_t id);

/*
 * Where the hierarchy is mounted that the ids are of: that of the cpu controller where it is one of
 * version 1, else version 2's. 'mounts' is /proc/self/mounts. *ret is owned by the caller. -ENOENT:
 * neither is mounted; -errno.
 */
int cgroup_paths__root(const char *mounts, char **ret);

/* Walks the directories below 'root'. What cannot be read is left out. 0 or -ENOMEM. */
int cgroup_paths__resolve(struct cgroup_paths *c, const char *root);

/* NULL: not known. */
const char *cgroup_paths__find(const struct cgroup_paths *c, uint64_t id);

#endif
