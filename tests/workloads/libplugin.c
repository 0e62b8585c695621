/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library late_dlopen loads.
 */
#include "workload.h"

uint64_t plugin_spin(double end_s);

FRAME uint64_t plugin_spin(double end_s)
{
	uint64_t x = 1;

	while (now_s() < end_s)
		x = chew(x, 10);
	return x;
}
