/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Forks while threads allocate: preload_fork CHILDREN. Children free what they inherited and
 * allocate themselves, some by vfork and exec. With the ledger: a child starts with nothing.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include "preload_ledger.h"
#include "workload.h"

#define INHERITED 2000

static atomic_bool is_over;

static void *churn(void *arg)
{
	while (!is_over) {
		void *blocks[64];

		for (size_t i = 0; i < 64; i++)
			blocks[i] = malloc(i * 10);
		for (size_t i = 0; i < 64; i++)
			free(realloc(blocks[i], i * 100 + 1));
	}
	return arg;
}

static int run_child(void **inherited)
{
	struct heap_ledger_totals totals;
	const char *interval = getenv("CPROF_HEAP_INTERVAL");
	char *own = malloc(100);

	if (!own)
		return 1;
	memset(own, 1, 100);
	for (size_t i = 0; i < INHERITED; i++)
		free(i % 3 ? inherited[i] : realloc(inherited[i], 10000));
	own = realloc(own, 200);
	for (size_t i = 0; i < 100; i++) {
		if (own[i] != 1)
			return 2;
	}
	if (heap_ledger__totals && interval && !strcmp(interval, "1")) {
		heap_ledger__totals(&totals);
		/* 1, a third of the inherited, and 1; the first is freed by the last. */
		if (totals.allocs_cnt != 2 + (INHERITED + 2) / 3 || totals.unknown_frees_cnt ||
		    totals.double_allocs_cnt || totals.live_cnt != 1)
			return 3;
	}
	return 0;
}

static int exec_child(char *self)
{
	char *argv[] = { self, "0", NULL };
	pid_t pid = vfork();
	int status;

	if (!pid) {
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	int children = argc > 1 ? atoi(argv[1]) : 50, failed = 0;
	void *inherited[INHERITED];
	pthread_t threads[3];

	if (!children)
		return 0;
	for (size_t i = 0; i < INHERITED; i++)
		inherited[i] = malloc(i);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, churn, NULL);
	for (int i = 0; i < children; i++) {
		pid_t pid = fork();
		int status;

		if (!pid)
			_exit(run_child(inherited));
		if (waitpid(pid, &status, 0) != pid || status) {
			fprintf(stderr, "a child ended with %#x\n", status);
			failed++;
		}
		failed += i % 10 == 0 && exec_child(argv[0]) != 0;
	}
	is_over = true;
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	printf("%d children, %d failed\n", children, failed);
	return failed != 0;
}
