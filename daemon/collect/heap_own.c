/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_own.h.
 */
#include "collect/heap_own.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>

/* In assembly: what a compiler makes of an empty function begins with what it likes. */
asm(".pushsection .text\n"
    ".balign 64\n"
    ".globl heap_own_alloc\n"
    ".hidden heap_own_alloc\n"
    ".type heap_own_alloc, @function\n"
    "heap_own_alloc:\n"
    "	push %rbp\n"
    "	pop %rbp\n"
    "	ret\n"
    ".size heap_own_alloc, . - heap_own_alloc\n"
    ".balign 64\n"
    ".globl heap_own_free\n"
    ".hidden heap_own_free\n"
    ".type heap_own_free, @function\n"
    "heap_own_free:\n"
    "	push %rbp\n"
    "	pop %rbp\n"
    "	ret\n"
    ".size heap_own_free, . - heap_own_free\n"
    ".balign 64\n"
    ".globl heap_own_stepped\n"
    ".hidden heap_own_stepped\n"
    ".type heap_own_stepped, @function\n"
    "heap_own_stepped:\n"
    "	test %rdi, %rdi\n"
    "	ret\n"
    ".size heap_own_stepped, . - heap_own_stepped\n"
    ".popsection\n");

int heap_own__open(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

struct search {
	uintptr_t address;
	int64_t offset;
};

/* The first object is the executable. */
static int find_offset(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct search *s = ctx;
	uintptr_t at = s->address - info->dlpi_addr;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && at >= p->p_vaddr && at - p->p_vaddr < p->p_filesz)
			s->offset = (int64_t)(at - p->p_vaddr + p->p_offset);
	}
	return 1;
}

int64_t heap_own__offset(uintptr_t address)
{
	struct search s = { .address = address, .offset = -ENOENT };

	dl_iterate_phdr(find_offset, &s);
	return s.offset;
}
