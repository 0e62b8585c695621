/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads /proc/PID/{stat,comm,maps,task}. Called by the process table and, for single questions, by
 * the session. Knows no table, no module.
 */
#include "process/procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "process/line_reader.h"

#define STAT_LINE_BYTES 1024 /* the 22 fields read here fit, whatever their values */
#define MAPS_LINES_MAX  (1U << 20)
#define PF_EXITING      0x00000004U
#define PF_KTHREAD      0x00200000U

/* The kernel's fixed number of the initial PID namespace (include/linux/proc_ns.h). */
#define INITIAL_PID_NS_INODE 0xEFFFFFFCU

static int read_small_file(pid_t pid, const char *name, char *buf, size_t size, size_t *ret_len)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	do {
		n = read(fd, buf, size - 1);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	*ret_len = (size_t)n;
	return 0;
}

static void copy_comm(char ret[PROCESS_COMM_LEN], const char *s, size_t len)
{
	if (len > PROCESS_COMM_LEN - 1)
		len = PROCESS_COMM_LEN - 1;
	memset(ret, 0, PROCESS_COMM_LEN);
	memcpy(ret, s, len);
}

int procfs__parse_stat(const char *line, struct proc_stat *ret)
{
	const char *open_paren = strchr(line, '(');
	/* The name may itself hold ") R 1"; nothing after it holds a parenthesis. */
	const char *close_paren = strrchr(line, ')');
	unsigned long long start_ticks;
	unsigned int flags;
	long threads;
	char state;
	int ppid;

	if (!open_paren || !close_paren || close_paren < open_paren)
		return -EBADMSG;
	if (sscanf(close_paren + 1,
		   " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d %llu",
		   &state, &ppid, &flags, &threads, &start_ticks) != 5)
		return -EBADMSG;
	if (threads < 0)
		return -EBADMSG;
	copy_comm(ret->comm, open_paren + 1, (size_t)(close_paren - open_paren - 1));
	ret->state = state;
	ret->ppid = ppid;
	ret->flags = flags;
	ret->threads_cnt = (uint32_t)threads;
	ret->start_ticks = start_ticks;
	return 0;
}

int procfs__stat(pid_t pid, struct proc_stat *ret)
{
	char line[STAT_LINE_BYTES];
	char comm[PROCESS_COMM_LEN];
	struct proc_stat st;
	size_t len;
	int err;

	err = read_small_file(pid, "stat", line, sizeof(line), &len);
	if (err)
		return err;
	err = procfs__parse_stat(line, &st);
	if (err)
		return err;
	/* stat escapes backslashes and newlines of the name, comm does not. */
	if (strchr(st.comm, '\\') && procfs__comm(pid, comm) == 0)
		memcpy(st.comm, comm, sizeof(st.comm));
	*ret = st;
	return 0;
}

bool procfs__stat_is_kernel_thread(const struct proc_stat *st)
{
	return st->flags & PF_KTHREAD;
}

bool procfs__stat_is_dead(const struct proc_stat *st)
{
	return st->state == 'Z' || st->state == 'X' || st->flags & PF_EXITING;
}

int procfs__start_ticks(pid_t pid, uint64_t *ret_ticks)
{
	struct proc_stat st;
	int err;

	err = procfs__stat(pid, &st);
	if (err)
		return err;
	*ret_ticks = st.start_ticks;
	return 0;
}

int procfs__comm(pid_t pid, char ret_comm[PROCESS_COMM_LEN])
{
	char text[128];
	size_t len;
	int err;

	err = read_small_file(pid, "comm", text, sizeof(text), &len);
	if (err)
		return err;
	if (len > 0 && text[len - 1] == '\n')
		len--;
	copy_comm(ret_comm, text, len);
	return 0;
}

bool procfs__is_kernel_thread(pid_t pid)
{
	struct proc_stat st;

	return procfs__stat(pid, &st) == 0 && procfs__stat_is_kernel_thread(&st);
}

