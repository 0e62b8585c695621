/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spends most of its time in the kernel: reads /dev/zero in large pieces from do_reads().
 * Expected: most samples end in kernel functions, with do_reads() further up.
 * syscalls [SECONDS]
 */
#include <fcntl.h>
#include "workload.h"

static char buf[1 << 20];

/* The kernel is entered from here and not from libc, whose functions have no frame pointers. */
static inline long raw_read(int fd, void *to, size_t len)
{
	long ret;

#ifdef __x86_64__
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(0L), "D"((long)fd), "S"(to), "d"(len)
			 : "rcx", "r11", "memory");
#else
	ret = read(fd, to, len);
#endif
	return ret;
}

FRAME void do_reads(int fd, double end_s)
{
	while (now_s() < end_s) {
		if (raw_read(fd, buf, sizeof(buf)) <= 0)
			break;
	}
}

int main(int argc, char **argv)
{
	double end_s = now_s() + seconds_arg(argc, argv, 1);
	int fd = open("/dev/zero", O_RDONLY);

	if (fd < 0)
		return 1;
	puts("expect kernel do_reads 80");
	say_ready();
	do_reads(fd, end_s);
	return 0;
}
