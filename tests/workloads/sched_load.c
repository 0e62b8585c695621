/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that wait for the CPU in every way there is. All of them sleep on a barrier before and
 * after their work, so that the kernel's own account of them can be read while it stands still.
 * Says "thread TID ROLE" for each and "ready"; works after a line on standard input; says what it
 * knows of its waits and "done"; ends after another line or at the end of the input.
 * sched_load MODE [SECONDS [CPU]]
 */
#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "workload.h"

#define THREADS_MAX   8
#define LOG_MAX       4096
#define YIELDS        500000 /* of each of two threads */
#define STORM_ROUNDS  6
#define STORM_CNT     48
#define NAMED_CNT     20000
#define NAMED_AT_ONCE 50
#define CYCLE_S       0.030 /* a burst of real-time work begins in each */
#define BURST_S       0.010
#define VICTIM_S      0.002 /* into the burst */
#define RT_PRIORITY   50

struct span {
	double from_s, to_s;
};

struct log {
	struct span spans[LOG_MAX];
	size_t cnt;
};

struct load;

struct load_thread {
	struct load *load;
	const struct role *role;
	pthread_t thread;
	pid_t tid;
	int cpu;
	struct log log;       /* victims: from when they wanted the CPU to when they had it */
	unsigned long yields; /* done */
};

struct role {
	const char *name;
	void (*work)(struct load_thread *t);
	int cpu; /* which of load.cpus */
	int policy;
};

struct storm_thread {
	struct load *load;
	pthread_t thread;
	pthread_barrier_t *worked;
	sem_t turn;
	pid_t tid;
	unsigned long long run_delay_ns;
};

struct mode {
	const char *name;
	struct role roles[THREADS_MAX];
	void (*conduct)(struct load *l); /* by the main thread, meanwhile */
};

struct load {
	const struct mode *mode;
	pthread_barrier_t known, start, done, end;
	double seconds, start_s, end_s;
	int cpus[2]; /* the last one, which takes the load, and the first */
	struct load_thread threads[THREADS_MAX];
	size_t cnt;
	struct log bursts; /* of real-time work on cpus[0] */
	pthread_mutex_t boosting;
	sem_t held;
	atomic_bool is_over;
	const char *failed; /* what a thread was not allowed to do */
};

static void add_span(struct log *log, double from_s, double to_s)
{
	if (log->cnt < LOG_MAX)
		log->spans[log->cnt++] = (struct span){ from_s, to_s };
}

static void pin(pid_t tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(tid, sizeof(set), &set);
}

