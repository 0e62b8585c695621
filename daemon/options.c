/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See options.h. The flags of a kind come from the probes[] table, all others from option_specs[]
 * at the end of this file; parsing, --help and suggestions walk both. getopt_long() is not used: it
 * accepts abbreviations, which a later flag would turn into errors, and does not tell words before
 * `--` from those behind it.
 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "base/suggest.h"
#include "option_values.h"

#define HELP_COLUMN 26
#define HELP_WIDTH  80

/* Those of a group named after a kind mean something only with that kind. */
enum option_group { GROUP_TARGET, GROUP_OPTION, GROUP_SCHED, GROUP_HEAP, GROUPS };

static const char *const group_kinds[] = {
	[GROUP_TARGET] = NULL,
	[GROUP_OPTION] = NULL,
	[GROUP_SCHED] = "sched",
	[GROUP_HEAP] = "heap",
};

struct option_spec {
	const char *name;
	char letter;       /* 0: none */
	const char *value; /* placeholder in --help; NULL: the flag takes none */
	bool is_number;    /* -p1 is a value, -pid1 a mistyped word */
	enum option_group group;
	const char *help;
	int (*apply)(struct parser *p, const char *value); /* returns an exit status */
};

static const struct option_spec option_specs[];
static const size_t option_specs_cnt;

/* Every long name there is: the table's, then the kinds'. NULL after the last. */
static const char *long_name(size_t i)
{
	if (i < option_specs_cnt)
		return option_specs[i].name;
	i -= option_specs_cnt;
	return i < probes_cnt ? probes[i]->name : NULL;
}

static int unknown_option(const char *arg)
{
	const char *word = arg + strspn(arg, "-");
	size_t len = strcspn(word, "=");
	const char *near = suggest__nearest(word, len, long_name);
	int shown = (int)(word - arg + (ptrdiff_t)len);

	if (near)
		return usage_error("unknown option '%.*s'; did you mean '--%s'?", shown, arg, near);
	return usage_error("unknown option '%.*s'; 'cprofd --help' lists all", shown, arg);
}

/* Words from HELP_COLUMN on, in as many lines as they need. */
static void print_help_text(const char *text)
{
	int column = HELP_COLUMN;

	while (*text) {
		int len = (int)strcspn(text, " ");

		if (column > HELP_COLUMN && column + 1 + len > HELP_WIDTH) {
			printf("\n%*s", HELP_COLUMN, "");
			column = HELP_COLUMN;
		}
		column += printf("%s%.*s", column > HELP_COLUMN ? " " : "", len, text);
		text += len + (text[len] == ' ');
	}
	printf("\n");
}

static void print_flag(char letter, const char *name, const char *value, const char *help)
{
	char shown_letter[] = { '-', letter, ',', '\0' };
	int len = printf("  %-3s --%s%s%s", letter ? shown_letter : "", name, value ? " " : "",
			 value ? value : "");

	if (len >= HELP_COLUMN - 1)
		len = printf("\n") - 1;
	printf("%*s", HELP_COLUMN - len, "");
	print_help_text(help);
}

static void print_group(enum option_group group)
{
	size_t i;

	for (i = 0; i < option_specs_cnt; i++) {
		const struct option_spec *s = &option_specs[i];

		if (s->group == group)
			print_flag(s->letter, s->name, s->value, s->help);
	}
}

static int finish_stdout(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return EXIT_STATUS_OK;
	log_errno(-errno, "write to standard output");
	return EXIT_STATUS_FAILURE;
}

static int apply_help(struct parser *p, const char *value)
{
	size_t i;

	p->opts->mode = RUN_HELP;
	printf("Usage: cprofd [TARGET] KIND... [OPTIONS] [-- COMMAND ARGS]\n"
	       "       cprofd doctor        what this host has and lacks for profiling\n"
	       "\nTARGET (none: the whole host)\n");
	print_group(GROUP_TARGET);
	printf("  -- COMMAND ARGS         run it, follow its children, until it ends\n"
	       "\nKIND (one or more; DURATION is 30s, 500ms, 2m or bare seconds,\n"
	       "      0 is until ^C or the target ends)\n");
	for (i = 0; i < probes_cnt; i++)
		print_flag(0, probes[i]->name, "DURATION", probes[i]->help);
	printf("\nOPTIONS\n");
	print_group(GROUP_OPTION);
	for (i = 0; i < GROUPS; i++) {
		if (!group_kinds[i] || !probe__find(group_kinds[i]))
			continue;
		printf("\nOPTIONS OF --%s\n", group_kinds[i]);
		print_group(i);
	}
	printf("\nEXAMPLES\n"
	       "  cprofd --pid 1234 --cpu 30s             one process, 30 seconds\n"
	       "  cprofd --cpu 10s -o cpu.pb.gz           the whole host, to this file\n"
	       "  cprofd --comm nginx --cpu 10s -o - --format folded\n"
	       "  cprofd --cpu 0 -- ./server --port 80    a command, until it ends\n"
	       "  cprofd --sched 10s --sched-slo p99=5ms  who was kept off the CPU, by whom\n"
	       "\nExit status: 0 ok, 1 failure, 2 usage, 3 target not found, 4 permission,\n"
	       "5 kernel lacks a feature, 6 partial beyond --strict, 7 over --sched-slo; else\n"
	       "that of COMMAND.\n");
	return finish_stdout();
}

