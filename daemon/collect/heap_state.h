/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The heap probe while it is attached: shared by probe_heap.c, which keeps it, and the files that
 * carry out heap.h. Private to collect/.
 */
#ifndef COLLECT_HEAP_STATE_H
#define COLLECT_HEAP_STATE_H

#include "abi/heap_probe.h"
#include "collect/heap.h"
#include "collect/heap_link.h"
#include "cprofd.skel.h"

/* One value of map heap_files, which attachments of the same code share. */
struct heap_code {
	struct heap_file_code value;
	size_t users;
};

struct heap_state {
	struct cprofd_bpf *skel;
	struct heap_linker linker;
	bool has_session;
	bool keeps_live; /* still */
	bool is_open;
	struct heap_attachment **attachments;
	size_t attachments_cnt, attachments_cap;
	struct heap_code codes[HEAP_FILES_MAX];
	struct heap_links own_links; /* of the calibration: closed with the others */
	struct heap_costs costs;
	uint64_t unfinished; /* calls whose return was not awaited any longer */
};

/* Measures what a hit costs, on functions of our own. 0 or -errno. */
int heap_state__calibrate(struct heap_state *s);
void heap_state__refine_costs(struct heap_state *s);

/* Gives up calls whose return was awaited, in one process or (pid 0) in all. */
void heap_state__forget_pending(struct heap_state *s, pid_t pid);

/* Removes all probes. */
void heap_state__close(struct heap_state *s);

/* Attachments that are still there outlive the state: they get nothing more to do. */
void heap_state__orphan(struct heap_state *s);

#endif
