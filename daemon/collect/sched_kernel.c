/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See sched_kernel.h.
 */
#include "collect/sched_kernel.h"

#include <errno.h>
#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <bpf/btf.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "collect/kernel_version.h"

#define PROC_MAX_BYTES 65536

/* btf_trace_sched_switch: the context, then the tracepoint's own arguments. */
#define SWITCH_PARAMS_WITH_STATE 5

/* Structure, member, what takes it away. */
static const char *const needed[][3] = {
	{ "task_struct", "sched_info", "task_struct.sched_info (CONFIG_SCHED_INFO)" },
	{ "sched_entity", "cfs_rq", "sched_entity.cfs_rq (CONFIG_FAIR_GROUP_SCHED)" },
	{ "cfs_rq", "rq", "cfs_rq.rq (CONFIG_FAIR_GROUP_SCHED)" },
	{ "rq", "clock", "rq.clock" },
	{ "task_struct", "sched_task_group", "task_struct.sched_task_group (CONFIG_CGROUP_SCHED)" },
};

static bool has_member(const struct btf *btf, const char *type, const char *member)
{
	int id = btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (unsigned int)id) : NULL;
	const struct btf_member *m = t ? btf_members(t) : NULL;

	for (int i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, m[i].name_off), member))
			return true;
	return false;
}

static int params_of_switch(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "btf_trace_sched_switch", BTF_KIND_TYPEDEF);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (unsigned int)id) : NULL;

	if (t)
		t = btf__type_by_id(btf, t->type); /* the pointer */
	if (t)
		t = btf__type_by_id(btf, t->type); /* the function it points to */
	return t && btf_is_func_proto(t) ? btf_vlen(t) : 0;
}

/* Tracing programs got bpf_task_storage_get() in 5.12 (a10787e6d58c), this helper came one later.
 */
static bool has_helper_of_5_13(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "bpf_func_id", BTF_KIND_ENUM);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (unsigned int)id) : NULL;
	const struct btf_enum *e = t ? btf_enum(t) : NULL;

	for (int i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, e[i].name_off), "BPF_FUNC_for_each_map_elem"))
			return true;
	return false;
}

/* No file: not compiled in. Fields of zero: switched off (before 5.14, without schedstats). */
static bool is_accounting_off(void)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	return file__read("/proc/self/schedstat", PROC_MAX_BYTES, &text) || !text.len ||
	       !strncmp(text.data, "0 0 0", 5);
}

int sched_kernel__probe(struct sched_kernel *ret)
{
	struct btf *btf = btf__load_vmlinux_btf();

	*ret = (struct sched_kernel){ 0 };
	if (!btf)
		return -errno;
	ret->switch_has_state = params_of_switch(btf) == SWITCH_PARAMS_WITH_STATE;
	ret->has_task_storage = has_helper_of_5_13(btf);
	for (size_t i = 0; i < ARRAY_SIZE(needed) && !ret->missing; i++)
		if (!has_member(btf, needed[i][0], needed[i][1]))
			ret->missing = needed[i][2];
	btf__free(btf);
	if (!ret->missing && is_accounting_off())
		ret->missing = "run_delay accounting (boot with delayacct, or 5.14)";
	return 0;
}

int sched_kernel__probe_quick(struct sched_kernel *ret)
{
	struct kernel_version version;
	struct utsname uts;

	*ret = (struct sched_kernel){ .has_task_storage = true, .switch_has_state = true };
	if (uname(&uts) || kernel_version__parse(uts.release, uts.version, "", &version) ||
	    kernel_version__is_before(&version, 5, 19, 0) || is_accounting_off())
		return sched_kernel__probe(ret);
	return 0;
}

/* "#subsys_name hierarchy num_cgroups enabled": hierarchy 0 is version 2, or none. */
bool sched_kernel__has_cgroup_v1(void)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	const char *line;
	int hierarchy = 0;

	if (file__read("/proc/cgroups", PROC_MAX_BYTES, &text) || !text.len)
		return false;
	line = strstr(text.data, "\ncpu\t");
	return line && sscanf(line, "\ncpu\t%d", &hierarchy) == 1 && hierarchy != 0;
}
