/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_facts.h.
 */
#include "session/heap_facts.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <mntent.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/array.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"

#define PROC_FILE_MAX_BYTES   65536
#define ENVIRONMENT_MAX_BYTES (1u << 20)
#define MAPS_MAX_BYTES        (4u << 20)

/* /usr/libexec/valgrind/callgrind-amd64-linux, and what each tool has its guest preload. */
#define VALGRIND_SUFFIX  "-amd64-linux"
#define VALGRIND_LIBRARY "/vgpreload_core-"

#ifdef __x86_64__
#define NR_URETPROBE 335
#endif

static int read_bounded(pid_t pid, const char *name, size_t max_bytes, struct buf *out)
{
	char path[64];
	int err;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	err = file__read(path, max_bytes, out);
	return err == -ENOENT ? -ESRCH : err;
}

static int read_proc(pid_t pid, const char *name, struct buf *out)
{
	int err = read_bounded(pid, name, PROC_FILE_MAX_BYTES, out);

	return err ?: out->data ? 0 : -ESRCH;
}

/* "\nName:\t2" */
static bool read_field(const char *text, const char *name, unsigned int *ret)
{
	const char *line = strstr(text, name);

	return line && sscanf(line + strlen(name), " %u", ret) == 1;
}

/* A leader that has ended stays as a zombie while there are other threads. */
static bool has_leader(const char *text)
{
	unsigned int threads = 1;

	read_field(text, "\nThreads:", &threads);
	return !strstr(text, "\nState:\tZ") || threads < 2;
}

int heap_facts__parse(const char *text, struct heap_facts *ret)
{
	unsigned int tracer;

	*ret = (struct heap_facts){ 0 };
	if (!read_field(text, "\nTracerPid:", &tracer))
		return -EBADMSG;
	ret->tracer = (pid_t)tracer;
	read_field(text, "\nSeccomp:", &ret->seccomp); /* missing: a kernel without it */
	ret->has_leader = has_leader(text);
	return 0;
}

static bool is_named_as_valgrind(const char *executable)
{
	size_t len = strlen(executable), suffix_len = strlen(VALGRIND_SUFFIX);

	return len > suffix_len && !strcmp(executable + len - suffix_len, VALGRIND_SUFFIX);
}

bool heap_facts__is_valgrind(const char *executable, const char *maps)
{
	return is_named_as_valgrind(executable) && strstr(maps, VALGRIND_LIBRARY);
}

static bool is_under_valgrind(pid_t pid)
{
	_cleanup_buf_ struct buf maps = BUF_INIT;
	char path[64], executable[PATH_MAX];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	len = readlink(path, executable, sizeof(executable) - 1);
	if (len <= 0)
		return false;
	executable[len] = '\0';
	return is_named_as_valgrind(executable) &&
	       !read_bounded(pid, "maps", MAPS_MAX_BYTES, &maps) && maps.data &&
	       heap_facts__is_valgrind(executable, maps.data);
}

int heap_facts__read(pid_t pid, struct heap_facts *ret)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	int err = read_proc(pid, "status", &text);

	err = err ?: heap_facts__parse(text.data, ret);
	if (!err)
		ret->is_translated = is_under_valgrind(pid);
	return err;
}

/* tcmalloc's, mimalloc's; what else jemalloc and glibc are told makes nothing fail. */
static const char *const limits[] = {
	"TCMALLOC_HEAP_LIMIT_MB=",
	"TCMALLOC_MEMFS_DISABLE_FALLBACK=",
	"MIMALLOC_LIMIT_OS_ALLOC=",
	"MIMALLOC_DISALLOW_OS_ALLOC=",
};

