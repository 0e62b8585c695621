/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attaches the programs of heap_recipe.bpf.c to malloc() and free() of one process and says
 * "ready"; ends at the end of its input. Offsets are those of the functions in the file.
 *
 *	heap_recipe PID FILE MALLOC_OFFSET FREE_OFFSET
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/bench/heap_recipe.skel.h"

static int attach(struct heap_recipe *skel, char **argv)
{
	pid_t pid = atoi(argv[1]);
	size_t malloc_offset = strtoul(argv[3], NULL, 0), free_offset = strtoul(argv[4], NULL, 0);

	skel->links.recipe_return = bpf_program__attach_uprobe(skel->progs.recipe_return, true, pid,
							       argv[2], malloc_offset);
	skel->links.recipe_entry = bpf_program__attach_uprobe(skel->progs.recipe_entry, false, pid,
							      argv[2], malloc_offset);
	skel->links.recipe_free = bpf_program__attach_uprobe(skel->progs.recipe_free, false, pid,
							     argv[2], free_offset);
	if (!skel->links.recipe_return || !skel->links.recipe_entry || !skel->links.recipe_free)
		return -errno;
	return 0;
}

int main(int argc, char **argv)
{
	struct heap_recipe *skel;
	char byte;
	int err;

	if (argc != 5) {
		fputs("usage: heap_recipe PID FILE MALLOC_OFFSET FREE_OFFSET\n", stderr);
		return 2;
	}
	skel = heap_recipe__open_and_load();
	err = skel ? attach(skel, argv) : -errno;
	if (err) {
		fprintf(stderr, "heap_recipe: %s\n", strerror(-err));
		heap_recipe__destroy(skel);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	heap_recipe__destroy(skel);
	return 0;
}
