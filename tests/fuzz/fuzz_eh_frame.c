/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Call frame information → rows, from bytes nobody vouches for. The first byte says what the rest
 * is: bit 0 a whole ELF file; else one section, bit 1 .debug_frame, bit 2 of unknown size. Whatever
 * comes out must be a table the kernel can search, and the same when asked again.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/file.h"
#include "parse/unwind_rows.h"
#include "../unit/unwind_rows_check.h"

#define SECTION_VADDR 0x400000u
#define TEXT_ENTRY    0x2000
#define TEXT_BYTES    (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rows(struct unwind_rows *rows)
{
	const char *broken = broken_rows(rows);

	if (broken) {
		fprintf(stderr, "%s\n", broken);
		abort();
	}
	for (size_t i = 0; i < rows->ranges_cnt; i++)
		for (uint64_t byte = 0; byte < UNWIND_BLOCK_BYTES; byte += 13)
			unwind_rows__find(rows, rows->ranges[i].start + byte);
}

static enum parse_status build_section(const uint8_t *data, size_t size, uint8_t flags,
				       struct unwind_rows *ret)
{
	/* Two segments, so that FDEs can fall between them and out of one into the other. */
	const struct text_range text[] = {
		{ .start = 0x1000, .end = 0x300000 },
		{ .start = 0x500000, .end = 0x500000 + TEXT_BYTES },
	};
	const struct cfi_section section = {
		.data = data,
		.bytes = size,
		.vaddr = flags & 2 ? 0 : SECTION_VADDR,
		.is_debug_frame = flags & 2,
		.ends_at_zero = flags & 4,
	};

	return unwind_rows__build(&section, 1, text, 2, TEXT_ENTRY, ret);
}

static enum parse_status read_file(const uint8_t *data, size_t size, struct unwind_rows *ret)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	enum parse_status status;
	struct elf_image image;

	if (fd < 0 || file__write_all(fd, data, size))
		abort();
	status = elf_image__open(fd, &image);
	close(fd);
	if (status != PARSE_OK)
		return status;
	status = unwind_rows__read(&image, ret);
	elf_image__done(&image);
	return status;
}

static enum parse_status run(const uint8_t *data, size_t size, uint8_t flags, uint64_t *ret_made)
{
	struct unwind_rows rows;
	enum parse_status status =
		flags & 1 ? read_file(data, size, &rows) : build_section(data, size, flags, &rows);

	*ret_made = 0;
	if (status != PARSE_OK)
		return status;
	check_rows(&rows);
	*ret_made = rows.rows_made_cnt;
	unwind_rows__done(&rows);
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t made, made_again;
	uint8_t *bytes;

	if (!size)
		return 0;
	/* Exactly as large as it is, so that one byte too far is seen. */
	bytes = malloc(size - 1 ? size - 1 : 1);
	if (!bytes)
		return 0;
	memcpy(bytes, data + 1, size - 1);
	if (run(bytes, size - 1, data[0], &made) != run(bytes, size - 1, data[0], &made_again) ||
	    made != made_again)
		abort();
	free(bytes);
	return 0;
}
