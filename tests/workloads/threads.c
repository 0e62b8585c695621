/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three named threads, each in a function of its own; the main thread sleeps. Expected: samples of
 * a thread hold its function only. threads [SECONDS]
 */
#include <pthread.h>
#include "workload.h"

static double end_s;

#define SPINNER(name)                                                                              \
	FRAME void *spin_##name(void *arg)                                                         \
	{                                                                                          \
		uint64_t x = 1;                                                                    \
                                                                                                   \
		while (now_s() < end_s)                                                            \
			x = chew(x, 10);                                                           \
		return arg;                                                                        \
	}

SPINNER(alpha)
SPINNER(beta)
SPINNER(gamma)

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void *(*fn)(void *);
	} spinners[] = {
		{ "alpha", spin_alpha },
		{ "beta", spin_beta },
		{ "gamma", spin_gamma },
	};
	pthread_t threads[3];

	end_s = now_s() + seconds_arg(argc, argv, 1);
	for (int i = 0; i < 3; i++) {
		if (pthread_create(&threads[i], NULL, spinners[i].fn, NULL))
			return 1;
		pthread_setname_np(threads[i], spinners[i].name);
		printf("expect thread %s spin_%s\n", spinners[i].name, spinners[i].name);
	}
	say_ready();
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
