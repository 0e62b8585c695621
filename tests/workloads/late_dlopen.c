/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Burns in host_spin() for a while, then loads a library and burns in its plugin_spin().
 * late_dlopen DELAY_MS LIBRARY [SECONDS]
 */
#include <dlfcn.h>
#include "workload.h"

FRAME uint64_t host_spin(double end_s)
{
	uint64_t x = 1;

	while (now_s() < end_s)
		x = chew(x, 10);
	return x;
}

int main(int argc, char **argv)
{
	uint64_t (*spin)(double end_s);
	double start_s = now_s();
	void *lib;

	if (argc < 3)
		return 2;
	puts("expect symbol host_spin");
	puts("expect symbol plugin_spin");
	say_ready();
	host_spin(start_s + atof(argv[1]) / 1e3);
	lib = dlopen(argv[2], RTLD_NOW);
	if (!lib) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	*(void **)&spin = dlsym(lib, "plugin_spin");
	return !spin || spin(start_s + seconds_arg(argc, argv, 3)) == 0;
}
