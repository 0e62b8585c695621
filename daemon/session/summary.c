/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See summary.h.
 */
#include "session/summary.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/escape.h"
#include "base/file.h"
#include "base/log.h"
#include "export/columns.h"
#include "profile/completeness.h"
#include "session/outcome.h"
#include "session/sched_run.h"

#define BAR_WIDTH   30
#define TOP_ROWS    20
#define HEAP_ROWS   10
#define MIB         (1024.0 * 1024.0)
#define SECONDS(ns) ((double)(ns) / NSEC_PER_SEC)
#define MS(ns)      ((double)(ns) / 1e6)

void progress__init(struct progress *pg, const struct options *opts)
{
	*pg = (struct progress){ .is_shown = !opts->quiet && isatty(STDERR_FILENO) };
}

static void draw_bar(struct buf *line, uint64_t elapsed_ns, uint64_t total_ns)
{
	size_t i, done = elapsed_ns >= total_ns ? BAR_WIDTH : elapsed_ns * BAR_WIDTH / total_ns;

	buf__putc(line, '[');
	for (i = 0; i < BAR_WIDTH; i++)
		buf__putc(line, i < done ? '=' : i == done ? '>' : ' ');
	buf__puts(line, "] ");
}

void progress__draw(struct progress *pg, uint64_t elapsed_ns, uint64_t total_ns, uint64_t samples,
		    uint64_t lost, double cost_percent)
{
	_cleanup_buf_ struct buf line = BUF_INIT;

	if (!pg->is_shown)
		return;
	buf__puts(&line, "\r\033[K");
	if (total_ns) {
		draw_bar(&line, elapsed_ns, total_ns);
		buf__printf(&line, "%.1f/%.1f s", SECONDS(elapsed_ns), SECONDS(total_ns));
	} else {
		buf__printf(&line, "%.1f s (^C ends)", SECONDS(elapsed_ns));
	}
	buf__printf(&line, "  %" PRIu64 " samples  %" PRIu64 " lost", samples, lost);
	if (cost_percent >= 0)
		buf__printf(&line, "  probes take %.3g %% of its CPU", cost_percent);
	if (!buf__error(&line))
		file__write_all(STDERR_FILENO, line.data, line.len);
	pg->is_drawn = true;
}

void progress__clear(struct progress *pg)
{
	if (pg->is_drawn)
		file__write_all(STDERR_FILENO, "\r\033[K", strlen("\r\033[K"));
	pg->is_drawn = false;
}

static void print_drops(const struct accounting *a)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	size_t i;

	for (i = 0; i < drop_reasons_cnt; i++) {
		uint64_t dropped = accounting__dropped(a, &drop_reasons[i]);

		if (dropped)
			buf__printf(&text, "%s%s %" PRIu64, text.len ? ", " : "",
				    drop_reasons[i].name, dropped);
	}
	if (text.len)
		log_warn("lost samples, shown as [lost] in the profile: %s", text.data);
}

/* The exact sums have them all the same: what is lost is which stacks they belong to. */
static void print_sched_drops(const struct kind_run *run)
{
	const struct accounting *a = &run->account;
	uint64_t lines = sched_run__trace_dropped(run->sched);

	if (accounting__dropped_total(a))
		log_warn("%s: %" PRIu64 " sampled waits were lost: their time is on other stacks "
			 "of the same thread",
			 run->probe->name, accounting__dropped_total(a));
	if (accounting__stacks_dropped(a))
		log_warn("%s: %" PRIu64 " stacks were lost, shown as [lost] in the profile",
			 run->probe->name, accounting__stacks_dropped(a));
	if (lines)
		log_warn("%s: %" PRIu64 " lines of the trace found no room: take a longer "
			 "--interval",
			 run->probe->name, lines);
}

#define BROKEN_SHOWN 5

