/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Maps and knobs of heap.bpf.c. None of the maps is created in a run without the heap kind; sizes
 * are set by daemon/collect/. Private to the heap_*.bpf.h.
 */
#ifndef HEAP_MAPS_BPF_H
#define HEAP_MAPS_BPF_H

#include "abi/heap_gap.h"
#include "abi/heap_probe.h"
#include "compat.bpf.h"
#include "maps.bpf.h"

/* Bytes until the next sample. That threads which preempt each other may lose an update does no
 * harm: gaps have no memory. */
struct heap_cpu {
	u64 left;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct heap_cpu);
} heap_cpus SEC(".maps");

/* Key: pid_tgid. As many threads can be inside an allocation function at once. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, struct heap_pending);
} heap_pending SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct heap_key);
	__type(value, struct heap_live);
} heap_live SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HEAP_FILES_MAX);
	__type(key, u32);
	__type(value, struct heap_file_code);
} heap_files SEC(".maps");

/* Slots of scratch memory in use; key: CPU and slot. Insertion is the only atomic test-and-set that
 * kernels before 5.12 have. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} heap_claims SEC(".maps");

/* Before 5.15 links have no cookies: a program of each site leaves it here and goes on to ours,
 * with preemption off. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} heap_cookie SEC(".maps");

const volatile __u32 heap_ln[HEAP_LN_CNT] = {};
const volatile __u64 heap_interval = 1;
const volatile __u32 heap_own_tgid = 0; /* what we do about a record must not make another one */
const volatile bool heap_keeps_live = false;
const volatile bool heap_has_cookie = false;       /* bpf_get_attach_cookie: 5.15 */
const volatile bool heap_has_session = false;      /* 6.13 */
const volatile bool heap_memory_is_strict = false; /* vm.overcommit_memory = 2 */

/* While it is 0 nothing is counted but what was selected before, and our own calibration. */
volatile __u32 heap_is_open = 0;
volatile __u32 heap_has_ended_live = 0;
/* Probability, of 2^32, that probes are on; UINT32_MAX is 1. 0: hits are counted as unsampled. */
volatile __u32 heap_q = 0;

#endif
