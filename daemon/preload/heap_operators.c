/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * C++'s operators, for allocators that bring their own (jemalloc, tcmalloc, mimalloc). Those of
 * libstdc++ and libc++ call malloc and free by name and so come by heap_preload.c, and so may those
 * of an allocator. Hence three cases, told apart operator by operator:
 *
 * - the next definition lies beside malloc and does not call it by name: counted here;
 * - it lies elsewhere, or calls malloc by name: passed on, not counted;
 * - there is none after us, as in a C program that loads a C++ module for itself alone: malloc and
 *   free by name, which is what the module's own would have done.
 *
 * All arguments are integers or pointers, at most three: every operator is handled as if it had
 * three, the registers of those it does not have are passed on as they are.
 */
#include "preload/heap_operators.h"
#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include "preload/heap_real.h"
#include "preload/heap_tracker.h"

#define EXPORTED __attribute__((visibility("default")))

#define TRIAL_BYTES     37
#define TRIAL_ALIGNMENT 64

typedef void *new_fn(size_t size, uintptr_t second, uintptr_t third);
typedef void delete_fn(void *ptr, uintptr_t second, uintptr_t third);

/*
 * Itanium C++ ABI: _Znw new, _Zna new[], _Zdl delete, _Zda delete[]; m size_t, St11align_val_t the
 * alignment, RKSt9nothrow_t the tag of those that do not throw. X(name, has an alignment, has the
 * tag, what takes back a block of it).
 */
#define FOR_EACH_NEW(X)                                                                            \
	X(_Znwm, 0, 0, _ZdlPv)                                                                     \
	X(_Znam, 0, 0, _ZdaPv)                                                                     \
	X(_ZnwmRKSt9nothrow_t, 0, 1, _ZdlPv)                                                       \
	X(_ZnamRKSt9nothrow_t, 0, 1, _ZdaPv)                                                       \
	X(_ZnwmSt11align_val_t, 1, 0, _ZdlPvSt11align_val_t)                                       \
	X(_ZnamSt11align_val_t, 1, 0, _ZdaPvSt11align_val_t)                                       \
	X(_ZnwmSt11align_val_tRKSt9nothrow_t, 1, 1, _ZdlPvSt11align_val_t)                         \
	X(_ZnamSt11align_val_tRKSt9nothrow_t, 1, 1, _ZdaPvSt11align_val_t)

#define FOR_EACH_DELETE(X)                                                                         \
	X(_ZdlPv)                                                                                  \
	X(_ZdaPv)                                                                                  \
	X(_ZdlPvm)                                                                                 \
	X(_ZdaPvm)                                                                                 \
	X(_ZdlPvRKSt9nothrow_t)                                                                    \
	X(_ZdaPvRKSt9nothrow_t)                                                                    \
	X(_ZdlPvSt11align_val_t)                                                                   \
	X(_ZdaPvSt11align_val_t)                                                                   \
	X(_ZdlPvmSt11align_val_t)                                                                  \
	X(_ZdaPvmSt11align_val_t)                                                                  \
	X(_ZdlPvSt11align_val_tRKSt9nothrow_t)                                                     \
	X(_ZdaPvSt11align_val_tRKSt9nothrow_t)

#define AS_DELETE_IDX(name) IDX##name,
enum delete_idx { FOR_EACH_DELETE(AS_DELETE_IDX) DELETES };

#define AS_NEW_IDX(name, is_aligned, is_nothrow, delete) IDX##name,
enum new_idx { FOR_EACH_NEW(AS_NEW_IDX) NEWS };

/* first: looks the operators up and starts again; without: where there is none after us. */
#define DECLARE_DELETE(name)                                                                       \
	EXPORTED delete_fn name;                                                                   \
	static delete_fn first##name;
FOR_EACH_DELETE(DECLARE_DELETE)

#define DECLARE_NEW(name, is_aligned, is_nothrow, delete)                                          \
	EXPORTED new_fn name;                                                                      \
	static new_fn first##name, without##name;
FOR_EACH_NEW(DECLARE_NEW)

struct new_form {
	const char *name;
	new_fn *exported, *without;
	enum delete_idx delete_idx;
	bool is_aligned, is_nothrow;
};

#define AS_NEW_FORM(name, is_aligned, is_nothrow, delete)                                          \
	{ #name, name, without##name, IDX##delete, is_aligned, is_nothrow },
static const struct new_form new_forms[NEWS] = { FOR_EACH_NEW(AS_NEW_FORM) };

#define AS_DELETE_NAME(name) #name,
static const char *const delete_names[DELETES] = { FOR_EACH_DELETE(AS_DELETE_NAME) };

#define AS_NEW(name, is_aligned, is_nothrow, delete) { .call = first##name },
static struct {
	new_fn *call;
	uint64_t mask; /* of the bytes that are charged: all or none */
} news[NEWS] = { FOR_EACH_NEW(AS_NEW) };

#define AS_DELETE(name) { .call = first##name },
static struct {
	delete_fn *call;
	bool is_counted;
} deletes[DELETES] = { FOR_EACH_DELETE(AS_DELETE) };

/* musl has none. */
extern __typeof__(dladdr1) dladdr1 __attribute__((weak));

/* The operator that the module of the caller would have called, for when there is no memory: only
 * the C++ runtime knows the new handler and how to throw. */
static new_fn *own_operator(const struct new_form *form, const void *caller)
{
	struct link_map *map;
	void *module, *function;
	Dl_info info;

	if (!dladdr1 || !dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP))
		return NULL;
	module = dlopen(map->l_name, RTLD_LAZY | RTLD_NOLOAD);
	if (!module)
		return NULL;
	function = dlsym(module, form->name);
	dlclose(module);
	return function == (void *)form->exported ? NULL : (new_fn *)function;
}

