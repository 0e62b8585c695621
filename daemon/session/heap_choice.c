/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where one process is probed: in the files it maps that have an allocator, or, where it maps one
 * that emits otel_memory, there and nowhere else; and why not, where it is not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "session/heap_environment.h"
#include "session/heap_facts.h"
#include "session/heap_targets_state.h"

#define YOUNG_TICKS 100 /* of 10 ms */

/*
 * What the process selects itself is taken from it, unless uprobes are asked for. Where uprobes of
 * the whole host are in the allocator that our own library hands on to, it would count twice.
 */
static bool uses_usdt(const struct heap_targets *t, const struct heap_target *target,
		      const struct heap_probed_file *file)
{
	const struct options *opts = t->s->opts;

	if (!file->is_usdt || opts->heap_source == HEAP_CHOICE_UPROBE ||
	    (file->is_preload && target->is_inert))
		return false;
	return opts->heap_source == HEAP_CHOICE_PRELOAD || !file->is_preload ||
	       !heap_probes__is_shared(t->links);
}

/* What can be told of the process itself; once per image. */
static void check(struct heap_targets *t, struct heap_target *target)
{
	struct heap_facts facts;

	if (target->is_checked || heap_facts__read(target->pid, &facts))
		return;
	target->is_checked = true;
	target->tracer = facts.tracer;
	target->has_lost_leader |= !facts.has_leader;
	if (facts.seccomp && !t->returns_are_safe)
		target->refusal = "it is under seccomp, which on this kernel ends a process that "
				  "returns through a probe; Linux 6.14 does not";
	if (facts.is_translated) {
		target->refusal = "it runs under valgrind, which would take a probe for a "
				  "breakpoint of the program's own";
		heap_probes__drop(t->links, target->pid); /* of its launcher */
	}
}

/*
 * A debugger writes its breakpoint where ours would come: the kernel would take each hit for ours,
 * and who takes the first one away leaves the other's behind. What is mapped is compared with the
 * file before anything of ours is in it.
 */
static bool has_breakpoint(const struct heap_target *target, const struct mapping *m,
			   const struct heap_probed_file *file)
{
	char path[64];
	_cleanup_close_ int memory_fd = -1;
	size_t i;

	snprintf(path, sizeof(path), "/proc/%d/mem", target->pid);
	memory_fd = open(path, O_RDONLY | O_CLOEXEC);
	for (i = 0; memory_fd >= 0 && i < file->file.sites_cnt; i++) {
		uint64_t offset = file->file.sites[i].offset;
		uint8_t mapped, stored;

		if (offset < m->offset || offset - m->offset >= m->end - m->start)
			continue;
		if (pread(memory_fd, &mapped, 1, (off_t)(m->start + offset - m->offset)) == 1 &&
		    pread(file->file.fd, &stored, 1, (off_t)offset) == 1 && mapped != stored)
			return true;
	}
	return false;
}

static int add_link(struct heap_targets *t, struct heap_target *target,
		    const struct heap_probed_file *file, pid_t pid, unsigned int source)
{
	int err = heap_probes__add(t->links, file, pid);

	if (err == -ENOMEM)
		return err;
	if (err) {
		target->attach_err = err;
		snprintf(target->attach_file, sizeof(target->attach_file), "%s", file->name);
		if (err != -ESRCH && err != -ESHUTDOWN)
			log_debug("heap: pid %d, '%s': %s", target->pid, file->name,
				  strerror(-err));
		return 0;
	}
	t->sources |= source;
	t->probed_cnt += !target->is_probed;
	target->is_probed = true;
	return 0;
}

/*
 * One link for all cannot tell who of them has a limit of its own: once there is one who has, no
 * return of operator new is probed any more. Its environment is known only when it is there: who
 * throws in the milliseconds between its exec and this is not helped.
 */
static int fear_if_limited(struct heap_targets *t, const struct heap_target *target,
			   const struct heap_probed_file *file)
{
	int err;

	if (file->throwing->is_feared || !heap_facts__is_limited(target->pid))
		return 0;
	log_info("heap: pid %d limits the memory of '%s': what operator new returns is counted, "
		 "but not followed",
		 target->pid, file->name);
	heap_files__fear(file->throwing);
	err = heap_probes__renew(t->links, file->throwing);
	if (err && err != -ENOMEM)
		log_debug("heap: '%s': %s, ignoring", file->name, strerror(-err));
	return err == -ENOMEM ? err : 0;
}

/*
 * A session whose program does not run in a process, since the link is another's, does not cancel
 * the return: with two processes probed, or a child of one, an operator new would be probed for it
 * that was not to be, and its exception end the process. So those have one link for all.
 */
