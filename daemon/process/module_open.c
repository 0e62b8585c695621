/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opens the files behind modules. The paths, mounts and files are chosen by other users, and this
 * process is privileged; so, in this order:
 *
 * 1. The file system is judged by the device the kernel reported, or by the mounts a path crosses,
 *    from mountinfo, before the file is touched: a FUSE or network server can hang whoever asks.
 * 2. The file is reached with O_PATH, which asks no server: through /proc/PID/map_files, or by path
 *    below a root without following any symbolic link. The kernel reports paths without them, so
 *    one that is there now was put there since.
 * 3. What was reached is compared with the record from cached attributes (AT_STATX_DONT_SYNC).
 * 4. Only then it is opened for reading.
 */
#include "process/process_table.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/clock.h"

#define MOUNTS_TTL_NS NSEC_PER_SEC

/* Outcome of one way to the file; fd is valid with MODULE_OPENED. */
struct opening {
	enum module_open_status status;
	int fd;
};

/* What the module's device is, by the mounts the target and we see. */
enum device_verdict { DEVICE_FINE, DEVICE_FOREIGN, DEVICE_PSEUDO, DEVICE_UNKNOWN };

static struct opening failed(enum module_open_status status)
{
	return (struct opening){ .status = status, .fd = -1 };
}

static struct opening failed_errno(int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN:
	case ENOSYS:
		return failed(MODULE_DENIED);
	default:
		return failed(MODULE_GONE);
	}
}

/* Mounts as proc id 'id' sees them ("self" for 0), at most a second old. NULL: not readable. */
static const struct mountinfo *get_mounts(struct process_table *t, pid_t id, bool fresh)
{
	struct mountinfo_cache *slot = &t->mounts[0];
	uint64_t now_ns = clock__mono_ns();
	char dir[32], path[64];
	struct stat ns;

	if (id)
		snprintf(dir, sizeof(dir), "/proc/%d", (int)id);
	else
		snprintf(dir, sizeof(dir), "/proc/self");
	snprintf(path, sizeof(path), "%s/ns/mnt", dir);
	if (stat(path, &ns) < 0)
		return NULL;
	for (size_t i = 0; i < MOUNTINFO_CACHE_CNT; i++) {
		struct mountinfo_cache *c = &t->mounts[i];

		if (c->mnt_ns == ns.st_ino) {
			slot = c;
			break;
		}
		if (c->read_ns < slot->read_ns)
			slot = c;
	}
	if (slot->mnt_ns == ns.st_ino && !fresh && now_ns - slot->read_ns < MOUNTS_TTL_NS)
		return &slot->mi;
	mountinfo__done(&slot->mi);
	slot->mnt_ns = 0;
	snprintf(path, sizeof(path), "%s/mountinfo", dir);
	if (mountinfo__read(&slot->mi, path) < 0)
		return NULL;
	slot->mnt_ns = ns.st_ino;
	slot->read_ns = now_ns;
	return &slot->mi;
}

static enum device_verdict judge_mounts(const struct mountinfo *mi, uint32_t dev_major,
					uint32_t dev_minor)
{
	const struct mount *m = mi ? mountinfo__find_device(mi, dev_major, dev_minor) : NULL;

	if (!m)
		return DEVICE_UNKNOWN;
	if (mountinfo__fs_is_foreign(m->fs_type))
		return DEVICE_FOREIGN;
	return mountinfo__fs_is_pseudo(m->fs_type) ? DEVICE_PSEUDO : DEVICE_FINE;
}

/* The target's mounts first, then ours; a device in neither may have been mounted just now. */
static enum device_verdict judge_device(struct process_table *t, pid_t id, uint32_t dev_major,
					uint32_t dev_minor)
{
	enum device_verdict v = DEVICE_UNKNOWN;

	for (int fresh = 0; fresh <= 1 && v == DEVICE_UNKNOWN; fresh++) {
		if (id)
			v = judge_mounts(get_mounts(t, id, fresh), dev_major, dev_minor);
		if (v == DEVICE_UNKNOWN)
			v = judge_mounts(get_mounts(t, 0, fresh), dev_major, dev_minor);
	}
	return v;
}

/* What a verdict forbids, MODULE_NOT_TRIED when nothing. */
static enum module_open_status refusal(enum device_verdict v)
{
	if (v == DEVICE_FOREIGN)
		return MODULE_FOREIGN_FS;
	return v == DEVICE_PSEUDO ? MODULE_NOT_REGULAR : MODULE_NOT_TRIED;
}

