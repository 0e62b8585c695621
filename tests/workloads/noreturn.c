/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Burns below a function whose last instruction is a call: its return address is the next
 * function's first byte, where another frame layout holds. In assembly, for no compiler promises
 * such an order.
 * noreturn [SECONDS]
 */
#include "workload.h"

__attribute__((noreturn)) void ends_in_call(void);
__attribute__((noreturn)) void burn_and_exit(void);

static double end_s;

__attribute__((noreturn)) FRAME void burn_and_exit(void)
{
	uint64_t x = 1;

	while (now_s() < end_s)
		x = chew(x, 10);
	exit(x == 0);
}

#ifdef __x86_64__
__asm__(".text\n"
	".type ends_in_call, @function\n"
	".globl ends_in_call\n"
	"ends_in_call:\n"
	"	.cfi_startproc\n"
	"	sub $40, %rsp\n"
	"	.cfi_adjust_cfa_offset 40\n"
	"	call burn_and_exit\n"
	"	.cfi_endproc\n"
	".size ends_in_call, . - ends_in_call\n"
	".type wrong_neighbour, @function\n"
	"wrong_neighbour:\n"
	"	.cfi_startproc\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size wrong_neighbour, . - wrong_neighbour\n");
#else
__attribute__((noreturn)) FRAME void ends_in_call(void)
{
	burn_and_exit();
}
#endif

int main(int argc, char **argv)
{
	end_s = now_s() + seconds_arg(argc, argv, 1);
	puts("expect chain main ends_in_call burn_and_exit");
	say_ready();
	ends_in_call();
}
