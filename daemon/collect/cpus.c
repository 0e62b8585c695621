/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See cpus.h.
 */
#include "collect/cpus.h"

#include <ctype.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"

#define ONLINE_PATH    "/sys/devices/system/cpu/online"
#define ONLINE_BYTES   (64 * 1024)
#define CPUS_MAX       65536
#define KERNEL_UEVENTS 1 /* multicast group of the kernel's own messages (udev's is 2) */

void cpu_list__done(struct cpu_list *l)
{
	free(l->cpus);
	*l = (struct cpu_list){ 0 };
}

static int add_range(struct cpu_list *l, long first, long last)
{
	int err;

	if (first < 0 || last < first || last >= CPUS_MAX)
		return -EINVAL;
	err = array__reserve(l->cpus, l->cap, l->cnt + (size_t)(last - first) + 1);
	if (err)
		return err;
	for (; first <= last; first++)
		l->cpus[l->cnt++] = (int)first;
	return 0;
}

int cpu_list__parse(struct cpu_list *l, const char *text)
{
	l->cnt = 0;
	while (isdigit((unsigned char)*text)) {
		char *end;
		long first = strtol(text, &end, 10), last = first;
		int err;

		if (*end == '-' && isdigit((unsigned char)end[1]))
			last = strtol(end + 1, &end, 10);
		err = add_range(l, first, last);
		if (err)
			return err;
		text = *end == ',' ? end + 1 : end;
	}
	return *text && *text != '\n' ? -EINVAL : 0;
}

int cpu_list__read_online(struct cpu_list *l)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	int err;

	err = file__read(ONLINE_PATH, ONLINE_BYTES, &text);
	if (err)
		return err;
	err = cpu_list__parse(l, text.data ?: "");
	return err ?: l->cnt ? err : -EINVAL;
}

bool cpu_list__has(const struct cpu_list *l, int cpu)
{
	size_t i;

	for (i = 0; i < l->cnt; i++)
		if (l->cpus[i] == cpu)
			return true;
	return false;
}

int cpu_hotplug__open(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_UEVENTS };
	_cleanup_close_ int fd = -1;

	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return take_fd(&fd);
}

bool cpu_hotplug__read(int fd, int *ret_cpu, bool *ret_online, bool *ret_more)
{
	struct sockaddr_nl from = { 0 };
	socklen_t from_len = sizeof(from);
	char text[4096], action[16];
	ssize_t len;

	len = recvfrom(fd, text, sizeof(text) - 1, 0, (struct sockaddr *)&from, &from_len);
	*ret_more = len >= 0 || errno == EINTR || errno == ENOBUFS;
	if (len <= 0 || from.nl_pid != 0) /* only the kernel's own messages are believed */
		return false;
	text[len] = '\0';
	if (sscanf(text, "%15[a-z]@/devices/system/cpu/cpu%d", action, ret_cpu) != 2)
		return false;
	*ret_online = strcmp(action, "online") == 0;
	return *ret_online || strcmp(action, "offline") == 0;
}
