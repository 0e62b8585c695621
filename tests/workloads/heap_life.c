/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a process with a heap lives through: children of every kind, another program, other stacks,
 * too much memory. As heap_truth.h; prints its truth unless said otherwise.
 *
 * heap_life fork           a child frees what it inherited, allocates, and outlives this
 * heap_life fork_ended     the same; the child has ended when it is done
 * heap_life vfork          a child in the same memory allocates, and ends
 * heap_life spawn          posix_spawn() of true, again and again, while it allocates
 * heap_life exec           becomes "heap_life after_exec", without asking again; no truth of before
 * heap_life thread_exec    the same; a thread of it does
 * heap_life lead_ended     its first thread ends, another waits
 * heap_life coroutines     two stacks take turns
 * heap_life fill N [PER_MS]    keeps N blocks; PER_MS 0: as fast as it goes
 * heap_life grow           allocates and keeps more and more, until it is killed; no truth
 * heap_life paced PER_MS SECONDS    so many allocations a millisecond; says "bytes N" at the end
 * heap_life busy N SECONDS    N allocations, 0.1 ms of work, again and again; says "bytes N"
 * heap_life sleep          does nothing
 */
#include <pthread.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include "heap_truth.h"

#define BLOCKS      64
#define KEPT        16
#define BLOCK_BYTES 96
#define STACK_BYTES (64u << 10)
#define TURNS       200
#define PROBED_US   500000 /* who is new is probed by then */
#define GROWN_BYTES (64u << 10)
#define PER_MS      3

extern char **environ;

static ucontext_t main_context, contexts[2];

FRAME void *alloc_before(size_t bytes)
{
	return truth_allocated(__func__, bytes, malloc(bytes));
}

FRAME void *alloc_in_child(size_t bytes)
{
	return truth_allocated(__func__, bytes, malloc(bytes));
}

FRAME void *alloc_after(size_t bytes)
{
	return truth_allocated(__func__, bytes, malloc(bytes));
}

FRAME void *alloc_in_coroutine(size_t bytes)
{
	return truth_allocated(__func__, bytes, malloc(bytes));
}

FRAME void *alloc_fill(size_t bytes)
{
	return truth_allocated(__func__, bytes, malloc(bytes));
}

FRAME void *alloc_grow(size_t bytes)
{
	return memset(malloc(bytes), 1, bytes);
}

FRAME void *alloc_paced(size_t bytes)
{
	void *p = malloc(bytes);

	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}

static void allocate(void *(*alloc)(size_t), void **blocks)
{
	for (int i = 0; i < BLOCKS; i++)
		blocks[i] = alloc(BLOCK_BYTES);
}

static void drop_all_but(int kept, const char *name, void **blocks)
{
	for (int i = kept; i < BLOCKS; i++) {
		truth_freed(name, BLOCK_BYTES);
		free(blocks[i]);
	}
}

/* Long enough for the window to end meanwhile; whoever reads what is said does not wait for it. */
static void outlive_parent(void)
{
	pid_t parent = getppid();

	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	for (int i = 0; i < 600 && getppid() == parent; i++)
		usleep(100000);
	sleep(2);
}

static int run_fork(int is_to_end)
{
	void *blocks[BLOCKS], *more[BLOCKS];
	int ready[2];
	pid_t child;
	char byte;

	truth_await_go();
	allocate(alloc_before, blocks);
	if (pipe(ready))
		return 1;
	child = fork();
	if (!child) {
		drop_all_but(0, "alloc_before", blocks);
		usleep(PROBED_US);
		allocate(alloc_in_child, more);
		drop_all_but(KEPT, "alloc_in_child", more);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		if (!is_to_end)
			outlive_parent();
		_exit(0);
	}
	close(ready[1]);
	if (child < 0 || read(ready[0], &byte, 1) != 1)
		return 1;
	if (is_to_end)
		waitpid(child, NULL, 0);
	drop_all_but(KEPT, "alloc_before", blocks);
	/* The child's truth, of which only its own copy knows. */
	for (int i = 0; i < BLOCKS; i++)
		truth_find("alloc_in_child", BLOCK_BYTES)->allocated++;
	for (int i = is_to_end ? 0 : KEPT; i < BLOCKS; i++)
		truth_freed("alloc_in_child", BLOCK_BYTES);
	truth_done();
	return 0;
}