static int add_links(struct heap_targets *t, struct heap_target *target,
		     const struct heap_probed_file *file)
{
	struct heap_costs costs;
	int err = add_link(t, target, file, target->pid, HEAP_SOURCE_UPROBE);

	if (err || !file->throwing)
		return err;
	collector__heap_costs(t->s->collector, &costs);
	if (!costs.has_session) /* no return of theirs is probed at all */
		return add_link(t, target, file->throwing, target->pid, HEAP_SOURCE_UPROBE);
	err = fear_if_limited(t, target, file);
	if (err)
		return err;
	if (t->returns_are_safe)
		return add_link(t, target, file->throwing, 0, HEAP_SOURCE_UPROBE);
	log_info("heap: operator new of '%s' is not probed: this kernel ends processes under "
		 "seccomp that return through a probe; Linux 6.14 does not",
		 file->name);
	return 0;
}

/* 'm' is NULL where the file is not mapped yet. */
static int probe_file(struct heap_targets *t, struct heap_target *target, const struct mapping *m,
		      const struct heap_probed_file *file)
{
	if (!file)
		return 0;
	if (file->refusal == HEAP_REFUSAL_32BIT)
		target->refusal = "it is a 32-bit program";
	if (!file->file.sites_cnt)
		return 0;
	if (uses_usdt(t, target, file)) {
		if (!target->has_usdt)
			heap_probes__drop(t->links, target->pid);
		target->has_usdt = true;
		return add_link(t, target, file, 0, HEAP_SOURCE_PRELOAD);
	}
	if (file->is_usdt || target->has_usdt || t->s->opts->heap_source == HEAP_CHOICE_PRELOAD)
		return 0;
	check(t, target);
	if (m && target->tracer && !heap_probes__has(t->links, file, target->pid) &&
	    (has_breakpoint(target, m, file) ||
	     (file->throwing && has_breakpoint(target, m, file->throwing))))
		target->refusal = "whoever debugs it has a breakpoint where it would be probed";
	/* A link is for the memory of the leader: of one that has ended there is none. */
	if (target->has_lost_leader && !heap_probes__is_shared(t->links) &&
	    !heap_probes__has(t->links, file, target->pid))
		target->refusal = "its first thread has ended, by which the kernel knows whose "
				  "memory to probe";
	if (target->refusal)
		return 0;
	if (target->tracer && !target->is_probed)
		log_info("heap: pid %d is traced by pid %d, who must not set a breakpoint on an "
			 "instruction that is probed",
			 target->pid, target->tracer);
	return add_links(t, target, file);
}

static int file_of(struct heap_targets *t, struct process *p, const struct mapping *m,
		   struct heap_probed_file **ret)
{
	int err = heap_files__of_mapping(t->files, p, m, ret);

	if (err && err != -ENOMEM) {
		log_debug("heap: '%s': %s, ignoring", m->module->path, strerror(-err));
		return 0;
	}
	return err;
}

/* Go's own code has no malloc, and what it calls in C is a small part of what it allocates. */
static void check_executable(struct heap_targets *t, struct heap_target *target, struct process *p,
			     const struct mapping *m, const struct heap_probed_file *file)
{
	if (file && file->is_go && m->module == process__executable(t->s->processes, p))
		target->refusal = "it is a Go program, whose stacks move: a return probe would "
				  "corrupt them; Go's own heap profile is at /debug/pprof/heap";
}

/* A program's own malloc is found before our library's, which then nobody calls. */
static bool makes_inert(struct heap_targets *t, struct process *p, const struct mapping *m,
			const struct heap_probed_file *file)
{
	return file && (file->is_inerting ||
			(file->has_malloc && m->module == process__executable(t->s->processes, p)));
}

int heap_choice__mapping(struct heap_targets *t, struct heap_target *target, struct process *p,
			 const struct mapping *m)
{
	struct heap_probed_file *file;
	int err = file_of(t, p, m, &file);

	if (err)
		return err;
	check_executable(t, target, p, m, file);
	if (target->is_inert || !makes_inert(t, p, m, file))
		return probe_file(t, target, m, file);
	/* What was left to our library, whose turn came before. */
	target->has_usdt = false;
	return heap_choice__process(t, target, p);
}

int heap_choice__process(struct heap_targets *t, struct heap_target *target, struct process *p)
{
	const struct mapping *mappings;
	size_t cnt = process__mappings(t->s->processes, p, &mappings), i;
	struct heap_probed_file *file;
	int err;

	/* Whether it selects itself must be known before anything else is probed. */
	for (i = 0; i < cnt; i++) {
		err = file_of(t, p, &mappings[i], &file);
		if (err)
			return err;
		target->is_inert |= makes_inert(t, p, &mappings[i], file);
		check_executable(t, target, p, &mappings[i], file);
	}
	for (i = 0; i < cnt; i++) {
		err = file_of(t, p, &mappings[i], &file);
		if (err)
			return err;
		target->has_usdt |= file && uses_usdt(t, target, file);
	}
	for (i = 0; i < cnt; i++) {
		err = file_of(t, p, &mappings[i], &file);
		if (!err)
			err = probe_file(t, target, &mappings[i], file);
		if (err)
			return err;
	}
	return 0;
}

