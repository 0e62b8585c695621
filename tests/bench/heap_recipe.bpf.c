/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the heap kind is compared with: the usual way to follow allocations with uprobes. At the
 * entry of malloc() its size is kept by thread, at its return the block with its size and stack by
 * address, at free() it is forgotten. Loaded by heap_recipe.c.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define FRAMES_MAX 32

struct recipe_block {
	__u64 bytes;
	__u64 time_ns;
	__s32 stack;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} recipe_sizes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 20);
	__type(key, __u64);
	__type(value, struct recipe_block);
} recipe_blocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 10240);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, FRAMES_MAX * sizeof(__u64));
} recipe_stacks SEC(".maps");

SEC("uprobe")
int recipe_entry(struct pt_regs *ctx)
{
	__u32 thread = (__u32)bpf_get_current_pid_tgid();
	__u64 bytes = PT_REGS_PARM1(ctx);

	bpf_map_update_elem(&recipe_sizes, &thread, &bytes, BPF_ANY);
	return 0;
}

SEC("uprobe")
int recipe_return(struct pt_regs *ctx)
{
	__u32 thread = (__u32)bpf_get_current_pid_tgid();
	__u64 *bytes = bpf_map_lookup_elem(&recipe_sizes, &thread), address = PT_REGS_RC(ctx);
	struct recipe_block block = { 0 };

	if (!bytes)
		return 0;
	block.bytes = *bytes;
	bpf_map_delete_elem(&recipe_sizes, &thread);
	if (!address)
		return 0;
	block.time_ns = bpf_ktime_get_ns();
	block.stack = bpf_get_stackid(ctx, &recipe_stacks, BPF_F_USER_STACK);
	bpf_map_update_elem(&recipe_blocks, &address, &block, BPF_ANY);
	return 0;
}

SEC("uprobe")
int recipe_free(struct pt_regs *ctx)
{
	__u64 address = PT_REGS_PARM1(ctx);

	bpf_map_delete_elem(&recipe_blocks, &address);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
