/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Allocates under seccomp's strict mode, in which every system call but read, write and exit kills.
 * After each round it says "alive", at the end of its input it ends with status 0.
 * heap_seccomp
 */
#include <linux/seccomp.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "workload.h"

#define ARENA_BYTES (1u << 20)
#define BLOCKS      512

FRAME void *alloc_strictly(size_t bytes)
{
	void *p = malloc(bytes);

	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}

/* The arena has what they need: nobody asks the kernel for more. */
static void work(void)
{
	static void *blocks[BLOCKS];

	for (int i = 0; i < BLOCKS; i++)
		blocks[i] = alloc_strictly(100);
	for (int i = 0; i < BLOCKS; i++)
		free(blocks[i]);
}

int main(void)
{
	static const char alive[] = "alive\n";
	void *arena = malloc(ARENA_BYTES / 16), *top;
	uint64_t x = 1;
	char byte;

	/* Grows the heap once, and leaves a block above what is given back. */
	for (int i = 0; i < 16; i++) {
		void *p = malloc(ARENA_BYTES / 16 - 64);

		__asm__ volatile("" : : "r"(p) : "memory");
		free(p);
	}
	top = malloc(16);
	__asm__ volatile("" : : "r"(top) : "memory");
	free(arena);
	work();
	say_ready();
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		return 1;
	/* Each line it reads makes it work once. */
	while (read(STDIN_FILENO, &byte, 1) == 1) {
		work();
		x = chew(x, 1);
		if (write(STDOUT_FILENO, alive, sizeof(alive) - 1) < 0)
			break;
	}
	__asm__ volatile("" : : "r"(x));
	syscall(SYS_exit, 0);
	return 0;
}
