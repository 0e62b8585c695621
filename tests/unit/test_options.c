/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line: what is accepted, and the one line and status that bad input gets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "base/array.h"
#include "base/clock.h"
#include "capture.h"
#include "options.h"

#define ARGS_MAX 32

/* Parses "a b c", split at spaces ('_' stands for an empty word); returns the status. */
static int parse(struct options *opts, char *line, char **ret_err)
{
	static char program[] = "cprofd", empty[] = "";
	static char *argv[ARGS_MAX + 1]; /* options borrow COMMAND from it */
	char *rest = line, *word;
	struct capture c;
	int argc = 1, status;

	argv[0] = program;
	while ((word = strsep(&rest, " ")) && argc < ARGS_MAX)
		if (*word)
			argv[argc++] = strcmp(word, "_") ? word : empty;
	argv[argc] = NULL;
	c = capture__start(STDERR_FILENO);
	status = options__parse(opts, argc, argv);
	*ret_err = capture__finish(&c);
	return status;
}

static void expect_ok(struct options *opts, char *line)
{
	char *err;

	if (parse(opts, line, &err) != EXIT_STATUS_OK)
		fail_msg("refused: %s", err);
	assert_string_equal(err, "");
	free(err);
}

/* Exit status 2 and one line, in which 'text' occurs. */
static void expect_usage(const char *given, const char *text)
{
	struct options opts;
	char *line = strdup(given), *err;
	int status = parse(&opts, line, &err);

	if (status != EXIT_STATUS_USAGE || !strstr(err, text))
		fail_msg("'%s': status %d, says: %s", given, status, err);
	assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
	assert_int_equal(strncmp(err, "cprofd: error: ", 15), 0);
	options__done(&opts);
	free(err);
	free(line);
}

static void test_defaults(void **state)
{
	char line[] = "--cpu 30s";
	struct options opts;

	expect_ok(&opts, line);
	assert_int_equal(opts.mode, RUN_PROFILE);
	assert_int_equal(opts.target, TARGET_HOST);
	assert_int_equal(opts.kinds_cnt, 1);
	assert_string_equal(opts.kinds[0].probe->name, "cpu");
	assert_int_equal(opts.kinds[0].duration_ns, 30 * NSEC_PER_SEC);
	assert_int_equal(opts.freq_hz, 99);
	assert_int_equal(opts.labels, LABEL_PID | LABEL_COMM | LABEL_THREAD);
	assert_true(opts.strict_percent < 0);
	assert_false(opts.quiet || opts.verbose || opts.json);
	assert_int_equal(opts.outputs_cnt, 0);
	options__done(&opts);
}

static void test_everything_at_once(void **state)
{
	char line[] = "-qF 4999 --cpu=500ms -o=a.pb.gz -ob.folded --output - --format folded "
		      "--labels tid,cpu --tag a=b=c --strict 0.5%";
	struct options opts;

	expect_ok(&opts, line);
	assert_true(opts.quiet);
	assert_int_equal(opts.freq_hz, 4999);
	assert_int_equal(opts.kinds[0].duration_ns, 500000000);
	assert_int_equal(opts.outputs_cnt, 3);
	assert_string_equal(opts.outputs[0], "a.pb.gz");
	assert_string_equal(opts.outputs[1], "b.folded");
	assert_string_equal(opts.outputs[2], "-");
	assert_string_equal(opts.format, "folded");
	assert_int_equal(opts.labels, LABEL_TID | LABEL_CPU);
	assert_int_equal(opts.tags_cnt, 1);
	assert_string_equal(opts.tags[0].key, "a");
	assert_string_equal(opts.tags[0].value, "b=c");
	assert_true(opts.strict_percent > 0.499 && opts.strict_percent < 0.501);
	options__done(&opts);
}

static void test_pids(void **state)
{
	char line[] = "-p 1,22 --pid=333 -p22,4 -pid 2147483647 --cpu 0";
	static const pid_t want[] = { 1, 22, 333, 4, 2147483647 };
	struct options opts;
	size_t i;

	expect_ok(&opts, line);
	assert_int_equal(opts.target, TARGET_PIDS);
	assert_int_equal(opts.pids_cnt, ARRAY_SIZE(want));
	for (i = 0; i < ARRAY_SIZE(want); i++)
		assert_int_equal(opts.pids[i], want[i]);
	assert_int_equal(opts.kinds[0].duration_ns, 0);
	options__done(&opts);
}

