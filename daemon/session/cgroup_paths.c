/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See cgroup_paths.h.
 */
#include "session/cgroup_paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/array.h"
#include "base/cleanup.h"

/* A host has hundreds of cgroups; whoever may create them can create any number. */
#define DIRECTORIES_MAX 65536
#define PATH_MAX_BYTES  4096

/* The search: directories still to be read, deepest last. */
struct walk {
	struct cgroup_paths *paths;
	size_t missing; /* ids without a path */
	char **todo;    /* owned; "" is the root */
	size_t todo_cnt, todo_cap;
	size_t seen_cnt;
	dev_t dev;
};

void cgroup_paths__done(struct cgroup_paths *c)
{
	size_t i;

	for (i = 0; i < c->cnt; i++)
		free(c->items[i].path);
	free(c->items);
	*c = (struct cgroup_paths){ 0 };
}

int cgroup_paths__want(struct cgroup_paths *c, uint64_t id)
{
	if (array__reserve(c->items, c->cap, c->cnt + 1))
		return -ENOMEM;
	c->items[c->cnt++] = (struct cgroup_path){ .id = id };
	return 0;
}

static int compare_ids(const void *va, const void *vb)
{
	const struct cgroup_path *a = va, *b = vb;

	return a->id < b->id ? -1 : a->id > b->id;
}

static void sort_unique(struct cgroup_paths *c)
{
	size_t i, kept = 0;

	if (c->cnt)
		qsort(c->items, c->cnt, sizeof(*c->items), compare_ids);
	for (i = 0; i < c->cnt; i++) {
		if (kept && c->items[kept - 1].id == c->items[i].id)
			continue;
		c->items[kept++] = c->items[i];
	}
	c->cnt = kept;
}

static struct cgroup_path *find_item(const struct cgroup_paths *c, uint64_t id)
{
	const struct cgroup_path key = { .id = id };

	return c->cnt ? bsearch(&key, c->items, c->cnt, sizeof(key), compare_ids) : NULL;
}

const char *cgroup_paths__find(const struct cgroup_paths *c, uint64_t id)
{
	const struct cgroup_path *item = find_item(c, id);

	return item ? item->path : NULL;
}

int cgroup_paths__root(const char *mounts, char **ret)
{
	_cleanup_free_ char *v1 = NULL, *v2 = NULL;
	struct mntent *m;
	FILE *f;

	f = setmntent(mounts, "re");
	if (!f)
		return -errno;
	while ((m = getmntent(f))) {
		if (!v1 && !strcmp(m->mnt_type, "cgroup") && hasmntopt(m, "cpu"))
			v1 = strdup(m->mnt_dir);
		else if (!v2 && !strcmp(m->mnt_type, "cgroup2"))
			v2 = strdup(m->mnt_dir);
	}
	endmntent(f);
	if (!v1 && !v2)
		return -ENOENT;
	*ret = v1 ? take_ptr(v1) : take_ptr(v2);
	return 0;
}

/* One directory was met: takes 'path'. */
static int meet(struct walk *w, uint64_t id, char *path)
{
	_cleanup_free_ char *owned = path;
	struct cgroup_path *item = find_item(w->paths, id);

	if (item && !item->path) {
		item->path = strdup(*path ? path : "/");
		if (!item->path)
			return -ENOMEM;
		w->missing--;
	}
	if (++w->seen_cnt > DIRECTORIES_MAX)
		return 0;
	if (array__reserve(w->todo, w->todo_cap, w->todo_cnt + 1))
		return -ENOMEM;
	w->todo[w->todo_cnt++] = take_ptr(owned);
	return 0;
}

/* Files are told by their type in the directory: a cgroup has some fifty of them. */
static int meet_entry(struct walk *w, int dir_fd, const char *dir, const struct dirent *entry)
{
	struct stat st;
	char *path;

	if ((entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) ||
	    !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
		return 0;
	if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode) ||
	    st.st_dev != w->dev || strlen(dir) + strlen(entry->d_name) > PATH_MAX_BYTES)
		return 0;
	if (asprintf(&path, "%s/%s", dir, entry->d_name) < 0)
		return -ENOMEM;
	return meet(w, st.st_ino, path);
}

static int read_directory(struct walk *w, int root_fd, const char *path)
{
	_cleanup_close_ int fd = -1;
	struct dirent *entry;
	int err = 0, dir_fd;
	DIR *dir;

	/* The root itself is "", anything below begins with its slash. */
	fd = openat(root_fd, *path ? path + 1 : ".",
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return 0;
	dir_fd = take_fd(&fd);
	while (!err && w->missing && (entry = readdir(dir)))
		err = meet_entry(w, dir_fd, path, entry);
	closedir(dir);
	return err;
}

static int walk_tree(struct walk *w, int root_fd)
{
	struct stat st;
	char *path;
	int err;

	if (fstat(root_fd, &st))
		return 0;
	w->dev = st.st_dev;
	path = strdup("");
	err = path ? meet(w, st.st_ino, path) : -ENOMEM;
	while (!err && w->missing && w->todo_cnt) {
		path = w->todo[--w->todo_cnt];
		err = read_directory(w, root_fd, path);
		free(path);
	}
	return err;
}

int cgroup_paths__resolve(struct cgroup_paths *c, const char *root)
{
	_cleanup_close_ int root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct walk w = { .paths = c };
	int err;

	sort_unique(c);
	w.missing = c->cnt;
	if (root_fd < 0)
		return 0;
	err = walk_tree(&w, root_fd);
	while (w.todo_cnt)
		free(w.todo[--w.todo_cnt]);
	free(w.todo);
	return err;
}
