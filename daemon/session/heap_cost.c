/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_cost.h.
 */
#include "session/heap_cost.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "abi/settings.h"
#include "base/buf.h"
#include "base/file.h"

#define STAT_MAX_BYTES 4096

static double average_ns(double plain_ns, double stepped_ns, uint64_t sites, uint64_t stepped)
{
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
	t->cost_ns += (double)(now->allocs - before->allocs) * alloc_ns;
	t->cost_ns += (double)(now->selected - before->selected) * costs->alloc_ns;
	t->cost_ns += (double)(now->frees - before->frees) * free_ns;
}

double heap_cost__percent(const struct heap_cost_totals *t)
{
	return t->cpu_ns ? 100 * t->cost_ns / (double)t->cpu_ns : -1;
}

double heap_cost__ns_per_hit(const struct heap_cost_totals *t)
{
	uint64_t hits = t->alloc_hits + t->free_hits;

	return hits ? t->cost_ns / (double)hits : 0;
}

int heap_cost__parse_cpu(const char *line, bool with_children, uint64_t *ret_ns)
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
	*ret_ns = (user + system + (with_children ? children_user + children_system : 0)) *
		  NSEC_PER_USER_TICK;
	return 0;
}

int heap_cost__read_cpu(pid_t pid, bool with_children, uint64_t *ret_ns)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	char path[64];
	int err;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	err = file__read(path, STAT_MAX_BYTES, &text);
	if (err == -ENOENT)
		return -ESRCH;
	return err ?: heap_cost__parse_cpu(text.data ?: "", with_children, ret_ns);
}
