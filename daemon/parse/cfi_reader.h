/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A cursor over call frame information that cannot leave its bytes: a read beyond the end gives 0
 * and marks the reader as failed, which its user checks once per entry or instruction. Used by
 * eh_frame.c and cfa_program.c.
 */
#ifndef PARSE_CFI_READER_H
#define PARSE_CFI_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "parse/limits.h"

struct cfi_reader {
	const unsigned char *at, *end;
	bool failed;
};

static inline size_t cfi_reader__left(const struct cfi_reader *r)
{
	return (size_t)(r->end - r->at);
}

static inline void cfi_reader__fail(struct cfi_reader *r)
{
	r->failed = true;
	r->at = r->end;
}

static inline void cfi_reader__skip(struct cfi_reader *r, uint64_t bytes)
{
	if (bytes > cfi_reader__left(r))
		cfi_reader__fail(r);
	else
		r->at += bytes;
}

#define DEFINE_CFI_READ(type, name)                                                                \
	static inline type cfi_reader__##name(struct cfi_reader *r)                                \
	{                                                                                          \
		type value = 0;                                                                    \
		if (cfi_reader__left(r) < sizeof(value)) {                                         \
			cfi_reader__fail(r);                                                       \
			return 0;                                                                  \
		}                                                                                  \
		memcpy(&value, r->at, sizeof(value));                                              \
		r->at += sizeof(value);                                                            \
		return value;                                                                      \
	}                                                                                          \
	struct __cfi_read_semicolon_eater

DEFINE_CFI_READ(uint8_t, u8);
DEFINE_CFI_READ(uint16_t, u16);
DEFINE_CFI_READ(uint32_t, u32);
DEFINE_CFI_READ(uint64_t, u64);

/* Linkers pad LEB128 numbers with redundant bytes; more than a 64-bit one takes is an attack. */
static inline uint64_t cfi_reader__leb(struct cfi_reader *r, bool is_signed)
{
	unsigned int shift = 0;
	uint64_t value = 0;

	for (unsigned int i = 0; i < PARSE_LEB_BYTES; i++) {
		uint8_t byte = cfi_reader__u8(r);

		value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
		shift += 7;
		if (byte & 0x80)
			continue;
		if (is_signed && (byte & 0x40) && shift < 64)
			value |= ~(uint64_t)0 << shift;
		return value;
	}
	cfi_reader__fail(r);
	return 0;
}

static inline uint64_t cfi_reader__uleb(struct cfi_reader *r)
{
	/* Nearly all operands are one byte long. */
	if (cfi_reader__left(r) && *r->at < 0x80)
		return *r->at++;
	return cfi_reader__leb(r, false);
}

static inline int64_t cfi_reader__sleb(struct cfi_reader *r)
{
	return (int64_t)cfi_reader__leb(r, true);
}

#endif