/* As libstdc++: a size of 0 is one byte, an aligned one a multiple of the alignment. */
static void *allocate_aligned(size_t size, size_t alignment)
{
	size += !size;
	if (size > SIZE_MAX - alignment)
		return NULL;
	return aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
}

static void *new_without(const struct new_form *form, size_t size, uintptr_t second,
			 uintptr_t third, const void *caller)
{
	void *ptr = form->is_aligned ? allocate_aligned(size, second) : malloc(size + !size);
	new_fn *own;

	if (ptr)
		return ptr;
	own = own_operator(form, caller);
	if (own)
		return own(size, second, third);
	if (!form->is_nothrow)
		abort();
	return NULL;
}

static void delete_without(void *ptr, uintptr_t second, uintptr_t third)
{
	free(ptr);
}

/* How many bytes the functions of C were asked for. */
static uint64_t charged_by_trial(enum new_idx idx)
{
	const struct new_form *form = &new_forms[idx];
	uintptr_t alignment = TRIAL_ALIGNMENT;
	struct heap_thread before = heap_tracker__begin_trial();
	uintptr_t tag = (uintptr_t)&before; /* a reference to whatever is there */
	void *ptr;
	uint64_t charged;

	if (form->is_aligned)
		ptr = news[idx].call(TRIAL_BYTES, alignment, tag);
	else
		ptr = news[idx].call(TRIAL_BYTES, tag, 0);
	charged = heap_tracker__end_trial(&before);
	deletes[form->delete_idx].call(ptr, alignment, 0);
	return charged;
}

static void find_new(enum new_idx idx)
{
	void *function = heap_real__next(new_forms[idx].name);

	if (!function) {
		news[idx].call = new_forms[idx].without;
		return;
	}
	news[idx].call = (new_fn *)function;
	if (heap_is_inert || !heap_real__is_allocators(function))
		return;
	charged_by_trial(idx); /* the first one may set things up */
	if (!charged_by_trial(idx))
		news[idx].mask = UINT64_MAX;
}

static void find_delete(enum delete_idx idx)
{
	void *function = heap_real__next(delete_names[idx]);

	deletes[idx].is_counted = function && heap_real__is_allocators(function);
	deletes[idx].call = function ? (delete_fn *)function : delete_without;
}

HEAP_COLD void heap_operators__find(void)
{
	if (!heap_real__find())
		abort(); /* nobody looks names up in C++ */
	/* A library that wraps free may look up what it wraps at its first use. Once a name was not
	 * found dlsym() has a message to free, and that free would call dlsym() without end. */
	heap_real.free(NULL);
	for (unsigned int i = 0; i < DELETES; i++)
		find_delete(i);
	for (unsigned int i = 0; i < NEWS; i++)
		find_new(i);
	/* The program did not ask: what was not found is forgotten. dlerror() would put it in words
	 * first, by a realloc that a program with a malloc of its own may not have. */
	heap_real__next("malloc");
}

static HEAP_COLD void *new_slow(size_t size, uintptr_t second, uintptr_t third, enum new_idx idx)
{
	bool is_selected = heap_tracker__crossed(heap_sampler__bytes(size));
	void *ptr = news[idx].call(size, second, third);

	return is_selected ? heap_tracker__allocated(ptr, size) : ptr;
}

#define DEFINE_NEW(name, is_aligned, is_nothrow, delete)                                           \
	static HEAP_COLD void *first##name(size_t size, uintptr_t second, uintptr_t third)         \
	{                                                                                          \
		heap_operators__find();                                                            \
		return name(size, second, third);                                                  \
	}                                                                                          \
                                                                                                   \
	static HEAP_COLD void *without##name(size_t size, uintptr_t second, uintptr_t third)       \
	{                                                                                          \
		return new_without(&new_forms[IDX##name], size, second, third,                     \
				   __builtin_return_address(0));                                   \
	}                                                                                          \
                                                                                                   \
	void *name(size_t size, uintptr_t second, uintptr_t third)                                 \
	{                                                                                          \
		if (heap_tracker__charge(heap_sampler__bytes(size) & news[IDX##name].mask)) {      \
			void *ptr = new_slow(size, second, third, IDX##name);                      \
                                                                                                   \
			HEAP_KEEP_FRAME();                                                         \
			return ptr;                                                                \
		}                                                                                  \
		return news[IDX##name].call(size, second, third);                                  \
	}

FOR_EACH_NEW(DEFINE_NEW)

static HEAP_COLD void delete_slow(void *ptr, uintptr_t second, uintptr_t third, enum delete_idx idx)
{
	if (deletes[idx].is_counted)
		heap_tracker__freeing(ptr);
	deletes[idx].call(ptr, second, third);
}

#define DEFINE_DELETE(name)                                                                        \
	static HEAP_COLD void first##name(void *ptr, uintptr_t second, uintptr_t third)            \
	{                                                                                          \
		heap_operators__find();                                                            \
		name(ptr, second, third);                                                          \
	}                                                                                          \
                                                                                                   \
	void name(void *ptr, uintptr_t second, uintptr_t third)                                    \
	{                                                                                          \
		if (heap_tracker__may_track(ptr)) {                                                \
			delete_slow(ptr, second, third, IDX##name);                                \
			HEAP_KEEP_FRAME();                                                         \
			return;                                                                    \
		}                                                                                  \
		deletes[IDX##name].call(ptr, second, third);                                       \
	}

FOR_EACH_DELETE(DEFINE_DELETE)
