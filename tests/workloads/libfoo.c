/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library that is stripped after linking: the exported function keeps its name, the hidden one,
 * in which half of the time goes, must appear as [libfoo.so] and never under a neighbour's name.
 */
#include "workload.h"

uint64_t foo_exported(uint64_t x);

static FRAME uint64_t foo_hidden(uint64_t x)
{
	return chew(x, 10);
}

FRAME uint64_t foo_exported(uint64_t x)
{
	x = foo_hidden(x);
	return chew(x, 10);
}
