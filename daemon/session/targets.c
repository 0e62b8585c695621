/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See targets.h.
 */
#include "session/targets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <mntent.h>
#include <poll.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/log.h"
#include "process/process.h"

static int resolve_pid(struct targets *t, pid_t pid)
{
	struct collector_target *target = &t->list[t->cnt];
	_cleanup_close_ int fd = -1;
	int err;

	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0 && (errno == EINVAL || errno == ENOENT)) {
		log_err("pid %d is a thread, not a process: give the process it belongs to (Tgid in "
			"/proc/%d/status)",
			pid, pid);
		return EXIT_STATUS_NO_TARGET;
	}
	err = fd < 0 ? -errno : procfs__start_ticks(pid, &target->start_ticks);
	if (err == -ESRCH || err == -ENOENT) {
		log_err("no process with pid %d", pid);
		return EXIT_STATUS_NO_TARGET;
	}
	if (err) {
		log_errno(err, "process %d", pid);
		return EXIT_STATUS_FAILURE;
	}
	target->pid = pid;
	t->pidfds[t->cnt++] = take_fd(&fd);
	return EXIT_STATUS_OK;
}

static int resolve_pids(struct targets *t, const struct options *opts)
{
	size_t i;
	int status;

	t->list = calloc(opts->pids_cnt, sizeof(*t->list));
	t->pidfds = calloc(opts->pids_cnt, sizeof(*t->pidfds));
	if (!t->list || !t->pidfds) {
		log_errno(-ENOMEM, "pids");
		return EXIT_STATUS_FAILURE;
	}
	for (i = 0; i < opts->pids_cnt; i++) {
		status = resolve_pid(t, opts->pids[i]);
		if (status)
			return status;
	}
	return EXIT_STATUS_OK;
}

static int has_comm(pid_t pid, void *ctx)
{
	char comm[PROCESS_COMM_LEN];

	return procfs__comm(pid, comm) == 0 && strcmp(comm, ctx) == 0;
}

static int resolve_comm(const struct options *opts)
{
	if (procfs__each_pid(has_comm, opts->comm) == 1)
		return EXIT_STATUS_OK;
	log_err("no process named '%s' is running", opts->comm);
	return EXIT_STATUS_NO_TARGET;
}

static bool is_cgroup2(int fd)
{
	struct statfs st;

	return fstatfs(fd, &st) == 0 && st.f_type == CGROUP2_SUPER_MAGIC;
}

static int open_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* "system.slice/foo.service" below the cgroup2 mount, with or without a leading slash. */
static int open_below_mount(const char *path)
{
	_cleanup_free_ char *full = NULL;
	struct mntent *m;
	FILE *mounts;
	int fd = -ENODEV;

	mounts = setmntent("/proc/self/mounts", "r");
	if (!mounts)
		return -errno;
	while ((m = getmntent(mounts))) {
		if (strcmp(m->mnt_type, "cgroup2") != 0)
			continue;
		if (asprintf(&full, "%s/%s", m->mnt_dir, path) < 0) {
			full = NULL;
			fd = -ENOMEM;
		} else {
			fd = open_directory(full);
		}
		break;
	}
	endmntent(mounts);
	return fd;
}

static int resolve_cgroup(struct targets *t, const char *path)
{
	_cleanup_close_ int fd = open_directory(path);

	if (fd >= 0 && is_cgroup2(fd)) {
		t->cgroup_fd = take_fd(&fd);
		return EXIT_STATUS_OK;
	}
	if (fd >= 0) {
		log_err("'%s' is not a cgroup v2 directory: give one below the cgroup2 mount",
			path);
		return EXIT_STATUS_NO_TARGET;
	}
	fd = open_below_mount(path);
	if (fd == -ENODEV) {
		log_err("cgroup '%s': no cgroup2 file system is mounted; mount -t cgroup2 none DIR",
			path);
		return EXIT_STATUS_NO_TARGET;
	}
	if (fd < 0) {
		log_errno(fd, "cgroup '%s'", path);
		return fd == -EACCES ? EXIT_STATUS_PERMISSION : EXIT_STATUS_NO_TARGET;
	}
	t->cgroup_fd = take_fd(&fd);
	return EXIT_STATUS_OK;
}

int targets__resolve(struct targets *t, const struct options *opts)
{
	switch (opts->target) {
	case TARGET_PIDS:
		return resolve_pids(t, opts);
	case TARGET_COMM:
		return resolve_comm(opts);
	case TARGET_CGROUP:
		return resolve_cgroup(t, opts->cgroup);
	case TARGET_HOST:
	case TARGET_COMMAND:
		break;
	}
	return EXIT_STATUS_OK;
}

void targets__done(struct targets *t)
{
	size_t i;

	for (i = 0; i < t->cnt; i++)
		close(t->pidfds[i]);
	close_fdp(&t->cgroup_fd);
	free(t->list);
	free(t->pidfds);
	*t = (struct targets)TARGETS_INIT;
}

bool targets__all_gone(const struct targets *t)
{
	size_t i;

	for (i = 0; i < t->cnt; i++) {
		struct pollfd p = { .fd = t->pidfds[i], .events = POLLIN };

		if (poll(&p, 1, 0) != 1)
			return false;
	}
	return t->cnt > 0;
}
