/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See option_values.h.
 */
#include "option_values.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "base/units.h"

#define PIDS_MAX       4096
#define COMM_MAX_BYTES 15 /* TASK_COMM_LEN without its NUL */
#define TAG_MAX_BYTES  1024

static int out_of_memory(void)
{
	log_errno(-ENOMEM, "read the command line");
	return EXIT_STATUS_FAILURE;
}

const char *option_value__target_name(enum target_kind target)
{
	static const char *const names[] = {
		[TARGET_HOST] = "the whole host", [TARGET_PIDS] = "--pid",
		[TARGET_COMM] = "--comm",         [TARGET_CGROUP] = "--cgroup",
		[TARGET_COMMAND] = "-- COMMAND",
	};

	return names[target];
}

int option_value__set_target(struct parser *p, enum target_kind target)
{
	enum target_kind old = p->opts->target;

	if (old == target && target != TARGET_PIDS)
		return usage_error("'%s' given twice; a run has one TARGET",
				   option_value__target_name(target));
	if (old != TARGET_HOST && old != target)
		return usage_error("'%s' and '%s' exclude one another; a run has one TARGET",
				   option_value__target_name(old),
				   option_value__target_name(target));
	p->opts->target = target;
	return EXIT_STATUS_OK;
}

static int set_string(char **ret, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return out_of_memory();
	free(*ret);
	*ret = copy;
	return EXIT_STATUS_OK;
}

static int add_pid(struct parser *p, const char *item)
{
	struct options *opts = p->opts;
	uint64_t value;
	size_t i;
	int err = units__parse_u64(item, 1, INT_MAX, &value);

	if (err == -ERANGE)
		return usage_error("--pid '%s' is out of range (1 to %d)", item, INT_MAX);
	if (err)
		return usage_error("--pid '%s' is not a process id; give numbers, such as "
				   "--pid 1234,5678",
				   item);
	for (i = 0; i < opts->pids_cnt; i++) {
		if ((uint64_t)opts->pids[i] == value)
			return EXIT_STATUS_OK;
	}
	if (opts->pids_cnt == PIDS_MAX)
		return usage_error("--pid takes at most %d processes; use --comm or --cgroup",
				   PIDS_MAX);
	if (array__reserve(opts->pids, p->pids_cap, opts->pids_cnt + 1))
		return out_of_memory();
	opts->pids[opts->pids_cnt++] = (pid_t)value;
	return EXIT_STATUS_OK;
}

int option_value__pid(struct parser *p, const char *value)
{
	_cleanup_free_ char *list = strdup(value);
	char *rest = list, *item;
	int status = option_value__set_target(p, TARGET_PIDS);

	if (!list)
		return out_of_memory();
	while (!status && (item = strsep(&rest, ",")))
		status = add_pid(p, item);
	return status;
}

int option_value__comm(struct parser *p, const char *value)
{
	int status = option_value__set_target(p, TARGET_COMM);

	if (status)
		return status;
	if (!*value)
		return usage_error("--comm '' names no process");
	if (strlen(value) > COMM_MAX_BYTES)
		return usage_error("--comm '%s' is longer than the kernel keeps; use '%.*s'", value,
				   COMM_MAX_BYTES, value);
	return set_string(&p->opts->comm, value);
}

int option_value__cgroup(struct parser *p, const char *value)
{
	int status = option_value__set_target(p, TARGET_CGROUP);

	if (status)
		return status;
	if (!*value)
		return usage_error("--cgroup '' names no cgroup; give its path below the cgroup v2 "
				   "mount");
	return set_string(&p->opts->cgroup, value);
}

int option_value__freq(struct parser *p, const char *value)
{
	uint64_t freq;

	if (units__parse_u64(value, 1, OPTIONS_FREQ_MAX_HZ, &freq))
		return usage_error("--freq '%s' is not a rate in Hz from 1 to %d", value,
				   OPTIONS_FREQ_MAX_HZ);
	p->opts->freq_hz = (unsigned int)freq;
	return EXIT_STATUS_OK;
}

int option_value__output(struct parser *p, const char *value)
{
	struct options *opts = p->opts;
	char *copy;

	if (!*value)
		return usage_error("--output '' is not a file name");
	if (array__reserve(opts->outputs, p->outputs_cap, opts->outputs_cnt + 1))
		return out_of_memory();
	copy = strdup(value);
	if (!copy)
		return out_of_memory();
	opts->outputs[opts->outputs_cnt++] = copy;
	return EXIT_STATUS_OK;
}

int option_value__format(struct parser *p, const char *value)
{
	return set_string(&p->opts->format, value);
}

static const struct {
	const char *name;
	enum sample_label label;
} label_names[] = {
	{ "pid", LABEL_PID }, { "comm", LABEL_COMM }, { "thread", LABEL_THREAD },
	{ "tid", LABEL_TID }, { "cpu", LABEL_CPU },
};

