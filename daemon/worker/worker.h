/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker process: all parsing of foreign bytes happens there. The collector hands it read-only
 * descriptors and addresses over a socket pair and gets plain tables back, which it checks as it
 * would check any hostile input. The worker is our own executable started again
 * (/proc/self/exe --worker), without capabilities, without network, without BPF or perf
 * descriptors, under RLIMIT_DATA and RLIMIT_CPU; it may map the files, and may die or hang without
 * harm: the call fails with a code, the next one starts a new worker.
 *
 * Requests are synchronous: one at a time, answered or timed out. Not thread-safe.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "abi/heap.h"
#include "base/cleanup.h"
#include "parse/parse_status.h" /* what became of one file */

#define WORKER_BUILD_ID_MAX 20
#define WORKER_SEGMENTS_MAX 16

struct worker_segment {
	uint64_t vaddr;  /* page-aligned down */
	uint64_t limit;  /* vaddr + memory size, page-aligned up */
	uint64_t offset; /* file offset of vaddr */
};

/* One address looked up. */
struct worker_symbol {
	/*
	 * ELF virtual address. Kernel: offset from _text, from the lowest text symbol of the
	 * module, or (BPF) a hash of the program over the offset in it: unique among those of its
	 * module, never absolute (parse/kallsyms.h). What nothing covers is in module "" without a
	 * name.
	 */
	uint64_t address;
	int32_t segment;  /* index into segments[], kernel: into modules[]; -1: in no segment */
	const char *name; /* demangled; NULL: no symbol covers the address */
	const char *system_name; /* as linked; NULL with name */
};

struct unwind_rule; /* abi/unwind_table.h */

/* Answer to an ELF or a kernel look-up; strings live as long as the reply. */
struct worker_reply {
	enum parse_status status;
	uint8_t build_id[WORKER_BUILD_ID_MAX];
	uint32_t build_id_len;                               /* 0: the file has none */
	struct worker_segment segments[WORKER_SEGMENTS_MAX]; /* executable PT_LOADs */
	size_t segments_cnt;
	const char **modules; /* kernel only: "" for the kernel itself, "nf_tables", "bpf" … */
	size_t modules_cnt;
	struct worker_symbol *symbols; /* as many as were asked, in their order */
	size_t symbols_cnt;
	void *storage; /* owns what the pointers above point into */
};

struct worker;

/* 'image' bytes of the vDSO may be given to the worker as any other file: a memfd. */
struct worker *worker__new(void); /* starts lazily; NULL: out of memory */
void worker__free(struct worker *w);
DEFINE_CLEANUP(struct worker *, worker__free);

/*
 * Names 'cnt' file offsets of the ELF file behind fd. Always fills *ret (release with
 * worker_reply__done()); ret->status says how it went, segments and symbols are valid when it is
 * PARSE_OK or PARSE_NO_SYMBOLS. Returns 0, or -errno when even a new worker could not be started.
 */
int worker__resolve_elf(struct worker *w, int fd, const uint64_t *offsets, size_t cnt,
			struct worker_reply *ret);

/* Names kernel addresses from an open /proc/kallsyms (opened by a process that may see it). */
int worker__resolve_kernel(struct worker *w, int kallsyms_fd, const uint64_t *addresses, size_t cnt,
			   struct worker_reply *ret);

/*
 * Rows of a file, from its call frame information. Released with worker_rows__done(). Rows are
 * there when status is PARSE_OK, build-id and segments also when it is PARSE_NO_CFI. Contents are
 * the worker's word: counts fit the arrays, nothing else is checked here; but they are a private
 * copy, which nobody changes any more.
 */
struct worker_rows {
	enum parse_status status;
	uint8_t build_id[WORKER_BUILD_ID_MAX];
	uint32_t build_id_len;
	struct worker_segment segments[WORKER_SEGMENTS_MAX];
	size_t segments_cnt;
	uint64_t base;    /* ELF address of the first block; abi/unwind_table.h has the shapes */
	uint32_t *blocks; /* blocks_cnt + 1 */
	size_t blocks_cnt;
	uint32_t *rows;
	size_t rows_cnt;
	struct unwind_rule *rules;
	size_t rules_cnt;
	void *storage; /* owns the arrays */
};

/* The file may be a memfd (the vDSO). Returns as worker__resolve_elf(). */
int worker__unwind_rows(struct worker *w, int fd, struct worker_rows *ret);
void worker_rows__done(struct worker_rows *r);

/*
 * Where a file is to be probed for its allocations: the functions of its allocator, if it has one,
 * or the USDT probes otel_memory:alloc and :free. Released with nothing: plain data. The worker's
 * word, bounded and checked for shape only: offsets lie in executable segments, registers and calls
 * are known ones.
 */
struct worker_sites {
	enum parse_status status; /* PARSE_OK also where there is nothing to probe */
	uint8_t build_id[WORKER_BUILD_ID_MAX];
	uint32_t build_id_len;
	struct heap_site sites[HEAP_SITES_MAX];
	size_t sites_cnt;
	struct heap_range ranges[HEAP_RANGES_MAX];
	size_t ranges_cnt;
	/* Why an allocator, or this file, is not probed although it looks like one. */
	enum heap_refusal refusal;
	bool is_static;   /* no PT_INTERP and no needed library: what it has not, nobody has */
	bool is_stripped; /* no symbol table of functions of its own */
	bool is_go;
	bool has_sanitizer; /* it is, or needs, the library of one that brings an allocator */
	bool is_musl;       /* its interpreter is musl's */
	bool has_malloc;    /* it defines malloc and free, by these names */
};

/* As worker__resolve_elf(). */
int worker__heap_sites(struct worker *w, int fd, struct worker_sites *ret);

void worker_reply__done(struct worker_reply *r);

struct worker_stats {
	uint64_t requests, restarts;
	uint64_t status[PARSE_STATUS_CNT];
	uint64_t peak_rss_bytes; /* of the worker that lived last */
};
void worker__stats(struct worker *w, struct worker_stats *ret);

/* The worker's side: what main() runs for `cprofd --worker FD`. Returns the exit status. */
int worker__main(int socket_fd);

#endif
