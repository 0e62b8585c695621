/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for unwind tables without a kernel program: memfds of the sizes the BPF arrays have.
 */
#ifndef TESTS_UNIT_UNWIND_MAPS_H
#define TESTS_UNIT_UNWIND_MAPS_H

#include <sys/mman.h>
#include <unistd.h>
#include "abi/unwind_table.h"
#include "unwind/unwind.h"

static inline int unwind_map(size_t cnt, size_t bytes)
{
	int fd = memfd_create("unwind", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, (off_t)(cnt * bytes)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline struct unwind_maps unwind_maps__new(uint32_t leaf_pages, uint32_t block_pages)
{
	return (struct unwind_maps){
		.leaf = unwind_map(leaf_pages, sizeof(struct unwind_page)),
		.block = unwind_map(block_pages, sizeof(struct unwind_page)),
		.files = unwind_map(UNWIND_FILES_MAX, sizeof(struct unwind_file)),
		.rules = unwind_map(UNWIND_RULES_MAX, sizeof(struct unwind_rule_entry)),
		.slots = unwind_map(UNWIND_SLOTS, sizeof(struct unwind_slot)),
		.control = unwind_map(1, sizeof(struct unwind_control)),
		.processes = -1,
		.leaf_pages = leaf_pages,
		.block_pages = block_pages,
	};
}

static inline void unwind_maps__close(const struct unwind_maps *m)
{
	const int fds[] = { m->leaf, m->block, m->files, m->rules, m->slots, m->control };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
	if (m->processes >= 0)
		close(m->processes);
}

#endif