static void test_bad_pids(void **state)
{
	expect_usage("--pid 0 --cpu 1s", "'0' is out of range");
	expect_usage("--pid -1 --cpu 1s", "'-1' is not a process id");
	expect_usage("--pid abc --cpu 1s", "'abc' is not a process id");
	expect_usage("--pid 1x --cpu 1s", "'1x' is not a process id");
	expect_usage("--pid 1,,2 --cpu 1s", "'' is not a process id");
	expect_usage("--pid 1, --cpu 1s", "'' is not a process id");
	expect_usage("--pid= --cpu 1s", "'' is not a process id");
	expect_usage("--pid 2147483648 --cpu 1s", "out of range");
	expect_usage("--pid 99999999999999999999999 --cpu 1s", "out of range");
	expect_usage("--pid --cpu 1s", "--pid needs a value");
	expect_usage("--cpu 1s -p", "--pid needs a value");
}

static void test_many_pids(void **state)
{
	char *line = malloc(8 * 5000 + 32);
	size_t len = 0;
	int i;

	for (i = 1; i <= 5000; i++)
		len += (size_t)sprintf(line + len, "%s%d", i == 1 ? "--cpu 1s -p " : ",", i);
	expect_usage(line, "at most 4096");
	free(line);
}

static void test_targets_exclude_one_another(void **state)
{
	expect_usage("-p 1 --comm nginx --cpu 1s", "'--pid' and '--comm' exclude");
	expect_usage("--comm nginx -p 1 --cpu 1s", "'--comm' and '--pid' exclude");
	expect_usage("--cgroup a -p 1 --cpu 1s", "'--cgroup' and '--pid' exclude");
	expect_usage("--cpu 1s --cgroup a -- true", "'--cgroup' and '-- COMMAND' exclude");
	expect_usage("--cpu 1s --comm a --comm b", "'--comm' given twice");
	expect_usage("--cpu 1s --cgroup a --cgroup b", "'--cgroup' given twice");
}

static void test_comm_and_cgroup(void **state)
{
	char comm[] = "--comm fifteen-bytes-x --cpu 1s", cgroup[] = "--cgroup=-x --cpu 1s";
	struct options opts;

	expect_ok(&opts, comm);
	assert_int_equal(opts.target, TARGET_COMM);
	assert_string_equal(opts.comm, "fifteen-bytes-x");
	options__done(&opts);
	expect_ok(&opts, cgroup);
	assert_int_equal(opts.target, TARGET_CGROUP);
	assert_string_equal(opts.cgroup, "-x");
	options__done(&opts);
	expect_usage("--comm sixteen-bytes-xx --cpu 1s", "use 'sixteen-bytes-x'");
	expect_usage("--comm _ --cpu 1s", "--comm ''");
	expect_usage("--cgroup _ --cpu 1s", "--cgroup ''");
}

static void test_command(void **state)
{
	char line[] = "--user nobody --cpu 0 -- ./server --port 80 -h -- x";
	struct options opts;

	expect_ok(&opts, line);
	assert_int_equal(opts.target, TARGET_COMMAND);
	assert_string_equal(opts.user, "nobody");
	assert_string_equal(opts.command[0], "./server");
	assert_string_equal(opts.command[3], "-h");
	assert_string_equal(opts.command[4], "--");
	assert_string_equal(opts.command[5], "x");
	assert_null(opts.command[6]);
	options__done(&opts);
	expect_usage("--cpu 1s --", "nothing follows '--'");
	expect_usage("--cpu 1s --user nobody", "'--user nobody' needs a command");
	expect_usage("--cpu 1s --user _ -- true", "--user ''");
	expect_usage("-- true", "nothing to profile");
}

static void test_kinds(void **state)
{
	expect_usage("", "nothing to profile: give a kind, such as --cpu 30s");
	expect_usage("--pid 1", "nothing to profile");
	expect_usage("--cpu", "--cpu needs a duration, such as --cpu 30s");
	expect_usage("--cpu --pid 1", "--cpu needs a duration");
	expect_usage("--cpu -- true", "--cpu needs a duration");
	expect_usage("--cpu 30x", "'30x' is not a duration");
	expect_usage("--cpu -1", "'-1' is not a duration");
	expect_usage("--cpu=", "'' is not a duration");
	expect_usage("--cpu 1s1s", "'1s1s' is not a duration");
	expect_usage("--cpu 99999999999999999999s", "too long");
	expect_usage("--cpu 366000h", "too long");
	expect_usage("--cpu 1s --cpu 2s", "'--cpu' given twice");
}

