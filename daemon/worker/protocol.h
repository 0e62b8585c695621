/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What goes over the socket pair, in both directions. Both ends are the same executable on the same
 * host, so shapes are plain structs; the collector trusts none of what comes back all the same.
 *
 *   worker → collector   struct wire_hello, once, when the sandbox stands
 *   collector → worker   struct wire_request with one descriptor, then addresses_cnt × u64
 *   worker → collector   struct wire_reply, then segments, symbols, sites, ranges, modules (u32
 *                        names), strings
 *
 * WIRE_ROWS comes with a second descriptor: shared memory of WIRE_ROWS_BYTES, sealed in its size,
 * which the worker fills from its beginning with what wire_rows__bytes() describes. It is megabytes
 * that a socket would carry in small pieces.
 *
 * Names are offsets into the strings, which begin with an empty one: 0 is no name.
 */
#ifndef WORKER_PROTOCOL_H
#define WORKER_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>
#include "abi/heap.h"
#include "abi/unwind_table.h"

#define WIRE_MAGIC         0x63707277u /* "wrpc" in memory */
#define WIRE_VERSION       1u
#define WIRE_ADDRESSES_MAX 8192u
#define WIRE_REPLY_BYTES   (16u << 20) /* header not counted */
#define WIRE_MODULES_MAX   8193u
#define WIRE_NAME_BYTES    4096u /* with its NUL */
#define WIRE_BUILD_ID_MAX  20u
#define WIRE_SEGMENTS_MAX  16u
#define WIRE_BLOCKS_MAX    (4u << 20) /* 4 GiB of text */
#define WIRE_ROWS_MAX      (8u << 20)
#define WIRE_RULES_MAX     16384u

/* How the worker ends; 0 only where no request is lost. */
enum worker_exit {
	WORKER_EXIT_DONE = 0,          /* end of file on the socket, or idle */
	WORKER_EXIT_FILE_CHANGED = 10, /* SIGBUS */
	WORKER_EXIT_SANDBOX = 11,
	WORKER_EXIT_PROTOCOL = 12,
};

enum wire_kind {
	WIRE_ELF = 1,
	WIRE_KERNEL = 2,
	WIRE_ROWS = 3,
	WIRE_SITES = 4,
};

struct wire_hello {
	uint32_t magic;
	uint32_t version;
};
_Static_assert(sizeof(struct wire_hello) == 8, "wire shape");

struct wire_request {
	uint32_t magic;
	uint32_t kind; /* enum wire_kind */
	uint64_t sequence;
	uint32_t addresses_cnt;
	uint32_t reserved;
};
_Static_assert(sizeof(struct wire_request) == 24, "wire shape");

/* What a WIRE_SITES answer says of the file. */
enum wire_file_flag {
	WIRE_FILE_STATIC = 1 << 0,
	WIRE_FILE_STRIPPED = 1 << 1,
	WIRE_FILE_GO = 1 << 2,
	WIRE_FILE_SANITIZER = 1 << 3,
	WIRE_FILE_MUSL = 1 << 4,
	WIRE_FILE_MALLOC = 1 << 5,
	WIRE_FILE_FLAGS = 63,
};

struct wire_reply {
	uint32_t magic;
	uint32_t status; /* enum parse_status; no tables follow unless OK or NO_SYMBOLS */
	uint64_t sequence;
	uint32_t build_id_len;
	uint8_t build_id[WIRE_BUILD_ID_MAX];
	uint32_t segments_cnt;
	uint32_t symbols_cnt;
	uint32_t modules_cnt;
	uint32_t strings_bytes;
	/* WIRE_ROWS with status OK; else 0. */
	uint64_t rows_base;
	uint32_t blocks_cnt, rules_cnt, rows_cnt;
	/* WIRE_SITES with status OK; else 0. */
	uint8_t sites_cnt, ranges_cnt;
	uint8_t refusal;    /* enum heap_refusal */
	uint8_t file_flags; /* enum wire_file_flag */
};
_Static_assert(sizeof(struct wire_reply) == 80, "wire shape");

struct wire_segment {
	uint64_t vaddr, limit, offset;
};
_Static_assert(sizeof(struct wire_segment) == 24, "wire shape");

struct wire_symbol {
	uint64_t address;
	int32_t segment;
	uint32_t name;
	uint32_t system_name;
	uint32_t reserved;
};
_Static_assert(sizeof(struct wire_symbol) == 24, "wire shape");

_Static_assert(sizeof(struct heap_site) == 24 && sizeof(struct heap_range) == 16, "wire shape");
_Static_assert(HEAP_SITES_MAX <= UINT8_MAX && HEAP_RANGES_MAX <= UINT8_MAX, "counts fit");

/* Bytes behind the header. Counts must have been checked against their limits: no overflow then. */
static inline size_t wire_reply__bytes(const struct wire_reply *r)
{
	return r->segments_cnt * sizeof(struct wire_segment) +
	       r->symbols_cnt * sizeof(struct wire_symbol) +
	       r->sites_cnt * sizeof(struct heap_site) + r->ranges_cnt * sizeof(struct heap_range) +
	       r->modules_cnt * sizeof(uint32_t) + r->strings_bytes;
}

/* In shared memory: blocks_cnt + 1 blocks, the rules, the rows. The rows come last, since the
 * worker knows only behind them how many there are. */
static inline size_t wire_rows__bytes(const struct wire_reply *r)
{
	return ((size_t)r->blocks_cnt + 1) * sizeof(uint32_t) +
	       r->rules_cnt * sizeof(struct unwind_rule) + r->rows_cnt * sizeof(uint32_t);
}

#define WIRE_ROWS_BYTES                                                                            \
	((WIRE_BLOCKS_MAX + 1ul) * sizeof(uint32_t) +                                              \
	 WIRE_RULES_MAX * sizeof(struct unwind_rule) + WIRE_ROWS_MAX * sizeof(uint32_t))

#endif