static void print_completeness(const struct kind_run *run, bool verbose)
{
	_cleanup_(completeness__done) struct completeness c = { 0 };
	const struct profile *p = run->profile;
	int64_t stacks;
	size_t i;

	if (completeness__compute(&c, p))
		return;
	stacks = c.complete + c.cut + c.unknown;
	if (!stacks)
		return;
	if (run->sched)
		log_info("%s: the user stacks of %.2f %% of %" PRId64
			 " waits are complete (by %" PRIu64 " sampled ones)",
			 run->probe->name, completeness__percent(&c), stacks,
			 run->account.aggregated);
	else if (run->heap)
		log_info("%s: the user stacks of %.2f %% of %" PRId64 " allocations are complete",
			 run->probe->name, completeness__percent(&c), stacks);
	else
		log_info("%s: %.2f %% of %" PRId64 " user stacks are complete", run->probe->name,
			 completeness__percent(&c), stacks);
	for (i = 0; verbose && i < c.broken_cnt && i < BROKEN_SHOWN; i++)
		log_info("%s:   %" PRId64 "%s %s in %s", run->probe->name, c.broken[i].cnt,
			 run->sched  ? " waits"
			 : run->heap ? " allocations"
				     : "",
			 profile__str(p, c.broken[i].reason),
			 c.broken[i].file ? profile__str(p, c.broken[i].file) : "no module");
}

static void print_details(const struct kind_run *run)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	size_t i;

	accounting__print(&run->account, &text);
	for (i = UNWIND_END; i < UNWIND_OUTCOME_CNT; i++)
		if (run->outcomes[i])
			buf__printf(&text, " stack.%s=%" PRIu64, outcome__name(i),
				    run->outcomes[i]);
	buf__printf(&text, " stack.unknown_process=%" PRIu64, run->stacks_unknown);
	if (kind_run__has_own_stacks(run))
		buf__printf(&text, " stack.unknown_id=%" PRIu64, kind_run__ids_unknown(run));
	log_info("%s: %s", run->probe->name, text.data ?: "");
	buf__clear(&text);
	for (i = 0; i < PARSE_STATUS_CNT; i++)
		if (run->names.status[i])
			buf__printf(&text, " %s %" PRIu64, parse_status__name(i),
				    run->names.status[i]);
	log_info("%s: symbol tables:%s, no file %" PRIu64 ", replaced %" PRIu64, run->probe->name,
		 text.data ?: "", run->names.without_file, run->names.replaced);
}

static void print_samples(const struct options *opts, const struct kind_run *run,
			  uint64_t duration_ns, size_t cpus_cnt)
{
	const struct accounting *a = &run->account;

	print_drops(a);
	log_info("%s: %.2f s at %u Hz on %zu CPUs: %" PRIu64 " samples, %" PRIu64
		 " idle ticks, %" PRIu64 " lost",
		 run->probe->name, SECONDS(duration_ns), opts->freq_hz, cpus_cnt, a->aggregated,
		 a->idle, accounting__dropped_total(a));
}

static void print_waits(const struct kind_run *run, uint64_t duration_ns, size_t cpus_cnt,
			bool verbose)
{
	uint64_t homeless = sched_run__waits_homeless(run->sched);
	const struct accounting *a = &run->account;

	print_sched_drops(run);
	log_info("%s: %.2f s on %zu CPUs: %" PRIu64 " waits, %" PRIu64 " sampled, %" PRIu64 " lost",
		 run->probe->name, SECONDS(duration_ns), cpus_cnt, a->waits, a->aggregated,
		 accounting__dropped_total(a) + accounting__stacks_dropped(a));
	if (verbose && homeless)
		log_info("%s: the stacks of %" PRIu64 " sampled waits are not kept: there were too "
			 "many threads and stacks; their share is [not sampled]",
			 run->probe->name, homeless);
}

/* What is lost keeps its weight, on [lost]. A process that selects by itself has its own interval:
 * the profile's period, which is 0 where there are several, or none is known. */
