/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which bytes answer for which addresses: a module's pinned file, our own vDSO (the kernel maps the
 * same image into every 64-bit process), /proc/kallsyms. The bytes themselves are the worker's to
 * read; here they are only opened.
 */
#include "symbolize/symbolize.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "process/vdso.h"

struct symbolizer {
	struct worker *worker; /* borrowed */
	int vdso_fd;           /* made at first use; negative: none yet */
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

/* A descriptor of the vDSO's bytes, borrowed, or -1 where there is none. */
static int open_vdso(struct symbolizer *s)
{
	if (s->vdso_fd < 0)
		s->vdso_fd = vdso__open();
	return s->vdso_fd < 0 ? -1 : s->vdso_fd;
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
