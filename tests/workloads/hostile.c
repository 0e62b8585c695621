/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process with a name that nobody should print as it is, and a thread with another. Its function
 * hostile_symbol() gets an equally bad name in the symbol table after linking (see the Makefile).
 * hostile [SECONDS]
 */
#include <pthread.h>
#include <sys/prctl.h>
#include "workload.h"

static double end_s;

FRAME uint64_t hostile_symbol(uint64_t x)
{
	return chew(x, 10);
}

FRAME void *run_hostile(void *arg)
{
	uint64_t x = 1;

	while (now_s() < end_s)
		x = hostile_symbol(x);
	return x ? arg : NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	end_s = now_s() + seconds_arg(argc, argv, 1);
	if (pthread_create(&thread, NULL, run_hostile, NULL))
		return 1;
	pthread_setname_np(thread, "\x1b]0;t\x07\n\x80;a b");
	prctl(PR_SET_NAME, "\x1b[31mc\r\n\xff\xc2\x9b;");
	say_ready();
	run_hostile(NULL);
	pthread_join(thread, NULL);
	return 0;
}
