/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A dlsym() that allocates, as older C libraries' does: loaded behind the library that looks the
 * allocator's functions up with it.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *kept, *aligned;

/* All that is looked up is the C library's. */
static void *find_in_libc(const char *name)
{
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	void *function = dlvsym(libc, name, "GLIBC_2.2.5");

	return function ? function : dlvsym(libc, name, "GLIBC_2.16");
}

void *dlsym(void *restrict handle, const char *restrict name)
{
	char *copy = calloc(1, strlen(name) + 1);

	strcpy(copy, name);
	copy = realloc(copy, 200);
	free(copy);
	free(NULL);
	if (!kept) {
		kept = malloc(1000);
		memset(kept, 7, 1000);
		aligned = memalign(256, 10);
	}
	(void)handle;
	return find_in_libc(name);
}

__attribute__((destructor)) static void check(void)
{
	char *moved = realloc(kept, 100000);
	static const char text[] = "dlsym allocated\n";

	for (int i = 0; i < 1000; i++) {
		if (moved[i] != 7)
			abort();
	}
	free(moved);
	if ((size_t)aligned % 256)
		abort();
	free(aligned);
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		abort();
}
