/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interning of modules. Called by the process table as it learns of mappings. Opens no file: that
 * is module_open.c; parses no file: that is the worker's.
 */
#include "process/module.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"

/* Files that share a key and still differ (inode reused, links under several names). */
#define SAME_KEY_MAX   32
#define OPEN_TRIES_MAX 8

enum key_type { KEY_INODE = 1, KEY_BUILD_ID = 2, KEY_NAME = 3 };

/* Hashed as bytes: always zeroed first. */
struct module_key {
	uint32_t type;
	uint32_t dev_major, dev_minor;
	uint32_t kind;
	uint64_t value[3];
};

struct module_entry {
	struct module pub;
	uint32_t open_tries;
	pid_t open_pid;
};

/* All modules of one key, newest last. */
struct module_bucket {
	struct module_key key;
	struct module_entry **modules;
	size_t cnt, cap;
	UT_hash_handle hh;
};

struct module_set {
	struct module_entry **v;
	size_t cnt, cap;
	struct module_bucket *buckets;
	struct module *overflow;
};

struct module_set *module_set__new(void)
{
	return calloc(1, sizeof(struct module_set));
}

static void free_entry(struct module_entry *e)
{
	if (!e)
		return;
	if (e->pub.fd >= 0)
		close(e->pub.fd);
	free(e->pub.path);
	free(e);
}

void module_set__free(struct module_set *set)
{
	struct module_bucket *b, *tmp;

	if (!set)
		return;
	HASH_ITER (hh, set->buckets, b, tmp) {
		HASH_DEL(set->buckets, b);
		free(b->modules);
		free(b);
	}
	for (size_t i = 0; i < set->cnt; i++)
		free_entry(set->v[i]);
	free(set->v);
	free(set);
}

static bool has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool is_anonymous(const char *path)
{
	static const char *const prefixes[] = {
		"//anon",    "[heap]",  "[stack", "[anon:",         "[anon_shmem:",
		"/dev/zero", "/memfd:", "/SYSV",  "/anon_hugepage", "/dev/hugepages/",
	};

	if (path[0] == '\0')
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (has_prefix(path, prefixes[i]))
			return true;
	return false;
}

static void set_name(struct module_spec *spec, enum module_kind kind, const char *name)
{
	*spec = (struct module_spec){ .kind = kind, .path = name, .path_len = strlen(name) };
}

void module_spec__classify(struct module_spec *spec, const char *path, uint64_t start)
{
	static const char deleted[] = " (deleted)";
	size_t len;

	if (strcmp(path, "[vdso]") == 0) {
		/* A 32-bit process has another image than the one we know, and has it below 4 GiB.
		 */
		if (start <= UINT32_MAX)
			set_name(spec, MODULE_OTHER, "[vdso32]");
		else
			set_name(spec, MODULE_VDSO, "[vdso]");
		return;
	}
	if (is_anonymous(path)) {
		set_name(spec, MODULE_JIT, "[JIT]");
		return;
	}
	/* Of the things below /dev only shared memory holds regular files. */
	if (path[0] != '/' || (has_prefix(path, "/dev/") && !has_prefix(path, "/dev/shm/"))) {
		set_name(spec, MODULE_OTHER, path);
		return;
	}
	len = strnlen(path, PATH_MAX);
	if (len >= sizeof(deleted) && strcmp(path + len - (sizeof(deleted) - 1), deleted) == 0)
		len -= sizeof(deleted) - 1;
	spec->kind = MODULE_FILE;
	spec->path = path;
	spec->path_len = len;
}

bool module_spec__has_file(const struct module_spec *spec)
{
	return spec->inode != 0 || spec->dev_major != 0 || spec->dev_minor != 0;
}

static bool module_has_file(const struct module *m)
{
	return m->inode != 0 || m->dev_major != 0 || m->dev_minor != 0;
}

static uint64_t hash_path(const char *s, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ULL; /* FNV-1a; equal hashes are compared as strings */

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)s[i]) * 0x100000001b3ULL;
	return h;
}

static void make_key(const struct module_spec *spec, struct module_key *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->kind = spec->kind;
	if (spec->kind == MODULE_FILE && module_spec__has_file(spec)) {
		ret->type = KEY_INODE;
		ret->dev_major = spec->dev_major;
		ret->dev_minor = spec->dev_minor;
		ret->value[0] = spec->inode;
	} else if (spec->kind == MODULE_FILE && spec->build_id_len > 0) {
		ret->type = KEY_BUILD_ID;
		memcpy(ret->value, spec->build_id, spec->build_id_len);
	} else {
		ret->type = KEY_NAME;
		ret->value[0] = hash_path(spec->path, spec->path_len);
	}
}

static bool same_path(const struct module *m, const struct module_spec *spec)
{
	return strlen(m->path) == spec->path_len &&
	       memcmp(m->path, spec->path, spec->path_len) == 0;
}

static bool build_ids_differ(const struct module *m, const uint8_t *id, uint32_t len)
{
	return m->build_id_len > 0 && len > 0 &&
	       (m->build_id_len != len || memcmp(m->build_id, id, len) != 0);
}

/* Whether m, found under the spec's key, is the spec's file. */
static bool matches(const struct module *m, const struct module_spec *spec, uint32_t key_type)
{
	if (build_ids_differ(m, spec->build_id, spec->build_id_len))
		return false;
	if (key_type != KEY_INODE)
		return same_path(m, spec);
	if (m->generation_known && spec->generation_known)
		return m->inode_generation == spec->inode_generation;
	/* An inode number alone may have been given to another file since. */
	return same_path(m, spec);
}

