/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Allocations and frees: programs of bpf/heap.bpf.c, which are loaded here and attached to
 * processes as heap.h is told; records are stacks and the selected allocations they stand for. The
 * live set stays in its map until somebody looks.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "abi/heap_gap.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "collect/heap_kernel.h"
#include "collect/heap_state.h"
#include "collect/probe_ops.h"

#define LIVE_MAX          65536
#define LIVE_MAX_DENSE    262144
#define DENSE_BELOW_BYTES (64 << 10)
#define SLOTS_WITHOUT     2 /* of scratch memory: the other kinds' */
#define SLOTS_WITH        4
#define LN_ONE            0x1p32

static void choose_maps(struct cprofd_bpf *skel, const struct collector_config *config,
			bool is_wanted, bool needs_cookie_map)
{
	const uint32_t slots = is_wanted ? SLOTS_WITH : SLOTS_WITHOUT;
	bool has_live = is_wanted && config->heap_is_live;

	bpf_map__set_autocreate(skel->maps.heap_cpus, is_wanted);
	bpf_map__set_autocreate(skel->maps.heap_pending, is_wanted);
	bpf_map__set_autocreate(skel->maps.heap_files, is_wanted);
	bpf_map__set_autocreate(skel->maps.heap_claims, is_wanted);
	bpf_map__set_autocreate(skel->maps.heap_live, has_live);
	bpf_map__set_autocreate(skel->maps.heap_cookie, is_wanted && needs_cookie_map);
	bpf_map__set_max_entries(skel->maps.heap_live,
				 config->heap_interval_bytes < DENSE_BELOW_BYTES ? LIVE_MAX_DENSE
										 : LIVE_MAX);
	bpf_map__set_max_entries(skel->maps.heap_claims, (uint32_t)libbpf_num_possible_cpus() *
								 (SLOTS_WITH - SLOTS_WITHOUT));
	bpf_map__set_max_entries(skel->maps.scratch, slots);
	bpf_map__set_max_entries(skel->maps.cold_scratch, slots);
}

static int find_kernel(struct heap_kernel *kernel)
{
	heap_kernel__probe(kernel);
	if (kernel->err)
		return kernel->err;
	if (!kernel->is_multi_usable && kernel->perf_type < 0) {
		log_err("--heap: this kernel lacks uprobes (CONFIG_UPROBE_EVENTS)");
		return -ENOSYS;
	}
	if (kernel->misses_threads)
		log_info(
			"heap: this kernel's uprobe_multi sees a process's first thread only (6.10): probing by perf events");
	return 0;
}

static void set_attach_type(struct bpf_program *program, int type)
{
	bpf_program__set_expected_attach_type(program, (enum bpf_attach_type)type);
}

/* The kernel promises no more memory than there is. */
static bool is_memory_strict(void)
{
	_cleanup_close_ int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
	char mode = 0;

	return fd >= 0 && read(fd, &mode, 1) == 1 && mode == '2';
}

static int configure(struct cprofd_bpf *skel, const struct collector_config *config, bool is_wanted)
{
	struct heap_kernel kernel = { 0 };
	int err = 0;

	if (is_wanted) {
		if (!config->heap_interval_bytes || config->heap_interval_bytes > HEAP_INTERVAL_MAX)
			return -EINVAL;
		err = find_kernel(&kernel);
	}
	bpf_program__set_autoload(skel->progs.heap_enter, is_wanted);
	bpf_program__set_autoload(skel->progs.heap_session, is_wanted && kernel.has_session);
	bpf_program__set_autoload(skel->progs.heap_return, is_wanted && !kernel.has_session);
	choose_maps(skel, config, is_wanted, !kernel.has_cookie);
	if (err || !is_wanted)
		return err;
	if (kernel.is_multi_usable) {
		set_attach_type(skel->progs.heap_enter, ATTACH_TRACE_UPROBE_MULTI);
		set_attach_type(skel->progs.heap_return, ATTACH_TRACE_UPROBE_MULTI);
		set_attach_type(skel->progs.heap_session, ATTACH_TRACE_UPROBE_SESSION);
	}
	skel->rodata->heap_own_tgid = (uint32_t)getpid();
	skel->rodata->heap_has_session = kernel.has_session;
	skel->rodata->heap_has_cookie = kernel.has_cookie;
	skel->rodata->heap_keeps_live = config->heap_is_live;
	skel->rodata->heap_memory_is_strict = is_memory_strict();
	skel->rodata->heap_interval = config->heap_interval_bytes;
	for (int i = 0; i < HEAP_LN_CNT; i++)
		skel->rodata->heap_ln[i] =
			(uint32_t)lround(log1p((double)i / (HEAP_LN_CNT - 1)) * LN_ONE);
	return 0;
}

