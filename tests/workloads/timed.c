/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Burns for some seconds and says what the kernel charged for it: "used CPU_US us".
 * timed [SECONDS]
 */
#include <sys/resource.h>
#include "workload.h"

FRAME uint64_t timed_spin(double end_s)
{
	uint64_t x = 1;

	while (now_s() < end_s)
		x = chew(x, 10);
	return x;
}

static long used_us(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000L + ru.ru_utime.tv_usec +
	       ru.ru_stime.tv_usec;
}

int main(int argc, char **argv)
{
	long before_us = used_us();
	uint64_t x;

	say_ready();
	x = timed_spin(now_s() + seconds_arg(argc, argv, 1));
	printf("used %ld us\n", used_us() - before_us);
	return x == 0;
}