int option_value__labels(struct parser *p, const char *value)
{
	_cleanup_free_ char *list = strdup(value);
	char *rest = list, *item;
	unsigned int labels = 0;

	if (!list)
		return out_of_memory();
	while (strcmp(value, "none") != 0 && (item = strsep(&rest, ","))) {
		size_t i = 0;

		while (i < ARRAY_SIZE(label_names) && strcmp(item, label_names[i].name) != 0)
			i++;
		if (i == ARRAY_SIZE(label_names))
			return usage_error("--labels '%s' is not a label; there are pid, comm, "
					   "thread, tid and cpu, or none alone",
					   item);
		labels |= label_names[i].label;
	}
	p->opts->labels = labels;
	return EXIT_STATUS_OK;
}

/* A tag ends as a metric label too, so its key is limited to what such a label may be called. */
static bool is_tag_key(const char *key, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)key[i];

		if (c > 0x7e || !(isalpha(c) || c == '_' || (i && isdigit(c))))
			return false;
	}
	return len > 0;
}

int option_value__tag(struct parser *p, const char *value)
{
	struct options *opts = p->opts;
	struct options_tag tag = { 0 };
	size_t len = strcspn(value, "="), i;

	if (!value[len] || !is_tag_key(value, len))
		return usage_error("--tag '%s' is not KEY=VALUE with a key of letters, digits "
				   "and '_'",
				   value);
	if (strlen(value) > TAG_MAX_BYTES)
		return usage_error("--tag '%.*s' is longer than %d bytes", (int)len, value,
				   TAG_MAX_BYTES);
	for (i = 0; i < opts->tags_cnt; i++) {
		if (strlen(opts->tags[i].key) == len && !strncmp(opts->tags[i].key, value, len))
			return usage_error("--tag '%s' given twice", opts->tags[i].key);
	}
	if (array__reserve(opts->tags, p->tags_cap, opts->tags_cnt + 1))
		return out_of_memory();
	tag.key = strndup(value, len);
	tag.value = strdup(value + len + 1);
	opts->tags[opts->tags_cnt++] = tag;
	return tag.key && tag.value ? EXIT_STATUS_OK : out_of_memory();
}

int option_value__user(struct parser *p, const char *value)
{
	if (!*value)
		return usage_error("--user '' names nobody");
	return set_string(&p->opts->user, value);
}

int option_value__strict(struct parser *p, const char *value)
{
	if (units__parse_percent(value, &p->opts->strict_percent))
		return usage_error("--strict '%s' is not a percentage from 0 to 100", value);
	return EXIT_STATUS_OK;
}

int option_value__unwind_memory(struct parser *p, const char *value)
{
	uint64_t bytes;
	int err = units__parse_size(value, &bytes);

	if (err == -EINVAL)
		return usage_error("--unwind-memory '%s' is not a size, such as 32M", value);
	if (err || bytes < OPTIONS_UNWIND_MEMORY_MIN || bytes > OPTIONS_UNWIND_MEMORY_MAX)
		return usage_error("--unwind-memory '%s' is not between 1M and 1G", value);
	p->opts->unwind_memory_bytes = bytes;
	return EXIT_STATUS_OK;
}

int option_value__by(struct parser *p, const char *value)
{
	static const struct {
		const char *name;
		enum sched_by by;
	} groupings[] = {
		{ "cgroup", SCHED_BY_CGROUP },
		{ "comm", SCHED_BY_COMM },
		{ "pid", SCHED_BY_PID },
		{ "cpu", SCHED_BY_CPU },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(groupings); i++) {
		if (strcmp(value, groupings[i].name) != 0)
			continue;
		p->opts->sched_by = groupings[i].by;
		return EXIT_STATUS_OK;
	}
	return usage_error("--by '%s' is nothing to group by; there are cgroup, comm, pid and cpu",
			   value);
}

int option_value__worst(struct parser *p, const char *value)
{
	uint64_t cnt;

	if (units__parse_u64(value, 0, SCHED_WORST_MAX, &cnt))
		return usage_error("--worst '%s' is not a number from 0 to %d", value,
				   SCHED_WORST_MAX);
	p->opts->sched_worst = (uint32_t)cnt;
	return EXIT_STATUS_OK;
}

int option_value__interval(struct parser *p, const char *value)
{
	uint64_t interval_ns;
	int err = units__parse_duration(value, &interval_ns);

	if (err == -ERANGE)
		return usage_error("--interval '%s' is too long a duration (at most 365 days)",
				   value);
	if (err)
		return usage_error("--interval '%s' is not a duration, such as 1s or 500ms", value);
	if (interval_ns < OPTIONS_INTERVAL_MIN_NS)
		return usage_error("--interval '%s' is shorter than 10ms", value);
	p->opts->sched_interval_ns = interval_ns;
	return EXIT_STATUS_OK;
}

