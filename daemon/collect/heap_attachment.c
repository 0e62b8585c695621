/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file probed in one process or in all: sites become cookies, cookies become links. See heap.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "base/array.h"
#include "collect/heap_state.h"
#include "collect/probe_ops.h"

struct heap_attachment {
	struct heap_state *state; /* NULL: the collector is gone */
	int fd;
	pid_t pid;
	uint32_t code; /* index of heap_state.codes plus one; 0: none */
	/* First those whose return may be wanted, then other allocations, then frees. */
	struct heap_link_site *sites;
	size_t returns_cnt, entries_cnt, frees_cnt;
	struct heap_links alloc_links, free_links;
};

static bool is_free(const struct heap_site *site)
{
	return site->call == HEAP_CALL_FREE || site->call == HEAP_CALL_USDT_FREE;
}

static bool has_return(const struct heap_site *site)
{
	return !is_free(site) && site->call != HEAP_CALL_USDT_ALLOC;
}

/* Where every call's return would be probed that of one that throws would be, too. */
static bool needs_session(const struct heap_site *site)
{
	return site->flags & HEAP_SITE_THROWS;
}

/* What the worker says is not to be believed: a return probe where the return address is not on top
 * of the stack would crash the process. */
static bool is_sound(const struct heap_site *site)
{
	if (site->call < HEAP_CALL_ALLOC || site->call >= HEAP_CALLS)
		return false;
	if (site->size_reg > HEAP_NO_REG || site->count_reg > HEAP_NO_REG ||
	    site->ptr_reg > HEAP_NO_REG || site->out_reg > HEAP_NO_REG ||
	    site->flags > HEAP_COOKIE_FLAGS_MASK)
		return false;
	return !has_return(site) || !(site->flags & HEAP_SITE_PUSHED);
}

static bool is_sound_file(const struct heap_file *file)
{
	if (!file->sites_cnt || file->sites_cnt > HEAP_SITES_MAX ||
	    file->ranges_cnt > HEAP_RANGES_MAX)
		return false;
	for (size_t i = 0; i < file->sites_cnt; i++)
		if (!is_sound(&file->sites[i]))
			return false;
	return true;
}

static uint64_t cookie_of(const struct heap_attachment *a, const struct heap_site *site, size_t idx)
{
	return (uint64_t)site->call << HEAP_COOKIE_CALL_SHIFT |
	       (uint64_t)site->size_reg << HEAP_COOKIE_SIZE_SHIFT |
	       (uint64_t)site->count_reg << HEAP_COOKIE_COUNT_SHIFT |
	       (uint64_t)site->ptr_reg << HEAP_COOKIE_PTR_SHIFT |
	       (uint64_t)site->out_reg << HEAP_COOKIE_OUT_SHIFT |
	       (uint64_t)site->flags << HEAP_COOKIE_FLAGS_SHIFT |
	       (uint64_t)idx << HEAP_COOKIE_SITE_SHIFT |
	       (uint64_t)a->code << HEAP_COOKIE_FILE_SHIFT | (a->pid ? 0 : HEAP_COOKIE_ASKS_FILTER);
}

/* The index plus one of the code's entry, which may be one that others use, or -errno. */
static int take_code(struct heap_state *s, const struct heap_file *file)
{
	struct heap_file_code value = { .ranges_cnt = file->ranges_cnt };
	struct heap_code *code, *vacant = NULL;
	uint32_t key;
	int err;

	if (!file->ranges_cnt)
		return 0;
	for (size_t i = 0; i < file->sites_cnt; i++)
		value.site_offset[i] = file->sites[i].offset;
	memcpy(value.range, file->ranges, file->ranges_cnt * sizeof(value.range[0]));
	for (code = s->codes; code < s->codes + HEAP_FILES_MAX; code++) {
		if (!code->users) {
			vacant = vacant ?: code;
		} else if (!memcmp(&code->value, &value, sizeof(value))) {
			code->users++;
			return (int)(code - s->codes) + 1;
		}
	}
	if (!vacant)
		return -ENOSPC;
	key = (uint32_t)(vacant - s->codes);
	err = bpf_map__update_elem(s->skel->maps.heap_files, &key, sizeof(key), &value,
				   sizeof(value), BPF_ANY);
	if (err)
		return err;
	*vacant = (struct heap_code){ .value = value, .users = 1 };
	return (int)key + 1;
}

enum site_group {
	GROUP_RETURN, /* whose return may be wanted */
	GROUP_ENTRY,  /* other allocations */
	GROUP_FREE,
};

static enum site_group group_of(const struct heap_state *s, const struct heap_site *site)
{
	if (is_free(site))
		return GROUP_FREE;
	if (!has_return(site) || (needs_session(site) && !s->has_session))
		return GROUP_ENTRY;
	return GROUP_RETURN;
}

static void add_sites(struct heap_attachment *a, const struct heap_file *file,
		      enum site_group group, size_t *cnt)
{
	struct heap_link_site *into = a->sites + a->returns_cnt + a->entries_cnt + a->frees_cnt;

	for (size_t i = 0; i < file->sites_cnt; i++) {
		const struct heap_site *site = &file->sites[i];

		if (group_of(a->state, site) != group)
			continue;
		*into++ = (struct heap_link_site){
			.offset = site->offset,
			.semaphore_offset = site->semaphore_offset,
			.cookie = cookie_of(a, site, i),
		};
		(*cnt)++;
	}
}

static int take_sites(struct heap_attachment *a, const struct heap_file *file)
{
	int code = take_code(a->state, file);

	if (code < 0)
		return code;
	a->code = (uint32_t)code;
	a->sites = calloc(file->sites_cnt, sizeof(*a->sites));
	if (!a->sites)
		return -ENOMEM;
	add_sites(a, file, GROUP_RETURN, &a->returns_cnt);
	add_sites(a, file, GROUP_ENTRY, &a->entries_cnt);
	add_sites(a, file, GROUP_FREE, &a->frees_cnt);
	return 0;
}