static int stat_cached(int fd, struct statx *ret)
{
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
		  STATX_TYPE | STATX_INO, ret) < 0)
		return -errno;
	return 0;
}

static bool is_record(const struct statx *st, const struct module *module)
{
	return st->stx_dev_major == module->dev_major && st->stx_dev_minor == module->dev_minor &&
	       st->stx_ino == module->inode;
}

static bool device_is_known(const struct module *module)
{
	return module->dev_major || module->dev_minor || module->inode;
}

/* From a descriptor that only names the file to one that reads it. */
static struct opening reopen(int path_fd)
{
	char link[64];
	int fd;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
	fd = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return failed_errno(errno);
	return (struct opening){ .status = MODULE_OPENED, .fd = fd };
}

struct maps_search {
	const struct module *module;
	uint64_t start, end; /* range to look in; result */
	uint32_t dev_major, dev_minor;
	uint64_t inode;
	bool found;
};

static int match_line(const struct maps_line *line, void *ctx)
{
	struct maps_search *s = ctx;
	struct module_spec spec;

	if (line->end <= s->start || line->start >= s->end)
		return 0;
	module_spec__classify(&spec, line->path, line->start);
	if (spec.kind != MODULE_FILE || strlen(s->module->path) != spec.path_len ||
	    memcmp(s->module->path, spec.path, spec.path_len) != 0)
		return 0;
	s->start = line->start;
	s->end = line->end;
	s->dev_major = line->dev_major;
	s->dev_minor = line->dev_minor;
	s->inode = line->inode;
	s->found = true;
	return 1;
}

/* The link of a range that the process has mapped now. 'same_file': maps shows the module's path
 * there, so that the file is right whatever numbers its file system reports. */
