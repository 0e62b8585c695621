/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel side keeps while it runs, seen from user space: the live set, and calls whose
 * return is awaited.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "collect/heap_state.h"
#include "collect/probe_ops.h"

struct walked_map {
	int fd;
	size_t key_bytes, value_bytes;
};

#define BATCH 4096 /* more than any bucket holds */

/* fn for each entry until it returns non-zero, which is returned; else 0 or -errno. */
static int walk_map(const struct walked_map *map,
		    int (*fn)(const void *key, const void *value, void *ctx), void *ctx)
{
	_cleanup_free_ char *keys = calloc(BATCH, map->key_bytes);
	_cleanup_free_ char *values = calloc(BATCH, map->value_bytes);
	uint32_t cursor = 0, cnt;
	bool is_first = true, is_last;
	int err;

	if (!keys || !values)
		return -ENOMEM;
	do {
		cnt = BATCH;
		err = bpf_map_lookup_batch(map->fd, is_first ? NULL : &cursor, &cursor, keys,
					   values, &cnt, NULL);
		is_last = err == -ENOENT;
		if (err && !is_last)
			return err;
		is_first = false;
		for (uint32_t i = 0; i < cnt; i++) {
			err = fn(keys + i * map->key_bytes, values + i * map->value_bytes, ctx);
			if (err)
				return err;
		}
	} while (!is_last);
	return 0;
}

/* -1: no live set is kept. */
static struct walked_map live_map(const struct heap_state *s)
{
	return (struct walked_map){
		.fd = s && s->keeps_live ? bpf_map__fd(s->skel->maps.heap_live) : -1,
		.key_bytes = sizeof(struct heap_key),
		.value_bytes = sizeof(struct heap_live),
	};
}

struct look {
	int (*fn)(const struct heap_key *key, const struct heap_live *live, void *ctx);
	void *ctx;
};

static int look_at(const void *key, const void *value, void *ctx)
{
	const struct look *l = ctx;

	return l->fn(key, value, l->ctx);
}

int collector__heap_live(struct collector *c,
			 int (*fn)(const struct heap_key *key, const struct heap_live *live,
				   void *ctx),
			 void *ctx)
{
	struct walked_map map = live_map(collector__probe_state(c, &probe_heap));
	struct look l = { .fn = fn, .ctx = ctx };

	return map.fd < 0 ? 0 : walk_map(&map, look_at, &l);
}

struct purge {
	bool (*fn)(const struct heap_key *key, const struct heap_live *live, void *ctx);
	void *ctx;
	struct heap_key *keys;
	size_t cnt, cap;
};

static int choose(const void *key, const void *value, void *ctx)
{
	struct purge *p = ctx;
	int err;

	if (!p->fn(key, value, p->ctx))
		return 0;
	err = array__reserve(p->keys, p->cap, p->cnt + 1);
	if (err)
		return err;
	p->keys[p->cnt++] = *(const struct heap_key *)key;
	return 0;
}

int64_t collector__heap_purge(struct collector *c,
			      bool (*fn)(const struct heap_key *key, const struct heap_live *live,
					 void *ctx),
			      void *ctx)
{
	struct walked_map map = live_map(collector__probe_state(c, &probe_heap));
	struct purge p = { .fn = fn, .ctx = ctx };
	int64_t purged = 0;
	int err;

	if (map.fd < 0)
		return 0;
	err = walk_map(&map, choose, &p);
	for (size_t i = 0; i < p.cnt; i++)
		purged += !bpf_map_delete_elem(map.fd, &p.keys[i]);
	free(p.keys);
	return err ?: purged;
}

struct sweep {
	struct heap_state *state;
	int fd;
	pid_t pid;
};

static int give_up(const void *key, const void *value, void *ctx)
{
	const struct heap_pending *p = value;
	const uint64_t *thread = key;
	struct sweep *s = ctx;

	if (s->pid && (pid_t)(*thread >> 32) != s->pid)
		return 0;
	if (!bpf_map_delete_elem(s->fd, thread))
		s->state->unfinished += p->is_selected;
	return 0;
}

void heap_state__forget_pending(struct heap_state *s, pid_t pid)
{
	struct walked_map map = {
		.fd = bpf_map__fd(s->skel->maps.heap_pending),
		.key_bytes = sizeof(uint64_t),
		.value_bytes = sizeof(struct heap_pending),
	};
	struct sweep sweep = { .state = s, .fd = map.fd, .pid = pid };
	int err = walk_map(&map, give_up, &sweep);

	if (err)
		log_warn("reading the allocations under way: %s", strerror(-err));
}
