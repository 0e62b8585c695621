/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the profiles named on the command line. What is wrong with one is logged here.
 */
#ifndef CLI_LOAD_H
#define CLI_LOAD_H

#include "profile/profile.h"

/* "-" is standard input. 0 or -errno. */
int load__profile(const char *path, struct profile **ret);
/* Adds the profile at path to 'into'. 0 or -errno. */
int load__merge(struct profile *into, const char *path);

#endif
