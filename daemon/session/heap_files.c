/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_files.h. Files are told apart by device and inode of the open descriptor: a COMMAND is
 * looked at before anybody has mapped it, and mappings of one file may come by two names.
 */
#include "session/heap_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/array.h"
#include "base/log.h"
#include "session/heap_environment.h"

/* What is known of a module of the process table. */
struct known_module {
	bool is_asked;
	struct heap_probed_file *file;
};

struct heap_files {
	struct process_table *processes;
	struct worker *worker;
	struct heap_probed_file *by_key;
	struct known_module *modules; /* by idx */
	size_t modules_cnt, modules_cap;
	struct worker_sites answer; /* too large for the stack */
};

struct heap_files *heap_files__new(struct process_table *processes, struct worker *worker)
{
	struct heap_files *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->processes = processes;
	f->worker = worker;
	return f;
}

static void free_file(struct heap_probed_file *file)
{
	if (!file)
		return;
	close_fdp(&file->file.fd);
	free((void *)file->file.sites);
	free((void *)file->file.ranges);
	free(file->name);
	free_file(file->throwing);
	free(file);
}
DEFINE_CLEANUP(struct heap_probed_file *, free_file);

void heap_files__free(struct heap_files *f)
{
	struct heap_probed_file *file, *next;

	if (!f)
		return;
	HASH_ITER (hh, f->by_key, file, next) {
		HASH_DEL(f->by_key, file);
		free_file(file);
	}
	free(f->modules);
	free(f);
}

static void *copy_of(const void *data, size_t bytes)
{
	void *copy = malloc(bytes ?: 1);

	return copy ? memcpy(copy, data, bytes) : NULL;
}

static bool emits_usdt(const struct worker_sites *s)
{
	size_t i;

	for (i = 0; i < s->sites_cnt; i++)
		if (s->sites[i].call == HEAP_CALL_USDT_ALLOC)
			return true;
	return false;
}

/* Most files have no allocator: of those nothing is kept but that. */
static int take_sites(struct heap_probed_file *file, int fd, const struct worker_sites *s)
{
	struct heap_site *sites;
	struct heap_range *ranges;

	if (s->status != PARSE_OK || !s->sites_cnt || s->refusal)
		return 0;
	sites = copy_of(s->sites, s->sites_cnt * sizeof(*sites));
	ranges = copy_of(s->ranges, s->ranges_cnt * sizeof(*ranges));
	file->file.sites = sites;
	file->file.ranges = ranges;
	if (!sites || !ranges)
		return -ENOMEM;
	file->file.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (file->file.fd < 0)
		return -errno;
	file->file.sites_cnt = s->sites_cnt;
	file->file.ranges_cnt = s->ranges_cnt;
	file->is_usdt = emits_usdt(s);
	return 0;
}

/* Sites of functions that throw become a file of their own: see heap_choice.c. */
static int split_throwing(struct heap_probed_file *file)
{
	_cleanup_(free_filep) struct heap_probed_file *throwing = NULL;
	struct heap_site *sites = (struct heap_site *)file->file.sites, *thrown;
	size_t i, kept = 0, cnt = 0;

	for (i = 0; i < file->file.sites_cnt; i++)
		cnt += (sites[i].flags & HEAP_SITE_THROWS) != 0;
	if (!cnt)
		return 0;
	throwing = calloc(1, sizeof(*throwing));
	if (!throwing)
		return -ENOMEM;
	throwing->file.fd = -1;
	thrown = calloc(cnt, sizeof(*thrown));
	throwing->file.sites = thrown;
	throwing->file.ranges =
		copy_of(file->file.ranges, file->file.ranges_cnt * sizeof(*file->file.ranges));
	throwing->name = strdup(file->name);
	if (!thrown || !throwing->file.ranges || !throwing->name)
		return -ENOMEM;
	throwing->file.fd = fcntl(file->file.fd, F_DUPFD_CLOEXEC, 3);
	if (throwing->file.fd < 0)
		return -errno;
	throwing->file.ranges_cnt = file->file.ranges_cnt;
	for (i = 0; i < file->file.sites_cnt; i++) {
		if (sites[i].flags & HEAP_SITE_THROWS)
			thrown[throwing->file.sites_cnt++] = sites[i];
		else
			sites[kept++] = sites[i];
	}
	file->file.sites_cnt = kept;
	file->throwing = take_ptr(throwing);
	return 0;
}

