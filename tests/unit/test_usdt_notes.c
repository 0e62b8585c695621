/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * USDT probes of memory: this program has some of its own, as the assembler and the linker write
 * them, and copies of it in which something is changed.
 */
#include "code_builder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/array.h"
#include "parse/usdt_notes.h"

int usdt_alloc_here(void);

/* What a note consists of; 'pc' is a label. */
#define NOTE(provider, name, pc, semaphore, arguments)                                             \
	".pushsection .note.stapsdt,\"\",\"note\"\n"                                               \
	".balign 4\n"                                                                              \
	".4byte 992f-991f, 994f-993f, 3\n"                                                         \
	"991: .asciz \"stapsdt\"\n"                                                                \
	"992: .balign 4\n"                                                                         \
	"993: .8byte " pc "\n"                                                                     \
	".8byte _.stapsdt.base\n"                                                                  \
	".8byte " semaphore "\n"                                                                   \
	".asciz \"" provider "\"\n"                                                                \
	".asciz \"" name "\"\n"                                                                    \
	".asciz \"" arguments "\"\n"                                                               \
	"994: .balign 4\n"                                                                         \
	".popsection\n"

__asm__(".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
	".weak _.stapsdt.base\n"
	".hidden _.stapsdt.base\n"
	"_.stapsdt.base: .space 1\n"
	".size _.stapsdt.base, 1\n"
	".popsection\n"
	".pushsection .probes,\"aw\",\"progbits\"\n"
	"usdt_semaphore: .2byte 0\n"
	".popsection\n"
	".pushsection .bss\n"
	"usdt_semaphore_in_bss: .2byte 0\n"
	".popsection\n"
	".text\n"
	".globl usdt_alloc_here\n"
	".type usdt_alloc_here, @function\n"
	"usdt_alloc_here:\n"
	"xor %eax, %eax\n"
	"usdt_alloc_at: nop\n"
	"usdt_free_at: .byte 0x0f, 0x1f, 0x40, 0x00\n"
	"usdt_alloc_stepped_at: xor %eax, %eax\n"
	"usdt_nop_of_five_at: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
	"ret\n"
	".size usdt_alloc_here, .-usdt_alloc_here\n"
	/* clang-format off */
	NOTE("otel_memory", "alloc", "usdt_alloc_at", "usdt_semaphore", "8@%rdi -8@%rsi 8@%rdx")
	NOTE("otel_memory", "free", "usdt_free_at", "0", "8@%r15")
	NOTE("otel_memory", "alloc", "usdt_alloc_stepped_at", "0", "8@%rbx 8@%r8 8@%rax")
	/* Others' and those that cannot be used. */
	NOTE("libc", "free", "usdt_free_at", "0", "8@%rdi")
	NOTE("otel_memory", "realloc", "usdt_free_at", "0", "8@%rdi")
	NOTE("otel_memory", "free", "usdt_free_at", "0", "4@%edi")
	NOTE("otel_memory", "free", "usdt_free_at", "0", "4@%rdi")
	NOTE("otel_memory", "free", "usdt_free_at", "0", "8@%edi")
	NOTE("otel_memory", "free", "usdt_free_at", "0", "8@-16(%rbp)")
	NOTE("otel_memory", "free", "usdt_free_at", "0", "8@$5")
	NOTE("otel_memory", "free", "usdt_free_at", "0", "")
	NOTE("otel_memory", "free", "usdt_free_at", "0", "8@%rdi 8@%rsi")
	NOTE("otel_memory", "free", "usdt_free_at", "0", "8@%rdi 8@%rsi 8@%rdx 8@%rcx")
	NOTE("otel_memory", "free", "usdt_free_at", "0", "8@%rdix")
	NOTE("otel_memory", "alloc", "usdt_alloc_at", "0", "8@%rdi 8@%rsi")
	NOTE("otel_memory", "free", "usdt_free_at", "usdt_semaphore_in_bss", "8@%rdi")
	NOTE("otel_memory", "free", "usdt_semaphore", "0", "8@%rdi")
	NOTE("otel_memory", "free", "usdt_nop_of_five_at", "0", "8@%rdi")
	NOTE("otel_memory", "free", "0x7fffffffffff", "0", "8@%rdi")
	/* clang-format on */
);

static void read_self(struct buf *out)
{
	FILE *f = fopen("/proc/self/exe", "re");
	char chunk[65536];
	size_t n;

	assert_non_null(f);
	while ((n = fread(chunk, 1, sizeof(chunk), f)))
		buf__append(out, chunk, n);
	fclose(f);
	assert_int_equal(buf__error(out), 0);
}

static size_t find_in(const struct buf *bytes, struct heap_site *ret, size_t max)
{
	int fd = file_of_bytes(bytes->data, bytes->len);
	struct elf_image image;
	size_t cnt;

	assert_int_equal(elf_image__open(fd, &image), PARSE_OK);
	cnt = usdt_notes__find(&image, ret, max);
	elf_image__done(&image);
	close(fd);
	return cnt;
}