static int probe_open(struct heap_targets *t, struct heap_target *target, int fd, const char *path)
{
	struct heap_probed_file *file = NULL;
	int err = fd < 0 ? 0 : heap_files__of_fd(t->files, fd, path, &file);

	if (err && err != -ENOMEM) {
		log_debug("heap: '%s': %s, ignoring", path, strerror(-err));
		err = 0;
	}
	if (file && file->is_static && !file->file.sites_cnt && !file->is_go)
		log_warn("heap: '%s' is statically linked%s: its own allocations cannot be probed",
			 path, file->is_stripped ? " and stripped" : " without a known allocator");
	return err ?: probe_file(t, target, NULL, file);
}

int heap_choice__command(struct heap_targets *t, struct heap_target *target, struct process *p)
{
	const struct options *opts = t->s->opts;
	_cleanup_free_ char *library = NULL;
	_cleanup_close_ int fd = -1;
	const char *reason;
	int err;

	err = heap_environment__decide(opts, t->s->worker, &library, &reason);
	if (!err && library) {
		fd = open(library, O_RDONLY | O_CLOEXEC);
		err = probe_open(t, target, fd, library);
	} else if (!err) {
		fd = heap_environment__program(opts->command[0], HEAP_INTERPRETERS_MAX);
		err = probe_open(t, target, fd, opts->command[0]);
		/* It is a copy of us still: the libc we have is the one it will most likely map. */
		if (!err && p)
			err = heap_choice__process(t, target, p);
	}
	t->probed_cnt = 0;
	heap_choice__forget_image(target);
	return err == -ENOMEM ? err : 0;
}

void heap_choice__forget_image(struct heap_target *target)
{
	target->has_usdt = target->is_inert = target->is_probed = target->is_checked =
		target->has_said = false;
	target->refusal = NULL;
	target->attach_err = 0;
}

/* The file of the executable, if it has been looked at. */
static struct heap_probed_file *executable_of(struct heap_targets *t, struct process *p)
{
	const struct module *executable = process__executable(t->s->processes, p);
	struct heap_probed_file *file = NULL;
	const struct mapping *mappings;
	size_t cnt = process__mappings(t->s->processes, p, &mappings), i;

	for (i = 0; i < cnt && !file; i++)
		if (mappings[i].module == executable)
			file_of(t, p, &mappings[i], &file);
	return file;
}

bool heap_choice__is_loading(struct heap_targets *t, const struct heap_target *target,
			     struct process *p)
{
	uint64_t now_ticks = clock__now_ns(CLOCK_BOOTTIME) / NSEC_PER_USER_TICK;
	const struct heap_probed_file *executable = executable_of(t, p);
	const struct module *last = NULL;
	const struct mapping *mappings;
	size_t cnt = process__mappings(t->s->processes, p, &mappings), files = 0, i;

	if (target->start_ticks && target->start_ticks + YOUNG_TICKS < now_ticks)
		return false;
	if (target->refusal || (executable && executable->is_static))
		return false;
	for (i = 0; i < cnt; i++) {
		files += mappings[i].module->kind == MODULE_FILE && mappings[i].module != last;
		last = mappings[i].module;
	}
	return files <= 2;
}

void heap_choice__reason(struct heap_targets *t, const struct heap_target *target,
			 struct process *p, char *ret, size_t size)
{
	const struct heap_probed_file *file = p ? executable_of(t, p) : NULL;
	const struct mapping *mappings;
	size_t cnt = p ? process__mappings(t->s->processes, p, &mappings) : 0;

	if (target->refusal)
		snprintf(ret, size, "%s", target->refusal);
	else if (target->attach_err == -ESHUTDOWN)
		snprintf(ret, size, "the window was over before");
	else if (target->attach_err)
		snprintf(ret, size, "'%s': %s", target->attach_file, strerror(-target->attach_err));
	else if (procfs__is_kernel_thread(target->pid))
		snprintf(ret, size, "it is a kernel thread");
	else if (!cnt)
		snprintf(ret, size, "it ended too soon, or what it maps cannot be read");
	else if (t->s->opts->heap_source == HEAP_CHOICE_PRELOAD && target->is_inert)
		snprintf(ret, size,
			 HEAP_LIBRARY " does nothing beside a sanitizer, musl or a malloc of the "
				      "program: use --heap-source uprobe");
	else if (t->s->opts->heap_source == HEAP_CHOICE_PRELOAD)
		snprintf(ret, size,
			 "it does not have " HEAP_LIBRARY
			 ": start it with LD_PRELOAD, or use --heap-source uprobe");
	else if (file && file->is_static && file->is_stripped)
		snprintf(ret, size,
			 "'%s' is statically linked and stripped: nothing tells where it allocates",
			 file->name);
	else
		snprintf(ret, size, "no file it maps has an allocator that is known%s%s%s",
			 file ? ", '" : "", file ? file->name : "",
			 file ? "' does not either" : "");
}
