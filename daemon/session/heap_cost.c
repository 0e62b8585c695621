/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_cost.h.
 */
#include "session/heap_cost.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "abi/settings.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

#define STAT_MAX_BYTES 4096

/* Measured: among other code than that of a loop of hits one costs 5 to 10 % more, and a selected
 * one, with its stack and its return, four more. */
#define ELSEWHERE       1.08
#define SELECTED_HITS   4
#define ELSEWHERE_ERROR 0.05

/* Before each process's session the kernel asks those of the others on the same code, and returns
 * of what they do not want are probed all the same. */
#define OTHERS_ERROR 0.4

/* What a hit costs was measured elsewhere, and may be less here: something is always their own. */
#define OWN_MIN 0.02

static double average_ns(double plain_ns, double stepped_ns, uint64_t sites, uint64_t stepped)
{
	plain_ns *= ELSEWHERE;
	return sites ? plain_ns + stepped_ns * (double)stepped / (double)sites : plain_ns;
}

void heap_cost__add(struct heap_cost_totals *t, const struct heap_hits *before,
		    const struct heap_hits *now, const struct heap_costs *costs,
		    const struct heap_site_counts *sites)
{
	double alloc_ns = average_ns(costs->alloc_ns, costs->stepped_ns, sites->allocs,
				     sites->allocs_stepped);
	double free_ns =
		average_ns(costs->free_ns, costs->stepped_ns, sites->frees, sites->frees_stepped);

	t->alloc_hits += now->allocs - before->allocs;
	t->free_hits += now->frees - before->frees;
	t->other_hits += now->others - before->others;
	t->cost_ns += (double)(now->allocs - before->allocs) * alloc_ns;
	t->cost_ns += (double)(now->selected - before->selected) * costs->alloc_ns * SELECTED_HITS;
	t->cost_ns += (double)(now->frees - before->frees) * free_ns;
}

double heap_cost__percent(const struct heap_cost_totals *t)
{
	if (!t->cpu_ns)
		return -1;
	return fmin(100 * (t->cost_ns - t->untimed_cost_ns) / (double)t->cpu_ns, 100);
}

double heap_cost__ns_per_hit(const struct heap_cost_totals *t)
{
	uint64_t hits = t->alloc_hits + t->free_hits;

	return hits ? t->cost_ns / (double)hits : 0;
}

double heap_cost__error(const struct heap_costs *costs, size_t processes)
{
	return costs->has_session && processes > 1 ? OTHERS_ERROR : ELSEWHERE_ERROR;
}

double heap_cost__own(uint64_t cpu_ns, double cost_ns)
{
	return fmax((double)cpu_ns - cost_ns, (double)cpu_ns * OWN_MIN);
}

int heap_cost__parse_cpu(const char *line, uint64_t *ret_ns, uint64_t *ret_children_ns)
{
	const char *rest = strrchr(line, ')'); /* the name before it may hold anything */
	uint64_t user, system, children_user, children_system;

	/* From field 3, the state, on; 14 and 15 are the process's own, 16 and 17 its children's.
	 */
	if (!rest || sscanf(rest + 1,
			    " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
			    " %" SCNu64 " %" SCNu64,
			    &user, &system, &children_user, &children_system) != 4)
		return -EBADMSG;
	*ret_ns = (user + system) * NSEC_PER_USER_TICK;
	*ret_children_ns = (children_user + children_system) * NSEC_PER_USER_TICK;
	return 0;
}

static int read_clock(pid_t pid, uint64_t *ret_ns)
{
	struct timespec ts;
	clockid_t clock;
	int err = clock_getcpuclockid(pid, &clock);

	if (err)
		return -err;
	if (clock_gettime(clock, &ts))
		return -errno;
	*ret_ns = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	return 0;
}

int heap_cost__read_cpu(pid_t pid, bool with_children, uint64_t *ret_ns)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	uint64_t ticks_ns, children_ns, clock_ns = 0;
	char path[64];
	int err, clock_err;

	clock_err = read_clock(pid, &clock_ns);
	if (!clock_err && !with_children) {
		*ret_ns = clock_ns;
		return 0;
	}
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	err = file__read(path, STAT_MAX_BYTES, &text);
	if (err == -ENOENT)
		return -ESRCH;
	err = err ?: heap_cost__parse_cpu(text.data ?: "", &ticks_ns, &children_ns);
	if (err)
		return err;
	*ret_ns = (clock_err ? ticks_ns : clock_ns) + (with_children ? children_ns : 0);
	return 0;
}
