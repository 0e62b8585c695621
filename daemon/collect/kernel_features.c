/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See kernel_features.h. The checks are a table, in the order of the report; what comes first
 * explains what fails after it, which is why kernels and namespaces stand before privileges.
 */
#include "collect/kernel_features.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "collect/cpus.h"
#include "collect/heap_kernel.h"
#include "abi/sched.h"
#include "collect/kernel_checks.h"
#include "collect/sched_kernel.h"

struct host {
	struct utsname uname;
	struct kernel_version version;
	cap_t caps; /* NULL: treated as none held */
	int paranoid;
	int cpu;                 /* an online one */
	struct heap_kernel heap; /* not of a quick look */
};

static bool has_cap(const struct host *h, cap_value_t cap)
{
	cap_flag_value_t value = CAP_CLEAR;

	return h->caps && !cap_get_flag(h->caps, cap, CAP_EFFECTIVE, &value) && value == CAP_SET;
}

static bool has_cap_or_admin(const struct host *h, cap_value_t cap)
{
	return has_cap(h, cap) || has_cap(h, CAP_SYS_ADMIN);
}

static void check_kernel(const struct host *h, struct feature *f)
{
	kernel_check__version(&h->version, h->uname.release, f);
}

static void check_known_bugs(const struct host *h, struct feature *f)
{
	kernel_check__known_bugs(&h->version, f);
}

static void check_pid_ns(const struct host *h, struct feature *f)
{
	kernel_check__namespace("", "pid", PID_NS_INIT_INO, FEATURE_MISSING_KERNEL, f);
}

/* CLOCK_MONOTONIC of another time namespace is not that of the kernel's time stamps. */
static void check_time_ns(const struct host *h, struct feature *f)
{
	kernel_check__namespace("", "time", TIME_NS_INIT_INO, FEATURE_MISSING_KERNEL, f);
}

/* Capabilities of another user namespace do not count for perf events and BPF. */
static void check_user_ns(const struct host *h, struct feature *f)
{
	kernel_check__namespace("", "user", USER_NS_INIT_INO, FEATURE_MISSING_PERMISSION, f);
}

static void check_btf(const struct host *h, struct feature *f)
{
	kernel_check__btf("", f);
}

static void require_cap(const struct host *h, cap_value_t cap, struct feature *f)
{
	if (has_cap_or_admin(h, cap)) {
		feature__set(f, FEATURE_OK, "held");
		return;
	}
	feature__set(f, FEATURE_MISSING_PERMISSION, "not held");
	feature__advise(f, "run as root (sudo), or with CAP_BPF and CAP_PERFMON");
}

static void check_cap_bpf(const struct host *h, struct feature *f)
{
	require_cap(h, CAP_BPF, f);
}

static void check_cap_perfmon(const struct host *h, struct feature *f)
{
	require_cap(h, CAP_PERFMON, f);
}

static void want_cap(bool is_held, const char *without, struct feature *f)
{
	if (is_held) {
		feature__set(f, FEATURE_OK, "held");
		return;
	}
	feature__set(f, FEATURE_DEGRADED, "not held: %s", without);
	feature__advise(f, "run as root, or with %s", f->name);
}

static void check_cap_ptrace(const struct host *h, struct feature *f)
{
	want_cap(has_cap(h, CAP_SYS_PTRACE),
		 "files of other users' processes are not found, their frames have no names", f);
}

static void check_cap_dac(const struct host *h, struct feature *f)
{
	want_cap(has_cap(h, CAP_DAC_READ_SEARCH),
		 "programs that this user may not read have no names", f);
}

static void check_cap_checkpoint(const struct host *h, struct feature *f)
{
	want_cap(has_cap_or_admin(h, CAP_CHECKPOINT_RESTORE),
		 "deleted and replaced files have no names", f);
}

static void check_cap_syslog(const struct host *h, struct feature *f)
{
	want_cap(has_cap(h, CAP_SYSLOG),
		 "kernel frames have no names where kernel.kptr_restrict is 1", f);
}

static void check_lockdown(const struct host *h, struct feature *f)
{
	kernel_check__lockdown("", f);
}

static void check_memlock(const struct host *h, struct feature *f)
{
	struct rlimit limit = { 0 };

	getrlimit(RLIMIT_MEMLOCK, &limit);
	kernel_check__memlock(&h->version, limit.rlim_cur, has_cap(h, CAP_SYS_RESOURCE), f);
}

/* Returns 0 or -errno. The event is closed again before it could count anything. */
static int try_event(const struct perf_event_attr *attr, int cpu)
{
	_cleanup_close_ int fd =
		(int)syscall(SYS_perf_event_open, attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : 0;
}

static void check_cpu_clock(const struct host *h, struct feature *f)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 10000000,
		.disabled = 1,
	};

	kernel_check__perf(try_event(&attr, h->cpu), h->paranoid, has_cap(h, CAP_PERFMON),
			   has_cap(h, CAP_SYS_ADMIN), f);
}

