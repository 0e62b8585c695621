/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attaches the programs of sched_probe.bpf.c and says "ready"; ends at the end of its input.
 *
 *	sched_probe empty     an empty program on every switch
 *	sched_probe runqlat   runqlat's shape; ends with "waits N"
 *	sched_probe ended     prints "ended TID TGID START_NS RUN_DELAY_NS PCOUNT COMM" of every
 *	                      thread that ends (bytes of COMM beyond [A-Za-z0-9._-] as '_')
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "sched_probe.h"
#include "tests/bench/sched_probe.skel.h"

#define POLL_MS 20

static int print_ended(void *ctx, void *data, size_t size)
{
	const struct probe_ended *e = data;
	char comm[sizeof(e->comm) + 1] = { 0 };

	if (size < sizeof(*e))
		return 0;
	memcpy(comm, e->comm, sizeof(e->comm));
	for (char *c = comm; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			*c = '_';
	printf("ended %u %u %llu %llu %llu %s\n", e->tid, e->tgid, e->start_ns, e->run_delay_ns,
	       e->pcount, comm);
	return 0;
}

static void print_waits(struct sched_probe *skel)
{
	unsigned long long waits = 0;
	struct probe_histogram h;
	__u32 key = PROBE_ALL;

	if (bpf_map_lookup_elem(bpf_map__fd(skel->maps.probe_histograms), &key, &h) == 0)
		for (int i = 0; i < PROBE_SLOTS; i++)
			waits += h.slots[i];
	printf("waits %llu\n", waits);
}

static int wait_for_end(struct ring_buffer *ring)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	char byte;

	for (;;) {
		if (poll(&in, 1, ring ? POLL_MS : -1) < 0 && errno != EINTR)
			return -errno;
		if (ring) {
			ring_buffer__consume(ring);
			fflush(stdout);
		}
		if (in.revents && read(STDIN_FILENO, &byte, 1) <= 0)
			return 0;
	}
}

/* Programs whose name begins so are loaded, and no others. */
static struct sched_probe *attach(const char *prefix)
{
	struct sched_probe *skel = sched_probe__open();
	struct bpf_program *prog;
	int err = -ENOENT;

	if (!skel)
		return NULL;
	bpf_object__for_each_program(prog, skel->obj)
	{
		if (strncmp(bpf_program__name(prog), prefix, strlen(prefix)))
			continue;
		bpf_program__set_autoload(prog, true);
		err = 0;
	}
	err = err ?: sched_probe__load(skel);
	err = err ?: sched_probe__attach(skel);
	if (!err)
		return skel;
	fprintf(stderr, "sched_probe: %s: %s\n", prefix, strerror(-err));
	sched_probe__destroy(skel);
	return NULL;
}

static int observe(const char *what)
{
	const char *prefix = strcmp(what, "ended") ? what : "last_switch";
	struct sched_probe *skel = attach(prefix);
	struct ring_buffer *ring = NULL;

	if (!skel)
		return 1;
	if (prefix != what) {
		int fd = bpf_map__fd(skel->maps.probe_ended);

		ring = ring_buffer__new(fd, print_ended, NULL, NULL);
		if (!ring) {
			sched_probe__destroy(skel);
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	wait_for_end(ring);
	if (!strcmp(what, "runqlat"))
		print_waits(skel);
	ring_buffer__free(ring);
	sched_probe__destroy(skel);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2 ||
	    (strcmp(argv[1], "empty") && strcmp(argv[1], "runqlat") && strcmp(argv[1], "ended"))) {
		fputs("usage: sched_probe empty|runqlat|ended\n", stderr);
		return 2;
	}
	return observe(argv[1]);
}
