/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stack of frames of every shape a compiler makes: none, saved registers, a large one, one of
 * dynamic size, one that is realigned, one of a variadic function.
 * frames [SECONDS]
 */
#include <alloca.h>
#include <stdarg.h>
#include "workload.h"

FRAME uint64_t burn_below(uint64_t x)
{
	return chew(x, 5);
}

/* Prologue, epilogue and the call itself again and again, with nothing in between. */
FRAME uint64_t saves_registers(uint64_t x)
{
	__asm__ volatile("" : "+r"(x) : : "rbx", "rbp", "r12", "r13", "r14", "r15");
	return x * 3 + 1;
}

FRAME uint64_t calls_often(uint64_t x)
{
	for (unsigned int i = 0; i < 50000; i++)
		x = saves_registers(x);
	return x;
}

FRAME uint64_t variadic(unsigned int cnt, ...)
{
	uint64_t x = 0;
	va_list args;

	va_start(args, cnt);
	for (unsigned int i = 0; i < cnt; i++)
		x += va_arg(args, uint64_t);
	va_end(args);
	return burn_below(x) + calls_often(x);
}

FRAME uint64_t realigned(uint64_t x)
{
	volatile uint64_t block[16] __attribute__((aligned(128))) = { x };

	block[1] = variadic(3, x, block[0], x ^ 5);
	return block[1];
}

FRAME uint64_t dynamic(uint64_t x)
{
	volatile uint64_t *bytes = alloca(64 + (x & 0xff8));

	bytes[0] = x;
	bytes[0] += realigned(x);
	return bytes[0];
}

FRAME uint64_t large(uint64_t x)
{
	volatile uint64_t block[8192];

	block[x % 8192] = x;
	block[0] = dynamic(x);
	return block[0] + block[x % 8192];
}

FRAME uint64_t many_live(uint64_t x)
{
	uint64_t a = x * 3, b = x ^ 7, c = x + 11, d = x >> 3, e = x * x, f = ~x;

	x = large(x);
	__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
	x += large(x) + a + b + c;
	return x + d + e + f;
}

int main(int argc, char **argv)
{
	double end_s = now_s() + seconds_arg(argc, argv, 1);
	uint64_t x = 1;

	puts("expect chain main many_live large dynamic realigned variadic burn_below");
	puts("expect chain main many_live large dynamic realigned variadic calls_often");
	say_ready();
	while (now_s() < end_s)
		x = many_live(x);
	return x == 0;
}
