/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where profiles go: names, formats, and everything that must be refused before a run starts. Runs
 * in a directory of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <pty.h>
#include <sys/stat.h>
#include "base/array.h"
#include "capture.h"
#include "session/output.h"

/* 2026-11-21 07:15:00 UTC, and a bit: fractions of a second do not show. */
#define START_NS 1795245300999999999ULL
#define STAMP    "20261121T071500Z"

/* A second kind, so that the rules for several can be tested while only one is built. */
static const struct probe other_probe = { .name = "other" };

struct fixture {
	struct options opts;
	struct output_plan plan;
	char *outputs[4];
	char *err;
};

static char start_dir[64];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(start_dir, "/tmp/test_output.XXXXXX");
	if (!f || !mkdtemp(start_dir) || chdir(start_dir))
		return -1;
	unsetenv("SUDO_UID");
	unsetenv("SUDO_GID");
	f->opts.kinds[0].probe = probes[0];
	f->opts.kinds_cnt = 1;
	f->opts.outputs = f->outputs;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	output_plan__done(&f->plan);
	free(f->err);
	free(f);
	return chdir("/") || nftw(start_dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static int make(struct fixture *f)
{
	struct capture c = capture__start(STDERR_FILENO);
	int status;

	output_plan__done(&f->plan);
	free(f->err);
	status = output_plan__make(&f->plan, &f->opts, START_NS);
	f->err = capture__finish(&c);
	return status;
}

/* -o path, in this order; NULL ends. */
static void set_outputs(struct fixture *f, const char *first, const char *second)
{
	f->outputs[0] = (char *)first;
	f->outputs[1] = (char *)second;
	f->opts.outputs_cnt = second ? 2 : first ? 1 : 0;
}

static void expect(struct fixture *f, int status, const char *text)
{
	int got = make(f);

	if (got != status || !strstr(f->err, text))
		fail_msg("status %d, wanted %d; says: %s", got, status, f->err);
	if (status)
		assert_ptr_equal(strchr(f->err, '\n'), f->err + strlen(f->err) - 1);
	else
		assert_string_equal(f->err, "");
}

static void expect_path(struct fixture *f, size_t idx, const char *path)
{
	assert_true(idx < f->plan.outputs_cnt);
	assert_string_equal(f->plan.outputs[idx].path, path);
}

static void test_default_names(void **state)
{
	struct fixture *f = *state;
	pid_t pids[] = { 1234, 5 };
	char comm[] = "a b/\x1b.é", cgroup[] = "system.slice/my app.service//";
	char program[] = "./bin/my server", *command[] = { program, NULL };

	expect(f, EXIT_STATUS_OK, "");
	assert_int_equal(f->plan.outputs_cnt, 1);
	expect_path(f, 0, "cprof.host.cpu." STAMP ".pb.gz");
	assert_false(f->plan.uses_stdout);
	f->opts.pids = pids;
	f->opts.pids_cnt = 1;
	f->opts.target = TARGET_PIDS;
	expect(f, EXIT_STATUS_OK, "");
	expect_path(f, 0, "cprof.pid1234.cpu." STAMP ".pb.gz");
	f->opts.pids_cnt = 2;
	expect(f, EXIT_STATUS_OK, "");
	expect_path(f, 0, "cprof.pids.cpu." STAMP ".pb.gz");
	f->opts.target = TARGET_COMM;
	f->opts.comm = comm;
	expect(f, EXIT_STATUS_OK, "");
	expect_path(f, 0, "cprof.comm-a_b__.__.cpu." STAMP ".pb.gz");
	f->opts.target = TARGET_CGROUP;
	f->opts.cgroup = cgroup;
	expect(f, EXIT_STATUS_OK, "");
	expect_path(f, 0, "cprof.cgroup-my_app.service.cpu." STAMP ".pb.gz");
	strcpy(cgroup, "//");
	expect(f, EXIT_STATUS_OK, "");
	expect_path(f, 0, "cprof.cgroup-root.cpu." STAMP ".pb.gz");
	f->opts.target = TARGET_COMMAND;
	f->opts.command = command;
	f->opts.format = (char *)"folded";
	expect(f, EXIT_STATUS_OK, "");
	expect_path(f, 0, "cprof.cmd-my_server.cpu." STAMP ".folded");
}

static void test_name_is_bounded(void **state)
{
	struct fixture *f = *state;
	char cgroup[4096];
	const char *path;

	memset(cgroup, 'x', sizeof(cgroup) - 1);
	cgroup[sizeof(cgroup) - 1] = '\0';
	f->opts.target = TARGET_CGROUP;
	f->opts.cgroup = cgroup;
	expect(f, EXIT_STATUS_OK, "");
	path = f->plan.outputs[0].path;
	assert_true(strlen(path) <= 255);
	assert_non_null(strstr(path, "xxx.cpu." STAMP ".pb.gz"));
	assert_non_null(output_plan__pprof_path(&f->plan, probes[0]));
}

static void test_formats_by_suffix(void **state)
{
	static const char *const files[][2] = {
		{ "a.pb.gz", "pprof" },
		{ "./b.folded", "folded" },
		{ "c.json", "json" },
		{ "d.pb.gz.txt", "txt" },
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		set_outputs(f, files[i][0], NULL);
		expect(f, EXIT_STATUS_OK, "");
		expect_path(f, 0, files[i][0]);
		assert_string_equal(f->plan.outputs[0].encoder->name, files[i][1]);
	}
	set_outputs(f, "x.svg", NULL);
	expect(f, EXIT_STATUS_USAGE, "'x.svg'");
	assert_non_null(strstr(f->err, ".pb.gz"));
	assert_non_null(strstr(f->err, ".folded"));
	set_outputs(f, "cpu", NULL);
	expect(f, EXIT_STATUS_USAGE, "'cpu'");
	f->opts.format = (char *)"svg";
	expect(f, EXIT_STATUS_USAGE, "--format 'svg' is not a format; there are pprof");
	set_outputs(f, "x.pb.gz", NULL);
	f->opts.format = (char *)"folded";
	expect(f, EXIT_STATUS_USAGE, "'x.pb.gz' has its format by its suffix");
}

static void test_several_of_one_run(void **state)
{
	struct fixture *f = *state;

	set_outputs(f, "a.folded", "a.pb.gz");
	expect(f, EXIT_STATUS_OK, "");
	assert_int_equal(f->plan.outputs_cnt, 2);
	assert_string_equal(output_plan__pprof_path(&f->plan, probes[0]), "a.pb.gz");
	assert_null(output_plan__pprof_path(&f->plan, &other_probe));
	set_outputs(f, "a.pb.gz", "a.pb.gz");
	expect(f, EXIT_STATUS_USAGE, "two outputs for 'a.pb.gz'");
	set_outputs(f, "a.pb.gz", "./a.pb.gz");
	expect(f, EXIT_STATUS_USAGE, "two outputs for './a.pb.gz'");
	set_outputs(f, "cpu.pb.gz", ".");
	expect(f, EXIT_STATUS_USAGE, "two outputs for './cpu.pb.gz'");
}

static void test_directories(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(mkdir("there", 0755), 0);
	set_outputs(f, "there", NULL);
	expect(f, EXIT_STATUS_OK, "");
	expect_path(f, 0, "there/cpu.pb.gz");
	f->opts.format = (char *)"txt";
	set_outputs(f, "there/", NULL);
	expect(f, EXIT_STATUS_OK, "");
	expect_path(f, 0, "there/cpu.txt");
	set_outputs(f, "new/", NULL);
	expect(f, EXIT_STATUS_OK, "");
	expect_path(f, 0, "new/cpu.txt");
	assert_int_equal(stat("new", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	output_plan__done(&f->plan);
	assert_int_equal(stat("new", &st), -1); /* nothing was written: not left behind */
	assert_int_equal(stat("there", &st), 0);
	set_outputs(f, "no/such/", NULL);
	expect(f, EXIT_STATUS_FAILURE, "'no/such/'");
}

static void test_several_kinds(void **state)
{
	struct fixture *f = *state;

	f->opts.kinds[f->opts.kinds_cnt++].probe = &other_probe;
	expect(f, EXIT_STATUS_OK, "");
	assert_int_equal(f->plan.outputs_cnt, 2);
	expect_path(f, 1, "cprof.host.other." STAMP ".pb.gz");
	set_outputs(f, "a.pb.gz", NULL);
	expect(f, EXIT_STATUS_USAGE, "'a.pb.gz' is one file for 2 kinds");
	set_outputs(f, "-", NULL);
	expect(f, EXIT_STATUS_USAGE, "takes one kind, not 2");
	set_outputs(f, "out/", NULL);
	expect(f, EXIT_STATUS_OK, "");
	expect_path(f, 0, "out/cpu.pb.gz");
	expect_path(f, 1, "out/other.pb.gz");
	assert_string_equal(output_plan__pprof_path(&f->plan, &other_probe), "out/other.pb.gz");
}

/* .prom is the sched kind's; .json and .txt mean another encoder for it. */
static void test_formats_of_kinds(void **state)
{
	struct fixture *f = *state;
	const struct probe *sched = probe__find("sched");

	set_outputs(f, "a.prom", NULL);
	expect(f, EXIT_STATUS_USAGE, "'a.prom': no format ends like this");
	set_outputs(f, "-", NULL);
	f->opts.format = (char *)"prom";
	expect(f, EXIT_STATUS_USAGE, "--format 'prom' is not a format of --cpu; there are pprof");
	assert_null(strstr(f->err, "prom\n"));
	f->opts.kinds[0].probe = sched;
	expect(f, EXIT_STATUS_OK, "");
	assert_string_equal(f->plan.outputs[0].encoder->name, "prom");
	f->opts.format = NULL;
	set_outputs(f, "a.prom", "a.json");
	expect(f, EXIT_STATUS_OK, "");
	assert_string_equal(f->plan.outputs[0].encoder->kind, "sched");
	assert_string_equal(f->plan.outputs[1].encoder->kind, "sched");
	f->opts.kinds[1].probe = probes[0];
	f->opts.kinds_cnt = 2;
	f->opts.format = (char *)"prom";
	set_outputs(f, "out/", NULL);
	expect(f, EXIT_STATUS_USAGE, "--format 'prom' is not a format of --cpu");
	f->opts.format = (char *)"json";
	expect(f, EXIT_STATUS_OK, "");
	expect_path(f, 0, "out/sched.json");
	expect_path(f, 1, "out/cpu.json");
	assert_string_equal(f->plan.outputs[0].encoder->kind, "sched");
	assert_null(f->plan.outputs[1].encoder->kind);
}

static void test_intervals_without_a_trace(void **state)
{
	struct fixture *f = *state;

	f->opts.kinds[0].probe = probe__find("sched");
	f->opts.sched_interval_ns = 1000000000;
	set_outputs(f, "a.txt", "a.json");
	expect(f, EXIT_STATUS_OK, "");
	assert_true(output_plan__has_intervals(&f->plan));
	set_outputs(f, "a.json", NULL);
	assert_int_equal(make(f), EXIT_STATUS_OK);
	assert_false(output_plan__has_intervals(&f->plan));
	assert_non_null(strstr(f->err, "--interval is about the lines of a .txt file"));
}

static void test_what_cannot_be_written(void **state)
{
	struct fixture *f = *state;

	set_outputs(f, "missing/a.pb.gz", NULL);
	expect(f, EXIT_STATUS_FAILURE, "'missing/a.pb.gz', its directory is missing");
	assert_int_equal(mkdir("d.pb.gz.d", 0700), 0);
	close(open("file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	set_outputs(f, "file/a.pb.gz", NULL);
	expect(f, EXIT_STATUS_FAILURE, "'file/a.pb.gz'");
	set_outputs(f, "file/", NULL);
	expect(f, EXIT_STATUS_FAILURE, "'file/cpu.pb.gz'");
	set_outputs(f, "\x1b[2J/a.pb.gz", NULL);
	expect(f, EXIT_STATUS_FAILURE, "'\\x1b[2J/a.pb.gz'");
	set_outputs(f, "/proc/a.pb.gz", NULL);
	expect(f, EXIT_STATUS_FAILURE, "'/proc/a.pb.gz'");
}

/* Plans '-o -' with standard output on a new terminal. */
static int make_on_terminal(struct fixture *f)
{
	int saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), main_fd, tty_fd, status;

	assert_int_equal(openpty(&main_fd, &tty_fd, NULL, NULL, NULL), 0);
	fflush(stdout);
	dup2(tty_fd, STDOUT_FILENO);
	status = make(f);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(main_fd);
	close(tty_fd);
	return status;
}

static void test_stdout(void **state)
{
	struct fixture *f = *state;
	struct capture c = capture__start(STDOUT_FILENO);
	int status;
	char *out;

	set_outputs(f, "-", "b.pb.gz");
	status = make(f);
	out = capture__finish(&c);
	assert_int_equal(status, EXIT_STATUS_OK);
	assert_string_equal(out, "");
	free(out);
	assert_true(f->plan.uses_stdout);
	assert_null(f->plan.outputs[0].path);
	assert_string_equal(f->plan.outputs[0].encoder->name, "pprof");
	assert_string_equal(output_plan__pprof_path(&f->plan, probes[0]), "b.pb.gz");
	set_outputs(f, "-", NULL);
	assert_int_equal(make_on_terminal(f), EXIT_STATUS_USAGE);
	assert_non_null(strstr(f->err, "binary pprof to a terminal"));
	f->opts.format = (char *)"folded";
	assert_int_equal(make_on_terminal(f), EXIT_STATUS_OK);
	assert_string_equal(f->plan.outputs[0].encoder->name, "folded");
	set_outputs(f, "-", "-");
	expect(f, EXIT_STATUS_USAGE, "two outputs for 'standard output'");
}

static struct profile *make_profile(void)
{
	struct profile *p = profile__new();

	assert_non_null(p);
	assert_int_equal(profile__add_sample_type(p, "samples", "count"), 0);
	return p;
}

static int write_all(struct fixture *f, struct profile *p)
{
	struct capture c = capture__start(STDERR_FILENO);
	int status = output_plan__write(&f->plan, probes[0], p);

	free(f->err);
	f->err = capture__finish(&c);
	return status;
}

static void test_write(void **state)
{
	struct fixture *f = *state;
	struct profile *p = make_profile();
	struct stat st;

	if (!geteuid()) {
		setenv("SUDO_UID", "12345", 1);
		setenv("SUDO_GID", "54321", 1);
	}
	assert_int_equal(chmod(".", 02700), 0); /* new directories inherit this bit */
	set_outputs(f, "new/", "b.json");
	expect(f, EXIT_STATUS_OK, "");
	assert_int_equal(write_all(f, p), EXIT_STATUS_OK);
	assert_int_equal(output_plan__write(&f->plan, &other_probe, p), EXIT_STATUS_OK);
	output_plan__done(&f->plan);
	assert_int_equal(stat("new/cpu.pb.gz", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	if (!geteuid()) {
		assert_int_equal(st.st_uid, 12345);
		assert_int_equal(st.st_gid, 54321);
		assert_int_equal(stat("new", &st), 0);
		assert_int_equal(st.st_uid, 12345);
	} else {
		print_message("owners not tested: not root\n");
	}
	assert_int_equal(stat("b.json", &st), 0);
	assert_true(st.st_size > 0);
	profile__free(p);
}

static void test_write_goes_on_after_a_failure(void **state)
{
	struct fixture *f = *state;
	struct profile *p = make_profile();
	struct stat st;

	assert_int_equal(mkdir("gone", 0700), 0);
	set_outputs(f, "gone/a.pb.gz", "b.json");
	expect(f, EXIT_STATUS_OK, "");
	assert_int_equal(rmdir("gone"), 0);
	assert_int_equal(write_all(f, p), EXIT_STATUS_FAILURE);
	assert_non_null(strstr(f->err, "cannot write 'gone/a.pb.gz': No such file"));
	assert_int_equal(stat("b.json", &st), 0);
	profile__free(p);
}

static void test_sudo_ids_are_parsed_strictly(void **state)
{
	static const char *const bad[] = { "", "-1", "4294967295", "12x", " 1", "0x10" };
	struct fixture *f = *state;
	struct profile *p;
	struct stat st;
	size_t i;

	if (geteuid()) {
		print_message("skipped: files get another owner only from root\n");
		return;
	}
	p = make_profile();
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		setenv("SUDO_UID", bad[i], 1);
		setenv("SUDO_GID", "1", 1);
		set_outputs(f, "a.json", NULL);
		expect(f, EXIT_STATUS_OK, "");
		assert_int_equal(write_all(f, p), EXIT_STATUS_OK);
		assert_non_null(strstr(f->err, "not ids, ignoring"));
		assert_int_equal(stat("a.json", &st), 0);
		assert_int_equal(st.st_uid, 0);
	}
	profile__free(p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_default_names),
		TEST(test_name_is_bounded),
		TEST(test_formats_by_suffix),
		TEST(test_several_of_one_run),
		TEST(test_directories),
		TEST(test_several_kinds),
		TEST(test_formats_of_kinds),
		TEST(test_intervals_without_a_trace),
		TEST(test_what_cannot_be_written),
		TEST(test_stdout),
		TEST(test_write),
		TEST(test_write_goes_on_after_a_failure),
		TEST(test_sudo_ids_are_parsed_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
