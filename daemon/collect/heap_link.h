/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Probes of user code, by whatever this kernel has for it: one uprobe_multi link for many sites, or
 * a perf event for each. By bpf(2): libbpf 1.1 knows neither uprobe_multi nor sessions. Private to
 * collect/.
 */
#ifndef COLLECT_HEAP_LINK_H
#define COLLECT_HEAP_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* enum bpf_attach_type of newer kernels' headers. */
#define ATTACH_TRACE_UPROBE_MULTI   48 /* 6.6 */
#define ATTACH_TRACE_UPROBE_SESSION 57 /* 6.13 */

enum heap_link_how {
	HEAP_LINK_ENTRY = 0,
	HEAP_LINK_RETURN = 1,
	HEAP_LINK_SESSION = 2, /* entry, and the return where the program wants it */
};

struct heap_link_site {
	uint64_t offset, semaphore_offset; /* into the file */
	uint64_t cookie;
};

/* With what probes are made. */
struct heap_linker {
	bool has_multi;
	bool has_cookie;       /* else a program of each site leaves the cookie in a map … */
	int perf_type;         /* of perf uprobes, where there is no uprobe_multi */
	int cookie_fd;         /* … this one, and goes on to entry 0 of the next */
	int entry_programs_fd; /* -1 where it is not needed; as cookie_fd */
};

/* Descriptors, each of which holds probes. */
struct heap_links {
	int *fds;
	size_t cnt, cap;
};

/* Adds probes of a file in one process, or (pid 0) in all. On failure nothing was added. Returns 0
 * or -errno. */
struct heap_link_request {
	enum heap_link_how how;
	int prog_fd;
	int file_fd;
	pid_t pid;
	const struct heap_link_site *sites;
	size_t sites_cnt;
};
int heap_links__add(struct heap_links *l, const struct heap_linker *linker,
		    const struct heap_link_request *request);

/* Moves all of 'from'. 0 or -ENOMEM. */
int heap_links__move(struct heap_links *l, struct heap_links *from);

/* Removes the probes; none of their programs runs any more when this returns. */
void heap_links__close(struct heap_links *l);

/* bpf(2) itself: a descriptor or -errno. 'path' is of a file to be probed. */
int heap_link__create_multi(const struct heap_link_request *request, const char *path);

#endif