static int run_vfork(void)
{
	static void *blocks[BLOCKS], *more[BLOCKS];
	int status;
	pid_t child;

	truth_await_go();
	allocate(alloc_before, blocks);
	child = vfork();
	if (!child) {
		allocate(alloc_in_child, more);
		drop_all_but(KEPT, "alloc_in_child", more);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		return 1;
	drop_all_but(KEPT, "alloc_before", blocks);
	truth_done();
	return 0;
}

static int run_spawn(void)
{
	char *const argv[] = { "true", NULL };
	void *blocks[BLOCKS];
	int status;
	pid_t child;

	truth_await_go();
	for (int i = 0; i < 20; i++) {
		allocate(alloc_before, blocks);
		if (posix_spawn(&child, "/bin/true", NULL, NULL, argv, environ) ||
		    waitpid(child, &status, 0) != child || status)
			return 1;
		drop_all_but(KEPT, "alloc_before", blocks);
	}
	truth_done();
	return 0;
}

static void *become_another(__attribute__((unused)) void *data)
{
	execl("/proc/self/exe", "heap_life", "after_exec", NULL);
	_exit(1);
}

static int run_exec(bool in_thread)
{
	void *blocks[BLOCKS];
	pthread_t thread;

	truth_await_go();
	allocate(alloc_before, blocks);
	usleep(100000);
	if (!in_thread)
		become_another(NULL);
	if (pthread_create(&thread, NULL, become_another, NULL))
		return 1;
	pthread_join(thread, NULL);
	return 1;
}

static void *wait_for_ever(void *data)
{
	while (pause())
		;
	return data;
}

static void run_lead_ended(void)
{
	pthread_t thread;

	if (!pthread_create(&thread, NULL, wait_for_ever, NULL))
		pthread_exit(NULL);
}

static int run_after_exec(void)
{
	void *blocks[BLOCKS];

	usleep(PROBED_US);
	allocate(alloc_after, blocks);
	drop_all_but(KEPT, "alloc_after", blocks);
	truth_done();
	return 0;
}

static void coroutine_main(int self)
{
	for (int i = 0; i < TURNS; i++) {
		void *p = alloc_in_coroutine(BLOCK_BYTES);

		swapcontext(&contexts[self], &contexts[!self]);
		if (i % 4) {
			truth_freed("alloc_in_coroutine", BLOCK_BYTES);
			free(p);
		}
		swapcontext(&contexts[self], &contexts[!self]);
	}
	swapcontext(&contexts[self], self ? &main_context : &contexts[1]);
}

static int run_coroutines(void)
{
	truth_await_go();
	for (int i = 0; i < 2; i++) {
		void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (stack == MAP_FAILED || getcontext(&contexts[i]))
			return 1;
		contexts[i].uc_stack.ss_sp = stack;
		contexts[i].uc_stack.ss_size = STACK_BYTES;
		makecontext(&contexts[i], (void (*)(void))coroutine_main, 1, i);
	}
	swapcontext(&main_context, &contexts[0]);
	truth_done();
	return 0;
}

static int run_fill(int argc, char **argv)
{
	int cnt = argc > 2 ? atoi(argv[2]) : BLOCKS;

	truth.per_ms = argc > 3 ? (unsigned int)atoi(argv[3]) : PER_MS;
	truth_await_go();
	for (int i = 0; i < cnt; i++)
		alloc_fill(24);
	truth_done();
	return 0;
}

static void run_grow(void)
{
	truth_await_go();
	for (;;) {
		alloc_grow(GROWN_BYTES);
		usleep(500);
	}
}

static unsigned long long allocate_sizes(int cnt)
{
	unsigned long long bytes = 0;

	for (int i = 0; i < cnt; i++) {
		size_t size = 64 + (size_t)i % 16 * 256;

		free(alloc_paced(size));
		bytes += size;
	}
	return bytes;
}

/* As many whether it is probed or not: who is slower sleeps less. */
static int run_paced(int argc, char **argv)
{
	int per_ms = argc > 2 ? atoi(argv[2]) : 100;
	double end_s, due_s;
	unsigned long long bytes = 0;
	uint64_t x = 1;

	truth_await_go();
	due_s = now_s();
	end_s = due_s + (argc > 3 ? atof(argv[3]) : 1);
	while (due_s < end_s) {
		bytes += allocate_sizes(per_ms);
		x = chew(x, 3);
		due_s += 0.001;
		while (now_s() < due_s)
			usleep(100);
	}
	__asm__ volatile("" : : "r"(x));
	printf("bytes %llu\n", bytes);
	truth_done();
	return 0;
}

/* Who is slower allocates less. */
static int run_busy(int argc, char **argv)
{
	int cnt = argc > 2 ? atoi(argv[2]) : 100;
	unsigned long long bytes = 0;
	uint64_t x = 1;
	double end_s;

	truth_await_go();
	end_s = now_s() + (argc > 3 ? atof(argv[3]) : 1);
	while (now_s() < end_s) {
		bytes += allocate_sizes(cnt);
		x = chew(x, 1);
	}
	__asm__ volatile("" : : "r"(x));
	printf("bytes %llu\n", bytes);
	truth_done();
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	truth.per_ms = PER_MS;
	if (!strcmp(mode, "fork") || !strcmp(mode, "fork_ended"))
		return run_fork(!strcmp(mode, "fork_ended"));
	if (!strcmp(mode, "vfork"))
		return run_vfork();
	if (!strcmp(mode, "spawn"))
		return run_spawn();
	if (!strcmp(mode, "exec") || !strcmp(mode, "thread_exec"))
		return run_exec(!strcmp(mode, "thread_exec"));
	if (!strcmp(mode, "lead_ended"))
		run_lead_ended();
	if (!strcmp(mode, "after_exec"))
		return run_after_exec();
	if (!strcmp(mode, "coroutines"))
		return run_coroutines();
	if (!strcmp(mode, "fill"))
		return run_fill(argc, argv);
	if (!strcmp(mode, "grow"))
		run_grow();
	if (!strcmp(mode, "paced"))
		return run_paced(argc, argv);
	if (!strcmp(mode, "busy"))
		return run_busy(argc, argv);
	if (!strcmp(mode, "sleep")) {
		truth_await_go();
		truth_done();
		return 0;
	}
	return 2;
}
