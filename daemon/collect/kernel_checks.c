/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See kernel_checks.h.
 */
#include "collect/kernel_checks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/btf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/file.h"
#include "collect/cpus.h"

#define FILE_MAX_BYTES      (1024 * 1024)
#define KALLSYMS_LOOK_BYTES (64 * 1024) /* enough to get past the per-CPU symbols at 0 */
#define MEMLOCK_WANTED      (64ULL * 1024 * 1024)

void feature__set(struct feature *f, enum feature_state state, const char *fmt, ...)
{
	va_list args;

	f->state = state;
	va_start(args, fmt);
	vsnprintf(f->detail, sizeof(f->detail), fmt, args);
	va_end(args);
}

void feature__advise(struct feature *f, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(f->advice, sizeof(f->advice), fmt, args);
	va_end(args);
}

/* -ENAMETOOLONG, else 0. */
static int full_path(char *out, size_t size, const char *root, const char *path)
{
	int len = snprintf(out, size, "%s%s", root, path);

	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

static int open_below(const char *root, const char *path)
{
	_cleanup_close_ int fd = -1;
	char full[PATH_MAX];
	int err = full_path(full, sizeof(full), root, path);

	if (err)
		return err;
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return take_fd(&fd);
}

int kernel_check__read(const char *root, const char *path, struct buf *out)
{
	_cleanup_close_ int fd = open_below(root, path);
	int err;

	if (fd < 0)
		return fd;
	err = file__read_fd(fd, FILE_MAX_BYTES, out);
	if (!err && out->len && out->data[out->len - 1] == '\n')
		out->data[--out->len] = '\0';
	return err;
}

int kernel_check__sysctl(const char *root, const char *path, int missing)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	char *end;
	long value;

	if (kernel_check__read(root, path, &text) || !text.len)
		return missing;
	value = strtol(text.data, &end, 10);
	return *end || value < INT_MIN || value > INT_MAX ? missing : (int)value;
}

void kernel_check__version(const struct kernel_version *v, const char *release, struct feature *f)
{
#if !defined(__x86_64__)
	feature__set(f, FEATURE_MISSING_KERNEL, "%s: this processor is not supported", release);
	feature__advise(f, "cprofd runs on x86-64");
	return;
#endif
	if (kernel_version__is_before(v, 5, 10, 0)) {
		feature__set(f, FEATURE_MISSING_KERNEL, "Linux %s is too old", release);
		feature__advise(f, "needs Linux 5.10 or later");
		return;
	}
	feature__set(f, FEATURE_OK, "Linux %s (%u.%u.%u)", release, v->major, v->minor, v->patch);
}

void kernel_check__known_bugs(const struct kernel_version *v, struct feature *f)
{
	if (!kernel_version__has_nofault_deadlock(v)) {
		feature__set(f, FEATURE_OK, "none known in %u.%u.%u", v->major, v->minor, v->patch);
		return;
	}
	feature__set(f, FEATURE_MISSING_KERNEL,
		     "%u.%u.%u can freeze the host when a profiler reads user stacks "
		     "(copy_from_user_nofault deadlock)",
		     v->major, v->minor, v->patch);
	feature__advise(f, "update the kernel: fixed in 6.1.36, 6.3.10, 6.4 and all later ones");
}

/* -EBADMSG: not BTF, or its sections lie beyond the file's end. */
static int validate_btf(int fd)
{
	struct btf_header h;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st))
		return -errno;
	n = pread(fd, &h, sizeof(h), 0);
	if (n < 0)
		return -errno;
	if (n != sizeof(h) || h.magic != BTF_MAGIC || h.version != BTF_VERSION || !h.type_len ||
	    !h.str_len || h.hdr_len < sizeof(h))
		return -EBADMSG;
	if ((uint64_t)h.hdr_len + h.type_off + h.type_len > (uint64_t)st.st_size ||
	    (uint64_t)h.hdr_len + h.str_off + h.str_len > (uint64_t)st.st_size)
		return -EBADMSG;
	return 0;
}

void kernel_check__btf(const char *root, struct feature *f)
{
	static const char path[] = "/sys/kernel/btf/vmlinux";
	_cleanup_close_ int fd = open_below(root, path);
	int err = fd < 0 ? fd : validate_btf(fd);

	if (!err) {
		feature__set(f, FEATURE_OK, "%s", path);
		return;
	}
	if (err == -EACCES || err == -EPERM) {
		feature__set(f, FEATURE_MISSING_PERMISSION, "%s: %s", path, strerror(-err));
		feature__advise(f, "run as root; a security module may forbid it");
		return;
	}
	feature__set(f, FEATURE_MISSING_KERNEL, "%s: %s", path,
		     err == -EBADMSG ? "not valid BTF" : strerror(-err));
	feature__advise(f, "needs CONFIG_DEBUG_INFO_BTF, Linux 5.10 or later");
}

