/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The main thread ends first; a thread named "survivor" goes on in survivor_spin().
 * main_exits [SECONDS]
 */
#include <pthread.h>
#include "workload.h"

static double end_s;

FRAME void *survivor_spin(void *arg)
{
	uint64_t x = 1;

	usleep(50000); /* the main thread is gone by now */
	puts("expect thread survivor survivor_spin");
	say_ready();
	while (now_s() < end_s)
		x = chew(x, 10);
	exit(x == 0);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	end_s = now_s() + seconds_arg(argc, argv, 1);
	if (pthread_create(&thread, NULL, survivor_spin, NULL))
		return 1;
	pthread_setname_np(thread, "survivor");
	pthread_exit(NULL);
}