static void test_values(void **state)
{
	expect_usage("--cpu 1s -F 0", "'0' is not a rate in Hz from 1 to 4999");
	expect_usage("--cpu 1s -F 5000", "'5000' is not a rate");
	expect_usage("--cpu 1s -F -5", "'-5' is not a rate");
	expect_usage("--cpu 1s --freq=99Hz", "'99Hz' is not a rate");
	expect_usage("--cpu 1s --freq 99999999999999999999", "is not a rate");
	expect_usage("--cpu 1s -o", "--output needs a value");
	expect_usage("--cpu 1s -o _", "--output ''");
	expect_usage("--cpu 1s --labels pid,colour", "'colour' is not a label");
	expect_usage("--cpu 1s --labels pid,none", "'none' is not a label");
	expect_usage("--cpu 1s --labels _", "'' is not a label");
	expect_usage("--cpu 1s --tag novalue", "'novalue' is not KEY=VALUE");
	expect_usage("--cpu 1s --tag =v", "'=v' is not KEY=VALUE");
	expect_usage("--cpu 1s --tag 1a=v", "is not KEY=VALUE");
	expect_usage("--cpu 1s --tag a.b=v", "is not KEY=VALUE");
	expect_usage("--cpu 1s --tag a=1 --tag a=2", "'a' given twice");
	expect_usage("--cpu 1s --strict 101", "'101' is not a percentage");
	expect_usage("--cpu 1s --strict -1", "'-1' is not a percentage");
	expect_usage("--cpu 1s --strict x", "'x' is not a percentage");
	expect_usage("--cpu 1s -q -v", "exclude one another");
	expect_usage("--cpu 1s --json=yes", "--json takes no value, got 'yes'");
}

static void test_labels_none(void **state)
{
	char line[] = "--cpu 1s --labels none --tag k=";
	struct options opts;

	expect_ok(&opts, line);
	assert_int_equal(opts.labels, 0);
	assert_string_equal(opts.tags[0].value, "");
	options__done(&opts);
}

static void test_unknown_words(void **state)
{
	expect_usage("--pdi 1 --cpu 1s", "unknown option '--pdi'; did you mean '--pid'?");
	expect_usage("--cpuu 1s", "unknown option '--cpuu'; did you mean '--cpu'?");
	expect_usage("--out=x --cpu 1s", "unknown option '--out'; did you mean '--output'?");
	expect_usage("--no-colour --cpu 1s", "did you mean '--no-color'?");
	expect_usage("-pdi 1 --cpu 1s", "unknown option '-pdi'; did you mean '--pid'?");
	expect_usage("-verbos --cpu 1s", "unknown option '-verbos'; did you mean '--verbose'?");
	expect_usage("-x --cpu 1s", "unknown option '-x'; 'cprofd --help' lists all");
	expect_usage("--flamegraph x", "unknown option '--flamegraph'; 'cprofd --help'");
	expect_usage("--=x", "unknown option '--'");
	expect_usage("serv", "unknown command 'serv'; a command to run goes after '--'");
	expect_usage("serve", "unknown command 'serve'");
	expect_usage("--cpu 10s ./server", "'./server'; a command to run goes after '--'");
	expect_usage("docter", "unknown command 'docter'; did you mean 'doctor'?");
	expect_usage("1234 --cpu 1s", "did you mean '--pid 1234'?");
	expect_usage("--cpu 1s -", "unknown command '-'");
	expect_usage("_", "unknown command ''");
}

static void test_no_flag_of_kinds_not_built(void **state)
{
	static const char *const later[] = { "--heap 1s", "--offcpu 1s", "--lock 1s",
					     "--trace 1s" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(later); i++) {
		char name[16] = "";

		sscanf(later[i], "--%15[a-z]", name);
		if (!probe__find(name))
			expect_usage(later[i], "unknown option");
	}
}

