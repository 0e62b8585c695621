/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of kinds: a new one is a line here.
 */
#include "collect/probe.h"

#include <string.h>
#include "base/array.h"
#include "collect/probe_ops.h"

const struct probe *const probes[] = {
	&probe_cpu,
	&probe_sched,
	&probe_heap,
};

const size_t probes_cnt = ARRAY_SIZE(probes);

const struct probe *probe__find(const char *name)
{
	size_t i;

	for (i = 0; i < probes_cnt; i++)
		if (strcmp(probes[i]->name, name) == 0)
			return probes[i];
	return NULL;
}
