/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_environment.h. What COMMAND is made of the worker says; here are only the facts the file
 * system has: who owns it, its mode, its capabilities.
 */
#include "session/heap_environment.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "session/heap_targets.h"

#define SCRIPT_LINE_BYTES 256 /* what the kernel reads of one */

static char *existing(const char *directory)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	if (asprintf(&path, "%s/%s", directory, HEAP_LIBRARY) < 0) {
		path = NULL;
		return NULL;
	}
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? take_ptr(path) : NULL;
}

char *heap_environment__library(void)
{
	char self[PATH_MAX], *found, *slash;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len > 0) {
		self[len] = '\0';
		slash = strrchr(self, '/');
		if (slash)
			*slash = '\0';
		found = existing(self);
		if (found)
			return found;
	}
	return existing(CPROF_LIBDIR);
}

static int open_program(const char *path)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	/* O_NONBLOCK: nobody may write to what turns out to be a FIFO. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || !(st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)))
		return -EACCES;
	return take_fd(&fd);
}

static int open_in_path(const char *name)
{
	const char *path = getenv("PATH"), *dir;
	int err = -ENOENT, fd;

	if (!*name)
		return -ENOENT;
	for (dir = path ?: "/bin:/usr/bin"; dir;
	     dir = strchr(dir, ':') ? strchr(dir, ':') + 1 : NULL) {
		int len = (int)strcspn(dir, ":");
		char full[PATH_MAX];

		if (snprintf(full, sizeof(full), "%.*s%s%s", len, dir, len ? "/" : "", name) >=
		    (int)sizeof(full))
			continue;
		fd = open_program(full);
		if (fd >= 0)
			return fd;
		if (fd == -EACCES)
			err = fd;
	}
	return err;
}

/* "#!/usr/bin/env python3": the program, without its argument. False: no script. */
static bool read_interpreter(int fd, char *line, size_t size)
{
	ssize_t len = pread(fd, line, size - 1, 0);
	char *start, *end;

	if (len < 2 || line[0] != '#' || line[1] != '!')
		return false;
	line[len] = '\0';
	start = line + 2 + strspn(line + 2, " \t");
	end = start + strcspn(start, " \t\n");
	*end = '\0';
	memmove(line, start, (size_t)(end - start) + 1);
	return *line;
}

int heap_environment__program(const char *name, unsigned int depth)
{
	_cleanup_close_ int fd = strchr(name, '/') ? open_program(name) : open_in_path(name);
	char interpreter[SCRIPT_LINE_BYTES];

	if (fd < 0)
		return take_fd(&fd);
	if (!depth || !read_interpreter(fd, interpreter, sizeof(interpreter)))
		return take_fd(&fd);
	/* The kernel looks it up as it stands. */
	if (!strchr(interpreter, '/'))
		return -ENOENT;
	return heap_environment__program(interpreter, depth - 1);
}