void kernel_check__namespace(const char *root, const char *name, uint64_t init_ino,
			     enum feature_state state, struct feature *f)
{
	char path[PATH_MAX], relative[64], target[64];
	unsigned long long ino;
	ssize_t len;

	snprintf(relative, sizeof(relative), "/proc/self/ns/%s", name);
	len = full_path(path, sizeof(path), root, relative)
		      ? -1
		      : readlink(path, target, sizeof(target) - 1);
	/* A kernel without this kind of namespace has no file for it. */
	if (len < 0) {
		feature__set(f, FEATURE_OK, "this kernel has only one");
		return;
	}
	target[len] = '\0';
	if (sscanf(target, "%*[a-z]:[%llu]", &ino) == 1 && ino == init_ino) {
		feature__set(f, FEATURE_OK, "the initial one");
		return;
	}
	feature__set(f, state, "cprofd is in another %s namespace than the host (%s)", name,
		     target);
	feature__advise(f, "run it on the host, or in a container that shares the host's");
}

void kernel_check__lockdown(const char *root, struct feature *f)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (kernel_check__read(root, "/sys/kernel/security/lockdown", &text) || !text.len) {
		feature__set(f, FEATURE_OK, "not in force, or securityfs is not mounted");
		return;
	}
	if (!strstr(text.data, "[confidentiality]")) {
		feature__set(f, FEATURE_OK, "%s", text.data);
		return;
	}
	feature__set(f, FEATURE_MISSING_PERMISSION,
		     "kernel lockdown is 'confidentiality', which forbids perf events and BPF "
		     "reads");
	feature__advise(f, "boot with lockdown=integrity or none");
}

