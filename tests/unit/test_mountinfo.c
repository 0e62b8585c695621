/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mountinfo: lines as the kernel writes them, hostile mount points, look-up by device and path.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "process/mountinfo.h"

static int add(struct mountinfo *mi, const char *text)
{
	_cleanup_free_ char *line = strdup(text);

	assert_non_null(line);
	return mountinfo__add_line(mi, line);
}

static void test_lines(void **state)
{
	struct mountinfo mi = { 0 };

	assert_int_equal(add(&mi, "22 27 0:21 / /proc rw,relatime - proc proc rw"), 0);
	assert_int_equal(add(&mi,
			     "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root "
			     "rw,errors=continue"),
			 0);
	assert_int_equal(add(&mi, "40 35 0:44 / /a\\040b\\011c\\134d rw - fuse.sshfs x\\040y rw"),
			 0);
	assert_int_equal(mi.cnt, 3);
	assert_string_equal(mi.mounts[0].fs_type, "proc");
	assert_int_equal(mi.mounts[0].dev_minor, 21);
	assert_string_equal(mi.mounts[1].mount_point, "/mnt2");
	assert_string_equal(mi.mounts[1].fs_type, "ext3");
	assert_int_equal(mi.mounts[1].dev_major, 98);
	assert_string_equal(mi.mounts[2].mount_point, "/a b\tc\\d");
	assert_string_equal(mi.mounts[2].fs_type, "fuse.sshfs");
	mountinfo__done(&mi);
	assert_int_equal(mi.cnt, 0);
}

static void test_bad_lines(void **state)
{
	static const char *const lines[] = {
		"",
		"22",
		"22 27 0:21 / /proc rw",
		"22 27 0:21 / /proc rw,relatime - ",
		"22 27 0:21 / /proc rw,relatime shared:1",
		"22 27 021 / /proc rw - proc proc rw",
		"22 27 0: / /proc rw - proc proc rw",
		"22 27 0:1x / /proc rw - proc proc rw",
		"22 27 99999999999:1 / /proc rw - proc proc rw",
		"22 27 0:21 / proc rw - proc proc rw",
	};
	struct mountinfo mi = { 0 };

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_int_equal(add(&mi, lines[i]), -EBADMSG);
	assert_int_equal(mi.cnt, 0);
	mountinfo__done(&mi);
}

static void test_find(void **state)
{
	struct mountinfo mi = { 0 };

	assert_int_equal(add(&mi, "1 0 8:1 / / rw - ext4 /dev/sda1 rw"), 0);
	assert_int_equal(add(&mi, "2 1 8:2 / /home rw - ext4 /dev/sda2 rw"), 0);
	assert_int_equal(add(&mi, "3 2 0:50 / /home/u/net rw - nfs4 srv:/x rw"), 0);
	assert_int_equal(add(&mi, "4 2 0:51 / /home/u/net/local rw - tmpfs tmpfs rw"), 0);
	assert_int_equal(add(&mi, "5 1 0:52 / /over rw - tmpfs a rw"), 0);
	assert_int_equal(add(&mi, "6 5 0:53 / /over rw - xfs b rw"), 0);
	assert_string_equal(mountinfo__find_path(&mi, "/usr/bin/x")->mount_point, "/");
	assert_string_equal(mountinfo__find_path(&mi, "/home/u/a")->mount_point, "/home");
	assert_string_equal(mountinfo__find_path(&mi, "/homeless/a")->mount_point, "/");
	assert_string_equal(mountinfo__find_path(&mi, "/home")->mount_point, "/home");
	assert_string_equal(mountinfo__find_path(&mi, "/over/a")->fs_type, "xfs");
	assert_string_equal(mountinfo__find_path(&mi, "/home/u/net/local/a")->fs_type, "tmpfs");
	assert_true(mountinfo__path_is_foreign(&mi, "/home/u/net/a"));
	assert_true(mountinfo__path_is_foreign(&mi, "/home/u/net/local/a"));
	assert_false(mountinfo__path_is_foreign(&mi, "/home/u/network/a"));
	assert_false(mountinfo__path_is_foreign(&mi, "/usr/bin/x"));
	assert_string_equal(mountinfo__find_device(&mi, 0, 50)->fs_type, "nfs4");
	assert_null(mountinfo__find_device(&mi, 0, 54));
	mountinfo__done(&mi);
}

static void test_foreign_names(void **state)
{
	static const char *const foreign[] = { "fuse", "fuseblk", "fuse.glusterfs", "nfs",
					       "nfs4", "9p",      "cifs",           "smb3",
					       "ceph", "afs",     "lustre",         "autofs" };
	static const char *const local[] = { "ext4",    "xfs",      "btrfs", "overlay",  "tmpfs",
					     "fusectl", "squashfs", "nfsd",  "virtiofs", "zfs" };

	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		assert_true(mountinfo__fs_is_foreign(foreign[i]));
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		assert_false(mountinfo__fs_is_foreign(local[i]));
	assert_true(mountinfo__fs_is_pseudo("proc"));
	assert_true(mountinfo__fs_is_pseudo("sysfs"));
	assert_false(mountinfo__fs_is_pseudo("tmpfs"));
}

/* Both paths of the longest line the kernel can write, every byte escaped, still leave the type. */
static void test_longest_line(void **state)
{
	char name[] = "/tmp/cprof-mountinfo-XXXXXX";
	_cleanup_close_ int fd = mkstemp(name);
	_cleanup_free_ char *escaped = malloc(4 * 4094 + 1);
	struct mountinfo mi = { 0 };
	_cleanup_fclose_ FILE *f = NULL;

	assert_true(fd >= 0);
	assert_non_null(escaped);
	for (size_t i = 0; i < 4094; i++)
		memcpy(escaped + 4 * i, "\\040", 5);
	f = fdopen(dup(fd), "w");
	assert_non_null(f);
	fprintf(f, "1 0 0:60 /%s /%s rw shared:1 - fuse x rw,%0*d\n", escaped, escaped, 50000, 1);
	fprintf(f, "2 0 8:1 / / rw - ext4 x rw\n");
	assert_int_equal(fflush(f), 0);
	assert_int_equal(mountinfo__read(&mi, name), 0);
	unlink(name);
	assert_int_equal(mi.cnt, 2);
	assert_false(mi.incomplete);
	assert_string_equal(mountinfo__find_device(&mi, 0, 60)->fs_type, "fuse");
	assert_int_equal(strlen(mi.mounts[0].mount_point), 4095);
	assert_string_equal(mountinfo__find_device(&mi, 8, 1)->fs_type, "ext4");
	mountinfo__done(&mi);
}

static void test_own(void **state)
{
	struct mountinfo mi = { 0 };
	const struct mount *m;
	struct stat st;

	assert_int_equal(mountinfo__read(&mi, "/proc/self/mountinfo"), 0);
	assert_false(mi.incomplete);
	m = mountinfo__find_path(&mi, "/proc/self/maps");
	assert_non_null(m);
	assert_string_equal(m->fs_type, "proc");
	assert_int_equal(stat("/proc/version", &st), 0);
	assert_ptr_equal(mountinfo__find_device(&mi, major(st.st_dev), minor(st.st_dev)), m);
	mountinfo__done(&mi);
	assert_int_equal(mountinfo__read(&mi, "/nonexistent/mountinfo"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),        cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_find),         cmocka_unit_test(test_foreign_names),
		cmocka_unit_test(test_longest_line), cmocka_unit_test(test_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