static void sleep_until(double when_s)
{
	struct timespec ts = { .tv_sec = (time_t)when_s };

	ts.tv_nsec = (long)((when_s - (double)ts.tv_sec) * 1e9);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static void burn_until(double when_s)
{
	uint64_t x = 1;

	while (now_s() < when_s)
		x = chew(x, 1);
	__asm__ volatile("" : : "r"(x));
}

/* The first beginning of a cycle after now. */
static double next_cycle(const struct load *l)
{
	double gone_s = now_s() - l->start_s;

	return l->start_s + ((double)(long)(gone_s / CYCLE_S) + 1) * CYCLE_S;
}

/* --- roles ---------------------------------------------------------------------------------- */

static void spin(struct load_thread *t)
{
	burn_until(t->load->end_s);
}

static void wake_often(struct load_thread *t)
{
	/* Nothing that a line, a label or a list of words could hold as it is. */
	prctl(PR_SET_NAME, "w =\"\\\n\033}{,\xff");
	while (now_s() < t->load->end_s) {
		sleep_until(now_s() + 0.001);
		burn_until(now_s() + 0.00002);
	}
}

static void yield(struct load_thread *t)
{
	for (t->yields = 0; t->yields < YIELDS; t->yields++)
		sched_yield();
}

/* Has the CPU for the first part of every cycle. */
static void hog(struct load_thread *t)
{
	struct load *l = t->load;

	while (next_cycle(l) + CYCLE_S < l->end_s) {
		double from_s;

		sleep_until(next_cycle(l));
		from_s = now_s();
		burn_until(from_s + BURST_S);
		add_span(&l->bursts, from_s, now_s());
	}
}

/* Wants the CPU while a burst lasts. */
static void wake_in_burst(struct load_thread *t)
{
	struct load *l = t->load;

	prctl(PR_SET_TIMERSLACK, 1UL);
	while (next_cycle(l) + CYCLE_S < l->end_s) {
		double due_s = next_cycle(l) + VICTIM_S;

		sleep_until(due_s);
		add_span(&t->log, due_s, now_s());
		burn_until(now_s() + 0.0001);
	}
}

/* Works with a mutex held that a real-time thread waits for. */
static void hold(struct load_thread *t)
{
	struct load *l = t->load;

	while (next_cycle(l) + CYCLE_S < l->end_s) {
		sleep_until(next_cycle(l));
		pthread_mutex_lock(&l->boosting);
		sem_post(&l->held);
		burn_until(now_s() + BURST_S);
		if (l->bursts.cnt)
			l->bursts.spans[l->bursts.cnt - 1].to_s = now_s();
		pthread_mutex_unlock(&l->boosting);
	}
	l->is_over = true;
	sem_post(&l->held);
}

static void boost(struct load_thread *t)
{
	struct load *l = t->load;

	for (;;) {
		sem_wait(&l->held);
		if (l->is_over)
			return;
		add_span(&l->bursts, now_s(), now_s());
		pthread_mutex_lock(&l->boosting);
		pthread_mutex_unlock(&l->boosting);
	}
}

/* Of glibc there is no wrapper before 2.41. */
struct deadline_attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/* A deadline task gives the rest of its budget up by sched_yield(). */
static void meet_deadlines(struct load_thread *t)
{
	struct deadline_attr attr = { .size = sizeof(attr),
				      .policy = SCHED_DEADLINE,
				      .runtime = 8000000,
				      .deadline = 20000000,
				      .period = 20000000 };

	if (syscall(SYS_sched_setattr, 0, &attr, 0)) {
		t->load->failed = "SCHED_DEADLINE";
		return;
	}
	for (int i = 0; now_s() < t->load->end_s; i++) {
		burn_until(now_s() + 0.004);
		if (i % 2)
			sched_yield();
		else
			sleep_until(now_s() + 0.005);
	}
}

static void move_itself(struct load_thread *t)
{
	struct load *l = t->load;

	for (unsigned int i = 0; now_s() < l->end_s; i++) {
		pin(0, l->cpus[i % 2]);
		burn_until(now_s() + 0.001);
	}
}

static void nap(struct load_thread *t)
{
	while (now_s() < t->load->end_s) {
		struct timespec ts = { .tv_nsec = 20000 };

		clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
	}
}

static void interrupt_naps(struct load_thread *t)
{
	struct load *l = t->load;

	while (now_s() < l->end_s)
		for (size_t i = 0; i < l->cnt; i++)
			if (l->threads[i].role->work == nap)
				pthread_kill(l->threads[i].thread, SIGUSR1);
}

/* --- what the main thread does meanwhile ---------------------------------------------------- */

static void move_others(struct load *l)
{
	unsigned int turn = 0;

	while (now_s() < l->end_s) {
		for (size_t i = 0; i < l->cnt; i++)
			if (!strcmp(l->threads[i].role->name, "moved"))
				pin(l->threads[i].tid, l->cpus[(turn + i) % 2]);
		turn++;
		sleep_until(now_s() + 0.0007);
	}
}

static unsigned long long own_run_delay(void)
{
	FILE *f = fopen("/proc/thread-self/schedstat", "re");
	unsigned long long run, delay = 0;

	if (!f || fscanf(f, "%llu %llu", &run, &delay) != 2)
		abort();
	fclose(f);
	return delay;
}

/* Works at the same time as the others of its round, ends when it is its turn: alone, so that it
 * waits no more after it has read its account. */
static void *storm_main(void *arg)
{
	struct storm_thread *t = arg;
	uint64_t x = 1;

	pin(0, t->load->cpus[0]);
	t->tid = gettid();
	x = chew(x, 20);
	__asm__ volatile("" : : "r"(x));
	pthread_barrier_wait(t->worked);
	sem_wait(&t->turn);
	t->run_delay_ns = own_run_delay();
	return NULL;
}

static void storm_round(struct load *l)
{
	struct storm_thread threads[STORM_CNT] = { 0 };
	pthread_barrier_t worked;

	pthread_barrier_init(&worked, NULL, STORM_CNT + 1);
	for (int i = 0; i < STORM_CNT; i++) {
		threads[i].load = l;
		threads[i].worked = &worked;
		sem_init(&threads[i].turn, 0, 0);
		if (pthread_create(&threads[i].thread, NULL, storm_main, &threads[i]))
			abort();
	}
	pthread_barrier_wait(&worked);
	for (int i = 0; i < STORM_CNT; i++) {
		sem_post(&threads[i].turn);
		pthread_join(threads[i].thread, NULL);
		usleep(300); /* it is known to have ended before it is off its CPU */
		printf("ended %d %llu\n", threads[i].tid, threads[i].run_delay_ns);
	}
	pthread_barrier_destroy(&worked);
}

static void storm(struct load *l)
{
	pin(0, l->cpus[1]); /* joins without taking the CPU of who ends */
	for (int i = 0; i < STORM_ROUNDS; i++)
		storm_round(l);
}

static void *named_main(void *arg)
{
	char name[16];

	snprintf(name, sizeof(name), "name%d", (int)(intptr_t)arg);
	prctl(PR_SET_NAME, name);
	usleep(1); /* and wait once under it */
	return NULL;
}

/* More threads, and more names, than anybody wants to see. */
static void name_many(struct load *l)
{
	pthread_t threads[NAMED_AT_ONCE];
	int started = 0, i;

	(void)l;
	while (started < NAMED_CNT) {
		for (i = 0; i < NAMED_AT_ONCE; i++, started++)
			if (pthread_create(&threads[i], NULL, named_main,
					   (void *)(intptr_t)started))
				abort();
		for (i = 0; i < NAMED_AT_ONCE; i++)
			pthread_join(threads[i], NULL);
	}
}

static const struct mode modes[] = {
	{ "spin2", { { "spin", spin, 0, 0 }, { "spin", spin, 0, 0 } }, NULL },
	{ "waker",
	  { { "spin", spin, 0, 0 }, { "spin", spin, 0, 0 }, { "waker", wake_often, 0, 0 } },
	  NULL },
	{ "fifo",
	  { { "hog", hog, 0, SCHED_FIFO },
	    { "victim", wake_in_burst, 0, 0 },
	    { "spin", spin, 0, 0 } },
	  NULL },
	{ "pi",
	  { { "holder", hold, 0, 0 },
	    { "booster", boost, 0, SCHED_FIFO },
	    { "victim", wake_in_burst, 0, 0 } },
	  NULL },
	{ "deadline",
	  { { "deadline", meet_deadlines, -1, 0 },
	    { "waker", wake_often, 0, 0 },
	    { "spin", spin, 0, 0 },
	    { "spin", spin, 1, 0 } },
	  NULL },
	{ "throttle", { { "spin", spin, 0, 0 }, { "spin", spin, 0, 0 } }, NULL },
	{ "yield", { { "yield", yield, 0, 0 }, { "yield", yield, 0, 0 } }, NULL },
	{ "migrate",
	  { { "spin", spin, 0, 0 },
	    { "spin", spin, 1, 0 },
	    { "moved", spin, 0, 0 },
	    { "moved", spin, 0, 0 },
	    { "moves", move_itself, 0, 0 } },
	  move_others },
	{ "signals",
	  { { "nap", nap, 0, 0 }, { "spin", spin, 0, 0 }, { "signals", interrupt_naps, 1, 0 } },
	  NULL },
	{ "storm", { { NULL } }, storm },
	{ "names", { { NULL } }, name_many },
};

/* --- the frame ------------------------------------------------------------------------------ */

static void ignore(int number)
{
	(void)number;
}

static void take_policy(struct load_thread *t)
{
	struct sched_param param = { .sched_priority = RT_PRIORITY };

	if (t->role->policy && sched_setscheduler(0, t->role->policy, &param))
		t->load->failed = "SCHED_FIFO";
}

static void *thread_main(void *arg)
{
	struct load_thread *t = arg;
	struct load *l = t->load;

	t->tid = gettid();
	if (t->role->cpu >= 0)
		pin(0, l->cpus[t->role->cpu]);
	take_policy(t);
	pthread_barrier_wait(&l->known);
	pthread_barrier_wait(&l->start);
	t->role->work(t);
	pthread_barrier_wait(&l->done);
	pthread_barrier_wait(&l->end);
	return NULL;
}

static double overlap_s(const struct log *a, const struct log *b)
{
	double sum_s = 0;

	for (size_t i = 0; i < a->cnt; i++) {
		for (size_t k = 0; k < b->cnt; k++) {
			const struct span *x = &a->spans[i], *y = &b->spans[k];
			double from_s = x->from_s > y->from_s ? x->from_s : y->from_s;
			double to_s = x->to_s < y->to_s ? x->to_s : y->to_s;

			sum_s += to_s > from_s ? to_s - from_s : 0;
		}
	}
	return sum_s;
}

/* What a victim waited for while real-time work had its CPU. */
static void tell(const struct load *l)
{
	unsigned long yields = 0;

	for (size_t i = 0; i < l->cnt; i++) {
		const struct load_thread *t = &l->threads[i];

		if (t->role->work == wake_in_burst)
			printf("delayed %d %.0f %zu\n", t->tid,
			       overlap_s(&t->log, &l->bursts) * 1e9, t->log.cnt);
		yields += t->yields;
	}
	if (yields)
		printf("yields %lu\n", yields);
}

static bool wait_for_line(void)
{
	char line[16];

	return fgets(line, sizeof(line), stdin) != NULL;
}

static void init(struct load *l, int argc, char **argv)
{
	pthread_mutexattr_t attr;
	cpu_set_t set;

	l->seconds = argc > 2 ? atof(argv[2]) : 1;
	sched_getaffinity(0, sizeof(set), &set);
	for (int cpu = 0, cnt = 0; cnt < CPU_COUNT(&set); cpu++) {
		if (!CPU_ISSET(cpu, &set))
			continue;
		l->cpus[0] = cpu;
		if (!cnt++)
			l->cpus[1] = cpu;
	}
	if (argc > 3)
		l->cpus[0] = atoi(argv[3]);
	while (l->cnt < THREADS_MAX && l->mode->roles[l->cnt].name)
		l->cnt++;
	for (size_t i = 0; i < 4; i++)
		pthread_barrier_init(
			(pthread_barrier_t *[]){ &l->known, &l->start, &l->done, &l->end }[i], NULL,
			(unsigned int)l->cnt + 1);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&l->boosting, &attr);
	sem_init(&l->held, 0, 0);
	signal(SIGUSR1, ignore);
}

