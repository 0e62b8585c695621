/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The checks of kernel_features.c that only read files or judge a result. They take the root below
 * which /proc and /sys lie ("" for the real one) or the result itself, so that tests can stand in
 * for kernels they do not run on. Each fills in state, detail and advice of one feature.
 */
#ifndef COLLECT_KERNEL_CHECKS_H
#define COLLECT_KERNEL_CHECKS_H

#include <stdint.h>
#include "base/buf.h"
#include "collect/kernel_features.h"
#include "collect/kernel_version.h"

/* Inode numbers of the initial namespaces, fixed by the kernel (include/linux/proc_ns.h). */
#define TIME_NS_INIT_INO 0xeffffffaU
#define PID_NS_INIT_INO  0xeffffffcU
#define USER_NS_INIT_INO 0xeffffffdU

void feature__set(struct feature *f, enum feature_state state, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void feature__advise(struct feature *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Appends at most 1 MiB of root + path, without a newline at the end. Returns 0 or -errno. */
int kernel_check__read(const char *root, const char *path, struct buf *out);
/* A sysctl that is a number; 'missing' where it cannot be read. */
int kernel_check__sysctl(const char *root, const char *path, int missing);

void kernel_check__version(const struct kernel_version *v, const char *release, struct feature *f);
void kernel_check__known_bugs(const struct kernel_version *v, struct feature *f);
void kernel_check__btf(const char *root, struct feature *f);
/* 'name' is its file in /proc/self/ns; 'state' what it means not to be in the initial one. */
void kernel_check__namespace(const char *root, const char *name, uint64_t init_ino,
			     enum feature_state state, struct feature *f);
void kernel_check__lockdown(const char *root, struct feature *f);
void kernel_check__kernel_addresses(const char *root, struct feature *f);
void kernel_check__cgroup2(const char *root, struct feature *f);
void kernel_check__cpus(const char *root, struct feature *f);
void kernel_check__jit(const char *root, struct feature *f);
void kernel_check__memlock(const struct kernel_version *v, uint64_t limit_bytes, bool may_raise,
			   struct feature *f);

/* What perf_event_open(2) and bpf(2) answered: 0 or -errno. */
void kernel_check__perf(int err, int paranoid, bool has_perfmon, bool has_sys_admin,
			struct feature *f);
void kernel_check__bpf(int err, const char *what, bool has_bpf, const struct kernel_version *v,
		       struct feature *f);
/* A feature whose absence costs nothing that has to be done about: never missing. */
void kernel_check__optional(int err, const char *present, const char *absent, struct feature *f);

#endif