static struct perf_event_attr side_band_attr(void)
{
	return (struct perf_event_attr){
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(struct perf_event_attr),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
		.disabled = 1,
		.mmap = 1,
		.mmap2 = 1,
		.comm = 1,
		.comm_exec = 1,
		.task = 1,
		.sample_id_all = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
	};
}

static void check_side_band(const struct host *h, struct feature *f)
{
	struct perf_event_attr attr = side_band_attr();

	kernel_check__perf(try_event(&attr, h->cpu), h->paranoid, has_cap(h, CAP_PERFMON),
			   has_cap(h, CAP_SYS_ADMIN), f);
}

static void check_mmap2_build_id(const struct host *h, struct feature *f)
{
	struct perf_event_attr attr = side_band_attr();

	attr.build_id = 1;
	kernel_check__optional(try_event(&attr, h->cpu),
			       "the kernel can put build-ids into mapping records",
			       "5.12 has it: build-ids are read from the files", f);
}

static void check_ring_buffer(const struct host *h, struct feature *f)
{
	_cleanup_close_ int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "cprof_feature", 0, 0,
						(uint32_t)sysconf(_SC_PAGESIZE), NULL);

	kernel_check__bpf(fd < 0 ? fd : 0, "ring buffer maps", has_cap_or_admin(h, CAP_BPF),
			  &h->version, f);
}

/* r0 = 0; exit */
static int load_nothing(enum bpf_prog_type type, enum bpf_attach_type attach_type)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach_type);

	return bpf_prog_load(type, "cprof_feature", "GPL", insns, ARRAY_SIZE(insns), &opts);
}

static void check_program(const struct host *h, struct feature *f)
{
	_cleanup_close_ int fd = load_nothing(BPF_PROG_TYPE_PERF_EVENT, 0);

	kernel_check__bpf(fd < 0 ? fd : 0, "perf event programs", has_cap_or_admin(h, CAP_BPF),
			  &h->version, f);
}

static void check_jit(const struct host *h, struct feature *f)
{
	kernel_check__jit("", f);
}

static void check_task_pt_regs(const struct host *h, struct feature *f)
{
	int ret = -EPERM;

	/* Without the privilege to load programs the probe finds everything present. */
	if (has_cap_or_admin(h, CAP_BPF))
		ret = libbpf_probe_bpf_helper(BPF_PROG_TYPE_PERF_EVENT, BPF_FUNC_task_pt_regs, NULL)
			      ?: -EINVAL;
	kernel_check__optional(ret > 0 ? 0 : ret, "bpf_task_pt_regs finds them",
			       "5.15 has bpf_task_pt_regs: found by the layout of kernel stacks",
			       f);
}

static void check_scheduler(const struct host *h, struct feature *f)
{
	struct sched_kernel kernel;

	if (sched_kernel__probe(&kernel)) {
		feature__set(f, FEATURE_DEGRADED, "not known without BTF: --sched cannot be used");
	} else if (kernel.missing) {
		feature__set(f, FEATURE_DEGRADED, "no %s: --sched cannot be used", kernel.missing);
	} else if (!kernel.has_task_storage) {
		feature__set(f, FEATURE_DEGRADED, "threads are kept in a hash of %d",
			     SCHED_TASKS_MAX);
		feature__advise(f, "5.13 has task storage for tracing programs");
	} else {
		feature__set(f, FEATURE_OK, "run_delay of every thread, task storage");
	}
}

/* Without the privilege to load programs nothing of the next three is known. */
static bool knows_probes(const struct host *h, struct feature *f)
{
	if (h->heap.err)
		kernel_check__optional(h->heap.err, "", strerror(-h->heap.err), f);
	return !h->heap.err;
}

static void check_uprobes(const struct host *h, struct feature *f)
{
	if (!knows_probes(h, f))
		return;
	if (h->heap.is_multi_usable || h->heap.perf_type >= 0)
		feature__set(f, FEATURE_OK, "allocations of running processes can be probed");
	else
		feature__set(f, FEATURE_DEGRADED,
			     "none (CONFIG_UPROBE_EVENTS): --heap cannot probe processes");
}

static void check_uprobe_multi(const struct host *h, struct feature *f)
{
	if (!knows_probes(h, f))
		return;
	if (h->heap.is_multi_usable) {
		feature__set(f, FEATURE_OK, "one link probes all functions of a file");
		return;
	}
	feature__set(f, FEATURE_DEGRADED,
		     "%s: --heap probes by perf events, which takes CAP_SYS_ADMIN",
		     h->heap.misses_threads ? "sees a process's first thread only" : "not here");
	feature__advise(f, h->heap.misses_threads ? "6.10 has it right" : "6.6 has it");
}

static void check_uprobe_session(const struct host *h, struct feature *f)
{
	if (!knows_probes(h, f))
		return;
	if (h->heap.has_session) {
		feature__set(f, FEATURE_OK, "returns are probed where they are wanted");
		return;
	}
	feature__set(f, FEATURE_DEGRADED,
		     "not here: --heap probes the return of every allocation, too");
	feature__advise(f, "6.13 has them");
}

