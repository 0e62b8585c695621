/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `cprofd doctor`: what this host has, lacks and what to do about it, a line each on stdout.
 */
#ifndef SESSION_DOCTOR_H
#define SESSION_DOCTOR_H

/* Returns the exit status: 0 if profiling works here, else 4 or 5. */
int doctor__run(void);

#endif
