/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_host.h. What is known of the host is known by weak references, which the dynamic linker
 * has resolved before anybody can call us: NULL where there is no such thing. Only valgrind leaves
 * none, but for what it has the program preload.
 */
#include "preload/heap_host.h"
#include <gnu/libc-version.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include "preload/heap_real.h"

#define WEAK __attribute__((weak))

typedef int visit_fn(struct dl_phdr_info *info, size_t size, void *data);
typedef int iterate_fn(visit_fn *visit, void *data);

extern __typeof__(gnu_get_libc_version) gnu_get_libc_version WEAK;
extern int __register_atfork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void),
			     void *dso) WEAK;
extern void __asan_init(void) WEAK;
extern void __hwasan_init(void) WEAK;
extern void __lsan_init(void) WEAK;
extern void __msan_init(void) WEAK;
extern void __tsan_init(void) WEAK;

extern HEAP_HIDDEN void *__dso_handle;
__attribute__((visibility("default"))) iterate_fn dl_iterate_phdr;

static struct {
	iterate_fn *iterate; /* the next one; NULL: not looked up yet */
	bool is_started;
} host;

static bool is_under_valgrind(void)
{
	const char *preloaded = getenv("LD_PRELOAD");

	return preloaded && strstr(preloaded, "/vgpreload_core-");
}

bool heap_host__wants_inert(void)
{
	return !gnu_get_libc_version || __asan_init || __hwasan_init || __lsan_init ||
	       __msan_init || __tsan_init || is_under_valgrind();
}

void heap_host__at_fork(void (*in_child)(void))
{
	if (__register_atfork)
		__register_atfork(NULL, NULL, in_child, __dso_handle);
}

static iterate_fn *find_iterate(void)
{
	/* Two threads that come here at once write the same. */
	if (!host.iterate)
		host.iterate = (iterate_fn *)heap_real__next("dl_iterate_phdr");
	return host.iterate;
}

void heap_host__start(void)
{
	find_iterate();
	host.is_started = true;
}

struct visit {
	visit_fn *visit;
	void *data;
};

static bool is_ours(const struct dl_phdr_info *info)
{
	uintptr_t here = (uintptr_t)&host - info->dlpi_addr;

	for (unsigned int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && here >= p->p_vaddr && here - p->p_vaddr < p->p_memsz)
			return true;
	}
	return false;
}

static int visit_others(struct dl_phdr_info *info, size_t size, void *data)
{
	const struct visit *v = data;

	return is_ours(info) ? 0 : v->visit(info, size, v->data);
}

/*
 * AddressSanitizer ends the program where a library comes before its own: one with a malloc of its
 * own would take its place. Ours does not, and is not there for it when it looks: at its start,
 * which is before ours.
 */
int dl_iterate_phdr(visit_fn *visit, void *data)
{
	struct visit others = { .visit = visit, .data = data };
	iterate_fn *iterate = find_iterate();

	if (!iterate)
		return 0;
	if (__asan_init && !host.is_started)
		return iterate(visit_others, &others);
	return iterate(visit, data);
}
