/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls tiny functions of a library through its PLT and does nothing else: most samples are in a
 * stub, a prologue or an epilogue. With "lazy" the slots are unbound again each time, so that the
 * dynamic loader binds them for ever.
 * plt bound|lazy [SECONDS]
 */
#include <link.h>
#include <string.h>
#include "tiny.h"

#define SLOTS_FIRST 3 /* those before are the loader's own */
#define SLOTS_MAX   64

extern void *_GLOBAL_OFFSET_TABLE_[];

static void *unbound[SLOTS_MAX];

FRAME uint64_t call_tiny(uint64_t x)
{
	x = tiny_1(x);
	x = tiny_pushes_1(x);
	x = tiny_2(x);
	x = tiny_pushes_2(x);
	x = tiny_3(x);
	x = tiny_pushes_3(x);
	x = tiny_4(x);
	return tiny_pushes_4(x) + 1;
}

FRAME uint64_t call_often(uint64_t x)
{
	for (unsigned int i = 0; i < 2000; i++)
		x = call_tiny(x);
	return x;
}

static size_t slots_cnt(void)
{
	for (const ElfW(Dyn) *d = _DYNAMIC; d->d_tag != DT_NULL; d++)
		if (d->d_tag == DT_PLTRELSZ)
			return d->d_un.d_val / sizeof(ElfW(Rela));
	return 0;
}

/* Each slot leads to the code behind its stub again, as before its first call. */
FRAME uint64_t bind_often(uint64_t x)
{
	size_t cnt = slots_cnt();

	for (unsigned int i = 0; i < 100; i++) {
		for (size_t slot = 0; slot < cnt; slot++)
			_GLOBAL_OFFSET_TABLE_[SLOTS_FIRST + slot] = unbound[slot];
		__asm__ volatile("" : : : "memory");
		x = call_tiny(x);
	}
	return x;
}

int main(int argc, char **argv)
{
	bool is_lazy = argc > 1 && argv[1][0] == 'l';
	double end_s;
	uint64_t x = 1;

	if (slots_cnt() > SLOTS_MAX)
		return 1;
	for (size_t slot = 0; slot < slots_cnt(); slot++)
		unbound[slot] = _GLOBAL_OFFSET_TABLE_[SLOTS_FIRST + slot];
	end_s = now_s() + seconds_arg(argc, argv, 2);
	printf("expect path main %s call_tiny\n", is_lazy ? "bind_often" : "call_often");
	say_ready();
	while (now_s() < end_s)
		x = is_lazy ? bind_often(x) : call_often(x);
	return x == 0;
}
