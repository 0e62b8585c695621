/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads a library, allocates by a function of it, unloads it, ROUNDS times. As heap_truth.h; what
 * the library's function allocates is called alloc_in_plugin.
 *
 * heap_dlopen LIBRARY FUNCTION FREE [ROUNDS]   FREE is looked up in the library, too
 */
#include <dlfcn.h>
#include "heap_truth.h"

#define BLOCKS      20
#define KEPT        5
#define BLOCK_BYTES 144

static int use_library(char **argv)
{
	void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL), *blocks[BLOCKS];
	void *(*alloc)(size_t);
	void (*release)(void *);

	if (!library) {
		printf("refused %s\n", dlerror());
		return 1;
	}
	alloc = (void *(*)(size_t))dlsym(library, argv[2]);
	release = (void (*)(void *))dlsym(library, argv[3]);
	if (!alloc || !release)
		return 1;
	usleep(150000); /* until a new allocator is probed */
	for (int i = 0; i < BLOCKS; i++)
		blocks[i] = truth_allocated("alloc_in_plugin", BLOCK_BYTES, alloc(BLOCK_BYTES));
	for (int i = KEPT; i < BLOCKS; i++) {
		truth_freed("alloc_in_plugin", BLOCK_BYTES);
		release(blocks[i]);
	}
	return dlclose(library);
}

int main(int argc, char **argv)
{
	int rounds = argc > 4 ? atoi(argv[4]) : 1;

	if (argc < 4)
		return 2;
	truth_await_go();
	for (int i = 0; i < rounds; i++)
		if (use_library(argv))
			return 1;
	truth_done();
	return 0;
}
