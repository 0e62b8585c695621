/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Probes that a program has of its own (USDT, .note.stapsdt) under the names by which allocators
 * announce sampled memory: otel_memory:alloc(ptr, size, weighted_bytes) and otel_memory:free(ptr).
 */
#ifndef PARSE_USDT_NOTES_H
#define PARSE_USDT_NOTES_H

#include "abi/heap.h"
#include "parse/elf_image.h"

/* At most 'max' sites, in the file's order. One whose arguments are not whole registers, or whose
 * semaphore is not in the file, is left out. */
size_t usdt_notes__find(const struct elf_image *image, struct heap_site *ret, size_t max);

#endif