static void print_allocs(const struct kind_run *run, uint64_t duration_ns)
{
	const struct accounting *a = &run->account;
	char interval[64] = "at the processes' own intervals";

	print_drops(a);
	if (accounting__stacks_dropped(a))
		log_warn("%s: %" PRIu64 " stacks were lost, shown as [lost] in the profile",
			 run->probe->name, accounting__stacks_dropped(a));
	if (run->heap_live_full)
		log_warn("%s: what is in use is partial: %" PRIu64 " samples are not in the live "
			 "set, which was full, here or in the process (take a larger "
			 "--heap-interval), or of functions whose return is left alone (an "
			 "operator new that may throw, a sanitizer's)",
			 run->probe->name, run->heap_live_full);
	if (run->profile->period)
		snprintf(interval, sizeof(interval), "a sample every %" PRId64 " bytes",
			 run->profile->period);
	log_info("%s: %.2f s, %s: %" PRIu64 " samples of %" PRIu64 " calls, %" PRIu64 " lost",
		 run->probe->name, SECONDS(duration_ns), interval, a->aggregated,
		 a->fired - a->filtered - a->nested - a->unfinished, accounting__dropped_total(a));
}

void summary__print_totals(const struct options *opts, const struct kind_run *run,
			   uint64_t duration_ns, size_t cpus_cnt)
{
	const struct accounting *a = &run->account;
	const char *identity = NULL;
	int64_t imbalance = accounting__imbalance(a, &identity);

	if (imbalance)
		log_err("%s: accounts do not balance: %s is off by %" PRId64 "; please report this",
			run->probe->name, identity, imbalance);
	if (run->heap)
		print_allocs(run, duration_ns);
	else if (run->sched)
		print_waits(run, duration_ns, cpus_cnt, opts->verbose);
	else
		print_samples(opts, run, duration_ns, cpus_cnt);
	print_completeness(run, opts->verbose);
	if (opts->verbose)
		print_details(run);
}

void summary__print_costs(const struct run_costs *costs)
{
	log_info("start-up CPU %.1f ms, first sample after %.1f ms, window to file %.1f ms",
		 MS(costs->startup_cpu_ns), MS(costs->first_sample_ns),
		 MS(costs->window_to_file_ns));
	log_info("peak RSS %.1f MB, worker %.1f MB", (double)costs->peak_rss_bytes / MIB,
		 (double)costs->worker_peak_rss_bytes / MIB);
}

void summary__print_unwind_stats(const struct unwind_stats *stats)
{
	log_info("unwind tables: files %" PRIu64 ", rows %" PRIu64 ", evicted %" PRIu64
		 ", not made for lack of memory %" PRIu64 ", processes %" PRIu64
		 ", of them evicted %" PRIu64,
		 stats->files, stats->rows, stats->evictions, stats->memory_full, stats->slots_used,
		 stats->slot_evictions);
}

void summary__print_process_stats(const struct process_stats *stats,
				  const struct sideband_stats *sideband)
{
	log_info("processes %" PRIu64 ", execs %" PRIu64 ", mappings %" PRIu64
		 ", re-scans %" PRIu64,
		 stats->processes_seen, stats->execs_seen, stats->mmaps_seen, stats->rescans);
	log_info("side-band records: %" PRIu64 " read, %" PRIu64 " lost, %" PRIu64 " malformed",
		 sideband->records, sideband->lost, sideband->malformed);
	log_info("module files: opened %" PRIu64 ", gone %" PRIu64 ", not regular %" PRIu64
		 ", foreign file system %" PRIu64 ", device unknown %" PRIu64 ", denied %" PRIu64
		 ", too many open %" PRIu64,
		 stats->modules_by_status[MODULE_OPENED], stats->modules_by_status[MODULE_GONE],
		 stats->modules_by_status[MODULE_NOT_REGULAR],
		 stats->modules_by_status[MODULE_FOREIGN_FS],
		 stats->modules_by_status[MODULE_DEVICE_UNKNOWN],
		 stats->modules_by_status[MODULE_DENIED],
		 stats->modules_by_status[MODULE_TOO_MANY_OPEN]);
}

static int make_top(const struct options *opts, const struct profile *p, bool color,
		    struct buf *text)
{
	struct top_view view = {
		.value_idx = profile__default_value(p),
		.order = TOP_BY_FLAT,
		.rows_max = opts->json ? 0 : TOP_ROWS,
		.color = color,
	};

