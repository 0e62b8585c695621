/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded into cprofd by scripts/kernels.sh: notes how many instructions the verifier looked at
 * for each BPF program cprofd loads, as it loads it. bpf_prog_info has that only since 5.16, so it
 * is read from the verifier's statistics, which bpf(2) is asked for on the way. libbpf calls it
 * through syscall(3). Lines "PROGRAM INSNS" are appended to the file named by INSN_COUNT_FILE.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARGS_CNT      6
#define ATTR_BYTES    1024 /* newer kernels' bpf_attr is longer than these headers' */
#define LOG_BYTES     65536
#define LOG_STATS     4 /* BPF_LOG_STATS: statistics only, cheap */
#define COUNT_COMMAND BPF_PROG_LOAD

typedef long (*syscall_fn)(long number, ...);

static void note(const char *program, const char *log)
{
	const char *path = getenv("INSN_COUNT_FILE"), *found;
	unsigned long insns;
	FILE *f;

	found = strstr(log, "processed ");
	if (!path || !program[0] || !found || sscanf(found, "processed %lu insns", &insns) != 1)
		return;
	f = fopen(path, "ae");
	if (!f)
		return;
	fprintf(f, "%.*s %lu\n", BPF_OBJ_NAME_LEN, program, insns);
	fclose(f);
}

static long load_program(syscall_fn next, const union bpf_attr *asked, unsigned int size)
{
	static _Thread_local char log[LOG_BYTES];
	union {
		union bpf_attr attr;
		char raw[ATTR_BYTES];
	} copy = { 0 };
	long ret;
	int err;

	if (size > sizeof(copy))
		return next(SYS_bpf, COUNT_COMMAND, asked, size);
	memcpy(&copy, asked, size);
	if (!copy.attr.log_level) {
		copy.attr.log_level = LOG_STATS;
		copy.attr.log_size = sizeof(log);
		copy.attr.log_buf = (uint64_t)(uintptr_t)log;
		log[0] = '\0';
	}
	ret = next(SYS_bpf, COUNT_COMMAND, &copy, size);
	err = errno;
	if (ret >= 0)
		note(copy.attr.prog_name, (const char *)(uintptr_t)copy.attr.log_buf);
	errno = err;
	return ret;
}

long syscall(long number, ...)
{
	static syscall_fn next;
	long arg[ARGS_CNT];
	va_list args;
	size_t i;

	if (!next)
		next = (syscall_fn)dlsym(RTLD_NEXT, "syscall");
	va_start(args, number);
	for (i = 0; i < ARGS_CNT; i++)
		arg[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_bpf && arg[0] == COUNT_COMMAND)
		return load_program(next, (const union bpf_attr *)arg[1], (unsigned int)arg[2]);
	return next(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}