static struct opening open_link(struct process_table *t, pid_t id, const struct maps_search *s,
				bool same_file)
{
	_cleanup_close_ int fd = -1;
	enum module_open_status no;
	struct statx st;
	char link[96];
	int err;

	snprintf(link, sizeof(link), "/proc/%d/map_files/%llx-%llx", (int)id,
		 (unsigned long long)s->start, (unsigned long long)s->end);
	fd = open(link, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return failed_errno(errno);
	err = stat_cached(fd, &st);
	if (err)
		return failed_errno(-err);
	if (!S_ISREG(st.stx_mode))
		return failed(MODULE_NOT_REGULAR);
	if (!is_record(&st, s->module) && !same_file)
		return failed(MODULE_GONE);
	if (st.stx_dev_major != s->dev_major || st.stx_dev_minor != s->dev_minor) {
		no = refusal(judge_device(t, id, st.stx_dev_major, st.stx_dev_minor));
		if (no)
			return failed(no);
	}
	return reopen(fd);
}

/* Through /proc/PID/map_files: the very file that is mapped, deleted or not. */
static struct opening open_mapped(struct process_table *t, const struct process_entry *e,
				  const struct mapping *m, const struct module *module)
{
	pid_t id = process_entry__proc_id(e);
	struct maps_search s = {
		.module = module,
		.start = m->start,
		.end = m->end,
		.dev_major = module->dev_major,
		.dev_minor = module->dev_minor,
		.inode = module->inode,
	};
	struct opening o = failed(MODULE_GONE);
	enum module_open_status no;

	if (device_is_known(module)) {
		no = refusal(judge_device(t, id, s.dev_major, s.dev_minor));
		if (no)
			return failed(no);
		o = open_link(t, id, &s, false);
		if (o.status != MODULE_GONE)
			return o;
	}
	/* Our range may be several of the kernel's, or the record had a build-id only. */
	if (procfs__each_mapping(id, match_line, &s) < 0 || !s.found)
		return o;
	no = refusal(judge_device(t, id, s.dev_major, s.dev_minor));
	if (no)
		return failed(no);
	o = open_link(t, id, &s, true);
	return o;
}

static int open_below(int root_fd, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* Whether the file a path led to can be the module's; only its build-id may be left to tell. */
static struct opening accept_path(struct process_table *t, pid_t id, int path_fd,
				  const struct module *module)
{
	enum module_open_status no;
	struct opening o;
	struct statx st;
	bool same;
	int err;

	err = stat_cached(path_fd, &st);
	if (err)
		return failed_errno(-err);
	if (!S_ISREG(st.stx_mode))
		return failed(MODULE_NOT_REGULAR);
	same = device_is_known(module) && is_record(&st, module);
	/* The same device and another inode is another file. Another device may be an overlay's or
	 * btrfs's way to number the same one: then the build-id can tell, where it is known. */
	if (!same && (module->build_id_len == 0 ||
		      (device_is_known(module) && st.stx_dev_major == module->dev_major &&
		       st.stx_dev_minor == module->dev_minor)))
		return failed(MODULE_GONE);
	no = refusal(judge_device(t, id, st.stx_dev_major, st.stx_dev_minor));
	if (no)
		return failed(no);
	o = reopen(path_fd);
	return o;
}

/* By path below the root of proc id 'id' (0: ours). */
static struct opening open_path(struct process_table *t, pid_t id, const struct module *module)
{
	const struct mountinfo *mi = get_mounts(t, id, false);
	_cleanup_close_ int root_fd = -1;
	_cleanup_close_ int fd = -1;
	char root[64] = "/";

	if (module->path[0] != '/' || !mi)
		return failed(MODULE_GONE);
	if (mi->incomplete)
		return failed(MODULE_DEVICE_UNKNOWN);
	if (mountinfo__path_is_foreign(mi, module->path))
		return failed(MODULE_FOREIGN_FS);
	if (id)
		snprintf(root, sizeof(root), "/proc/%d/root", (int)id);
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return failed_errno(errno);
	fd = open_below(root_fd, module->path);
	if (fd < 0)
		return failed_errno(-fd);
	return accept_path(t, id, fd, module);
}

/* Of two failures the one to show: a refusal says more than an absence. */
static enum module_open_status worse(enum module_open_status a, enum module_open_status b)
{
	static const int weight[MODULE_OPEN_STATUS_CNT] = {
		[MODULE_NOT_TRIED] = 0,  [MODULE_GONE] = 1,          [MODULE_NOT_REGULAR] = 2,
		[MODULE_DENIED] = 3,     [MODULE_TOO_MANY_OPEN] = 3, [MODULE_DEVICE_UNKNOWN] = 4,
		[MODULE_FOREIGN_FS] = 5,
	};

	return weight[b] > weight[a] ? b : a;
}

/* The process's own memory and root while it lives, then its parent's root, then ours. */
static struct opening open_somehow(struct process_table *t, const struct process_entry *e,
				   const struct mapping *m, const struct module *module)
{
	struct process_entry *parent = e ? process_table__lookup(t, e->pub.ppid) : NULL;
	enum module_open_status why = MODULE_NOT_TRIED;
	enum device_verdict verdict = DEVICE_FINE;
	bool alive = e && !e->pub.exited;
	pid_t roots[3];
	size_t roots_cnt = 0;
	struct opening o;

	if (alive && m) {
		o = open_mapped(t, e, m, module);
		if (o.status == MODULE_OPENED || o.status == MODULE_FOREIGN_FS)
			return o;
		why = o.status;
	}
	if (alive)
		roots[roots_cnt++] = process_entry__proc_id(e);
	if (parent && !parent->pub.exited)
		roots[roots_cnt++] = process_entry__proc_id(parent);
	roots[roots_cnt++] = 0;
	if (device_is_known(module))
		verdict = judge_device(t, roots[0], module->dev_major, module->dev_minor);
	if (refusal(verdict))
		return failed(refusal(verdict));
	/* A container that is gone took its mounts along; then a build-id can still tell the file.
	 */
	if (verdict == DEVICE_UNKNOWN && (alive || module->build_id_len == 0))
		return failed(worse(why, MODULE_DEVICE_UNKNOWN));
	for (size_t i = 0; i < roots_cnt; i++) {
		o = open_path(t, roots[i], module);
		if (o.status == MODULE_OPENED)
			return o;
		why = worse(why, o.status);
	}
	return failed(why);
}

void module__pin(struct process_table *t, const struct process *p, const struct mapping *m,
		 struct module *module)
{
	const struct process_entry *e = p ? process_entry__of(p) : NULL;
	struct opening o;

	if (!module__wants_open(module, p ? p->pid : 0))
		return;
	if (t->fds_cnt >= t->fds_max) {
		module->open_status = MODULE_TOO_MANY_OPEN;
		return;
	}
	o = open_somehow(t, e, m, module);
	module->open_status = o.status;
	if (o.status != MODULE_OPENED)
		return;
	module->fd = o.fd;
	t->fds_cnt++;
}
