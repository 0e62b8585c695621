/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SIGINT, SIGTERM and SIGHUP over the life of a run: held back while it starts, end the window
 * while it lasts, and once a first one has come a second one aborts. What was ignored when cprofd
 * was started (nohup, a shell's &) stays ignored.
 */
#ifndef SESSION_SIGNALS_H
#define SESSION_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

struct signals {
	sigset_t mask;  /* those of the three that are not ignored */
	sigset_t saved; /* of the process, before */
	int fd;         /* readable when one has come; -1: none */
	bool is_taken;  /* one has been taken */
};

#define SIGNALS_INIT                                                                               \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* Holds them back from now on. 0 or -errno. */
int signals__init(struct signals *s);
void signals__done(struct signals *s);

/* Around a fork: the child is to have the mask cprofd was started with. */
void signals__release(struct signals *s);
void signals__hold(struct signals *s);

/* The signal that has come, or 0. */
int signals__take(struct signals *s);

/* After the window: the next one aborts the program, or, if none has been taken yet, the one after
 * the next. */
void signals__arm_abort(struct signals *s);

/* While COMMAND runs on, after the file is written: SIGTERM and SIGHUP end us. ^C goes to COMMAND
 * too; as before, the second one of the run ends us. */
void signals__leave_to_command(struct signals *s);

#endif
