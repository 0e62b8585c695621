/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is said of kernels: versions, files and answers of other hosts stand in a directory of the
 * test's own or are passed in; at last the real host is asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/array.h"
#include "base/file.h"
#include "collect/kernel_checks.h"

static char root[64];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int setup(void **state)
{
	strcpy(root, "/tmp/test_kernel.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	return nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* Creates the directories above root + path; returns the full path (static). */
static const char *make_path(const char *path)
{
	static char full[256];
	char *slash;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	return full;
}

static void write_file(const char *path, const void *data, size_t len)
{
	int fd = open(make_path(path), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(file__write_all(fd, data, len), 0);
	close(fd);
}

static void write_text(const char *path, const char *text)
{
	write_file(path, text, strlen(text));
}

static void expect(const struct feature *f, enum feature_state state, const char *detail,
		   const char *advice)
{
	if (f->state != state || !strstr(f->detail, detail) || !strstr(f->advice, advice))
		fail_msg("state %d, wanted %d: '%s'; '%s'", f->state, state, f->detail, f->advice);
	if (state == FEATURE_OK)
		assert_string_equal(f->advice, "");
	else
		assert_string_not_equal(f->advice, "");
}

static void test_versions(void **state)
{
	static const struct {
		const char *release, *version, *signature;
		struct kernel_version want;
	} cases[] = {
		{ "6.18.44-fc", "#1 SMP", "", { 6, 18, 44 } },
		{ "6.1.0-18-amd64",
		  "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)",
		  "",
		  { 6, 1, 76 } },
		{ "5.10.0-28-amd64", "#1 SMP Debian 5.10.209-2 (2024-01-31)", "", { 5, 10, 209 } },
		{ "6.2.0-39-generic",
		  "#40~22.04.1-Ubuntu SMP",
		  "Ubuntu 6.2.0-39.40-generic 6.2.16",
		  { 6, 2, 16 } },
		{ "6.12-rc3", "", "", { 6, 12, 0 } },
		{ "6.1.25-37.47.amzn2023.x86_64", "", "", { 6, 1, 25 } },
		{ "6.6.1-custom", "#1 Debian 6.1.99-1", "", { 6, 6, 1 } }, /* another release's */
		{ "6.1.50", "#1 Debian 6.1.20-1", "garbage", { 6, 1, 50 } },
	};
	struct kernel_version v = { 9, 9, 9 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(kernel_version__parse(cases[i].release, cases[i].version,
						       cases[i].signature, &v),
				 0);
		assert_memory_equal(&v, &cases[i].want, sizeof(v));
	}
	assert_int_equal(kernel_version__parse("linux", "", "", &v), -EINVAL);
	assert_int_equal(kernel_version__parse("", "", "", &v), -EINVAL);
	assert_int_equal(kernel_version__parse("6", "", "", &v), -EINVAL);
	assert_int_equal(v.patch, 50);
}

static void test_old_kernels(void **state)
{
	static const struct kernel_version old = { 5, 9, 16 }, first = { 5, 10, 0 };
	struct feature f = { 0 };

	kernel_check__version(&old, "5.9.16", &f);
	expect(&f, FEATURE_MISSING_KERNEL, "5.9.16", "5.10");
	f = (struct feature){ 0 };
	kernel_check__version(&first, "5.10.0", &f);
	expect(&f, FEATURE_OK, "5.10.0", "");
}

static void test_kernels_that_freeze(void **state)
{
	static const struct {
		struct kernel_version v;
		bool is_bad;
	} cases[] = {
		{ { 5, 10, 1 }, false }, { { 5, 18, 99 }, false }, { { 5, 19, 0 }, true },
		{ { 5, 19, 17 }, true }, { { 6, 0, 19 }, true },   { { 6, 1, 0 }, true },
		{ { 6, 1, 35 }, true },  { { 6, 1, 36 }, false },  { { 6, 1, 76 }, false },
		{ { 6, 2, 16 }, true },  { { 6, 3, 9 }, true },    { { 6, 3, 10 }, false },
		{ { 6, 4, 0 }, false },  { { 6, 18, 0 }, false },  { { 7, 0, 0 }, false },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct feature f = { 0 };

		if (kernel_version__has_nofault_deadlock(&cases[i].v) != cases[i].is_bad)
			fail_msg("%u.%u.%u", cases[i].v.major, cases[i].v.minor, cases[i].v.patch);
		kernel_check__known_bugs(&cases[i].v, &f);
		assert_int_equal(f.state, cases[i].is_bad ? FEATURE_MISSING_KERNEL : FEATURE_OK);
	}
}

static void check_btf(struct feature *f, const void *data, size_t len)
{
	*f = (struct feature){ 0 };
	write_file("/sys/kernel/btf/vmlinux", data, len);
	kernel_check__btf(root, f);
}

static void test_btf(void **state)
{
	struct {
		struct btf_header h;
		char body[24];
	} btf = { .h = { .magic = BTF_MAGIC,
			 .version = BTF_VERSION,
			 .hdr_len = sizeof(struct btf_header),
			 .type_len = 16,
			 .str_off = 16,
			 .str_len = 8 } };
	struct feature f = { 0 };

	kernel_check__btf(root, &f);
	expect(&f, FEATURE_MISSING_KERNEL, "No such file", "CONFIG_DEBUG_INFO_BTF");
	check_btf(&f, &btf, sizeof(btf));
	expect(&f, FEATURE_OK, "/sys/kernel/btf/vmlinux", "");
	check_btf(&f, "", 0);
	expect(&f, FEATURE_MISSING_KERNEL, "not valid BTF", "CONFIG_DEBUG_INFO_BTF");
	check_btf(&f, &btf, sizeof(btf.h) - 1);
	expect(&f, FEATURE_MISSING_KERNEL, "not valid BTF", "");
	check_btf(&f, &btf, sizeof(btf) - 1); /* strings beyond the end */
	expect(&f, FEATURE_MISSING_KERNEL, "not valid BTF", "");
	btf.h.type_len = UINT32_MAX;
	check_btf(&f, &btf, sizeof(btf));
	expect(&f, FEATURE_MISSING_KERNEL, "not valid BTF", "");
	btf.h.magic = 0x9feb;
	check_btf(&f, &btf, sizeof(btf));
	expect(&f, FEATURE_MISSING_KERNEL, "not valid BTF", "");
}

static void test_namespaces(void **state)
{
	struct feature f = { 0 };
	const char *path;

	kernel_check__namespace(root, "pid", PID_NS_INIT_INO, FEATURE_MISSING_KERNEL, &f);
	expect(&f, FEATURE_OK, "only one", "");
	path = make_path("/proc/self/ns/pid");
	assert_int_equal(symlink("pid:[4026531836]", path), 0);
	kernel_check__namespace(root, "pid", PID_NS_INIT_INO, FEATURE_MISSING_KERNEL, &f);
	expect(&f, FEATURE_OK, "initial", "");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("pid:[4026532179]", path), 0);
	kernel_check__namespace(root, "pid", PID_NS_INIT_INO, FEATURE_MISSING_KERNEL, &f);
	expect(&f, FEATURE_MISSING_KERNEL, "pid:[4026532179]", "on the host");
}

static void test_lockdown(void **state)
{
	static const char path[] = "/sys/kernel/security/lockdown";
	struct feature f = { 0 };

	kernel_check__lockdown(root, &f);
	expect(&f, FEATURE_OK, "", "");
	write_text(path, "[none] integrity confidentiality\n");
	kernel_check__lockdown(root, &f);
	expect(&f, FEATURE_OK, "[none]", "");
	write_text(path, "none [integrity] confidentiality\n");
	kernel_check__lockdown(root, &f);
	expect(&f, FEATURE_OK, "[integrity]", "");
	write_text(path, "none integrity [confidentiality]\n");
	kernel_check__lockdown(root, &f);
	expect(&f, FEATURE_MISSING_PERMISSION, "confidentiality", "lockdown=integrity");
}

static void test_kernel_addresses(void **state)
{
	static const char hidden[] = "0000000000000000 A per_cpu_start\n"
				     "0000000000000000 T _text\n";
	static const char visible[] = "0000000000000000 A per_cpu_start\n"
				      "ffffffff81000000 T _text\n";
	struct feature f = { 0 };

	kernel_check__kernel_addresses(root, &f);
	expect(&f, FEATURE_DEGRADED, "no /proc/kallsyms", "CONFIG_KALLSYMS");
	write_text("/proc/kallsyms", hidden);
	write_text("/proc/sys/kernel/kptr_restrict", "1\n");
	kernel_check__kernel_addresses(root, &f);
	expect(&f, FEATURE_DEGRADED, "kptr_restrict is 1", "CAP_SYSLOG");
	write_text("/proc/sys/kernel/kptr_restrict", "2\n");
	kernel_check__kernel_addresses(root, &f);
	expect(&f, FEATURE_DEGRADED, "kptr_restrict is 2", "sysctl kernel.kptr_restrict=1");
	f = (struct feature){ 0 };
	write_text("/proc/kallsyms", visible);
	kernel_check__kernel_addresses(root, &f);
	expect(&f, FEATURE_OK, "visible", "");
	f = (struct feature){ 0 };
	write_text("/proc/kallsyms", "");
	kernel_check__kernel_addresses(root, &f);
	expect(&f, FEATURE_DEGRADED, "hidden", "");
}

static void test_sysctl(void **state)
{
	static const char path[] = "/proc/sys/kernel/x";

	assert_int_equal(kernel_check__sysctl(root, path, 7), 7);
	write_text(path, "-1\n");
	assert_int_equal(kernel_check__sysctl(root, path, 7), -1);
	write_text(path, "4");
	assert_int_equal(kernel_check__sysctl(root, path, 7), 4);
	write_text(path, "4 5\n");
	assert_int_equal(kernel_check__sysctl(root, path, 7), 7);
	write_text(path, "99999999999\n");
	assert_int_equal(kernel_check__sysctl(root, path, 7), 7);
	write_text(path, "\n");
	assert_int_equal(kernel_check__sysctl(root, path, 7), 7);
}

static void test_cgroup2(void **state)
{
	static const char path[] = "/proc/self/mountinfo";
	struct feature f = { 0 };

	write_text(path, "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
			 "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
	kernel_check__cgroup2(root, &f);
	expect(&f, FEATURE_DEGRADED, "--cgroup cannot be used", "mount -t cgroup2");
	f = (struct feature){ 0 };
	write_text(path, "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
			 "41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n");
	kernel_check__cgroup2(root, &f);
	expect(&f, FEATURE_OK, "mounted at /sys/fs/cgroup/unified", "");
}

static void test_cpus(void **state)
{
	struct feature f = { 0 };

	kernel_check__cpus(root, &f);
	expect(&f, FEATURE_DEGRADED, "cannot be read", "mount sysfs");
	f = (struct feature){ 0 };
	write_text("/sys/devices/system/cpu/online", "0-1,3\n");
	write_text("/sys/devices/system/cpu/possible", "0-7\n");
	kernel_check__cpus(root, &f);
	expect(&f, FEATURE_OK, "3 online, 8 possible", "");
}

static void test_jit_and_memlock(void **state)
{
	static const struct kernel_version v510 = { 5, 10, 0 }, v511 = { 5, 11, 0 };
	struct feature f = { 0 };

	kernel_check__jit(root, &f);
	expect(&f, FEATURE_OK, "on", "");
	write_text("/proc/sys/net/core/bpf_jit_enable", "0\n");
	kernel_check__jit(root, &f);
	expect(&f, FEATURE_DEGRADED, "off", "sysctl net.core.bpf_jit_enable=1");
	f = (struct feature){ 0 };
	kernel_check__memlock(&v511, 0, false, &f);
	expect(&f, FEATURE_OK, "not charged", "");
	kernel_check__memlock(&v510, 64 * 1024, true, &f);
	expect(&f, FEATURE_OK, "raised", "");
	kernel_check__memlock(&v510, UINT64_MAX, false, &f);
	expect(&f, FEATURE_OK, "enough", "");
	kernel_check__memlock(&v510, 64 * 1024, false, &f);
	expect(&f, FEATURE_MISSING_PERMISSION, "64 KiB", "ulimit -l");
}

static void perf(struct feature *f, int err, int paranoid, bool perfmon, bool admin)
{
	*f = (struct feature){ 0 };
	kernel_check__perf(err, paranoid, perfmon, admin, f);
}

static void test_perf_answers(void **state)
{
	struct feature f;

	perf(&f, 0, 2, true, false);
	expect(&f, FEATURE_OK, "kernel.perf_event_paranoid is 2", "");
	perf(&f, -EACCES, 2, false, false);
	expect(&f, FEATURE_MISSING_PERMISSION, "kernel.perf_event_paranoid is 2", "CAP_PERFMON");
	perf(&f, -EACCES, 3, true, false);
	expect(&f, FEATURE_MISSING_PERMISSION, "kernel.perf_event_paranoid is 3",
	       "sysctl kernel.perf_event_paranoid=2");
	assert_non_null(strstr(f.advice, "CAP_SYS_ADMIN"));
	perf(&f, -EPERM, 3, true, true);
	expect(&f, FEATURE_MISSING_PERMISSION, "not permitted", "seccomp");
	perf(&f, -EACCES, 2, true, false);
	expect(&f, FEATURE_MISSING_PERMISSION, "denied", "security module");
	perf(&f, -EMFILE, 2, true, true);
	expect(&f, FEATURE_MISSING_PERMISSION, "Too many open files", "ulimit -n");
	perf(&f, -ENOSYS, 2, true, true);
	expect(&f, FEATURE_MISSING_KERNEL, "perf_event_open", "CONFIG_PERF_EVENTS");
	perf(&f, -EINVAL, 2, true, true);
	expect(&f, FEATURE_MISSING_KERNEL, "Invalid argument", "5.10");
}

static void bpf(struct feature *f, int err, bool has_bpf, unsigned int minor)
{
	const struct kernel_version v = { 5, minor, 0 };

	*f = (struct feature){ 0 };
	kernel_check__bpf(err, "maps", has_bpf, &v, f);
}

static void test_bpf_answers(void **state)
{
	struct feature f;

	bpf(&f, 0, true, 15);
	expect(&f, FEATURE_OK, "maps can be made", "");
	bpf(&f, -EPERM, false, 15);
	expect(&f, FEATURE_MISSING_PERMISSION, "not permitted", "CAP_BPF");
	bpf(&f, -EPERM, true, 10);
	expect(&f, FEATURE_MISSING_PERMISSION, "not permitted", "ulimit -l");
	bpf(&f, -EPERM, true, 15);
	expect(&f, FEATURE_MISSING_PERMISSION, "not permitted", "seccomp");
	bpf(&f, -ENOSYS, true, 15);
	expect(&f, FEATURE_MISSING_KERNEL, "bpf(2)", "CONFIG_BPF_SYSCALL");
	bpf(&f, -EINVAL, true, 15);
	expect(&f, FEATURE_MISSING_KERNEL, "Invalid argument", "CONFIG_BPF_EVENTS");
}

static void test_first_missing(void **state)
{
	struct kernel_features f = { .features_cnt = 4 };

	assert_null(kernel_features__first_missing(&f));
	f.features[0] = (struct feature){ .state = FEATURE_MISSING_KERNEL };
	f.features[1] = (struct feature){ .state = FEATURE_DEGRADED, .is_required = true };
	assert_null(kernel_features__first_missing(&f));
	f.features[3] = (struct feature){ .state = FEATURE_MISSING_KERNEL, .is_required = true };
	assert_ptr_equal(kernel_features__first_missing(&f), &f.features[3]);
	f.features[2] =
		(struct feature){ .state = FEATURE_MISSING_PERMISSION, .is_required = true };
	assert_ptr_equal(kernel_features__first_missing(&f), &f.features[2]);
}

/* Whatever this host has: every line is filled in, quick asks for what is required and no more. */
static void test_this_host(void **state)
{
	struct kernel_features all, quick;
	size_t required_cnt = 0, i;

	kernel_features__probe(&all, false);
	kernel_features__probe(&quick, true);
	for (i = 0; i < all.features_cnt; i++) {
		const struct feature *f = &all.features[i];

		assert_true(f->detail[0] != '\0');
		assert_true(f->state == FEATURE_OK || f->advice[0] != '\0');
		assert_true(strlen(f->name) <= 22); /* the column of doctor's report */
		required_cnt += f->is_required;
	}
	assert_int_equal(quick.features_cnt, required_cnt);
	for (i = 0; i < quick.features_cnt; i++)
		assert_true(quick.features[i].is_required);
	if (geteuid())
		assert_non_null(kernel_features__first_missing(&quick));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_versions),
		TEST(test_old_kernels),
		TEST(test_kernels_that_freeze),
		TEST(test_btf),
		TEST(test_namespaces),
		TEST(test_lockdown),
		TEST(test_kernel_addresses),
		TEST(test_sysctl),
		TEST(test_cgroup2),
		TEST(test_cpus),
		TEST(test_jit_and_memlock),
		TEST(test_perf_answers),
		TEST(test_bpf_answers),
		TEST(test_first_missing),
		TEST(test_this_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
