/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that the TARGET's processes map, and where each is to be probed: the worker is asked once
 * per file. Private to heap_*.c of the session; knows no process's choice and no probe.
 */
#ifndef SESSION_HEAP_FILES_H
#define SESSION_HEAP_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "abi/heap.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "collect/heap.h"
#include "process/process.h"
#include "worker/worker.h"

struct heap_file_key {
	dev_t dev;
	ino_t ino;
};

/* Plain data, owned by the cache; there until it is freed. */
struct heap_probed_file {
	struct heap_file_key key;
	char *name;            /* basename; somebody else's bytes */
	struct heap_file file; /* fd -1, nothing in it: nothing is to be probed */
	/* Sites of it that are not in file, of functions that throw; owned, NULL: none. It has a
	 * name and a file only. */
	struct heap_probed_file *throwing;
	bool is_feared; /* of such a one: heap_files__fear() was called */
	enum parse_status status;
	uint8_t build_id[WORKER_BUILD_ID_MAX];
	uint32_t build_id_len;
	enum heap_refusal refusal;
	bool is_static, is_stripped, is_go;
	bool is_usdt;     /* it emits otel_memory */
	bool is_preload;  /* it is our own library, which hands on to another allocator */
	bool has_malloc;  /* it defines malloc and free */
	bool is_inerting; /* our library does nothing in a process that maps this, too */
	bool has_said;    /* why it is not probed: for heap_choice.c */
	UT_hash_handle hh;
};

struct heap_files;

struct heap_files *heap_files__new(struct process_table *processes, struct worker *worker);
void heap_files__free(struct heap_files *f); /* NULL is fine */
DEFINE_CLEANUP(struct heap_files *, heap_files__free);

/* The file behind a mapping; *ret is NULL where there is none that could be opened. 0, or -errno
 * when memory ran out or no worker could be started. */
int heap_files__of_mapping(struct heap_files *f, const struct process *p, const struct mapping *m,
			   struct heap_probed_file **ret);

/* The same of an open file; 'path' names it. */
int heap_files__of_fd(struct heap_files *f, int fd, const char *path,
		      struct heap_probed_file **ret);

/* What throws in it may throw at any time from now on (HEAP_SITE_THROWS_AT_WILL). */
void heap_files__fear(struct heap_probed_file *throwing);

#endif
