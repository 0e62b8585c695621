/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One line per message on stderr, prefixed with the program's name. Whatever reaches the terminal
 * is escaped here (bytes outside printable ASCII as \xNN), so callers may pass names that come
 * from other processes as they are. The level is the only mutable global of the project.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level {
	LOG_LEVEL_ERROR = 0,
	LOG_LEVEL_WARN = 1,
	LOG_LEVEL_INFO = 2,
	LOG_LEVEL_DEBUG = 3,
};

/* Sets the level (default INFO) and the prefix; 'program' must outlive all messages. */
void log__set_level(enum log_level level);
void log__set_program(const char *program);
enum log_level log__level(void);

void log__write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_err(...)   log__write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log__write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log__write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log__write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Logs "<message>: <text of err>" as an error and yields err (0 or -errno), to log and return. */
int log__errno(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_errno(err, ...) log__errno((err), __VA_ARGS__)

#endif
