/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probes otel_memory:alloc(ptr, size, weighted_bytes) and otel_memory:free(ptr), as SystemTap's
 * notes describe them (a .note.stapsdt entry of type 3 names the nop, the arguments and the
 * semaphore that is raised while somebody listens). Each is emitted at one place only, in a file
 * compiled with -mno-red-zone: what the kernel puts in a nop's place may write below the stack
 * pointer.
 */
#ifndef PRELOAD_HEAP_USDT_H
#define PRELOAD_HEAP_USDT_H

#include <stdint.h>

/*
 * The nop of one byte. That of five Linux 6.18 turns into a call of a page of its own, which is a
 * little faster, and which a forked child does not have although it has the call: it would end with
 * SIGSEGV at the next hit.
 */
#define HEAP_USDT_NOTE(probe, arguments)                                                           \
	"990:	nop\n"                                                                               \
	"	.pushsection .note.stapsdt, \"?\", \"note\"\n"                                           \
	"	.balign 4\n"                                                                             \
	"	.4byte 992f - 991f, 994f - 993f, 3\n"                                                    \
	"991:	.asciz \"stapsdt\"\n"                                                                \
	"992:	.balign 4\n"                                                                         \
	"993:	.8byte 990b\n"                                                                       \
	"	.8byte _.stapsdt.base\n"                                                                 \
	"	.8byte otel_memory_" probe "_semaphore\n"                                          \
	"	.asciz \"otel_memory\"\n"                                                                \
	"	.asciz \"" probe "\"\n"                                                            \
	"	.asciz \"" arguments "\"\n"                                                        \
	"994:	.balign 4\n"                                                                         \
	"	.popsection\n"                                                                           \
	".ifndef _.stapsdt.base\n"                                                                 \
	"	.pushsection .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat\n"               \
	"	.weak _.stapsdt.base\n"                                                                  \
	"	.hidden _.stapsdt.base\n"                                                                \
	"_.stapsdt.base:\n"                                                                        \
	"	.space 1\n"                                                                              \
	"	.size _.stapsdt.base, 1\n"                                                               \
	"	.popsection\n"                                                                           \
	".endif\n"

/* How many listen; written by the kernel. */
#define HEAP_USDT_SEMAPHORE(probe)                                                                 \
	__attribute__((visibility("hidden"), section(".probes"),                                   \
		       used)) volatile uint16_t otel_memory_##probe##_semaphore

extern volatile uint16_t otel_memory_alloc_semaphore, otel_memory_free_semaphore;

#ifdef HEAP_USDT_LEDGER
/* The build the tests keep a ledger with. */
void heap_ledger__alloc(void *ptr, uint64_t size, uint64_t weighted_bytes);
void heap_ledger__free(void *ptr);
#else
#define heap_ledger__alloc(ptr, size, weighted_bytes)
#define heap_ledger__free(ptr)
#endif

static inline __attribute__((always_inline)) void heap_usdt__alloc(void *ptr, uint64_t size,
								   uint64_t weighted_bytes)
{
	__asm__ volatile(HEAP_USDT_NOTE("alloc", "8@%%rdi 8@%%rsi 8@%%rdx")
			 :
			 : "D"(ptr), "S"(size), "d"(weighted_bytes)
			 : "memory");
	heap_ledger__alloc(ptr, size, weighted_bytes);
}

static inline __attribute__((always_inline)) void heap_usdt__free(void *ptr)
{
	__asm__ volatile(HEAP_USDT_NOTE("free", "8@%%rdi") : : "D"(ptr) : "memory");
	heap_ledger__free(ptr);
}

#endif
