/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A C program that loads libraries: preload_host FILE… [-- MODULE]. Each FILE is loaded for
 * everybody, some allocations made, and unloaded; then module_work() of MODULE is called.
 */
#include <dlfcn.h>
#include <string.h>
#include "workload.h"

static void allocate_some(void)
{
	void *blocks[1000];

	for (size_t i = 0; i < 1000; i++) {
		blocks[i] = malloc(i);
		memset(blocks[i], (int)i, i);
	}
	for (size_t i = 0; i < 1000; i++)
		free(i % 2 ? blocks[i] : realloc(blocks[i], 2 * i + 1));
}

static void *load(const char *path, int flags)
{
	void *library = dlopen(path, flags);

	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	return library;
}

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		void *library = load(argv[i], RTLD_NOW | RTLD_GLOBAL);
		int (*function)(void);

		allocate_some();
		/* Nobody has asked for what is not there, whatever a library looks for. */
		if (dlerror())
			puts("an error that is not ours");
		*(void **)&function = dlsym(library, "malloc");
		printf("loaded, %s\n", function ? "with malloc" : "without malloc");
		dlclose(library);
		allocate_some();
	}
	if (++i < argc) {
		int (*work)(int);

		*(void **)&work = dlsym(load(argv[i], RTLD_NOW | RTLD_LOCAL), "module_work");
		printf("module: %d\n", work(10000));
	}
	return 0;
}
