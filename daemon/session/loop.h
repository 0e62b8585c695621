/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The time between attach and the end of the window: drains the rings, follows CPUs that come and
 * go, watches for signals, the TARGET's end and each kind's end.
 */
#ifndef SESSION_LOOP_H
#define SESSION_LOOP_H

struct session;

/* Returns when all kinds have been detached and everything they sent has been consumed: 0, or an
 * exit status. */
int loop__run(struct session *s);

#endif