static uint64_t file_offset_of(const struct buf *bytes, const void *pattern, size_t len)
{
	const char *found = memmem(bytes->data, bytes->len, pattern, len);

	assert_non_null(found);
	return (uint64_t)(found - bytes->data);
}

static const uint8_t probed_code[] = { 0x31, 0xc0, 0x90, 0x0f, 0x1f, 0x40, 0x00, 0x31,
				       0xc0, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0xc3 };

static void test_own_notes(void **state)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT;
	struct heap_site sites[HEAP_SITES_MAX];
	uint64_t code;

	assert_int_equal(usdt_alloc_here(), 0);
	read_self(&bytes);
	code = file_offset_of(&bytes, probed_code, sizeof(probed_code));
	assert_int_equal(find_in(&bytes, sites, HEAP_SITES_MAX), 3);
	assert_int_equal(sites[0].offset, code + 2);
	assert_int_equal(sites[0].call, HEAP_CALL_USDT_ALLOC);
	assert_int_equal(sites[0].ptr_reg, 5);
	assert_int_equal(sites[0].size_reg, 4);
	assert_int_equal(sites[0].count_reg, 1);
	assert_int_equal(sites[0].out_reg, HEAP_NO_REG);
	assert_int_equal(sites[0].flags, 0);
	assert_true(sites[0].semaphore_offset > 0 && sites[0].semaphore_offset < bytes.len);
	assert_int_equal(sites[1].offset, code + 3);
	assert_int_equal(sites[1].call, HEAP_CALL_USDT_FREE);
	assert_int_equal(sites[1].ptr_reg, 15);
	assert_int_equal(sites[1].size_reg, HEAP_NO_REG);
	assert_int_equal(sites[1].count_reg, HEAP_NO_REG);
	assert_int_equal(sites[1].semaphore_offset, 0);
	assert_int_equal(sites[1].flags, 0);
	assert_int_equal(sites[2].offset, code + 7);
	assert_int_equal(sites[2].flags, HEAP_SITE_STEPPED);
	assert_int_equal(sites[2].ptr_reg, 3);
	assert_int_equal(sites[2].size_reg, 8);
	assert_int_equal(sites[2].count_reg, 0);
	assert_int_equal(find_in(&bytes, sites, 2), 2);
}

/* The notes win over the allocator that is in the same file. */
static void test_notes_come_first(void **state)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT;
	struct heap_sites s;

	read_self(&bytes);
	sites_of_bytes(&bytes, &s);
	assert_int_equal(s.sites_cnt, 3);
	assert_int_equal(s.ranges_cnt, 0);
	assert_false(s.is_static);
	assert_false(s.is_stripped);
}

struct raw_note {
	uint32_t name_bytes, desc_bytes, type;
	char owner[8];
	uint64_t pc, base, semaphore;
} __attribute__((packed));

static struct raw_note *first_note(struct buf *bytes)
{
	/* Not as it is to be found: this file has its own constants, too. */
	char key[] = "?tel_memory\0alloc\0008@%rdi -8@%rsi";
	char *found;

	key[0] = 'o';
	found = memmem(bytes->data, bytes->len, key, sizeof(key) - 1);
	assert_non_null(found);
	return (struct raw_note *)(found - sizeof(struct raw_note));
}

/* A tool has moved the whole file after it was linked: base says by how much. */
static void test_moved(void **state)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT;
	struct heap_site before[3], after[3];
	struct raw_note note;

	read_self(&bytes);
	assert_int_equal(find_in(&bytes, before, 3), 3);
	memcpy(&note, first_note(&bytes), sizeof(note));
	assert_memory_equal(note.owner, "stapsdt", 8);
	note.pc -= 0x100000;
	note.base -= 0x100000;
	note.semaphore -= 0x100000;
	memcpy(first_note(&bytes), &note, sizeof(note));
	assert_int_equal(find_in(&bytes, after, 3), 3);
	assert_memory_equal(after, before, sizeof(before));
	/* Moved by something else than the base says: nothing is there. */
	note.base += 0x80000000;
	memcpy(first_note(&bytes), &note, sizeof(note));
	assert_int_equal(find_in(&bytes, after, 3), 2);
}

/* Sizes that lie: the notes before the lie are kept, none is read beyond the section. */
static void test_lying_sizes(void **state)
{
	const uint32_t lies[] = { UINT32_MAX, UINT32_MAX - 3, 0x7fffffff, 1u << 20, 0 };
	struct heap_site sites[HEAP_SITES_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		_cleanup_buf_ struct buf bytes = BUF_INIT;
		struct raw_note note;

		read_self(&bytes);
		memcpy(&note, first_note(&bytes), sizeof(note));
		note.desc_bytes = lies[i];
		memcpy(first_note(&bytes), &note, sizeof(note));
		assert_true(find_in(&bytes, sites, HEAP_SITES_MAX) < 3);
		note.name_bytes = lies[i];
		memcpy(first_note(&bytes), &note, sizeof(note));
		assert_true(find_in(&bytes, sites, HEAP_SITES_MAX) < 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_notes),
		cmocka_unit_test(test_notes_come_first),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_lying_sizes),
	};

	return cmocka_run_group_tests_name("usdt_notes", tests, NULL, NULL);
}
