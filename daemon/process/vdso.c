/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies our own vDSO into a memfd; see vdso.h. The bytes are the worker's to read.
 */
#include "process/vdso.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"

#define MAPS_BYTES_MAX (4u << 20)
#define VDSO_BYTES_MAX (1u << 20)

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

int vdso__open(void)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	uintptr_t start = getauxval(AT_SYSINFO_EHDR);
	_cleanup_close_ int fd = -1;
	size_t len;
	int err;

	len = start ? vdso_bytes(start) : 0;
	if (!len)
		return -ENOENT;
	fd = memfd_create("vdso", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	err = file__write_all(fd, (const void *)start, len);
	if (err)
		return err;
	if (fcntl(fd, F_ADD_SEALS, seals) < 0)
		return -errno;
	return take_fd(&fd);
}