static void test_sched_options(void **state)
{
	char plain[] = "--sched 10s", line[] =
					      "--sched 10s --by cgroup --worst 64 --interval 500ms "
					      "--sched-slo p99=5ms,p50=250us "
					      "--sched-slo=p99.9=1s";
	struct options opts;

	expect_ok(&opts, plain);
	assert_string_equal(opts.kinds[0].probe->name, "sched");
	assert_int_equal(opts.sched_by, SCHED_BY_NOTHING);
	assert_int_equal(opts.sched_worst, 10);
	assert_int_equal(opts.sched_interval_ns, 0);
	assert_int_equal(opts.sched_slos_cnt, 0);
	options__done(&opts);
	expect_ok(&opts, line);
	assert_int_equal(opts.sched_by, SCHED_BY_CGROUP);
	assert_int_equal(opts.sched_worst, 64);
	assert_int_equal(opts.sched_interval_ns, 500000000);
	assert_int_equal(opts.sched_slos_cnt, 3);
	assert_float_equal(opts.sched_slos[0].percent, 99, 0);
	assert_int_equal(opts.sched_slos[0].limit_ns, 5000000);
	assert_float_equal(opts.sched_slos[1].percent, 50, 0);
	assert_int_equal(opts.sched_slos[1].limit_ns, 250000);
	assert_float_equal(opts.sched_slos[2].percent, 99.9, 1e-9);
	assert_int_equal(opts.sched_slos[2].limit_ns, NSEC_PER_SEC);
	options__done(&opts);
}

static void test_groupings(void **state)
{
	static const struct {
		const char *name;
		enum sched_by by;
	} groupings[] = {
		{ "comm", SCHED_BY_COMM },
		{ "pid", SCHED_BY_PID },
		{ "cpu", SCHED_BY_CPU },
	};
	struct options opts;
	char line[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(groupings); i++) {
		snprintf(line, sizeof(line), "--by %s --sched 1s", groupings[i].name);
		expect_ok(&opts, line);
		assert_int_equal(opts.sched_by, groupings[i].by);
		options__done(&opts);
	}
}

static void test_bad_sched_options(void **state)
{
	static const char *const bad_slos[] = {
		"_",
		"p99",
		"99=5ms",
		"p=5ms",
		"p0=5ms",
		"p100=5ms",
		"p99=",
		"p99=5x",
		"p-1=5ms",
		"p99.9.9=5ms",
		"p99%=5ms",
		"p99=0",
		"P99=5ms",
		"p99=-5ms",
		"p9e1=5ms",
		"p99=5ms,",
		"pnan=5ms",
		"p101=1s",
		"p99=999999999999999999s",
	};
	char line[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad_slos); i++) {
		snprintf(line, sizeof(line), "--sched 1s --sched-slo %s", bad_slos[i]);
		expect_usage(line, "is not a quantile between p0 and p100 and its limit");
	}
	expect_usage("--sched 1s --sched-slo p99=1s,p99.0=2s", "'p99.0' given twice");
	expect_usage("--sched 1s --sched-slo p1=1s,p2=1s,p3=1s,p4=1s,p5=1s,p6=1s,p7=1s,p8=1s,"
		     "p9=1s,p10=1s,p11=1s,p12=1s,p13=1s,p14=1s,p15=1s,p16=1s,p17=1s",
		     "more than 16 limits");
	expect_usage("--sched 1s --by process",
		     "'process' is nothing to group by; there are cgroup");
	expect_usage("--sched 1s --by _", "'' is nothing to group by");
	expect_usage("--sched 1s --by", "--by needs a value");
	expect_usage("--sched 1s --worst 65", "'65' is not a number from 0 to 64");
	expect_usage("--sched 1s --worst -1", "'-1' is not a number");
	expect_usage("--sched 1s --interval 0", "'0' is shorter than 10ms");
	expect_usage("--sched 1s --interval 9ms", "'9ms' is shorter than 10ms");
	expect_usage("--sched 1s --interval soon", "'soon' is not a duration");
	expect_usage("--sched 1s --interval 366000h", "too long");
	expect_usage("--sched-sol p99=5ms --sched 1s", "did you mean '--sched-slo'?");
}

static void test_options_of_another_kind(void **state)
{
	expect_usage("--cpu 1s --by comm", "'--by' is about --sched only: add --sched DURATION");
	expect_usage("--worst 3 --cpu 1s", "'--worst' is about --sched only");
	expect_usage("--cpu 1s --interval 1s", "'--interval' is about --sched only");
	expect_usage("--cpu 1s --sched-slo p99=5ms", "'--sched-slo' is about --sched only");
	expect_usage("--cpu 1s --heap-budget 1", "'--heap-budget' is about --heap only");
	expect_usage("--cpu 1s --heap-host-wide", "'--heap-host-wide' is about --heap only");
}