static int add_file(struct heap_files *f, int fd, const char *path, const struct heap_file_key *key,
		    struct heap_probed_file **ret)
{
	_cleanup_(free_filep) struct heap_probed_file *file = calloc(1, sizeof(*file));
	const char *slash = strrchr(path, '/');
	int err;

	if (!file)
		return -ENOMEM;
	file->key = *key;
	file->file.fd = -1;
	file->name = strdup(slash ? slash + 1 : path);
	if (!file->name)
		return -ENOMEM;
	err = worker__heap_sites(f->worker, fd, &f->answer);
	if (err)
		return err;
	file->status = f->answer.status;
	file->refusal = f->answer.refusal;
	memcpy(file->build_id, f->answer.build_id, sizeof(file->build_id));
	file->build_id_len = f->answer.build_id_len;
	file->is_static = f->answer.is_static;
	file->is_stripped = f->answer.is_stripped;
	file->is_go = f->answer.is_go;
	file->has_malloc = f->answer.has_malloc;
	file->is_inerting = f->answer.has_sanitizer || f->answer.is_musl;
	file->is_preload = !strncmp(file->name, HEAP_LIBRARY, strlen(HEAP_LIBRARY));
	err = take_sites(file, fd, &f->answer);
	if (err)
		return err;
	if (file->file.sites_cnt)
		log_debug("heap: %zu places to probe in '%s'", file->file.sites_cnt, path);
	err = split_throwing(file);
	if (err)
		return err;
	HASH_ADD(hh, f->by_key, key, sizeof(file->key), file);
	if (hash__add_failed(file))
		return -ENOMEM;
	*ret = take_ptr(file);
	return 0;
}

void heap_files__fear(struct heap_probed_file *throwing)
{
	struct heap_site *sites = (struct heap_site *)throwing->file.sites;
	size_t i;

	for (i = 0; i < throwing->file.sites_cnt; i++)
		sites[i].flags |= HEAP_SITE_THROWS_AT_WILL;
	throwing->is_feared = true;
}

int heap_files__of_fd(struct heap_files *f, int fd, const char *path, struct heap_probed_file **ret)
{
	struct heap_file_key key;
	struct stat st;

	*ret = NULL;
	if (fstat(fd, &st))
		return -errno;
	memset(&key, 0, sizeof(key)); /* it is hashed with its padding */
	key.dev = st.st_dev;
	key.ino = st.st_ino;
	HASH_FIND(hh, f->by_key, &key, sizeof(key), *ret);
	return *ret ? 0 : add_file(f, fd, path, &key, ret);
}

/* The file may be another one than was mapped: a name that was given away meanwhile. */
static bool is_mapped_file(const struct heap_probed_file *file, const struct module *m)
{
	return !m->build_id_len || (file->build_id_len == m->build_id_len &&
				    !memcmp(file->build_id, m->build_id, m->build_id_len));
}

static int ask(struct heap_files *f, const struct module *module, struct known_module *known)
{
	struct heap_probed_file *file = NULL;
	int err = module->fd < 0 ? 0 : heap_files__of_fd(f, module->fd, module->path, &file);

	if (err)
		return err;
	known->is_asked = true;
	known->file = file && is_mapped_file(file, module) ? file : NULL;
	return 0;
}

int heap_files__of_mapping(struct heap_files *f, const struct process *p, const struct mapping *m,
			   struct heap_probed_file **ret)
{
	struct module *module = m->module;
	struct known_module *known;
	int err;

	*ret = NULL;
	if (module->kind != MODULE_FILE)
		return 0;
	if (array__reserve(f->modules, f->modules_cap, (size_t)module->idx + 1))
		return -ENOMEM;
	while (f->modules_cnt <= module->idx)
		f->modules[f->modules_cnt++] = (struct known_module){ .is_asked = false };
	known = &f->modules[module->idx];
	if (!known->is_asked) {
		module__pin(f->processes, p, m, module);
		err = ask(f, module, known);
		if (err)
			return err;
	}
	*ret = known->file;
	return 0;
}