static int parse_pid(const char *name, pid_t *ret)
{
	long pid = 0;

	if (!isdigit((unsigned char)name[0]))
		return -EINVAL;
	for (; *name; name++) {
		if (!isdigit((unsigned char)*name) || pid > INT_MAX / 10)
			return -EINVAL;
		pid = pid * 10 + (*name - '0');
	}
	if (pid <= 0 || pid > INT_MAX)
		return -EINVAL;
	*ret = (pid_t)pid;
	return 0;
}

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int each_numeric_entry(const char *path, int (*fn)(pid_t pid, void *ctx), void *ctx)
{
	_cleanup_(closedirp) DIR *dir = opendir(path);
	struct dirent *de;
	pid_t pid;
	int err;

	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	for (;;) {
		errno = 0;
		/* cppcheck-suppress readdirCalled; the stream is ours alone */
		de = readdir(dir);
		if (!de)
			return -errno;
		if (parse_pid(de->d_name, &pid) < 0)
			continue;
		err = fn(pid, ctx);
		if (err)
			return err;
	}
}

int procfs__each_pid(int (*fn)(pid_t pid, void *ctx), void *ctx)
{
	return each_numeric_entry("/proc", fn, ctx);
}

int procfs__each_tid(pid_t pid, int (*fn)(pid_t tid, void *ctx), void *ctx)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	return each_numeric_entry(path, fn, ctx);
}

bool procfs__in_initial_pid_ns(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino == INITIAL_PID_NS_INODE;
}

/* strtoull() would take signs, blanks and "0x", and needs errno to tell an overflow. */
static bool parse_hex(const char **p, uint64_t *ret)
{
	const char *s = *p;
	uint64_t v = 0;

	for (;; s++) {
		unsigned int digit;

		if (*s >= '0' && *s <= '9')
			digit = (unsigned int)(*s - '0');
		else if (*s >= 'a' && *s <= 'f')
			digit = (unsigned int)(*s - 'a' + 10);
		else
			break;
		if (v >> 60)
			return false;
		v = v << 4 | digit;
	}
	if (s == *p)
		return false;
	*p = s;
	*ret = v;
	return true;
}

static bool parse_decimal(const char **p, uint64_t *ret)
{
	const char *s = *p;
	uint64_t v = 0;

	for (; isdigit((unsigned char)*s); s++) {
		if (v > (UINT64_MAX - 9) / 10)
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	if (s == *p)
		return false;
	*p = s;
	*ret = v;
	return true;
}

static bool skip_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

/* A newline is the only byte that the kernel escapes in this file. */
static void unescape_newlines(char *s)
{
	char *to;

	if (!strstr(s, "\\012"))
		return;
	for (to = s; *s; to++) {
		if (strncmp(s, "\\012", 4) == 0) {
			*to = '\n';
			s += 4;
		} else {
			*to = *s++;
		}
	}
	*to = '\0';
}

int procfs__parse_maps_line(char *line, struct maps_line *ret)
{
	const char *p = line;
	struct maps_line l = { .path = "" };
	uint64_t major_nr, minor_nr;

	if (!parse_hex(&p, &l.start) || !skip_char(&p, '-') || !parse_hex(&p, &l.end) ||
	    !skip_char(&p, ' ') || l.start >= l.end)
		return -EBADMSG;
	if (strnlen(p, 5) < 5 || p[4] != ' ')
		return -EBADMSG;
	l.executable = p[2] == 'x';
	if (!l.executable) {
		*ret = l;
		return 0;
	}
	p += 5;
	if (!parse_hex(&p, &l.offset) || !skip_char(&p, ' ') || !parse_hex(&p, &major_nr) ||
	    !skip_char(&p, ':') || !parse_hex(&p, &minor_nr) || !skip_char(&p, ' ') ||
	    !parse_decimal(&p, &l.inode) || major_nr > UINT32_MAX || minor_nr > UINT32_MAX)
		return -EBADMSG;
	l.dev_major = (uint32_t)major_nr;
	l.dev_minor = (uint32_t)minor_nr;
	while (*p == ' ')
		p++;
	unescape_newlines(line + (p - line));
	l.path = p;
	*ret = l;
	return 0;
}

int procfs__each_mapping(pid_t pid, int (*fn)(const struct maps_line *line, void *ctx), void *ctx)
{
	_cleanup_(line_reader__freep) struct line_reader *r = NULL;
	struct maps_line parsed;
	char path[64];
	char *line;
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	r = line_reader__open(path, &err);
	if (!r)
		return err == -ENOENT ? -ESRCH : err;
	for (size_t i = 0; i < MAPS_LINES_MAX; i++) {
		err = line_reader__next(r, &line);
		if (err <= 0)
			return err;
		if (procfs__parse_maps_line(line, &parsed) < 0 || !parsed.executable)
			continue;
		err = fn(&parsed, ctx);
		if (err)
			return err;
	}
	return 0;
}