static void test_heap_options(void **state)
{
	char plain[] = "--heap 10s -p 1",
	     all[] = "--heap 0 --heap-interval 1 --heap-mode alloc "
		     "--heap-source preload --heap-budget 2.5% -- x",
	     host[] = "--heap 1s --heap-host-wide --heap-source uprobe --heap-interval=64K "
		      "--heap-mode live";
	struct options opts;

	expect_ok(&opts, plain);
	assert_int_equal(opts.heap_interval_bytes, 512 << 10);
	assert_true(opts.heap_is_live);
	assert_int_equal(opts.heap_source, HEAP_CHOICE_AUTO);
	assert_true(opts.heap_budget_percent < 0);
	assert_false(opts.heap_host_wide);
	options__done(&opts);
	expect_ok(&opts, all);
	assert_int_equal(opts.heap_interval_bytes, 1);
	assert_false(opts.heap_is_live);
	assert_int_equal(opts.heap_source, HEAP_CHOICE_PRELOAD);
	assert_true(opts.heap_budget_percent > 2.49 && opts.heap_budget_percent < 2.51);
	options__done(&opts);
	expect_ok(&opts, host);
	assert_int_equal(opts.target, TARGET_HOST);
	assert_true(opts.heap_host_wide);
	assert_true(opts.heap_is_live);
	assert_int_equal(opts.heap_source, HEAP_CHOICE_UPROBE);
	assert_int_equal(opts.heap_interval_bytes, 65536);
	options__done(&opts);
}

static void test_bad_heap_options(void **state)
{
	expect_usage("--heap 1s -p 1 --heap-interval 0", "'0' is not between 1 and 1G");
	expect_usage("--heap 1s -p 1 --heap-interval 1025M", "is not between 1 and 1G");
	expect_usage("--heap 1s -p 1 --heap-interval 99999999999999999999", "is not between");
	expect_usage("--heap 1s -p 1 --heap-interval often", "'often' is not a size");
	expect_usage("--heap 1s -p 1 --heap-interval -1", "'-1' is not a size");
	expect_usage("--heap 1s -p 1 --heap-interval _", "'' is not a size");
	expect_usage("--heap 1s -p 1 --heap-mode both", "'both' is not a mode; there are live");
	expect_usage("--heap 1s -p 1 --heap-mode _", "'' is not a mode");
	expect_usage("--heap 1s -p 1 --heap-source ptrace", "'ptrace' is not a source");
	expect_usage("--heap 1s -p 1 --heap-budget 0", "'0' is not a percentage above 0");
	expect_usage("--heap 1s -p 1 --heap-budget 101", "'101' is not a percentage");
	expect_usage("--heap 1s -p 1 --heap-budget lots", "'lots' is not a percentage");
	expect_usage("--heap 1s -p 1 --heap-mod live", "did you mean '--heap-mode'?");
}

static void test_heap_wants_a_target(void **state)
{
	expect_usage("--heap 1s", "--heap needs a TARGET, such as --pid PID");
	expect_usage("--heap 1s", "--heap-host-wide");
	expect_usage("--heap 1s --heap-host-wide -p 1", "'--heap-host-wide' and '--pid' exclude");
	expect_usage("--heap 1s --heap-host-wide -- x",
		     "'--heap-host-wide' and '-- COMMAND' exclude");
}

static void test_several_kinds(void **state)
{
	char line[] = "--cpu 10s --sched 5s --by cpu";
	struct options opts;

	expect_ok(&opts, line);
	assert_int_equal(opts.kinds_cnt, 2);
	assert_string_equal(opts.kinds[0].probe->name, "cpu");
	assert_string_equal(opts.kinds[1].probe->name, "sched");
	assert_int_equal(opts.kinds[1].duration_ns, 5 * NSEC_PER_SEC);
	options__done(&opts);
}

static void test_hostile_bytes_are_escaped(void **state)
{
	expect_usage("--pid \x1b[31m\n --cpu 1s", "'\\x1b[31m\\x0a'");
	expect_usage("--\x1b]0;x\a", "'--\\x1b]0;x\\x07'");
	expect_usage("\xff\xfe", "'\\xff\\xfe'");
}