static void start_threads(struct load *l)
{
	for (size_t i = 0; i < l->cnt; i++) {
		struct load_thread *t = &l->threads[i];

		t->load = l;
		t->role = &l->mode->roles[i];
		if (pthread_create(&t->thread, NULL, thread_main, t))
			abort();
	}
	pthread_barrier_wait(&l->known);
	printf("thread %d main\n", gettid());
	for (size_t i = 0; i < l->cnt; i++)
		printf("thread %d %s\n", l->threads[i].tid, l->threads[i].role->name);
}

int main(int argc, char **argv)
{
	static struct load load;
	struct load *l = &load;

	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(modes[i].name, argv[1]))
			l->mode = &modes[i];
	if (!l->mode)
		return 2;
	init(l, argc, argv);
	start_threads(l);
	if (l->failed)
		printf("refused %s\n", l->failed);
	say_ready();
	if (!wait_for_line())
		return 1;
	l->start_s = now_s();
	l->end_s = l->start_s + l->seconds;
	pthread_barrier_wait(&l->start);
	if (l->mode->conduct)
		l->mode->conduct(l);
	pthread_barrier_wait(&l->done);
	tell(l);
	if (l->failed)
		printf("refused %s\n", l->failed);
	puts("done");
	fflush(stdout);
	wait_for_line();
	pthread_barrier_wait(&l->end);
	for (size_t i = 0; i < l->cnt; i++)
		pthread_join(l->threads[i].thread, NULL);
	return 0;
}
