/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_probes.h.
 */
#include "session/heap_probes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"

struct link_key {
	const struct heap_probed_file *file;
	pid_t pid; /* 0: all who map it */
};

struct probe_link {
	struct link_key key;
	struct heap_attachment *attachment; /* NULL after detach */
	UT_hash_handle hh;
};

/* How many links a process has. */
struct own_process {
	pid_t pid;
	size_t links_cnt;
	UT_hash_handle hh;
};

struct heap_probes {
	const struct heap_probe_ops *ops;
	struct collector *collector;
	struct probe_link *by_key;
	struct own_process *own;
	bool may_share, is_shared, is_paused, is_detached;
};

const struct heap_probe_ops heap_probes__collector = {
	.attach = collector__heap_attach,
	.free = heap_attachment__free,
	.pause = heap_attachment__pause,
	.resume = heap_attachment__resume,
};

struct heap_probes *heap_probes__new(const struct heap_probe_ops *ops, struct collector *c,
				     bool may_share)
{
	struct heap_probes *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->ops = ops;
	l->collector = c;
	l->may_share = may_share;
	return l;
}

static void leave_process(struct heap_probes *l, pid_t pid)
{
	struct own_process *p;

	HASH_FIND(hh, l->own, &pid, sizeof(pid), p);
	if (!p || --p->links_cnt)
		return;
	HASH_DEL(l->own, p);
	free(p);
}