static void test_doctor(void **state)
{
	char line[] = "doctor";
	struct options opts;

	expect_ok(&opts, line);
	assert_int_equal(opts.mode, RUN_DOCTOR);
	options__done(&opts);
	expect_usage("doctor --cpu 1s", "'doctor' takes no options, got '--cpu'");
	expect_usage("--cpu 1s doctor", "'doctor' takes no options, got '--cpu'");
	expect_usage("doctor who", "got 'who'");
	expect_usage("doctor doctor", "got 'doctor'");
}

static void test_help_and_version(void **state)
{
	static const char *const helps[] = { "--help", "-h",        "-help",
					     "-qh",    "doctor -h", "--cpu 3s --help --nonsense" };
	struct options opts;
	struct capture c;
	char *out, *err, *line;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(helps); i++) {
		line = strdup(helps[i]);
		c = capture__start(STDOUT_FILENO);
		assert_int_equal(parse(&opts, line, &err), EXIT_STATUS_OK);
		out = capture__finish(&c);
		assert_int_equal(opts.mode, RUN_HELP);
		assert_string_equal(err, "");
		assert_non_null(strstr(out, "\nTARGET"));
		assert_non_null(strstr(out, "-p, --pid PID"));
		assert_non_null(strstr(out, "\nKIND"));
		assert_non_null(strstr(out, "--cpu DURATION"));
		assert_non_null(strstr(out, "--sched DURATION"));
		assert_non_null(strstr(out, "\nOPTIONS OF --sched\n"));
		assert_non_null(strstr(out, "--sched-slo pQQ=LIMIT"));
		assert_non_null(strstr(out, "\nOPTIONS"));
		assert_non_null(strstr(out, "\nEXAMPLES"));
		assert_null(strstr(out, "cprofd serve"));
		options__done(&opts);
		free(out);
		free(err);
		free(line);
	}
	line = strdup("--version");
	c = capture__start(STDOUT_FILENO);
	assert_int_equal(parse(&opts, line, &err), EXIT_STATUS_OK);
	out = capture__finish(&c);
	assert_string_equal(out, "cprofd " CPROF_VERSION "\n");
	assert_int_equal(opts.mode, RUN_VERSION);
	options__done(&opts);
	free(out);
	free(err);
	free(line);
}

static void test_help_fits_a_terminal(void **state)
{
	char line[] = "--help", *out, *err, *rest, *row;
	struct capture c = capture__start(STDOUT_FILENO);
	struct options opts;

	parse(&opts, line, &err);
	out = rest = capture__finish(&c);
	while ((row = strsep(&rest, "\n")))
		if (strlen(row) > 80)
			fail_msg("wider than 80: %s", row);
	options__done(&opts);
	free(out);
	free(err);
}

static void test_no_color_environment(void **state)
{
	char line[] = "--cpu 1s", again[] = "--cpu 1s", flag[] = "--no-color --cpu 1s";
	struct options opts;

	setenv("NO_COLOR", "", 1);
	expect_ok(&opts, line);
	assert_false(opts.no_color);
	options__done(&opts);
	setenv("NO_COLOR", "1", 1);
	expect_ok(&opts, again);
	assert_true(opts.no_color);
	options__done(&opts);
	unsetenv("NO_COLOR");
	expect_ok(&opts, flag);
	assert_true(opts.no_color);
	options__done(&opts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_everything_at_once),
		cmocka_unit_test(test_pids),
		cmocka_unit_test(test_bad_pids),
		cmocka_unit_test(test_many_pids),
		cmocka_unit_test(test_targets_exclude_one_another),
		cmocka_unit_test(test_comm_and_cgroup),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_labels_none),
		cmocka_unit_test(test_unknown_words),
		cmocka_unit_test(test_no_flag_of_kinds_not_built),
		cmocka_unit_test(test_sched_options),
		cmocka_unit_test(test_groupings),
		cmocka_unit_test(test_bad_sched_options),
		cmocka_unit_test(test_options_of_another_kind),
		cmocka_unit_test(test_heap_options),
		cmocka_unit_test(test_bad_heap_options),
		cmocka_unit_test(test_heap_wants_a_target),
		cmocka_unit_test(test_several_kinds),
		cmocka_unit_test(test_hostile_bytes_are_escaped),
		cmocka_unit_test(test_doctor),
		cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_help_fits_a_terminal),
		cmocka_unit_test(test_no_color_environment),
	};

	unsetenv("NO_COLOR");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