	return opts->json ? json__top(p, &view, text) : text__top(p, &view, text);
}

static size_t terminal_width(int fd)
{
	struct winsize size;

	return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static int make_sched_view(const struct options *opts, const struct profile *p, bool color, int fd,
			   struct buf *text)
{
	const struct sched_view view = { .width = terminal_width(fd), .color = color };

	return opts->json ? sched_json__encode(p, text) : sched_text__view(p->sched, &view, text);
}

static int make_heap_view(const struct options *opts, const struct profile *p, bool color, int fd,
			  struct buf *text)
{
	const struct heap_view view = {
		.width = terminal_width(fd),
		.rows_max = HEAP_ROWS,
		.color = color,
	};

	return opts->json ? heap_json__encode(p, text) : heap_text__view(p, &view, text);
}

static int make_view(const struct options *opts, const struct kind_run *run, bool color, int fd,
		     struct buf *text)
{
	if (run->heap)
		return make_heap_view(opts, run->profile, color, fd, text);
	if (run->sched)
		return make_sched_view(opts, run->profile, color, fd, text);
	return make_top(opts, run->profile, color, text);
}

int summary__print_top(const struct options *opts, const struct output_plan *plan,
		       const struct kind_run *run)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	int fd = plan->uses_stdout ? STDERR_FILENO : STDOUT_FILENO;
	bool color = !opts->no_color && isatty(fd);
	int err;

	if (opts->quiet && !opts->json)
		return 0;
	err = make_view(opts, run, color, fd, &text);
	return err ?: file__write_all(fd, text.data, text.len);
}

size_t summary__print_breaches(const struct options *opts, const struct kind_run *run)
{
	size_t i, cnt = 0;

	if (!run->sched || !run->profile->sched)
		return 0;
	for (i = 0; i < opts->sched_slos_cnt; i++) {
		const struct options_slo *slo = &opts->sched_slos[i];
		uint64_t ns = sched_histogram__quantile(
			&run->profile->sched->histograms[SCHED_LATENCY], slo->percent / 100);
		_cleanup_buf_ struct buf text = BUF_INIT;

		if (ns <= slo->limit_ns)
			continue;
		cnt++;
		buf__printf(&text, "sched-slo: p%.6g is ", slo->percent);
		columns__duration(&text, ns);
		buf__puts(&text, ", over ");
		columns__duration(&text, slo->limit_ns);
		log_err("%s", text.data ?: "sched-slo");
	}
	return cnt;
}

static bool is_in_path(const char *program)
{
	_cleanup_free_ char *path = strdup(getenv("PATH") ?: "");
	char *dir, *rest = path;

	while (rest && (dir = strsep(&rest, ":"))) {
		_cleanup_free_ char *file = NULL;

		if (asprintf(&file, "%s/%s", *dir ? dir : ".", program) < 0) {
			file = NULL;
			return false;
		}
		if (access(file, X_OK) == 0)
			return true;
	}
	return false;
}

/* Our companion: from PATH, or where a build leaves it, beside us. NULL: nowhere. */
static char *cprof_command(void)
{
	char exe[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - sizeof("/cprof"));
	char *slash;

	if (is_in_path("cprof"))
		return strdup("cprof");
	if (len <= 0)
		return NULL;
	exe[len] = '\0';
	slash = strrchr(exe, '/');
	if (!slash)
		return NULL;
	strcpy(slash, "/cprof");
	return access(exe, X_OK) == 0 ? strdup(exe) : NULL;
}

void summary__print_next(const struct output_plan *plan, const struct kind_run *run)
{
	const char *path = output_plan__pprof_path(plan, run->probe);
	_cleanup_free_ char *cprof = path ? cprof_command() : NULL;

	/* Every thread waits in the scheduler: what called it is what somebody wants to know. */
	if (cprof)
		log_info("next: %s top %s%s", cprof, run->sched ? "--cum " : "", path);
	if (path && is_in_path("go"))
		log_info("next: go tool pprof -http=: %s", path);
	if (path && !cprof && !is_in_path("go"))
		log_info("profile: %s", path);
}
