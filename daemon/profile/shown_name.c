/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See shown_name.h. Names that are still mangled stay so: who records a profile demangles.
 */
#include "profile/shown_name.h"

#include <string.h>

static bool looks_like_cpp(const char *name)
{
	/* Java's "Class.<init>" and Go's "pkg.(*Type[...]).Method" are excepted. */
	if (strstr(name, ".<") || strstr(name, "])."))
		return false;
	return strpbrk(name, "<>[]") || strstr(name, "::");
}

/* Cuts every outermost "open … close" out of name; stops at a close without an open. */
static void cut_brackets(char *name, char open, char close)
{
	char *out = name, *first = name;
	const char *c;
	size_t depth = 0;

	for (c = name; *c; c++) {
		if (*c == close && !depth)
			break;
		if (*c == open && !depth++)
			first = out;
		if (*c == close && !--depth)
			out = first;
		else
			*out++ = *c;
	}
	memmove(out, c, strlen(c) + 1);
}

const char *shown_name__get(const struct profile *p, const struct profile_function *f,
			    char **ret_owned)
{
	const char *system_name = profile__str(p, f->system_name);

	*ret_owned = NULL;
	if (f->name && f->name != f->system_name)
		return profile__str(p, f->name);
	if (!looks_like_cpp(system_name) || !strpbrk(system_name, "()<>"))
		return system_name;
	*ret_owned = strdup(system_name);
	if (!*ret_owned)
		return NULL;
	cut_brackets(*ret_owned, '(', ')');
	cut_brackets(*ret_owned, '<', '>');
	return *ret_owned;
}
