/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two coroutines on stacks of their own take turns. How the outermost frame of such a stack says
 * that it is one differs:
 *
 * coroutines context   makecontext(3): libc's frame below the entry function ends the stack
 * coroutines zero      switched by hand; the entry function would return to 0
 * coroutines garbage   switched by hand; what lies there was never written as a return address
 * coroutines edge      switched by hand; the stack's memory ends there
 */
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include "workload.h"

#define STACK_BYTES (256u << 10)
#define PAGE_BYTES  4096

static ucontext_t main_context, contexts[2];
static void *main_sp, *other_sp[2];
static unsigned int running;

void switch_stack(void **save_sp, void *sp);

/* Returns on the other stack, to where that was left or to where start_by_hand() says. */
__asm__(".text\n"
	".type switch_stack, @function\n"
	".globl switch_stack\n"
	"switch_stack:\n"
	"	.cfi_startproc\n"
	"	push %rbp\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	push %rbx\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	push %r12\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	pop %r12\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %rbx\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %rbp\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size switch_stack, . - switch_stack\n");

static void give_turn(bool is_context)
{
	unsigned int self = running;

	running = !self;
	if (is_context)
		swapcontext(&contexts[self], &contexts[!self]);
	else
		switch_stack(&other_sp[self], other_sp[!self]);
}

FRAME uint64_t burn_in_coroutine(uint64_t x)
{
	return chew(x, 3);
}

FRAME void coroutine_entry(void)
{
	bool is_context = contexts[0].uc_stack.ss_sp;
	uint64_t x = 1;

	for (;;) {
		x = burn_in_coroutine(x);
		give_turn(is_context);
	}
}

static int start_context(ucontext_t *context)
{
	if (getcontext(context))
		return 1;
	context->uc_stack.ss_sp = malloc(STACK_BYTES);
	context->uc_stack.ss_size = STACK_BYTES;
	context->uc_link = &main_context;
	makecontext(context, coroutine_entry, 0);
	return !context->uc_stack.ss_sp;
}

static int start_contexts(void)
{
	if (start_context(&contexts[0]) || start_context(&contexts[1]))
		return 1;
	return swapcontext(&main_context, &contexts[0]);
}

/* A frame of switch_stack() that returns to the entry function, whose return address is next. */
static int start_by_hand(const char *kind)
{
	bool is_edge = !strcmp(kind, "edge");

	for (unsigned int i = 0; i < 2; i++) {
		char *stack = mmap(NULL, STACK_BYTES + PAGE_BYTES, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		uint64_t *top = (uint64_t *)(stack + STACK_BYTES);

		if (stack == MAP_FAILED || mprotect(top, PAGE_BYTES, PROT_NONE))
			return 1;
		/* At its entry a function's stack pointer is 8 off 16. */
		top -= is_edge ? 0 : 1;
		if (!is_edge)
			*top = strcmp(kind, "garbage") ? 0 : 0x123456789abcdef;
		*--top = (uint64_t)coroutine_entry;
		top -= 3;
		other_sp[i] = top;
	}
	switch_stack(&main_sp, other_sp[0]);
	return 0;
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "context";

	puts("expect chain coroutine_entry burn_in_coroutine");
	say_ready();
	return strcmp(kind, "context") ? start_by_hand(kind) : start_contexts();
}
