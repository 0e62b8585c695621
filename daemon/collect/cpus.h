/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which CPUs are online, and word of those that come and go (kernel uevents).
 */
#ifndef COLLECT_CPUS_H
#define COLLECT_CPUS_H

#include <stdbool.h>
#include <stddef.h>

struct cpu_list {
	int *cpus; /* ascending */
	size_t cnt, cap;
};

void cpu_list__done(struct cpu_list *l);

/* Parses "0-3,8": the form of /sys/devices/system/cpu/online. -EINVAL, -ENOMEM. */
int cpu_list__parse(struct cpu_list *l, const char *text);
int cpu_list__read_online(struct cpu_list *l);
bool cpu_list__has(const struct cpu_list *l, int cpu);

/* A non-blocking netlink socket for uevents, or -errno (not available in other network namespaces
 * than the initial one: the caller then relies on reading the list again from time to time). */
int cpu_hotplug__open(void);

/* Reads one uevent. True: 'cpu' went offline or came online; false: something else, or no more
 * (*ret_more says whether there may be more). */
bool cpu_hotplug__read(int fd, int *ret_cpu, bool *ret_online, bool *ret_more);

#endif
