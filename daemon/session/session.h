/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One run: builds the stages in order, keeps them going until the window ends, tears them down in
 * reverse. Wiring, and nothing else.
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include "options.h"

/* Runs what the options ask for; everything that goes wrong is logged. 'started_ns' is when main()
 * began (CLOCK_MONOTONIC). Returns the exit status. */
int session__run(const struct options *opts, uint64_t started_ns);

#endif