static int apply_version(struct parser *p, const char *value)
{
	p->opts->mode = RUN_VERSION;
	printf("cprofd %s\n", CPROF_VERSION);
	return finish_stdout();
}

/* The next argument if it can be a value: "-" and "-1" can (the latter to be refused by name). */
static const char *take_value(struct parser *p)
{
	const char *next = p->idx < p->argc ? p->argv[p->idx] : NULL;

	if (!next || (next[0] == '-' && next[1] && !isdigit((unsigned char)next[1])))
		return NULL;
	p->idx++;
	return next;
}

/* 'attached' is what came with the flag (--name=VALUE, -pVALUE) or NULL. */
static int apply_spec(struct parser *p, const struct option_spec *spec, const char *attached)
{
	const char *value = attached;

	if (!spec->value && attached)
		return usage_error("--%s takes no value, got '%s'", spec->name, attached);
	if (spec->value && !value)
		value = take_value(p);
	if (spec->value && !value)
		return usage_error("--%s needs a value: --%s %s", spec->name, spec->name,
				   spec->value);
	p->given |= 1ULL << (spec - option_specs);
	return spec->apply(p, value);
}

static const struct option_spec *find_spec(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < option_specs_cnt; i++) {
		if (strlen(option_specs[i].name) == len &&
		    !strncmp(option_specs[i].name, name, len))
			return &option_specs[i];
	}
	return NULL;
}

static const struct probe *find_kind(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < probes_cnt; i++) {
		if (strlen(probes[i]->name) == len && !strncmp(probes[i]->name, name, len))
			return probes[i];
	}
	return NULL;
}

/* --name, --name=value, and as Go's programs take them -name, -name=value. False: no such name. */
static bool parse_long(struct parser *p, const char *word, int *ret_status)
{
	size_t len = strcspn(word, "=");
	const char *attached = word[len] ? word + len + 1 : NULL;
	const struct option_spec *spec = find_spec(word, len);
	const struct probe *kind = find_kind(word, len);

	if (spec) {
		*ret_status = apply_spec(p, spec, attached);
		return true;
	}
	if (!kind)
		return false;
	if (!attached)
		attached = take_value(p);
	*ret_status = attached ? option_value__kind(p, kind, attached)
			       : usage_error("--%s needs a duration, such as --%s 30s", kind->name,
					     kind->name);
	return true;
}

/* -q, -qv, -p 1, -p1. */
static int parse_letters(struct parser *p, const char *arg)
{
	const char *c;

	for (c = arg + 1; *c; c++) {
		const struct option_spec *spec = NULL;
		size_t i;
		int status;

		for (i = 0; i < option_specs_cnt && !spec; i++) {
			if (option_specs[i].letter == *c)
				spec = &option_specs[i];
		}
		if (!spec || (spec->is_number && isalpha((unsigned char)c[1])))
			return unknown_option(arg);
		/* -o=FILE: what Go's flags would make of it, not a file named "=FILE". */
		if (spec->value)
			return apply_spec(p, spec, c[1] ? c + 1 + (c[1] == '=') : NULL);
		status = apply_spec(p, spec, NULL);
		if (status || p->opts->mode == RUN_HELP || p->opts->mode == RUN_VERSION)
			return status;
	}
	return EXIT_STATUS_OK;
}

static int parse_word(struct parser *p, const char *arg)
{
	if (!strcmp(arg, "doctor") && p->opts->mode != RUN_DOCTOR) {
		p->opts->mode = RUN_DOCTOR;
		return EXIT_STATUS_OK;
	}
	if (p->opts->mode == RUN_DOCTOR)
		return usage_error("'doctor' takes no arguments, got '%s'", arg);
	if (*arg && arg[strspn(arg, "0123456789,")] == '\0')
		return usage_error("unexpected argument '%s'; did you mean '--pid %s'?", arg, arg);
	if (suggest__mismatch(arg, strlen(arg), "doctor") != SIZE_MAX)
		return usage_error("unknown command '%s'; did you mean 'doctor'?", arg);
	return usage_error("unknown command '%s'; a command to run goes after '--'", arg);
}