/* The first sample of each CPU lies anywhere, too. */
static int draw_first_gaps(struct heap_state *s, uint64_t interval)
{
	int cpus_cnt = libbpf_num_possible_cpus(), err;
	_cleanup_free_ uint64_t *left = NULL;
	uint32_t zero = 0, random;

	if (cpus_cnt < 0)
		return cpus_cnt;
	left = calloc((size_t)cpus_cnt, sizeof(*left));
	if (!left)
		return -ENOMEM;
	for (int i = 0; i < cpus_cnt; i++) {
		if (getrandom(&random, sizeof(random), 0) != sizeof(random))
			return -errno;
		left[i] = heap_gap(random, s->skel->rodata->heap_ln, interval);
	}
	err = bpf_map__update_elem(s->skel->maps.heap_cpus, &zero, sizeof(zero), left,
				   (size_t)cpus_cnt * sizeof(*left), BPF_ANY);
	return err;
}

/* What the programs of sites go on to where links have no cookies. */
static int make_entry_programs(struct heap_state *s)
{
	uint32_t zero = 0;
	int enter_fd = bpf_program__fd(s->skel->progs.heap_enter);

	s->linker.cookie_fd = bpf_map__fd(s->skel->maps.heap_cookie);
	s->linker.entry_programs_fd = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "heap_programs",
						     sizeof(zero), sizeof(uint32_t), 1, NULL);
	if (s->linker.entry_programs_fd < 0)
		return s->linker.entry_programs_fd;
	return bpf_map_update_elem(s->linker.entry_programs_fd, &zero, &enter_fd, BPF_ANY);
}

static void free_state(void *data)
{
	struct heap_state *s = data;

	if (!s)
		return;
	heap_state__close(s);
	heap_state__orphan(s);
	close_fdp(&s->linker.entry_programs_fd);
	free(s->attachments);
	free(s);
}

static struct heap_state *make_state(struct cprofd_bpf *skel, const struct collector_config *config)
{
	struct heap_state *s = calloc(1, sizeof(*s));
	int multi = bpf_program__expected_attach_type(skel->progs.heap_enter);

	if (!s)
		return NULL;
	s->skel = skel;
	s->has_session = skel->rodata->heap_has_session;
	s->keeps_live = config->heap_is_live;
	s->linker = (struct heap_linker){
		.has_multi = multi == ATTACH_TRACE_UPROBE_MULTI,
		.has_cookie = skel->rodata->heap_has_cookie,
		.perf_type = -1,
		.cookie_fd = -1,
		.entry_programs_fd = -1,
	};
	s->costs.has_multi = s->linker.has_multi;
	s->costs.has_session = s->has_session;
	return s;
}

static int attach(struct cprofd_bpf *skel, const struct collector_config *config, void **ret_state)
{
	struct heap_state *s = make_state(skel, config);
	int err = 0;

	if (!s)
		return -ENOMEM;
	if (!s->linker.has_multi)
		s->linker.perf_type = heap_kernel__perf_type();
	if (!s->linker.has_cookie)
		err = make_entry_programs(s);
	if (!err)
		err = draw_first_gaps(s, config->heap_interval_bytes);
	if (!err)
		err = heap_state__calibrate(s);
	if (err) {
		free_state(s);
		return err;
	}
	skel->bss->heap_q = UINT32_MAX;
	skel->bss->heap_is_open = 1;
	s->is_open = true;
	*ret_state = s;
	return 0;
}

