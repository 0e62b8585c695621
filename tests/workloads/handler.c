/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A timer's signal comes at any instruction of interrupted(); its handler burns about half of the
 * time, on the same stack or on one of its own.
 * handler own|alternate [SECONDS]
 */
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include "workload.h"

#define ALT_STACK_BYTES (256u << 10)
#define PERIOD_US       4000

static volatile uint64_t result = 1;

FRAME uint64_t burn_in_handler(uint64_t x)
{
	return chew(x, PERIOD_US / 200);
}

FRAME void on_alarm(int signo)
{
	result = burn_in_handler(result + (uint64_t)signo);
}

/* Calls and returns, so that the signal finds prologues and epilogues, too. */
FRAME uint64_t step_once(uint64_t x)
{
	__asm__ volatile("" : "+r"(x) : : "rbx", "rbp", "r12");
	return x * 3 + 1;
}

FRAME uint64_t interrupted(uint64_t x)
{
	for (unsigned int i = 0; i < 100000; i++)
		x = step_once(x);
	return x;
}

static int use_alternate_stack(void)
{
	stack_t stack = { .ss_sp = malloc(ALT_STACK_BYTES), .ss_size = ALT_STACK_BYTES };

	return stack.ss_sp ? sigaltstack(&stack, NULL) : -1;
}

int main(int argc, char **argv)
{
	const struct itimerval period = { { 0, PERIOD_US }, { 0, PERIOD_US } };
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	double end_s = now_s() + seconds_arg(argc, argv, 2);
	uint64_t x = 1;

	if (argc > 1 && !strcmp(argv[1], "alternate")) {
		action.sa_flags |= SA_ONSTACK;
		if (use_alternate_stack())
			return 1;
	}
	if (sigaction(SIGALRM, &action, NULL) || setitimer(ITIMER_REAL, &period, NULL))
		return 1;
	puts("expect path main on_alarm burn_in_handler");
	puts("expect path main interrupted step_once");
	say_ready();
	while (now_s() < end_s)
		x = interrupted(x);
	return x == 0;
}