static int link_sites(struct heap_attachment *a, struct heap_links *links, enum heap_link_how how,
		      const struct bpf_program *program, size_t first, size_t cnt)
{
	const struct heap_link_request request = {
		.how = how,
		.prog_fd = bpf_program__fd(program),
		.file_fd = a->fd,
		.pid = a->pid,
		.sites = a->sites + first,
		.sites_cnt = cnt,
	};

	return heap_links__add(links, &a->state->linker, &request);
}

/* Frees first, so that none of what is allocated is missed; returns before entries. */
static int link_all(struct heap_attachment *a)
{
	const struct heap_state *s = a->state;
	size_t allocs_cnt = a->returns_cnt + a->entries_cnt;
	int err = 0;

	if (s->keeps_live)
		err = link_sites(a, &a->free_links, HEAP_LINK_ENTRY, s->skel->progs.heap_enter,
				 allocs_cnt, a->frees_cnt);
	/* Those that are told may not be probed for a return, not even for one that is cancelled.
	 */
	if (!err)
		err = link_sites(a, &a->alloc_links, HEAP_LINK_ENTRY, s->skel->progs.heap_enter,
				 a->returns_cnt, a->entries_cnt);
	if (!err && s->has_session)
		return link_sites(a, &a->alloc_links, HEAP_LINK_SESSION,
				  s->skel->progs.heap_session, 0, a->returns_cnt);
	if (!err)
		err = link_sites(a, &a->alloc_links, HEAP_LINK_RETURN, s->skel->progs.heap_return,
				 0, a->returns_cnt);
	if (!err)
		err = link_sites(a, &a->alloc_links, HEAP_LINK_ENTRY, s->skel->progs.heap_enter, 0,
				 a->returns_cnt);
	return err;
}

static void unlink_all(struct heap_attachment *a)
{
	/* One after the other if there is no memory: it only takes longer. */
	heap_links__move(&a->alloc_links, &a->free_links);
	heap_links__close(&a->alloc_links);
	heap_links__close(&a->free_links);
}

int collector__heap_attach(struct collector *c, const struct heap_file *file, pid_t pid,
			   struct heap_attachment **ret)
{
	struct heap_state *s = collector__probe_state(c, &probe_heap);
	_cleanup_(heap_attachment__freep) struct heap_attachment *a = NULL;
	int err;

	if (!s || !s->is_open || pid < 0 || !is_sound_file(file))
		return -EINVAL;
	err = array__reserve(s->attachments, s->attachments_cap, s->attachments_cnt + 1);
	if (err)
		return err;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	*a = (struct heap_attachment){ .state = s, .fd = -1, .pid = pid };
	s->attachments[s->attachments_cnt++] = a;
	a->fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
	if (a->fd < 0)
		return -errno;
	err = take_sites(a, file);
	if (!err)
		err = link_all(a);
	if (err)
		return err;
	*ret = take_ptr(a);
	return 0;
}

static void forget_attachment(struct heap_state *s, const struct heap_attachment *a)
{
	for (size_t i = 0; i < s->attachments_cnt; i++) {
		if (s->attachments[i] != a)
			continue;
		s->attachments[i] = s->attachments[--s->attachments_cnt];
		break;
	}
	if (a->code)
		s->codes[a->code - 1].users--;
}

void heap_attachment__free(struct heap_attachment *a)
{
	if (!a)
		return;
	if (a->state) {
		heap_attachment__pause(a);
		forget_attachment(a->state, a);
	}
	heap_links__close(&a->alloc_links);
	heap_links__close(&a->free_links);
	close_fdp(&a->fd);
	free(a->sites);
	free(a);
}

int heap_attachment__pause(struct heap_attachment *a)
{
	if (!a->alloc_links.cnt && !a->free_links.cnt)
		return 0;
	unlink_all(a);
	heap_state__forget_pending(a->state, a->pid);
	return 0;
}

int heap_attachment__resume(struct heap_attachment *a)
{
	int err;

	if (!a->state || !a->state->is_open)
		return -EINVAL;
	if (a->alloc_links.cnt || a->free_links.cnt)
		return 0;
	err = link_all(a);
	if (err)
		unlink_all(a);
	return err;
}

void collector__heap_end_live(struct collector *c)
{
	struct heap_state *s = collector__probe_state(c, &probe_heap);
	struct heap_links links = { 0 };

	if (!s || !s->keeps_live)
		return;
	s->keeps_live = false;
	s->skel->bss->heap_has_ended_live = 1;
	for (size_t i = 0; i < s->attachments_cnt; i++)
		if (heap_links__move(&links, &s->attachments[i]->free_links))
			heap_links__close(&s->attachments[i]->free_links);
	heap_links__close(&links);
}

void heap_state__close(struct heap_state *s)
{
	struct heap_links links = { 0 };

	for (size_t i = 0; i < s->attachments_cnt; i++) {
		struct heap_attachment *a = s->attachments[i];

		if (heap_links__move(&links, &a->alloc_links) ||
		    heap_links__move(&links, &a->free_links))
			unlink_all(a);
	}
	if (heap_links__move(&links, &s->own_links))
		heap_links__close(&s->own_links);
	heap_links__close(&links);
	heap_state__forget_pending(s, 0);
}

void heap_state__orphan(struct heap_state *s)
{
	for (size_t i = 0; i < s->attachments_cnt; i++)
		s->attachments[i]->state = NULL;
	s->attachments_cnt = 0;
}
