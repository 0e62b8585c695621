/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modules of a process table: one per file, by device, inode and inode generation. A record
 * that has a build-id only makes a module by build-id and path, until somebody sees the same
 * mapping with its inode. Two files that claim one build-id stay two modules: a build-id is the
 * file's own word. Private to process/.
 */
#ifndef PROCESS_MODULE_H
#define PROCESS_MODULE_H

#include "process/process.h"

/* Beyond this, mappings refer to one module "[too many modules]". */
#define MODULE_SET_MAX 65536

/* What a record says about a file; path is borrowed. */
struct module_spec {
	enum module_kind kind;
	const char *path; /* as shown: " (deleted)" stripped, one name for all JIT memory */
	size_t path_len;
	uint32_t dev_major, dev_minor;
	uint64_t inode, inode_generation;
	bool generation_known;
	const uint8_t *build_id;
	uint32_t build_id_len;
};

struct module_set;

struct module_set *module_set__new(void);
void module_set__free(struct module_set *set); /* closes the pinned descriptors */
DEFINE_CLEANUP(struct module_set *, module_set__free);

/* Fills kind, path and path_len from the path of a maps line or an MMAP2 record. */
void module_spec__classify(struct module_spec *spec, const char *path, uint64_t start);

bool module_spec__has_file(const struct module_spec *spec); /* device and inode are known */

/* The module the record means, made when it is new. NULL: out of memory. */
struct module *module_set__intern(struct module_set *set, const struct module_spec *spec);

/*
 * 'module' and 'spec' were seen at the same range of one process under the same path: one file.
 * Each learns from the other what it lacks. Returns the module to use from now on (another one
 * when the spec's inode has one already), or NULL when they contradict each other.
 */
struct module *module_set__unify(struct module_set *set, struct module *module,
				 const struct module_spec *spec);

size_t module_set__cnt(const struct module_set *set);
struct module *module_set__get(const struct module_set *set, size_t idx);

/* Whether opening the module's file for this process is worth a try; counts the try. */
bool module__wants_open(struct module *module, pid_t pid);

#endif