static void learn(struct module *m, const struct module_spec *spec)
{
	if (m->build_id_len == 0 && spec->build_id_len > 0) {
		memcpy(m->build_id, spec->build_id, spec->build_id_len);
		m->build_id_len = spec->build_id_len;
	}
	if (!m->generation_known && spec->generation_known) {
		m->inode_generation = spec->inode_generation;
		m->generation_known = true;
	}
}

static struct module_bucket *find_bucket(struct module_set *set, const struct module_key *key)
{
	struct module_bucket *b;

	HASH_FIND(hh, set->buckets, key, sizeof(*key), b);
	return b;
}

static struct module_bucket *get_bucket(struct module_set *set, const struct module_key *key)
{
	struct module_bucket *b = find_bucket(set, key);

	if (b)
		return b;
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->key = *key;
	HASH_ADD(hh, set->buckets, key, sizeof(b->key), b);
	if (hash__add_failed(b)) {
		free(b);
		return NULL;
	}
	return b;
}

static struct module *find_in_bucket(const struct module_bucket *b, const struct module_spec *spec)
{
	for (size_t i = b->cnt; i-- > 0;)
		if (matches(&b->modules[i]->pub, spec, b->key.type))
			return &b->modules[i]->pub;
	return NULL;
}

/* A full bucket forgets its oldest member, which stays a module but is not found any more. */
static int put_in_bucket(struct module_bucket *b, struct module_entry *e)
{
	if (b->cnt == SAME_KEY_MAX) {
		memmove(&b->modules[0], &b->modules[1], (SAME_KEY_MAX - 1) * sizeof(b->modules[0]));
		b->cnt--;
	}
	if (array__reserve(b->modules, b->cap, b->cnt + 1) < 0)
		return -ENOMEM;
	b->modules[b->cnt++] = e;
	return 0;
}

static struct module_entry *new_entry(struct module_set *set, const struct module_spec *spec)
{
	struct module_entry *e;

	if (array__reserve(set->v, set->cap, set->cnt + 1) < 0)
		return NULL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->pub.fd = -1;
	e->pub.path = strndup(spec->path, spec->path_len);
	if (!e->pub.path) {
		free_entry(e);
		return NULL;
	}
	e->pub.kind = spec->kind;
	e->pub.dev_major = spec->dev_major;
	e->pub.dev_minor = spec->dev_minor;
	e->pub.inode = spec->inode;
	learn(&e->pub, spec);
	e->pub.idx = (uint32_t)set->cnt;
	set->v[set->cnt++] = e;
	return e;
}

static struct module *overflow_module(struct module_set *set)
{
	struct module_entry *e;
	struct module_spec spec;

	if (!set->overflow) {
		set_name(&spec, MODULE_OTHER, "[too many modules]");
		e = new_entry(set, &spec);
		set->overflow = e ? &e->pub : NULL;
	}
	return set->overflow;
}

struct module *module_set__intern(struct module_set *set, const struct module_spec *spec)
{
	struct module_bucket *b;
	struct module_entry *e;
	struct module_key key;
	struct module *m;

	if (spec->build_id_len > MODULE_BUILD_ID_MAX)
		return NULL;
	make_key(spec, &key);
	b = find_bucket(set, &key);
	m = b ? find_in_bucket(b, spec) : NULL;
	if (m) {
		learn(m, spec);
		return m;
	}
	if (set->cnt >= MODULE_SET_MAX)
		return overflow_module(set);
	b = get_bucket(set, &key);
	if (!b)
		return NULL;
	e = new_entry(set, spec);
	if (!e || put_in_bucket(b, e) < 0)
		return NULL;
	return &e->pub;
}

struct module *module_set__unify(struct module_set *set, struct module *module,
				 const struct module_spec *spec)
{
	struct module_bucket *b;
	struct module_key key;
	struct module *known;

	if (module->kind != MODULE_FILE || spec->kind != MODULE_FILE || !same_path(module, spec) ||
	    build_ids_differ(module, spec->build_id, spec->build_id_len))
		return NULL;
	make_key(spec, &key);
	if (key.type != KEY_INODE) {
		learn(module, spec);
		return module;
	}
	if (module_has_file(module))
		return NULL;
	b = get_bucket(set, &key);
	if (!b)
		return NULL;
	known = find_in_bucket(b, spec);
	if (known && !build_ids_differ(known, module->build_id, module->build_id_len)) {
		learn(known, spec);
		learn(known, &(struct module_spec){ .build_id = module->build_id,
						    .build_id_len = module->build_id_len });
		return known;
	}
	if (put_in_bucket(b, set->v[module->idx]) < 0)
		return NULL;
	module->dev_major = spec->dev_major;
	module->dev_minor = spec->dev_minor;
	module->inode = spec->inode;
	learn(module, spec);
	return module;
}

size_t module_set__cnt(const struct module_set *set)
{
	return set->cnt;
}

struct module *module_set__get(const struct module_set *set, size_t idx)
{
	return idx < set->cnt ? &set->v[idx]->pub : NULL;
}

bool module__wants_open(struct module *module, pid_t pid)
{
	struct module_entry *e = (struct module_entry *)module;

	if (module->kind != MODULE_FILE || module->fd >= 0)
		return false;
	/* Another process that maps the file may still have the door open; but not for ever. */
	if (e->open_tries >= OPEN_TRIES_MAX || (e->open_tries > 0 && e->open_pid == pid))
		return false;
	e->open_tries++;
	e->open_pid = pid;
	return true;
}