static void check_kernel_addresses(const struct host *h, struct feature *f)
{
	kernel_check__kernel_addresses("", f);
}

/* Tried on ourselves: that others' take CAP_SYS_PTRACE too is a line of its own. O_PATH does not
 * touch the file. */
static int open_map_file(void)
{
	_cleanup_fclose_ FILE *maps = fopen("/proc/self/maps", "re");
	_cleanup_free_ char *line = NULL;
	unsigned long start, end;
	size_t size = 0;
	char path[96];
	int fd;

	while (maps && getline(&line, &size, maps) > 0) {
		if (!strchr(line, '/') || sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", start, end);
		fd = open(path, O_PATH | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	return -EACCES;
}

static void check_map_files(const struct host *h, struct feature *f)
{
	_cleanup_close_ int fd = open_map_file();

	if (fd >= 0) {
		feature__set(f, FEATURE_OK, "mapped files can be opened, deleted ones too");
		return;
	}
	feature__set(f, FEATURE_DEGRADED,
		     "cannot be used: files are opened by path, deleted ones have no names");
	feature__advise(f, "needs CAP_CHECKPOINT_RESTORE");
}

static void check_cgroup2(const struct host *h, struct feature *f)
{
	kernel_check__cgroup2("", f);
}

static void check_cpus(const struct host *h, struct feature *f)
{
	kernel_check__cpus("", f);
}

static const struct check {
	const char *name;
	bool is_required;
	void (*run)(const struct host *h, struct feature *f);
} checks[] = {
	{ "kernel", true, check_kernel },
	{ "kernel bugs", true, check_known_bugs },
	{ "PID namespace", true, check_pid_ns },
	{ "time namespace", true, check_time_ns },
	{ "BTF", true, check_btf },
	{ "user namespace", true, check_user_ns },
	{ "CAP_BPF", true, check_cap_bpf },
	{ "CAP_PERFMON", true, check_cap_perfmon },
	{ "CAP_SYS_PTRACE", false, check_cap_ptrace },
	{ "CAP_DAC_READ_SEARCH", false, check_cap_dac },
	{ "CAP_CHECKPOINT_RESTORE", false, check_cap_checkpoint },
	{ "CAP_SYSLOG", false, check_cap_syslog },
	{ "lockdown", true, check_lockdown },
	{ "RLIMIT_MEMLOCK", true, check_memlock },
	{ "perf cpu-clock events", true, check_cpu_clock },
	{ "perf side-band events", true, check_side_band },
	{ "build-ids in records", false, check_mmap2_build_id },
	{ "BPF ring buffer", true, check_ring_buffer },
	{ "BPF programs", true, check_program },
	{ "BPF JIT", false, check_jit },
	{ "user registers", false, check_task_pt_regs },
	{ "scheduler waits", false, check_scheduler },
	{ "uprobes", false, check_uprobes },
	{ "uprobe_multi", false, check_uprobe_multi },
	{ "uprobe sessions", false, check_uprobe_session },
	{ "kernel addresses", false, check_kernel_addresses },
	{ "map_files", false, check_map_files },
	{ "cgroup v2", false, check_cgroup2 },
	{ "CPUs", false, check_cpus },
};
_Static_assert(ARRAY_SIZE(checks) <= KERNEL_FEATURES_MAX, "every check has a line");

static void look_at_host(struct host *h)
{
	_cleanup_(cpu_list__done) struct cpu_list cpus = { 0 };
	_cleanup_buf_ struct buf signature = BUF_INIT;

	*h = (struct host){ .caps = cap_get_proc() };
	uname(&h->uname);
	kernel_check__read("", "/proc/version_signature", &signature);
	/* An unreadable version stays 0.0.0: too old. */
	kernel_version__parse(h->uname.release, h->uname.version, signature.data ?: "",
			      &h->version);
	h->paranoid = kernel_check__sysctl("", "/proc/sys/kernel/perf_event_paranoid", 2);
	if (!cpu_list__read_online(&cpus) && cpus.cnt)
		h->cpu = cpus.cpus[0];
}

void kernel_features__probe(struct kernel_features *f, bool quick)
{
	struct host h;
	size_t i;

	look_at_host(&h);
	if (!quick)
		heap_kernel__probe(&h.heap);
	f->features_cnt = 0;
	for (i = 0; i < ARRAY_SIZE(checks); i++) {
		struct feature *feature = &f->features[f->features_cnt];

		if (quick && !checks[i].is_required)
			continue;
		*feature = (struct feature){
			.name = checks[i].name,
			.is_required = checks[i].is_required,
		};
		checks[i].run(&h, feature);
		f->features_cnt++;
	}
	if (h.caps)
		cap_free(h.caps);
}

const struct feature *kernel_features__first_missing(const struct kernel_features *f)
{
	size_t i;

	for (i = 0; i < f->features_cnt; i++) {
		const struct feature *feature = &f->features[i];

		if (feature->is_required && feature->state >= FEATURE_MISSING_PERMISSION)
			return feature;
	}
	return NULL;
}
