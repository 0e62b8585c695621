/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 32-bit program without any library, so that a compiler without 32-bit ones builds it.
 * compat32
 */
#define FRAME __attribute__((noinline, noclone, used))

static const char ready[] = "ready\n";

void _start(void);

static int write_out(const char *text, unsigned int bytes)
{
	int ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(4), "b"(1), "c"(text), "d"(bytes)
			 : "memory");
	return ret;
}

FRAME unsigned int burn_32(unsigned int x)
{
	for (unsigned int i = 0; i < 100000000; i++) {
		x = x * 1664525 + 1013904223;
		__asm__ volatile("" : "+r"(x));
	}
	return x;
}

FRAME unsigned int calls_burn_32(unsigned int x)
{
	return burn_32(x) + 1;
}

void _start(void)
{
	unsigned int x = 1;

	write_out(ready, sizeof(ready) - 1);
	for (;;)
		x = calls_burn_32(x);
}