bool heap_facts__environment_limits(const char *data, size_t len)
{
	const char *end = data + len, *next;
	size_t i;

	for (; data < end; data = next + 1) {
		next = memchr(data, '\0', (size_t)(end - data)) ?: end;
		for (i = 0; i < ARRAY_SIZE(limits); i++) {
			size_t name_len = strlen(limits[i]);
			size_t room = (size_t)(next - data);

			/* "NAME=" and "NAME=0" set none. */
			if (room > name_len && !memcmp(data, limits[i], name_len) &&
			    !(room == name_len + 1 && data[name_len] == '0'))
				return true;
		}
	}
	return false;
}

bool heap_facts__is_limited(pid_t pid)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	int err = read_bounded(pid, "environ", ENVIRONMENT_MAX_BYTES, &text);

	return err ? err != -ESRCH : heap_facts__environment_limits(text.data, text.len);
}

uint64_t heap_facts__rss(pid_t pid)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	uint64_t pages;

	if (read_proc(pid, "statm", &text) || sscanf(text.data, "%*u %" SCNu64, &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

#ifdef NR_URETPROBE
static int install_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NR_URETPROBE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? -errno : 0;
}

enum answer { ANSWER_THROUGH, ANSWER_NO_CALL, ANSWER_REFUSED };

/*
 * The system call, made from where no return probe would make it, ends its caller by SIGILL where
 * it comes through; it fails with ENOSYS where the kernel has none, and as a filter says.
 */
static void __attribute__((noreturn)) make_call(bool is_filtered)
{
	prctl(PR_SET_DUMPABLE, 0); /* no core */
	signal(SIGILL, SIG_DFL);
	if (is_filtered && install_filter())
		_exit(ANSWER_REFUSED);
	_exit(syscall(NR_URETPROBE) == -1 && errno == ENOSYS ? ANSWER_NO_CALL : ANSWER_REFUSED);
}

static enum answer ask_kernel(bool is_filtered)
{
	pid_t pid = fork(), waited;
	int status;

	if (!pid)
		make_call(is_filtered);
	if (pid < 0)
		return ANSWER_REFUSED;
	do {
		waited = waitpid(pid, &status, 0);
	} while (waited < 0 && errno == EINTR);
	if (waited != pid)
		return ANSWER_REFUSED;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return WTERMSIG(status) == SIGILL ? ANSWER_THROUGH : ANSWER_REFUSED;
}

bool heap_facts__seccomp_allows_returns(void)
{
	return ask_kernel(false) == ANSWER_NO_CALL || ask_kernel(true) == ANSWER_THROUGH;
}
#else
bool heap_facts__seccomp_allows_returns(void)
{
	return true;
}
#endif

char *heap_facts__cgroup_path(int cgroup_fd)
{
	char link[64], path[PATH_MAX];
	_cleanup_free_ char *found = NULL;
	struct mntent *m;
	ssize_t len;
	FILE *f;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", cgroup_fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len <= 0)
		return NULL;
	path[len] = '\0';
	f = setmntent("/proc/self/mounts", "re");
	if (!f)
		return NULL;
	while (!found && (m = getmntent(f))) {
		size_t dir_len = strlen(m->mnt_dir);

		if (strcmp(m->mnt_type, "cgroup2") != 0 || strncmp(path, m->mnt_dir, dir_len) != 0)
			continue;
		if (path[dir_len] == '/' || !path[dir_len])
			found = strdup(path[dir_len] ? path + dir_len : "/");
	}
	endmntent(f);
	return take_ptr(found);
}

bool heap_facts__cgroup_matches(const char *text, const char *path)
{
	const char *line = text;
	size_t len = strcmp(path, "/") ? strlen(path) : 0;

	while (line) {
		if (!strncmp(line, "0::", 3) && !strncmp(line + 3, path, len) &&
		    (line[3 + len] == '/' || line[3 + len] == '\n' || !line[3 + len]))
			return true;
		line = strchr(line, '\n');
		line += line ? 1 : 0;
	}
	return false;
}

bool heap_facts__is_in_cgroup(pid_t pid, const char *path)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	return !read_proc(pid, "cgroup", &text) && heap_facts__cgroup_matches(text.data, path);
}
