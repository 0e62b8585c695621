/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls malloc() and free() with every register full of garbage and looks at what the function
 * found and what it came back with: nobody who probes them may leave a trace. "right N" and status
 * 42 after a line on standard input, "wrong REGISTER" and status 1 at once.
 *
 * heap_regs        of the C library: what the psABI promises about it is checked
 * heap_regs_own    (OWN_MALLOC) of its own, which looks at every register as it is entered and
 *                  leaves other garbage behind
 */
#include <poll.h>
#include <string.h>
#include "workload.h"

#define VECTORS      16
#define STATUS_FLAGS 0x8d5ULL /* carry, parity, adjust, zero, sign, overflow */
#define DIRECTION    0x400ULL
#define FAITHFUL     42

/* Offsets are written out in the assembly below. */
struct registers {
	uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t flags, reserved;
	uint8_t ymm[VECTORS][32];
};

struct registers enter, at_entry, leave, at_return;
void *call_target;
uint64_t sp_at_call;
unsigned char is_watched; /* only calls from here */

void call_filled(void);

#define SAVE(where)                                                                                \
	"	mov %rax, " where "+0(%rip)\n"                                                     \
	"	mov %rcx, " where "+8(%rip)\n"                                                     \
	"	mov %rdx, " where "+16(%rip)\n"                                                    \
	"	mov %rbx, " where "+24(%rip)\n"                                                    \
	"	mov %rsp, " where "+32(%rip)\n"                                                    \
	"	mov %rbp, " where "+40(%rip)\n"                                                    \
	"	mov %rsi, " where "+48(%rip)\n"                                                    \
	"	mov %rdi, " where "+56(%rip)\n"                                                    \
	"	mov %r8, " where "+64(%rip)\n"                                                     \
	"	mov %r9, " where "+72(%rip)\n"                                                     \
	"	mov %r10, " where "+80(%rip)\n"                                                    \
	"	mov %r11, " where "+88(%rip)\n"                                                    \
	"	mov %r12, " where "+96(%rip)\n"                                                    \
	"	mov %r13, " where "+104(%rip)\n"                                                   \
	"	mov %r14, " where "+112(%rip)\n"                                                   \
	"	mov %r15, " where "+120(%rip)\n"                                                   \
	"	.irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"                                         \
	"	vmovdqu %ymm\\i, " where "+144+32*\\i(%rip)\n"                                     \
	"	.endr\n"

/* Those that a function may use, but for the result. */
#define LOAD_SCRATCH(where)                                                                        \
	"	.irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"                                         \
	"	vmovdqu " where "+144+32*\\i(%rip), %ymm\\i\n"                                     \
	"	.endr\n"                                                                                 \
	"	mov " where "+8(%rip), %rcx\n"                                                     \
	"	mov " where "+16(%rip), %rdx\n"                                                    \
	"	mov " where "+48(%rip), %rsi\n"                                                    \
	"	mov " where "+56(%rip), %rdi\n"                                                    \
	"	mov " where "+64(%rip), %r8\n"                                                     \
	"	mov " where "+72(%rip), %r9\n"                                                     \
	"	mov " where "+80(%rip), %r10\n"                                                    \
	"	mov " where "+88(%rip), %r11\n"

