/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ELF files whose functions are given as machine code, for the tests of what is looked for in code.
 */
#ifndef TESTS_UNIT_CODE_BUILDER_H
#define TESTS_UNIT_CODE_BUILDER_H

#include "elf_builder.h"
#include "parse/heap_sites.h"

#define CODE_STEP    0x100u /* from one function to the next */
#define CODE_MAX     12
#define CODE_AT(n)   (BUILT_TEXT_VADDR + (n)*CODE_STEP)
#define CODE_FILE(n) (BUILT_TEXT_OFFSET + (n)*CODE_STEP)
#define CODE(...)    ((const uint8_t[]){ __VA_ARGS__ }), sizeof((const uint8_t[]){ __VA_ARGS__ })

/* A direct call or jump in function 'from', its opcode at 'at', to the entry of function 'to'. */
#define CODE_REL32(from, at, to)                                                                   \
	(uint8_t)(((to) - (from)) * CODE_STEP - (at)-5),                                           \
		(uint8_t)((((to) - (from)) * CODE_STEP - (at)-5) >> 8),                            \
		(uint8_t)((((to) - (from)) * CODE_STEP - (at)-5) >> 16),                           \
		(uint8_t)((((to) - (from)) * CODE_STEP - (at)-5) >> 24)
#define CODE_CALL(from, at, to) 0xe8, CODE_REL32(from, at, to)
#define CODE_JUMP(from, at, to) 0xe9, CODE_REL32(from, at, to)

/* Function n of the array lies at CODE_AT(n); without a name it is a local part of another. */
struct built_code {
	const char *name;
	const uint8_t *bytes;
	size_t len;
	uint8_t type; /* 0: STT_FUNC */
};

#define FUNCTION(n, ...)                                                                           \
	{                                                                                          \
		.name = (n), .bytes = (const uint8_t[]){ __VA_ARGS__ },                            \
		.len = sizeof((const uint8_t[]){ __VA_ARGS__ })                                    \
	}

static inline void build_code(const struct built_code *functions, size_t cnt, struct buf *out)
{
	struct built_symbol symbols[CODE_MAX + 1] = { { NULL } };
	struct built_elf spec = { .dynsym = symbols };
	size_t symbols_cnt = 0;

	assert_true(cnt <= CODE_MAX);
	for (size_t i = 0; i < cnt; i++) {
		assert_true(functions[i].len <= CODE_STEP);
		if (functions[i].name)
			symbols[symbols_cnt++] = (struct built_symbol){
				.name = functions[i].name,
				.value = CODE_AT(i),
				.size = functions[i].len,
				.type = functions[i].type ? functions[i].type : STT_FUNC,
				.bind = STB_GLOBAL,
				.section = BUILT_TEXT,
			};
	}
	build_elf(&spec, out);
	for (size_t i = 0; i < cnt; i++)
		memcpy(out->data + CODE_FILE(i), functions[i].bytes, functions[i].len);
}

static inline enum parse_status sites_of_fd(int fd, struct heap_sites *ret)
{
	enum parse_status status;
	struct elf_image image;

	status = elf_image__open(fd, &image);
	if (status != PARSE_OK)
		return status;
	status = heap_sites__find(&image, ret);
	elf_image__done(&image);
	return status;
}

static inline void sites_of_bytes(const struct buf *bytes, struct heap_sites *ret)
{
	int fd = file_of_bytes(bytes->data, bytes->len);

	assert_int_equal(sites_of_fd(fd, ret), PARSE_OK);
	close(fd);
}

static inline void sites_of_code(const struct built_code *functions, size_t cnt,
				 struct heap_sites *ret)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT;

	build_code(functions, cnt, &bytes);
	sites_of_bytes(&bytes, ret);
}

/* The site in the file's bytes [start, start + len); NULL: there is none. */
static inline const struct heap_site *site_in(const struct heap_sites *s, uint64_t start,
					      uint64_t len)
{
	const struct heap_site *found = NULL;

	for (size_t i = 0; i < s->sites_cnt; i++) {
		if (s->sites[i].offset < start || s->sites[i].offset >= start + len)
			continue;
		assert_null(found);
		found = &s->sites[i];
	}
	return found;
}

/* The site of function n, which there must be. */
static inline const struct heap_site *site_of(const struct heap_sites *s, size_t n)
{
	const struct heap_site *site = site_in(s, CODE_FILE(n), CODE_STEP);

	assert_non_null(site);
	return site;
}

#endif
