/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The name pprof shows for a function: not always the one in the file. A name that equals
 * system_name counts as never demangled, and where it looks like C++ (brackets, "::") pprof cuts
 * argument and template lists out of it. Used by the views of a profile.
 */
#ifndef PROFILE_SHOWN_NAME_H
#define PROFILE_SHOWN_NAME_H

#include "profile/profile.h"

/*
 * The name is borrowed from the profile, or made: then *ret_owned, which the caller frees, holds
 * it. "" when the function has none. NULL: out of memory.
 */
const char *shown_name__get(const struct profile *p, const struct profile_function *f,
			    char **ret_owned);

#endif