/* Calls *call_target with the registers of 'enter'; leaves what they are then in 'at_return'. */
__asm__(".text\n"
	".globl call_filled\n"
	".type call_filled, @function\n"
	"call_filled:\n"
	"	.cfi_startproc\n"
	"	push %rbx\n"
	"	push %rbp\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	sub $8, %rsp\n"
	"	.cfi_adjust_cfa_offset 56\n" LOAD_SCRATCH(
		"enter") "	mov enter+24(%rip), %rbx\n"
			 "	mov enter+40(%rip), %rbp\n"
			 "	mov enter+96(%rip), %r12\n"
			 "	mov enter+104(%rip), %r13\n"
			 "	mov enter+112(%rip), %r14\n"
			 "	mov enter+120(%rip), %r15\n"
			 "	mov %rsp, sp_at_call(%rip)\n"
			 "	pushq enter+128(%rip)\n"
			 "	mov enter(%rip), %rax\n"
			 "	popfq\n"
			 "	call *call_target(%rip)\n" SAVE(
				 "at_return") "	pushfq\n"
					      "	popq at_return+128(%rip)\n"
					      "	vzeroupper\n"
					      "	cld\n"
					      "	add $8, %rsp\n"
					      "	pop %r15\n"
					      "	pop %r14\n"
					      "	pop %r13\n"
					      "	pop %r12\n"
					      "	pop %rbp\n"
					      "	pop %rbx\n"
					      "	.cfi_adjust_cfa_offset -56\n"
					      "	ret\n"
					      "	.cfi_endproc\n"
					      ".size call_filled, . - call_filled\n");

#ifdef OWN_MALLOC
#define ARENA_BYTES (64u << 20)

unsigned char arena[ARENA_BYTES];
unsigned char *arena_next = arena;
void *returned, *freed;

/* Whoever else allocates gets the next bytes, too, and nothing is given back. */
__asm__(".text\n"
	".globl malloc\n"
	".type malloc, @function\n"
	"malloc:\n"
	"	.cfi_startproc\n"
	"	push %rbp\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	pushfq\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	cmpb $0, is_watched(%rip)\n"
	"	je 1f\n"
	"	popq at_entry+128(%rip)\n"
	"	pushq at_entry+128(%rip)\n" SAVE(
		"at_entry") "1:	add $31, %rdi\n"
			    "	and $-16, %rdi\n"
			    "	mov arena_next(%rip), %rax\n"
			    "	add %rax, %rdi\n"
			    "	mov %rdi, arena_next(%rip)\n"
			    "	mov %rax, returned(%rip)\n"
			    "	cmpb $0, is_watched(%rip)\n"
			    "	je 2f\n" LOAD_SCRATCH(
				    "leave") "2:	popfq\n"
					     "	.cfi_adjust_cfa_offset -8\n"
					     "	pop %rbp\n"
					     "	.cfi_adjust_cfa_offset -8\n"
					     "	ret\n"
					     "	.cfi_endproc\n"
					     ".size malloc, . - malloc\n"
					     ".globl free\n"
					     ".type free, @function\n"
					     "free:\n"
					     "	.cfi_startproc\n"
					     "	push %rbp\n"
					     "	.cfi_adjust_cfa_offset 8\n"
					     "	pushfq\n"
					     "	.cfi_adjust_cfa_offset 8\n"
					     "	mov %rdi, freed(%rip)\n"
					     "	cmpb $0, is_watched(%rip)\n"
					     "	je 1f\n"
					     "	popq at_entry+128(%rip)\n"
					     "	pushq at_entry+128(%rip)\n" SAVE("at_entry")
						     LOAD_SCRATCH(
							     "leave") "1:	popfq\n"
								      "	.cfi_adjust_cfa_offset -8\n"
								      "	pop %rbp\n"
								      "	.cfi_adjust_cfa_offset -8\n"
								      "	ret\n"
								      "	.cfi_endproc\n"
								      ".size free, . - free\n");

void *calloc(size_t count, size_t bytes)
{
	return malloc(count * bytes); /* the arena is zero */
}

void *realloc(void *p, size_t bytes)
{
	unsigned char *moved = malloc(bytes), *old = p;

	for (size_t i = 0; old && i < bytes && old + i < moved; i++)
		moved[i] = old[i];
	return moved;
}

static const int is_own = 1;
#else
static void *const returned, *const freed;
static const int is_own;
#endif

static void wrong(const char *which, uint64_t found, uint64_t expected)
{
	printf("wrong %s: %#llx, not %#llx\n", which, (unsigned long long)found,
	       (unsigned long long)expected);
	fflush(stdout);
	_exit(1);
}

