/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An allocator in assembly that returns what it is told to, to be probed in the test itself.
 */
#ifndef TESTS_UNIT_HEAP_FAKE_H
#define TESTS_UNIT_HEAP_FAKE_H

#include <stddef.h>

/* DWARF numbers. */
#define DWARF_RDX 1
#define DWARF_RCX 2
#define DWARF_RSI 4
#define DWARF_RDI 5
#define DWARF_R10 10

void *fake_malloc(size_t size, void *result);
void *fake_calloc(size_t cnt, size_t size, void *result);
void *fake_realloc(void *old, size_t size, void *result);
void *fake_memalign(size_t align, size_t size, void *result);
int fake_posix_memalign(void **out, size_t align, size_t size, void *result, int error);
void fake_free(void *ptr);
void *fake_outer(size_t size, void *result);     /* calls fake_malloc */
void *fake_onward(size_t size, void *result);    /* goes on to fake_malloc */
void *fake_moved(size_t size, void *result);     /* its argument is in r10 at its site */
void *fake_stuck(size_t size, const int *go_on); /* until *go_on is not 0 */
void fake_told(void *ptr, size_t size, size_t weighted);
int fake_changed_registers(void); /* calls fake_malloc; 0: all are as they were */
extern const char fake_outer_end[], fake_moved_site[], fake_told_site[];

#define FAKE_LABEL(name) ".globl " name "\n.hidden " name "\n" name ":\n"
#define FAKE(name, body)                                                                           \
	asm(".pushsection .text\n.balign 16\n" FAKE_LABEL(name) body ".popsection\n")

FAKE("fake_malloc", "push %rbp\n pop %rbp\n mov %rsi, %rax\n ret\n");
FAKE("fake_calloc", "push %rbp\n pop %rbp\n mov %rdx, %rax\n ret\n");
FAKE("fake_realloc", "push %rbp\n pop %rbp\n mov %rdx, %rax\n ret\n");
FAKE("fake_memalign", "push %rbp\n pop %rbp\n mov %rdx, %rax\n ret\n");
FAKE("fake_posix_memalign", "push %rbp\n pop %rbp\n mov %rcx, (%rdi)\n mov %r8d, %eax\n ret\n");
FAKE("fake_free", "push %rbp\n pop %rbp\n ret\n");
FAKE("fake_outer", "push %rbp\n call fake_malloc\n pop %rbp\n ret\n" FAKE_LABEL("fake_outer_end"));
FAKE("fake_onward", "push %rbp\n pop %rbp\n jmp fake_malloc\n");
FAKE("fake_moved",
     "mov %rdi, %r10\n xor %edi, %edi\n" FAKE_LABEL("fake_moved_site") "mov %rsi, %rax\n ret\n");
FAKE("fake_stuck", "push %rbp\n pop %rbp\n 1: pause\n cmpl $0, (%rsi)\n je 1b\n"
		   "mov %rsi, %rax\n ret\n");
FAKE("fake_told",
     "push %rbp\n mov %rdx, %rcx\n" FAKE_LABEL("fake_told_site") "nop\n pop %rbp\n ret\n");

/* Every register has a value of its own, r15 that of rsp. */
#define FAKE_SAME(reg, value) "cmp $" value ", %" reg "\n jne 2f\n"
FAKE("fake_changed_registers",
     "push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
     "mov $0x1003, %ebx\n mov $0x1002, %ecx\n mov $0x1001, %edx\n mov $0x1005, %edi\n"
     "mov $0x1004, %esi\n mov $0x1006, %ebp\n mov $0x1008, %r8d\n mov $0x1009, %r9d\n"
     "mov $0x100a, %r10d\n mov $0x100b, %r11d\n mov $0x100c, %r12d\n mov $0x100d, %r13d\n"
     "mov $0x100e, %r14d\n mov %rsp, %r15\n movq %rdx, %xmm0\n"
     "stc\n call fake_malloc\n jnc 2f\n" FAKE_SAME("rax", "0x1004") FAKE_SAME(
	     "rbx",
	     "0x1003") FAKE_SAME("rcx",
				 "0x1002") FAKE_SAME("rdx",
						     "0x1001") FAKE_SAME("rdi",
									 "0x1005") FAKE_SAME("rsi",
											     "0x1004")
	     FAKE_SAME("rbp", "0x1006") FAKE_SAME("r8", "0x1008") FAKE_SAME("r9", "0x1009") FAKE_SAME(
		     "r10", "0x100a") FAKE_SAME("r11",
						"0x100b") FAKE_SAME("r12",
								    "0x100c") FAKE_SAME("r13",
											"0x100d")
		     FAKE_SAME("r14", "0x100e") "cmp %rsp, %r15\n jne 2f\n movq %xmm0, %rbx\n" FAKE_SAME(
			     "rbx",
			     "0x1001") "xor %eax, %eax\n jmp 3f\n 2: mov $1, %eax\n 3: mov %r15, %rsp\n"
				       "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");

#endif
