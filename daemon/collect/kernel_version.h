/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The upstream version of a kernel from what uname(2) and distributions say of it. Pure functions.
 */
#ifndef COLLECT_KERNEL_VERSION_H
#define COLLECT_KERNEL_VERSION_H

#include <stdbool.h>

struct kernel_version {
	unsigned int major, minor, patch;
};

/*
 * 'release' is uname's ("6.1.0-18-amd64"). Debian and Ubuntu keep the patch level out of it and put
 * it into uname's version ("#1 SMP Debian 6.1.76-1 (2024-02-01)") and into /proc/version_signature
 * ("Ubuntu 6.2.0-39.40-generic 6.2.16"); 'signature' may be "". -EINVAL: not a version.
 */
int kernel_version__parse(const char *release, const char *version, const char *signature,
			  struct kernel_version *ret);

bool kernel_version__is_before(const struct kernel_version *v, unsigned int major,
			       unsigned int minor, unsigned int patch);

/*
 * Reading user memory from a perf event can lock up the whole host: copy_from_user_nofault() runs
 * the hardened-usercopy checks, which take a lock. 5.19 (the checks learned of vmap areas) until
 * mainline d319f344561d in 6.4, stable 6.3.10 and 6.1.36.
 */
bool kernel_version__has_nofault_deadlock(const struct kernel_version *v);

#endif