/*
 * Nothing more is counted from here on but what becomes of what was selected; a hit that is past
 * the gate is over when its link is closed, and a return that comes later nobody sees.
 */
static void detach(void *data)
{
	struct heap_state *s = data;

	s->is_open = false;
	s->skel->bss->heap_is_open = 0;
	heap_state__close(s);
}

static int counters(void *state, struct event_counters *ret)
{
	struct heap_state *s = state;
	int err;

	*ret = (struct event_counters){ 0 };
	if (!s)
		return 0;
	err = event_counters__sum(s->skel, EVENT_HEAP_ALLOC, ret);
	ret->value[COUNTER_UNFINISHED] = s->unfinished;
	return err;
}

static int decode_alloc(const struct heap_alloc_event *ev, size_t size, struct sample *ret)
{
	if (size < sizeof(*ev) || ev->size != sizeof(*ev) || !ev->bytes || !ev->q ||
	    ev->stack_id == STACK_ID_NONE || ev->is_live > 1)
		return -EBADMSG;
	*ret = (struct sample){
		.probe = &probe_heap,
		.kind = SAMPLE_ALLOC,
		.stack_id = ev->stack_id,
		.time_ns = ev->time_ns,
		.start_ns = ev->start_ns,
		.thread_start_ns = ev->thread_start_ns,
		.pid = (pid_t)ev->tgid,
		.tid = (pid_t)ev->tid,
		.cpu = ev->cpu,
		.alloc = { .bytes = ev->bytes,
			   .weighted_bytes = ev->weighted_bytes,
			   .q = ev->q,
			   .is_live = ev->is_live },
	};
	return 0;
}

static int decode(void *state, const void *record, size_t size, struct sample *ret)
{
	const uint32_t *kind = record;

	ret->probe = &probe_heap;
	switch (*kind) {
	case EVENT_HEAP_ALLOC:
		return decode_alloc(record, size, ret);
	case EVENT_HEAP_STACK:
		return stack_record__decode(record, size, false, ret);
	case EVENT_HEAP_STACK_COLD:
		return stack_record__decode(record, size, true, ret);
	}
	return -EBADMSG;
}

void collector__heap_costs(const struct collector *c, struct heap_costs *ret)
{
	const struct heap_state *s = collector__probe_state(c, &probe_heap);

	*ret = s ? s->costs : (struct heap_costs){ 0 };
}

void collector__heap_refine_costs(struct collector *c)
{
	struct heap_state *s = collector__probe_state(c, &probe_heap);

	if (s && s->is_open)
		heap_state__refine_costs(s);
}

void collector__heap_set_q(struct collector *c, uint32_t q)
{
	struct heap_state *s = collector__probe_state(c, &probe_heap);

	if (s)
		s->skel->bss->heap_q = q;
}

int collector__heap_frees(struct collector *c, struct event_counters *ret)
{
	struct heap_state *s = collector__probe_state(c, &probe_heap);

	*ret = (struct event_counters){ 0 };
	return s ? event_counters__sum(s->skel, EVENT_HEAP_FREE, ret) : 0;
}

static const struct probe_ops heap_ops = {
	.counted_kind = EVENT_HEAP_ALLOC,
	.stacks_kind = EVENT_HEAP_STACK,
	.records = { { EVENT_HEAP_ALLOC, RECORD_COUNTED },
		     { EVENT_HEAP_STACK, RECORD_STACK },
		     { EVENT_HEAP_STACK_COLD, RECORD_STACK } },
	.records_cnt = 3,
	.configure = configure,
	.attach = attach,
	.detach = detach,
	.free = free_state,
	.counters = counters,
	.decode = decode,
};

const struct probe probe_heap = {
	.name = "heap",
	.help = "who allocates memory and what stays: sampled by bytes, malloc and free probed",
	.sample_types = { { "alloc_objects", "count" },
			  { "alloc_space", "bytes" },
			  { "inuse_objects", "count" },
			  { "inuse_space", "bytes" } },
	.sample_types_cnt = 4,
	.default_type = 3,
	.period_type = { "space", "bytes" },
	.counts_allocs = true,
	.ops = &heap_ops,
};
