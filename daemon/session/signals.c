/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See signals.h.
 */
#include "session/signals.h"

#include <errno.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "base/array.h"
#include "base/cleanup.h"

static const int end_signals[] = { SIGINT, SIGTERM, SIGHUP };

/* A blocked signal reaches a signalfd even where it is ignored: those must stay out of the mask. */
static void make_mask(sigset_t *ret)
{
	struct sigaction action;
	size_t i;

	sigemptyset(ret);
	for (i = 0; i < ARRAY_SIZE(end_signals); i++)
		if (sigaction(end_signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(ret, end_signals[i]);
}

int signals__init(struct signals *s)
{
	make_mask(&s->mask);
	s->fd = signalfd(-1, &s->mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->fd < 0)
		return -errno;
	sigprocmask(SIG_BLOCK, &s->mask, &s->saved);
	return 0;
}

void signals__done(struct signals *s)
{
	if (s->fd >= 0)
		sigprocmask(SIG_SETMASK, &s->saved, NULL);
	close_fdp(&s->fd);
	s->fd = -1;
}

void signals__release(struct signals *s)
{
	sigprocmask(SIG_SETMASK, &s->saved, NULL);
}

void signals__hold(struct signals *s)
{
	sigprocmask(SIG_BLOCK, &s->mask, NULL);
}

int signals__take(struct signals *s)
{
	struct signalfd_siginfo info;

	if (read(s->fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	s->is_taken = true;
	return (int)info.ssi_signo;
}

static void abort_program(int signal)
{
	static const char text[] = "\ncprofd: aborted\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)ignored;
	_exit(128 + signal);
}

static void handle_all(const struct signals *s, void (*handler)(int))
{
	const struct sigaction action = { .sa_handler = handler };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(end_signals); i++)
		if (sigismember(&s->mask, end_signals[i]))
			sigaction(end_signals[i], &action, NULL);
}

/* The window is over: what the first one asks for is being done already. */
static void on_first(int signal)
{
	const struct sigaction action = { .sa_handler = abort_program };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(end_signals); i++)
		sigaction(end_signals[i], &action, NULL);
}

void signals__arm_abort(struct signals *s)
{
	while (signals__take(s))
		;
	handle_all(s, s->is_taken ? abort_program : on_first);
	signals__release(s);
}

void signals__leave_to_command(struct signals *s)
{
	const struct sigaction end = { .sa_handler = SIG_DFL };

	if (sigismember(&s->mask, SIGTERM))
		sigaction(SIGTERM, &end, NULL);
	if (sigismember(&s->mask, SIGHUP))
		sigaction(SIGHUP, &end, NULL);
}