/* Of such a program the loader takes no library from a directory that users name. */
static bool is_secure(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return false;
	return st.st_mode & (S_ISUID | S_ISGID) ||
	       fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

/* Whether somebody else, too, can read it where it lies. */
static bool is_open_to_all(const char *library)
{
	char path[PATH_MAX];
	struct stat st;
	size_t i, len = strlen(library);

	if (len >= sizeof(path) || stat(library, &st) || !(st.st_mode & S_IROTH))
		return false;
	for (i = 1; i < len; i++) {
		if (library[i] != '/')
			continue;
		memcpy(path, library, i);
		path[i] = '\0';
		if (stat(path, &st) || !(st.st_mode & S_IXOTH))
			return false;
	}
	return true;
}

static const char *why_not_program(int fd, const struct worker_sites *sites)
{
	if (is_secure(fd))
		return "it runs set-uid, set-gid or with capabilities of its file";
	if (sites->refusal == HEAP_REFUSAL_32BIT)
		return "it is a 32-bit program";
	if (sites->is_go)
		return "it is a Go program";
	if (sites->has_sanitizer)
		return "it has a sanitizer (libasan or another), beside which " HEAP_LIBRARY
		       " does nothing";
	if (sites->is_musl)
		return "it is linked with musl, with which " HEAP_LIBRARY " does nothing";
	if (sites->status == PARSE_OK && sites->is_static)
		return "it is statically linked";
	/* The linker has all who map it call that. One that emits otel_memory is as good. */
	if (sites->sites_cnt && sites->sites[0].call != HEAP_CALL_USDT_ALLOC &&
	    sites->sites[0].call != HEAP_CALL_USDT_FREE)
		return "it has an allocator of its own";
	return NULL;
}

static const char *why_not_library(const struct options *opts, const char *library)
{
	if (!library)
		return HEAP_LIBRARY " is neither beside cprofd nor in " CPROF_LIBDIR;
	if (library[strcspn(library, ": ")])
		return "the path of " HEAP_LIBRARY " holds a space or colon";
	if (opts->user && !is_open_to_all(library))
		return HEAP_LIBRARY " cannot be read by other users where it lies";
	return NULL;
}

int heap_environment__decide(const struct options *opts, struct worker *worker, char **ret_library,
			     const char **ret_reason)
{
	_cleanup_free_ char *library = NULL;
	_cleanup_free_ struct worker_sites *sites = NULL;
	_cleanup_close_ int fd = -1;
	int err;

	*ret_library = NULL;
	*ret_reason = NULL;
	if (opts->target != TARGET_COMMAND || opts->heap_source == HEAP_CHOICE_UPROBE)
		return 0;
	library = heap_environment__library();
	*ret_reason = why_not_library(opts, library);
	/* What cannot be opened the exec will tell. */
	fd = heap_environment__program(opts->command[0], HEAP_INTERPRETERS_MAX);
	if (*ret_reason || fd < 0)
		return 0;
	sites = calloc(1, sizeof(*sites));
	if (!sites)
		return -ENOMEM;
	err = worker__heap_sites(worker, fd, sites);
	if (err)
		return err;
	*ret_reason = why_not_program(fd, sites);
	if (!*ret_reason)
		*ret_library = take_ptr(library);
	return 0;
}

static bool counts_allocs(const struct options *opts)
{
	size_t i;

	for (i = 0; i < opts->kinds_cnt; i++)
		if (opts->kinds[i].probe->counts_allocs)
			return true;
	return false;
}

static int make_environment(const struct options *opts, const char *library, char ***ret_env)
{
	const char *others = getenv("LD_PRELOAD");
	bool more = others && *others;
	char **env = calloc(3, sizeof(*env));

	if (!env)
		return -ENOMEM;
	if (asprintf(&env[0], "LD_PRELOAD=%s%s%s", library, more ? ":" : "", more ? others : "") <
	    0)
		env[0] = NULL;
	if (asprintf(&env[1], "CPROF_HEAP_INTERVAL=%" PRIu64, opts->heap_interval_bytes) < 0)
		env[1] = NULL;
	if (!env[0] || !env[1]) {
		free(env[0]);
		free(env[1]);
		free(env);
		return -ENOMEM;
	}
	*ret_env = env;
	return 0;
}

int heap_targets__environment(const struct options *opts, char ***ret_env)
{
	_cleanup_free_ char *library = NULL;
	_cleanup_(worker__freep) struct worker *worker = NULL;
	const char *reason;
	int err = -ENOMEM;

	*ret_env = NULL;
	if (!counts_allocs(opts))
		return EXIT_STATUS_OK;
	worker = worker__new();
	if (worker)
		err = heap_environment__decide(opts, worker, &library, &reason);
	if (!err && library)
		err = make_environment(opts, library, ret_env);
	if (err) {
		log_errno(err, "looking at '%s'",
			  opts->target == TARGET_COMMAND ? opts->command[0] : "");
		return EXIT_STATUS_FAILURE;
	}
	if (library || !reason)
		return EXIT_STATUS_OK;
	if (opts->heap_source == HEAP_CHOICE_PRELOAD) {
		log_err("--heap-source preload: '%s' cannot be preloaded: %s", opts->command[0],
			reason);
		return EXIT_STATUS_FAILURE;
	}
	log_warn("'%s' is probed by uprobes, not preloaded: %s", opts->command[0], reason);
	return EXIT_STATUS_OK;
}
