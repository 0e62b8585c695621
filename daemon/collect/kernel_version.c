/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See kernel_version.h.
 */
#include "collect/kernel_version.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* "6.1.76-1", "6.12-rc3", "5.10.0+". */
static bool scan_version(const char *s, struct kernel_version *ret)
{
	struct kernel_version v = { 0 };

	if (sscanf(s, "%4u.%4u.%6u", &v.major, &v.minor, &v.patch) < 2)
		return false;
	*ret = v;
	return true;
}

/* Takes a patch level of the same release that somebody else names, if it is later. */
static void raise_patch(struct kernel_version *v, const char *s)
{
	struct kernel_version other;

	if (scan_version(s, &other) && other.major == v->major && other.minor == v->minor &&
	    other.patch > v->patch)
		v->patch = other.patch;
}

int kernel_version__parse(const char *release, const char *version, const char *signature,
			  struct kernel_version *ret)
{
	const char *debian = strstr(version, "Debian ");
	const char *last = strrchr(signature, ' ');
	struct kernel_version v;

	if (!scan_version(release, &v))
		return -EINVAL;
	if (debian)
		raise_patch(&v, debian + strlen("Debian "));
	if (last)
		raise_patch(&v, last + 1);
	*ret = v;
	return 0;
}

bool kernel_version__is_before(const struct kernel_version *v, unsigned int major,
			       unsigned int minor, unsigned int patch)
{
	if (v->major != major)
		return v->major < major;
	if (v->minor != minor)
		return v->minor < minor;
	return v->patch < patch;
}

bool kernel_version__has_nofault_deadlock(const struct kernel_version *v)
{
	if (kernel_version__is_before(v, 5, 19, 0) || !kernel_version__is_before(v, 6, 4, 0))
		return false;
	if (v->major == 6 && v->minor == 1)
		return v->patch < 36;
	if (v->major == 6 && v->minor == 3)
		return v->patch < 10;
	return true;
}
