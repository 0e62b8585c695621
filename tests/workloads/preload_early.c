/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Allocates before anything of the program has run: where the dynamic linker asks which version of
 * a function to take, and in a constructor.
 */
#include <string.h>
#include "workload.h"

static char *of_resolver, *of_constructor;

static int answer(void)
{
	return 42;
}

typedef int answer_fn(void);

__attribute__((used)) static answer_fn *resolve(void)
{
	of_resolver = malloc(100);
	if (of_resolver)
		memset(of_resolver, 1, 100);
	return answer;
}

int answer_of_dispatch(void) __attribute__((ifunc("resolve")));

__attribute__((constructor)) static void construct(void)
{
	of_constructor = calloc(1, 1000);
}

int main(void)
{
	answer_fn *volatile function = answer_of_dispatch;

	of_resolver = realloc(of_resolver, 100000);
	of_constructor = realloc(of_constructor, 10);
	if (!of_resolver || of_resolver[99] != 1 || !of_constructor || of_constructor[9])
		return 1;
	printf("%d\n", function());
	free(of_resolver);
	free(of_constructor);
	return 0;
}
