/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which bytes answer for which addresses: a module's pinned file, our own vDSO (the kernel maps the
 * same image into every 64-bit process), /proc/kallsyms. The bytes themselves are the worker's to
 * read; here they are only opened or, the vDSO, copied.
 */
#include "symbolize/symbolize.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/file.h"

#define MAPS_BYTES_MAX (4u << 20)
#define VDSO_BYTES_MAX (1u << 20)

struct symbolizer {
	struct worker *worker; /* borrowed */
	int vdso_fd;           /* sealed copy of our vDSO, made at first use; -1: none yet */
};

struct symbolizer *symbolizer__new(struct worker *worker)
{
	struct symbolizer *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->worker = worker;
	s->vdso_fd = -1;
	return s;
}

void symbolizer__free(struct symbolizer *s)
{
	if (!s)
		return;
	if (s->vdso_fd >= 0)
		close(s->vdso_fd);
	free(s);
}

/* Length of our vDSO's mapping, 0 if it is not to be found. */
static size_t vdso_bytes(uintptr_t start)
{
	_cleanup_buf_ struct buf maps = BUF_INIT;
	char *line, *next = NULL;

	if (file__read("/proc/self/maps", MAPS_BYTES_MAX, &maps) || !maps.data)
		return 0;
	for (line = strtok_r(maps.data, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		char *dash;
		uintptr_t from = strtoul(line, &dash, 16), to;

		if (from != start || *dash != '-')
			continue;
		to = strtoul(dash + 1, NULL, 16);
		return to > from && to - from <= VDSO_BYTES_MAX ? to - from : 0;
	}
	return 0;
}

/* A descriptor of our vDSO's bytes, borrowed, or -1 where there is none. */
static int open_vdso(struct symbolizer *s)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	uintptr_t start = getauxval(AT_SYSINFO_EHDR);
	_cleanup_close_ int fd = -1;
	size_t len;

	if (s->vdso_fd >= 0 || !start)
		return s->vdso_fd;
	len = vdso_bytes(start);
	if (!len)
		return -1;
	fd = memfd_create("vdso", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || file__write_all(fd, (const void *)start, len) ||
	    fcntl(fd, F_ADD_SEALS, seals))
		return -1;
	s->vdso_fd = take_fd(&fd);
	return s->vdso_fd;
}

int symbolizer__module(struct symbolizer *s, const struct module *module, const uint64_t *offsets,
		       size_t cnt, struct worker_reply *ret)
{
	int fd = -1;

	if (module->kind == MODULE_VDSO)
		fd = open_vdso(s);
	else if (module->kind == MODULE_FILE)
		fd = module->fd;
	return worker__resolve_elf(s->worker, fd, offsets, cnt, ret);
}

int symbolizer__kernel(struct symbolizer *s, const uint64_t *addresses, size_t cnt,
		       struct worker_reply *ret)
{
	/* What it shows is decided on opening, by who opens it. */
	_cleanup_close_ int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);

	return worker__resolve_kernel(s->worker, fd, addresses, cnt, ret);
}