static int parse_argument(struct parser *p)
{
	const char *arg = p->argv[p->idx++];
	int status;

	if (!strcmp(arg, "--")) {
		status = option_value__set_target(p, TARGET_COMMAND);
		if (status)
			return status;
		if (p->idx == p->argc)
			return usage_error("nothing follows '--'; put the command to run there");
		p->opts->command = p->argv + p->idx;
		p->idx = p->argc;
		p->first_option = p->first_option ?: arg;
		return EXIT_STATUS_OK;
	}
	if (arg[0] != '-' || !arg[1])
		return parse_word(p, arg);
	p->first_option = p->first_option ?: arg;
	if (parse_long(p, arg + (arg[1] == '-' ? 2 : 1), &status))
		return status;
	return arg[1] == '-' ? unknown_option(arg) : parse_letters(p, arg);
}

static bool is_asked_for(const struct options *opts, const char *kind)
{
	size_t i;

	for (i = 0; i < opts->kinds_cnt; i++) {
		if (!strcmp(opts->kinds[i].probe->name, kind))
			return true;
	}
	return false;
}

static int check_kinds_of_options(const struct parser *p)
{
	size_t i;

	for (i = 0; i < option_specs_cnt; i++) {
		const char *kind = group_kinds[option_specs[i].group];

		if (kind && p->given >> i & 1 && !is_asked_for(p->opts, kind))
			return usage_error("'--%s' is about --%s only: add --%s DURATION, such as "
					   "--%s 10s",
					   option_specs[i].name, kind, kind, kind);
	}
	return EXIT_STATUS_OK;
}

/* Probes in an allocator are felt by everybody who uses it: nobody gets them unasked. */
static int check_heap_target(const struct options *opts)
{
	if (!is_asked_for(opts, group_kinds[GROUP_HEAP]))
		return EXIT_STATUS_OK;
	if (opts->target == TARGET_HOST && !opts->heap_host_wide)
		return usage_error("--heap needs a TARGET, such as --pid PID or -- COMMAND; the "
				   "allocations of all processes are probed with --heap-host-wide");
	if (opts->target != TARGET_HOST && opts->heap_host_wide)
		return usage_error("'--heap-host-wide' and '%s' exclude one another; a run has one "
				   "TARGET",
				   option_value__target_name(opts->target));
	return EXIT_STATUS_OK;
}

/* What only the whole command line can tell. */
static int check_combination(const struct parser *p)
{
	const struct options *opts = p->opts;

	if (opts->mode == RUN_DOCTOR)
		return !p->first_option ? EXIT_STATUS_OK
					: usage_error("'doctor' takes no options, got '%s'",
						      p->first_option);
	if (!opts->kinds_cnt)
		return usage_error("nothing to profile: give a kind, such as --%s 30s",
				   probes[0]->name);
	if (opts->quiet && opts->verbose)
		return usage_error("'--quiet' and '--verbose' exclude one another");
	if (opts->user && opts->target != TARGET_COMMAND)
		return usage_error("'--user %s' needs a command to run as that user: -- COMMAND",
				   opts->user);
	return check_kinds_of_options(p) ?: check_heap_target(opts);
}

/* Defaults that depend on the rest of the command line. */
static void set_defaults(struct options *opts)
{
	if (!opts->unwind_memory_bytes)
		opts->unwind_memory_bytes = opts->target == TARGET_HOST
						    ? OPTIONS_UNWIND_MEMORY_HOST
						    : OPTIONS_UNWIND_MEMORY_TARGET;
}

int options__parse(struct options *opts, int argc, char **argv)
{
	const char *no_color = getenv("NO_COLOR");
	struct parser p = { .opts = opts, .argv = argv, .argc = argc, .idx = 1 };

	*opts = (struct options){
		.freq_hz = OPTIONS_FREQ_DEFAULT_HZ,
		.labels = LABELS_DEFAULT,
		.strict_percent = -1,
		.sched_worst = OPTIONS_WORST_DEFAULT,
		.heap_interval_bytes = HEAP_INTERVAL_DEFAULT,
		.heap_is_live = true,
		.heap_budget_percent = -1,
		.no_color = no_color && *no_color,
	};
	while (p.idx < argc) {
		int status = parse_argument(&p);

		if (status || opts->mode == RUN_HELP || opts->mode == RUN_VERSION)
			return status;
	}
	set_defaults(opts);
	return check_combination(&p);
}

