/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * COMMAND of `cprofd … -- COMMAND ARGS`: forked early and held before its exec, so that probes can
 * be attached in between; then let go, waited for, and its status passed on. Called by the session.
 */
#ifndef SESSION_COMMAND_H
#define SESSION_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/cleanup.h"

struct command;

/*
 * Forks the child, which waits. 'user' (or NULL) is who it becomes: uid, gid and supplementary
 * groups of the passwd entry. Signal mask, ignored signals and resource limits of COMMAND are those
 * of the moment of this call: make it before cprofd changes its own. (SIGCHLD is no longer ignored
 * by us afterwards.) 'env' ("NAME=value", NULL-terminated; or NULL) is put into its environment.
 * Returns 0 or -errno; an unknown user is -ENOENT (not logged).
 */
int command__fork(struct command **ret, char *const *argv, const char *user, char *const *env);

pid_t command__pid(const struct command *c);
int command__pidfd(const struct command *c); /* readable when the child has exited */

/*
 * Lets the child exec. Returns 0 once the new image runs, or -errno of the failed execvp or
 * privilege change (the child has been reaped then): -ENOENT is exit status 127, others 126.
 */
int command__exec(struct command *c);

/* Waits for the child. *ret_status is as a shell would report it: status or 128 + signal. */
int command__wait(struct command *c, int *ret_status);
/* The same without blocking: false while it runs. */
bool command__has_exited(struct command *c, int *ret_status);

/* CPU time that it and the descendants it waited for have used; 0 until it has exited. */
uint64_t command__cpu_ns(const struct command *c);

/* Kills a child that still waits for its exec and reaps it; a running COMMAND is left alone. */
void command__free(struct command *c);
DEFINE_CLEANUP(struct command *, command__free);

#endif
