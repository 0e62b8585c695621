/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Built by tests with sanitizers: does what a library in front of an allocator could disturb, and
 * something that is reported. What it prints is always the same.
 *
 * sanitized ok|leak|bad WAIT_MS   waits first, so that whoever wants to can probe it
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

static volatile int most = 0x7fffffff;

__attribute__((noinline)) static char *allocate(size_t bytes)
{
	char *volatile p = (char *)malloc(bytes);

	memset(p, 1, bytes);
	return p;
}

static void work(void)
{
	std::map<int, std::string> strings;
	std::vector<int> numbers;
	void *aligned = nullptr;

	for (int i = 0; i < 2000; i++) {
		char *volatile p = (char *)calloc(1, (size_t)i + 1);

		p = (char *)realloc(p, 2 * (size_t)i + 1);
		free(p);
		numbers.push_back(i);
		strings[i % 100] = std::string((size_t)i % 300, 'a');
	}
	if (posix_memalign(&aligned, 256, 1000))
		abort();
	free(aligned);
	delete[] new long[100];
}

static int run_child(void)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		work();
		_exit(3);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

/* On a stack that is gone when leaks are looked for. */
static void leak(void)
{
	for (size_t i = 0; i < 10; i++)
		allocate(1000 + i);
}

static void do_bad(void)
{
	char *volatile p = allocate(40);

	most = most + 1;
	free(p);
	*(volatile char *)p;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "ok";

	usleep((useconds_t)(argc > 2 ? atoi(argv[2]) : 0) * 1000);
	work();
	std::thread(work).join();
	printf("child %d\n", run_child());
	try {
		throw std::runtime_error("thrown");
	} catch (const std::exception &e) {
		printf("caught %s\n", e.what());
	}
	if (void *library = dlopen("libm.so.6", RTLD_NOW))
		dlclose(library);
	if (!strcmp(mode, "leak"))
		std::thread(leak).join();
	if (!strcmp(mode, "bad"))
		do_bad();
	printf("end\n");
	return 0;
}