/* "p99.9=5ms"; false: not of this form. */
static bool parse_slo(const char *text, struct options_slo *ret)
{
	size_t len = strcspn(text, "=");
	_cleanup_free_ char *percent = len > 1 ? strndup(text + 1, len - 1) : NULL;

	if (!percent || text[0] != 'p' || !text[len])
		return false;
	if (strchr(percent, '%') || units__parse_percent(percent, &ret->percent) ||
	    ret->percent <= 0 || ret->percent >= 100)
		return false;
	return !units__parse_duration(text + len + 1, &ret->limit_ns) && ret->limit_ns;
}

int option_value__sched_slo(struct parser *p, const char *value)
{
	_cleanup_free_ char *list = strdup(value);
	struct options *opts = p->opts;
	char *rest = list, *item;
	size_t i;

	if (!list)
		return out_of_memory();
	while ((item = strsep(&rest, ","))) {
		struct options_slo slo;

		if (!parse_slo(item, &slo))
			return usage_error("--sched-slo '%s' is not a quantile between p0 and p100 "
					   "and its limit, such as p99=5ms",
					   item);
		for (i = 0; i < opts->sched_slos_cnt; i++) {
			if (opts->sched_slos[i].percent == slo.percent)
				return usage_error("--sched-slo '%.*s' given twice",
						   (int)strcspn(item, "="), item);
		}
		if (opts->sched_slos_cnt == OPTIONS_SLOS_MAX)
			return usage_error("more than %d limits in --sched-slo", OPTIONS_SLOS_MAX);
		opts->sched_slos[opts->sched_slos_cnt++] = slo;
	}
	return EXIT_STATUS_OK;
}

int option_value__heap_interval(struct parser *p, const char *value)
{
	uint64_t bytes;
	int err = units__parse_size(value, &bytes);

	if (err == -EINVAL)
		return usage_error("--heap-interval '%s' is not a size, such as 512K", value);
	if (err || !bytes || bytes > OPTIONS_HEAP_INTERVAL_MAX)
		return usage_error("--heap-interval '%s' is not between 1 and 1G", value);
	p->opts->heap_interval_bytes = bytes;
	return EXIT_STATUS_OK;
}

int option_value__heap_mode(struct parser *p, const char *value)
{
	if (strcmp(value, "live") != 0 && strcmp(value, "alloc") != 0)
		return usage_error("--heap-mode '%s' is not a mode; there are live and alloc",
				   value);
	p->opts->heap_is_live = !strcmp(value, "live");
	return EXIT_STATUS_OK;
}

int option_value__heap_source(struct parser *p, const char *value)
{
	if (strcmp(value, "uprobe") != 0 && strcmp(value, "preload") != 0)
		return usage_error("--heap-source '%s' is not a source; there are uprobe and "
				   "preload",
				   value);
	p->opts->heap_source = strcmp(value, "uprobe") ? HEAP_CHOICE_PRELOAD : HEAP_CHOICE_UPROBE;
	return EXIT_STATUS_OK;
}

int option_value__heap_budget(struct parser *p, const char *value)
{
	double percent;

	if (units__parse_percent(value, &percent) || percent <= 0)
		return usage_error("--heap-budget '%s' is not a percentage above 0 and up to 100",
				   value);
	p->opts->heap_budget_percent = percent;
	return EXIT_STATUS_OK;
}

int option_value__heap_host_wide(struct parser *p, const char *value)
{
	p->opts->heap_host_wide = true;
	return EXIT_STATUS_OK;
}

int option_value__quiet(struct parser *p, const char *value)
{
	p->opts->quiet = true;
	return EXIT_STATUS_OK;
}

int option_value__verbose(struct parser *p, const char *value)
{
	p->opts->verbose = true;
	return EXIT_STATUS_OK;
}

int option_value__json(struct parser *p, const char *value)
{
	p->opts->json = true;
	return EXIT_STATUS_OK;
}

int option_value__no_color(struct parser *p, const char *value)
{
	p->opts->no_color = true;
	return EXIT_STATUS_OK;
}

int option_value__kind(struct parser *p, const struct probe *probe, const char *value)
{
	struct options *opts = p->opts;
	uint64_t duration_ns;
	size_t i;
	int err = units__parse_duration(value, &duration_ns);

	if (err == -ERANGE)
		return usage_error("--%s '%s' is too long a duration (at most 365 days)",
				   probe->name, value);
	if (err)
		return usage_error("--%s '%s' is not a duration, such as 30s, 500ms or 2m",
				   probe->name, value);
	for (i = 0; i < opts->kinds_cnt; i++) {
		if (opts->kinds[i].probe == probe)
			return usage_error("'--%s' given twice", probe->name);
	}
	if (opts->kinds_cnt == OPTIONS_KINDS_MAX)
		return usage_error("more than %d kinds in one run", OPTIONS_KINDS_MAX);
	opts->kinds[opts->kinds_cnt++] = (struct kind_request){
		.probe = probe,
		.duration_ns = duration_ns,
	};
	return EXIT_STATUS_OK;
}