static void fill(struct registers *r)
{
	static uint64_t state = 1;
	uint64_t *words = (uint64_t *)r;

	for (size_t i = 0; i < sizeof(*r) / sizeof(*words); i++) {
		state = state * 6364136223846793005ULL + 1442695040888963407ULL;
		words[i] = state ^ state >> 29;
	}
	r->flags = (r->flags & STATUS_FLAGS) | 0x202; /* interrupts on, and the bit that is 1 */
}

#define EXPECT(which, name, value)                                                                 \
	do {                                                                                       \
		if (which.name != (value))                                                         \
			wrong(#which "." #name, which.name, value);                                \
	} while (0)

static void check_callee_saved(void)
{
	EXPECT(at_return, rbx, enter.rbx);
	EXPECT(at_return, rbp, enter.rbp);
	EXPECT(at_return, r12, enter.r12);
	EXPECT(at_return, r13, enter.r13);
	EXPECT(at_return, r14, enter.r14);
	EXPECT(at_return, r15, enter.r15);
	EXPECT(at_return, rsp, sp_at_call);
	if (at_return.flags & DIRECTION)
		wrong("direction flag", 1, 0);
}

static void check_own(int has_result)
{
	EXPECT(at_entry, rax, enter.rax);
	EXPECT(at_entry, rcx, enter.rcx);
	EXPECT(at_entry, rdx, enter.rdx);
	EXPECT(at_entry, rbx, enter.rbx);
	EXPECT(at_entry, rbp, enter.rbp);
	EXPECT(at_entry, rsi, enter.rsi);
	EXPECT(at_entry, rdi, enter.rdi);
	EXPECT(at_entry, r8, enter.r8);
	EXPECT(at_entry, r9, enter.r9);
	EXPECT(at_entry, r10, enter.r10);
	EXPECT(at_entry, r11, enter.r11);
	EXPECT(at_entry, r12, enter.r12);
	EXPECT(at_entry, r13, enter.r13);
	EXPECT(at_entry, r14, enter.r14);
	EXPECT(at_entry, r15, enter.r15);
	EXPECT(at_entry, rsp, sp_at_call - 24);
	if ((at_entry.flags ^ enter.flags) & STATUS_FLAGS)
		wrong("at_entry.flags", at_entry.flags, enter.flags);
	if (memcmp(at_entry.ymm, enter.ymm, sizeof(enter.ymm)))
		wrong("at_entry.ymm", 1, 0);
	if (has_result)
		EXPECT(at_return, rax, (uint64_t)returned);
	EXPECT(at_return, rcx, leave.rcx);
	EXPECT(at_return, rdx, leave.rdx);
	EXPECT(at_return, rsi, leave.rsi);
	EXPECT(at_return, rdi, leave.rdi);
	EXPECT(at_return, r8, leave.r8);
	EXPECT(at_return, r9, leave.r9);
	EXPECT(at_return, r10, leave.r10);
	EXPECT(at_return, r11, leave.r11);
	if (memcmp(at_return.ymm, leave.ymm, sizeof(leave.ymm)))
		wrong("at_return.ymm", 1, 0);
}

static void *call(void *function, uint64_t argument, int has_result)
{
	fill(&enter);
	fill(&leave);
	enter.rdi = argument;
	call_target = function;
	is_watched = 1;
	call_filled();
	is_watched = 0;
	check_callee_saved();
	if (is_own)
		check_own(has_result);
	return (void *)at_return.rax;
}

FRAME void alloc_filled(size_t bytes)
{
	void *p = call(malloc, bytes, 1);

	if (!p)
		wrong("result", 0, 1);
	memset(p, 0x5a, bytes);
	call(free, (uint64_t)p, 0);
	if (is_own && freed != p)
		wrong("argument of free", (uint64_t)freed, (uint64_t)p);
}

int main(void)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	unsigned long calls = 0;

	if (!__builtin_cpu_supports("avx")) {
		puts("refused AVX");
		return 0;
	}
	say_ready();
	while (poll(&in, 1, calls % 16 ? 0 : 2) == 0)
		alloc_filled(16 + calls++ % 1000);
	printf("right %lu\n", calls);
	return FAITHFUL;
}