/* A line of kallsyms starts with its address; all are zero when they are hidden. */
static bool has_addresses(const char *text)
{
	const char *line = text;

	while (line && *line) {
		if (line[strspn(line, "0")] != ' ')
			return true;
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return false;
}

void kernel_check__kernel_addresses(const char *root, struct feature *f)
{
	int restricted = kernel_check__sysctl(root, "/proc/sys/kernel/kptr_restrict", 0);
	_cleanup_close_ int fd = open_below(root, "/proc/kallsyms");
	_cleanup_free_ char *text = calloc(1, KALLSYMS_LOOK_BYTES + 1);
	size_t len = 0;
	ssize_t n;

	if (fd < 0 || !text) {
		feature__set(f, FEATURE_DEGRADED, "no /proc/kallsyms: kernel frames have no names");
		feature__advise(f, "needs CONFIG_KALLSYMS");
		return;
	}
	while (len < KALLSYMS_LOOK_BYTES) {
		n = read(fd, text + len, KALLSYMS_LOOK_BYTES - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (has_addresses(text)) {
		feature__set(f, FEATURE_OK, "visible (kernel.kptr_restrict is %d)", restricted);
		return;
	}
	feature__set(f, FEATURE_DEGRADED,
		     "hidden (kernel.kptr_restrict is %d): kernel frames have no names",
		     restricted);
	feature__advise(f, "%s",
			restricted >= 2 ? "sysctl kernel.kptr_restrict=1"
					: "run as root, or with CAP_SYSLOG");
}

void kernel_check__cgroup2(const char *root, struct feature *f)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	char *rest, *line;

	if (kernel_check__read(root, "/proc/self/mountinfo", &text) == 0) {
		rest = text.data;
		while ((line = strsep(&rest, "\n"))) {
			char where[150];

			if (!strstr(line, " - cgroup2 ") ||
			    sscanf(line, "%*s %*s %*s %*s %149s", where) != 1)
				continue;
			feature__set(f, FEATURE_OK, "mounted at %s", where);
			return;
		}
	}
	feature__set(f, FEATURE_DEGRADED, "not mounted: --cgroup cannot be used");
	feature__advise(f, "mount -t cgroup2 none /sys/fs/cgroup");
}

static size_t count_cpus(const char *root, const char *path)
{
	_cleanup_(cpu_list__done) struct cpu_list list = { 0 };
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (kernel_check__read(root, path, &text) || !text.len || cpu_list__parse(&list, text.data))
		return 0;
	return list.cnt;
}

void kernel_check__cpus(const char *root, struct feature *f)
{
	size_t online = count_cpus(root, "/sys/devices/system/cpu/online");
	size_t possible = count_cpus(root, "/sys/devices/system/cpu/possible");

	if (!online || possible < online) {
		feature__set(f, FEATURE_DEGRADED, "/sys/devices/system/cpu cannot be read");
		feature__advise(f, "mount sysfs at /sys");
		return;
	}
	feature__set(f, FEATURE_OK, "%zu online, %zu possible", online, possible);
}

void kernel_check__jit(const char *root, struct feature *f)
{
	if (kernel_check__sysctl(root, "/proc/sys/net/core/bpf_jit_enable", 1)) {
		feature__set(f, FEATURE_OK, "on");
		return;
	}
	feature__set(f, FEATURE_DEGRADED, "off: every sample costs several times as much");
	feature__advise(f, "sysctl net.core.bpf_jit_enable=1");
}

void kernel_check__memlock(const struct kernel_version *v, uint64_t limit_bytes, bool may_raise,
			   struct feature *f)
{
	if (!kernel_version__is_before(v, 5, 11, 0)) {
		feature__set(f, FEATURE_OK, "BPF memory is not charged to it (since 5.11)");
		return;
	}
	if (may_raise || limit_bytes >= MEMLOCK_WANTED) {
		feature__set(f, FEATURE_OK, "enough, or may be raised (CAP_SYS_RESOURCE)");
		return;
	}
	feature__set(f, FEATURE_MISSING_PERMISSION,
		     "this kernel charges BPF memory to it, and it is %llu KiB",
		     (unsigned long long)limit_bytes / 1024);
	feature__advise(f, "ulimit -l unlimited, or CAP_SYS_RESOURCE, or Linux 5.11");
}

static void perf_refused(int err, int paranoid, bool has_perfmon, bool has_sys_admin,
			 struct feature *f)
{
	feature__set(f, FEATURE_MISSING_PERMISSION,
		     "perf_event_open: %s; kernel.perf_event_paranoid is %d", strerror(-err),
		     paranoid);
	if (has_sys_admin)
		feature__advise(f, "a container's seccomp profile, a security module or lockdown "
				   "forbids it: allow perf_event_open there");
	else if (paranoid > 2)
		/* Debian's and Ubuntu's own levels: CAP_PERFMON does not count there. */
		feature__advise(f, "needs CAP_SYS_ADMIN at this level: run as root, or "
				   "sysctl kernel.perf_event_paranoid=2");
	else if (!has_perfmon)
		feature__advise(f, "needs CAP_PERFMON: run as root (sudo)");
	else
		feature__advise(f, "a security module or a container's seccomp profile forbids it");
}

void kernel_check__perf(int err, int paranoid, bool has_perfmon, bool has_sys_admin,
			struct feature *f)
{
	switch (-err) {
	case 0:
		feature__set(f, FEATURE_OK, "can be opened (kernel.perf_event_paranoid is %d)",
			     paranoid);
		break;
	case EACCES:
	case EPERM:
		perf_refused(err, paranoid, has_perfmon, has_sys_admin, f);
		break;
	case EMFILE:
	case ENFILE:
		feature__set(f, FEATURE_MISSING_PERMISSION, "perf_event_open: %s", strerror(-err));
		feature__advise(f, "raise the limit of open files: ulimit -n");
		break;
	case ENOSYS:
		feature__set(f, FEATURE_MISSING_KERNEL, "this kernel has no perf_event_open");
		feature__advise(f, "needs CONFIG_PERF_EVENTS");
		break;
	default:
		feature__set(f, FEATURE_MISSING_KERNEL, "perf_event_open: %s", strerror(-err));
		feature__advise(f, "needs software events (cpu-clock, dummy) with MMAP2 and a "
				   "clock id, Linux 5.10 or later");
	}
}

void kernel_check__bpf(int err, const char *what, bool has_bpf, const struct kernel_version *v,
		       struct feature *f)
{
	switch (-err) {
	case 0:
		feature__set(f, FEATURE_OK, "%s can be made", what);
		break;
	case EACCES:
	case EPERM:
		feature__set(f, FEATURE_MISSING_PERMISSION, "%s: bpf: %s", what, strerror(-err));
		if (!has_bpf)
			feature__advise(f, "needs CAP_BPF and CAP_PERFMON: run as root (sudo)");
		else if (kernel_version__is_before(v, 5, 11, 0))
			feature__advise(f, "raise the limit of locked memory: ulimit -l unlimited");
		else
			feature__advise(f, "a security module or a container's seccomp profile "
					   "forbids it");
		break;
	case ENOSYS:
		feature__set(f, FEATURE_MISSING_KERNEL, "this kernel has no bpf(2)");
		feature__advise(f, "needs CONFIG_BPF_SYSCALL");
		break;
	default:
		feature__set(f, FEATURE_MISSING_KERNEL, "%s: bpf: %s", what, strerror(-err));
		feature__advise(f, "needs CONFIG_BPF_SYSCALL and CONFIG_BPF_EVENTS, Linux 5.10 or "
				   "later");
	}
}

void kernel_check__optional(int err, const char *present, const char *absent, struct feature *f)
{
	if (!err)
		feature__set(f, FEATURE_OK, "%s", present);
	else if (err == -EPERM || err == -EACCES)
		feature__set(f, FEATURE_OK, "not known without privileges");
	else
		feature__set(f, FEATURE_OK, "not here (%s)", absent);
}
