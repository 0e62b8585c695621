/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See log.h. A message is formatted, escaped and written with one write(2), so that lines of two
 * processes sharing a terminal do not mix.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/escape.h"
#include "base/file.h"

static struct {
	enum log_level level;
	const char *program;
} logger = { .level = LOG_LEVEL_INFO, .program = "cprofd" };

void log__set_level(enum log_level level)
{
	logger.level = level;
}

void log__set_program(const char *program)
{
	logger.program = program;
}

enum log_level log__level(void)
{
	return logger.level;
}

static const char *level_prefix(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error: ";
	case LOG_LEVEL_WARN:
		return "warning: ";
	default:
		return "";
	}
}

static void write_line(enum log_level level, const char *text, const char *suffix)
{
	_cleanup_buf_ struct buf line = BUF_INIT;

	buf__printf(&line, "%s: %s", logger.program, level_prefix(level));
	escape__append(&line, text, strlen(text), ESCAPE_ASCII, NULL);
	buf__puts(&line, suffix);
	buf__putc(&line, '\n');
	if (!buf__error(&line))
		file__write_all(STDERR_FILENO, line.data, line.len);
}

static void write_message(enum log_level level, const char *suffix, const char *fmt, va_list args)
{
	_cleanup_free_ char *text = NULL;

	if (vasprintf(&text, fmt, args) < 0) {
		text = NULL;
		return;
	}
	write_line(level, text, suffix);
}

void log__write(enum log_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	va_list args;

	if (level > logger.level)
		return;
	va_start(args, fmt);
	write_message(level, "", fmt, args);
	va_end(args);
	errno = saved_errno;
}

int log__errno(int err, const char *fmt, ...)
{
	char suffix[128];
	va_list args;

	snprintf(suffix, sizeof(suffix), ": %s", strerror(err < 0 ? -err : err));
	va_start(args, fmt);
	write_message(LOG_LEVEL_ERROR, suffix, fmt, args);
	va_end(args);
	return err;
}