void options__done(struct options *opts)
{
	size_t i;

	for (i = 0; i < opts->outputs_cnt; i++)
		free(opts->outputs[i]);
	for (i = 0; i < opts->tags_cnt; i++) {
		free(opts->tags[i].key);
		free(opts->tags[i].value);
	}
	free(opts->outputs);
	free(opts->tags);
	free(opts->pids);
	free(opts->comm);
	free(opts->cgroup);
	free(opts->user);
	free(opts->format);
	*opts = (struct options){ 0 };
}

static const struct option_spec option_specs[] = {
	{ "pid", 'p', "PID,...", true, GROUP_TARGET, "these processes, their children not",
	  option_value__pid },
	{ "comm", 0, "NAME", false, GROUP_TARGET, "processes of this name, later ones too",
	  option_value__comm },
	{ "cgroup", 0, "PATH", false, GROUP_TARGET, "a v2 cgroup and all below it",
	  option_value__cgroup },
	{ "freq", 'F', "HZ", true, GROUP_OPTION, "CPU sampling rate, 1 to 4999 (99)",
	  option_value__freq },
	{ "output", 'o', "PATH", false, GROUP_OPTION,
	  "file, directory or - (stdout); repeatable; format by suffix: .pb.gz .folded .txt "
	  ".json, with --sched .prom",
	  option_value__output },
	{ "format", 0, "NAME", false, GROUP_OPTION,
	  "pprof, folded, txt, json or prom: for stdout and directories", option_value__format },
	{ "labels", 0, "LIST", false, GROUP_OPTION,
	  "of pid,comm,thread,tid,cpu, or none (pid,comm,thread)", option_value__labels },
	{ "tag", 0, "KEY=VALUE", false, GROUP_OPTION, "kept in the profile; repeatable",
	  option_value__tag },
	{ "user", 0, "NAME", false, GROUP_OPTION, "run COMMAND as this user", option_value__user },
	{ "unwind-memory", 0, "SIZE", false, GROUP_OPTION,
	  "most memory for unwind tables (32M; 8M with a TARGET)", option_value__unwind_memory },
	{ "strict", 0, "PERCENT", false, GROUP_OPTION,
	  "exit 6 when more of the samples than this was lost", option_value__strict },
	{ "json", 0, NULL, false, GROUP_OPTION, "print the table as JSON", option_value__json },
	{ "no-color", 0, NULL, false, GROUP_OPTION, "no colours (as with NO_COLOR set)",
	  option_value__no_color },
	{ "quiet", 'q', NULL, false, GROUP_OPTION, "errors only", option_value__quiet },
	{ "verbose", 'v', NULL, false, GROUP_OPTION, "say more, show the accounting in full",
	  option_value__verbose },
	{ "help", 'h', NULL, false, GROUP_OPTION, "print this", apply_help },
	{ "version", 0, NULL, false, GROUP_OPTION, "print the version", apply_version },
	{ "by", 0, "WHAT", false, GROUP_SCHED,
	  "histograms for each cgroup, comm, pid or cpu; cgroup: culprits by cgroup, too",
	  option_value__by },
	{ "worst", 0, "N", true, GROUP_SCHED, "how many of the longest waits are shown (10)",
	  option_value__worst },
	{ "interval", 0, "DURATION", false, GROUP_SCHED,
	  ".txt has a line for each thread and interval (the whole window)",
	  option_value__interval },
	{ "sched-slo", 0, "pQQ=LIMIT", false, GROUP_SCHED,
	  "exit 7 when this quantile of the latency is over the limit; repeatable",
	  option_value__sched_slo },
	{ "heap-interval", 0, "SIZE", false, GROUP_HEAP,
	  "bytes allocated from one sample to the next on average; 1: every allocation (512K)",
	  option_value__heap_interval },
	{ "heap-mode", 0, "MODE", false, GROUP_HEAP,
	  "live: what is still in use, too; alloc: at half the cost, only what is allocated (live)",
	  option_value__heap_mode },
	{ "heap-source", 0, "SOURCE", false, GROUP_HEAP,
	  "uprobe, or preload: libcprof-heap.so (where COMMAND or the process can have it)",
	  option_value__heap_source },
	{ "heap-budget", 0, "PERCENT", false, GROUP_HEAP,
	  "most of the target's CPU time the probes may take (no limit)",
	  option_value__heap_budget },
	{ "heap-host-wide", 0, NULL, false, GROUP_HEAP,
	  "without a TARGET: probe the allocations of all processes",
	  option_value__heap_host_wide },
};

static const size_t option_specs_cnt = ARRAY_SIZE(option_specs);

_Static_assert(ARRAY_SIZE(option_specs) <= 64, "a bit of parser.given for each");
