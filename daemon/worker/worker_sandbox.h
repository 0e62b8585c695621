/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's cage. Called once by worker__main() before the first foreign byte is read, then
 * before and after each job.
 */
#ifndef WORKER_WORKER_SANDBOX_H
#define WORKER_WORKER_SANDBOX_H

/* Leaves the process with 'socket_fd' and stderr, no capability, no network, no way to write files.
 * Returns 0, or -errno of the first restriction that must hold and does not. */
int sandbox__enter(int socket_fd);

/* Gives the job its CPU time and wall time; past them SIGXCPU or SIGALRM ends the process. */
int sandbox__begin_job(void);
void sandbox__end_job(void);

#endif
