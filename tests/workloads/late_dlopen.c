/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Burns in host_spin() until SIGUSR1 comes, then loads a library and burns in its plugin_spin().
 * late_dlopen LIBRARY [SECONDS]
 */
#include <dlfcn.h>
#include <signal.h>
#include "workload.h"

static volatile sig_atomic_t is_asked;

static void on_signal(int signo)
{
	is_asked = signo;
}

FRAME uint64_t host_spin(double end_s)
{
	uint64_t x = 1;

	while (!is_asked && now_s() < end_s)
		x = chew(x, 10);
	return x;
}

int main(int argc, char **argv)
{
	uint64_t (*spin)(double end_s);
	double end_s = now_s() + seconds_arg(argc, argv, 2);
	void *lib;

	if (argc < 2)
		return 2;
	signal(SIGUSR1, on_signal);
	puts("expect symbol host_spin");
	puts("expect symbol plugin_spin");
	say_ready();
	host_spin(end_s);
	lib = dlopen(argv[1], RTLD_NOW);
	if (!lib) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	*(void **)&spin = dlsym(lib, "plugin_spin");
	return !spin || spin(end_s) == 0;
}
