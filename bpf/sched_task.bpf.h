/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * What sched.bpf.c remembers of every thread: in task storage, or where tracing programs have none
 * (before 5.12) in a hash by tid. Private to it.
 */
#ifndef SCHED_TASK_BPF_H
#define SCHED_TASK_BPF_H

#include "compat.bpf.h"
#include "maps.bpf.h"

#define SCHED_ROOT_CGROUP 1 /* id of the root of every hierarchy */

#define NAME_CPU_BITS                                                                              \
	12 /* ids are counted per CPU: there is no atomic fetch-and-add before 5.12                \
	    */

/* What every switch touches comes first. */
struct sched_task {
	u64 run_delay;    /* sched_info.run_delay just behind its last switch-in */
	u64 stack_id;     /* taken at its last switch-out */
	u64 out_ns;       /* began a wait that run_delay will not count; else 0 */
	u64 entered_ns;   /* its last switch-in */
	u64 throttled_ns; /* of the queue it was on then */
	u64 nvcsw;        /* at its last switch-in */
	u64 group;        /* address of what 'cgroup' follows from */
	u8 origin;        /* of its current wait */
	u8 is_known;      /* run_delay is set */
	u8 is_met;        /* met_delay is set */
	u8 is_inside;     /* of the TARGET's cgroup */
	u32 q;            /* its stacks are taken with probability q / 2^32, */
	u32 sampled_q;    /* and the one of its current wait was with this */
	u32 mean_ns;      /* of its recent waits */
	char comm[TASK_COMM_BYTES];
	u32 name;   /* id of comm */
	u32 run_nr; /* its last run on run_cpu */
	u32 run_cpu;
	u32 is_sent; /* its sums are on their way, or have been read for the last time */
	u64 cgroup;  /* address, and */
	u64 cgroup_id;
	struct sched_sums sums;

	u64 start_ns, process_start_ns;
	u64 born_ns;   /* hash: start_time of whom this entry is about */
	u64 met_delay; /* sched_info.run_delay when the window began */
	u64 filtered;  /* address of the cgroup that 'is_inside' is about */
	char leader_comm[TASK_COMM_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sched_task);
} sched_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SCHED_TASKS_MAX);
	__type(key, u32);
	__type(value, struct sched_task);
} sched_tasks_hash SEC(".maps");

/* comm → id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SCHED_NAMES_MAX);
	__type(key, char[TASK_COMM_BYTES]);
	__type(value, u32);
} sched_names SEC(".maps");

const volatile bool sched_has_task_storage = false;
const volatile bool sched_cgroup_v1 = false; /* the cpu controller is on a hierarchy of its own */

/* Characters would be copied one by one: their array is not aligned as words are. */
static __always_inline void copy_comm(char *to, const char *from)
{
	((u64 *)to)[0] = ((const u64 *)from)[0];
	((u64 *)to)[1] = ((const u64 *)from)[1];
}

static const struct sched_task no_task = { 0 };

/* An entry of the hash may be about somebody who had the tid before. */
static __always_inline struct sched_task *find_in_hash(struct task_struct *task)
{
	u32 tid = task->pid;
	struct sched_task *t = bpf_map_lookup_elem(&sched_tasks_hash, &tid);

	return t && t->born_ns == task->start_time ? t : NULL;
}

static __always_inline struct sched_task *task__find(struct task_struct *task)
{
	if (sched_has_task_storage)
		return bpf_task_storage_get(&sched_tasks, task, NULL, 0);
	return find_in_hash(task);
}

static __always_inline struct sched_task *task__get(struct task_struct *task)
{
	struct sched_task *t;
	u32 tid;

	if (sched_has_task_storage)
		return bpf_task_storage_get(&sched_tasks, task, NULL,
					    BPF_LOCAL_STORAGE_GET_F_CREATE);
	t = find_in_hash(task);
	if (t)
		return t;
	tid = task->pid;
	bpf_map_update_elem(&sched_tasks_hash, &tid, &no_task, BPF_ANY);
	t = bpf_map_lookup_elem(&sched_tasks_hash, &tid);
	if (t)
		t->born_ns = task->start_time;
	return t;
}

/* Storage goes with its task. */
static __always_inline void task__forget(struct task_struct *task)
{
	u32 tid;

	if (sched_has_task_storage)
		return;
	tid = task->pid;
	bpf_map_delete_elem(&sched_tasks_hash, &tid);
}

/* The cgroup whose CPU time the task uses; an autogroup's (none) counts as the root. It follows
 * from a pointer of the task, which is all that is read at most switches. */
static __always_inline void task__update_cgroup(struct sched_task *t, struct task_struct *task)
{
	u64 group = sched_cgroup_v1 ? (u64)task->sched_task_group : (u64)task->cgroups;
	struct cgroup *cgroup;

	if (unlikely(t->group != group)) {
		t->group = group;
		cgroup = sched_cgroup_v1 ? task->sched_task_group->css.cgroup
					 : task->cgroups->dfl_cgrp;
		t->cgroup = (u64)cgroup;
		t->cgroup_id = cgroup ? cgroup->kn->id : SCHED_ROOT_CGROUP;
	}
}

/* The id of a comm, given at first sight; 0 when there is no room. */
static __noinline u32 name_id(const char *comm, u64 *next, u64 *notes)
{
	u32 fresh, *id = bpf_map_lookup_elem(&sched_names, comm);

	if (id)
		return *id;
	fresh = ++*next << NAME_CPU_BITS | bpf_get_smp_processor_id();
	if (!bpf_map_update_elem(&sched_names, comm, &fresh, BPF_NOEXIST))
		return fresh;
	id = bpf_map_lookup_elem(&sched_names, comm); /* another CPU was first? */
	if (id)
		return *id;
	notes[SCHED_NOTE_NAMES_FULL]++;
	return 0;
}

/* By helpers, not through the task: at every pointer that is loaded from one verifiers since 6.2
 * search all of the kernel's types, which took a quarter of the program's time there. */
static __noinline void learn_name(struct sched_task *t, struct task_struct *task, u64 *next_name,
				  u64 *notes)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	copy_comm(t->comm, task->comm);
	bpf_probe_read_kernel(t->leader_comm, sizeof(t->leader_comm), leader->comm);
	t->start_ns = task->start_boottime;
	t->process_start_ns = BPF_CORE_READ(leader, start_boottime);
	t->name = name_id(t->comm, next_name, notes);
}

/* A thread's comm changes with execve(2) and prctl(2): two words to compare at each switch. */
static __always_inline void task__update_name(struct sched_task *t, struct task_struct *task,
					      u64 *next_name, u64 *notes)
{
	const u64 *now = (const u64 *)task->comm;
	const u64 *kept = (const u64 *)t->comm;

	if (unlikely(now[0] != kept[0] || now[1] != kept[1] || !t->start_ns))
		learn_name(t, task, next_name, notes);
}

#endif