static int enter_process(struct heap_probes *l, pid_t pid)
{
	struct own_process *p;

	HASH_FIND(hh, l->own, &pid, sizeof(pid), p);
	if (p) {
		p->links_cnt++;
		return 0;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->pid = pid;
	p->links_cnt = 1;
	HASH_ADD(hh, l->own, pid, sizeof(p->pid), p);
	if (!hash__add_failed(p))
		return 0;
	free(p);
	return -ENOMEM;
}

static void remove_link(struct heap_probes *l, struct probe_link *link)
{
	HASH_DEL(l->by_key, link);
	l->ops->free(link->attachment);
	if (link->key.pid)
		leave_process(l, link->key.pid);
	free(link);
}

void heap_probes__free(struct heap_probes *l)
{
	struct probe_link *link, *next;

	if (!l)
		return;
	HASH_ITER (hh, l->by_key, link, next)
		remove_link(l, link);
	free(l);
}

bool heap_probes__is_shared(const struct heap_probes *l)
{
	return l->is_shared;
}

size_t heap_probes__own_processes(const struct heap_probes *l)
{
	return HASH_COUNT(l->own);
}

static struct probe_link *find_link(const struct heap_probes *l,
				    const struct heap_probed_file *file, pid_t pid)
{
	struct link_key key;
	struct probe_link *link;

	memset(&key, 0, sizeof(key)); /* it is hashed with its padding */
	key.file = file;
	key.pid = pid;
	HASH_FIND(hh, l->by_key, &key, sizeof(key), link);
	return link;
}

static int attach(struct heap_probes *l, struct probe_link *link)
{
	int err = l->ops->attach(l->collector, &link->key.file->file, link->key.pid,
				 &link->attachment);

	if (err || !l->is_paused)
		return err;
	return l->ops->pause(link->attachment);
}

static int add_link(struct heap_probes *l, const struct heap_probed_file *file, pid_t pid)
{
	struct probe_link *link = calloc(1, sizeof(*link));
	int err = -ENOMEM;

	if (!link)
		return -ENOMEM;
	link->key.file = file;
	link->key.pid = pid;
	HASH_ADD(hh, l->by_key, key, sizeof(link->key), link);
	if (hash__add_failed(link)) {
		free(link);
		return -ENOMEM;
	}
	if (!pid || !enter_process(l, pid)) {
		err = attach(l, link);
		if (!err)
			return 0;
		if (pid)
			leave_process(l, pid);
	}
	HASH_DEL(l->by_key, link);
	l->ops->free(link->attachment);
	free(link);
	return err;
}

static bool has_own(const struct heap_probes *l, pid_t pid)
{
	struct own_process *p;

	HASH_FIND(hh, l->own, &pid, sizeof(pid), p);
	return p != NULL;
}

bool heap_probes__has(const struct heap_probes *l, const struct heap_probed_file *file, pid_t pid)
{
	return find_link(l, file, pid) || find_link(l, file, 0);
}

int heap_probes__add(struct heap_probes *l, const struct heap_probed_file *file, pid_t pid)
{
	int err;

	if (heap_probes__has(l, file, pid))
		return 0;
	if (l->is_detached)
		return -ESHUTDOWN;
	if (pid && !l->is_shared && l->may_share && !has_own(l, pid) &&
	    HASH_COUNT(l->own) >= HEAP_OWN_PROCESSES) {
		err = heap_probes__share(l);
		if (err)
			return err;
	}
	/* It may have come with the sharing. */
	return l->is_shared && find_link(l, file, 0) ? 0
						     : add_link(l, file, l->is_shared ? 0 : pid);
}

/*
 * A file's own links go before the one for all comes: with both in, every hit would count twice.
 * Frees in between are missed, and what they freed stays live for us.
 */
int heap_probes__share(struct heap_probes *l)
{
	struct probe_link *link, *next, *other, *other_next;
	int err = 0, one;

	l->is_shared = true;
	HASH_ITER (hh, l->by_key, link, next) {
		const struct heap_probed_file *file = link->key.file;

		if (!link->key.pid)
			continue;
		HASH_ITER (hh, l->by_key, other, other_next) {
			if (other->key.pid && other->key.file == file)
				remove_link(l, other);
		}
		one = add_link(l, file, 0);
		err = err ?: one;
		next = l->by_key; /* what was next may be gone */
	}
	return err;
}

/* Hits in between are missed: with both links in, each would count twice. */
int heap_probes__renew(struct heap_probes *l, const struct heap_probed_file *file)
{
	struct probe_link *link = NULL, *next = NULL;
	int err = 0, one;

	if (l->is_detached)
		return 0;
	HASH_ITER (hh, l->by_key, link, next) {
		if (link->key.file != file)
			continue;
		l->ops->free(link->attachment);
		link->attachment = NULL;
		one = attach(l, link);
		if (one)
			remove_link(l, link);
		err = err ?: one;
	}
	return err;
}

void heap_probes__drop(struct heap_probes *l, pid_t pid)
{
	struct probe_link *link, *next;

	if (!has_own(l, pid))
		return;
	HASH_ITER (hh, l->by_key, link, next) {
		if (link->key.pid == pid)
			remove_link(l, link);
	}
}

static int switch_all(struct heap_probes *l, bool is_paused)
{
	struct probe_link *link, *next;
	int err = 0, one;

	if (l->is_paused == is_paused || l->is_detached)
		return 0;
	l->is_paused = is_paused;
	HASH_ITER (hh, l->by_key, link, next) {
		one = is_paused ? l->ops->pause(link->attachment)
				: l->ops->resume(link->attachment);
		/* Of a process that is gone there is nothing left to switch. */
		if (one != -ESRCH)
			err = err ?: one;
	}
	return err;
}

int heap_probes__pause(struct heap_probes *l)
{
	return switch_all(l, true);
}

int heap_probes__resume(struct heap_probes *l)
{
	return switch_all(l, false);
}

void heap_probes__detach(struct heap_probes *l)
{
	struct probe_link *link, *next;

	l->is_detached = true;
	HASH_ITER (hh, l->by_key, link, next) {
		l->ops->free(link->attachment);
		link->attachment = NULL;
	}
}

void heap_probes__site_counts(const struct heap_probes *l, struct heap_site_counts *ret)
{
	struct probe_link *link, *next;
	size_t i;

	*ret = (struct heap_site_counts){ 0 };
	HASH_ITER (hh, l->by_key, link, next) {
		const struct heap_file *file = &link->key.file->file;

		for (i = 0; i < file->sites_cnt; i++) {
			bool is_free = file->sites[i].call == HEAP_CALL_FREE ||
				       file->sites[i].call == HEAP_CALL_USDT_FREE;
			bool is_stepped = file->sites[i].flags & HEAP_SITE_STEPPED;

			*(is_free ? &ret->frees : &ret->allocs) += 1;
			*(is_free ? &ret->frees_stepped : &ret->allocs_stepped) += is_stepped;
		}
	}
}
