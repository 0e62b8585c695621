/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See load.h.
 */
#include "load.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "export/export.h"

#define FILE_MAX_BYTES ((size_t)512 << 20)

int load__profile(const char *path, struct profile **ret)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT;
	const char *why;
	int err;

	if (!strcmp(path, "-"))
		err = file__read_fd(STDIN_FILENO, FILE_MAX_BYTES, &bytes);
	else
		err = file__read(path, FILE_MAX_BYTES, &bytes);
	if (err)
		return log_errno(err, "read '%s'", path);
	err = pprof__decode(bytes.data, bytes.len, ret, &why);
	if (err)
		log_err("'%s' is not a profile that can be read: %s", path, why);
	return err;
}

int load__merge(struct profile *into, const char *path)
{
	_cleanup_(profile__freep) struct profile *p = NULL;
	int err;

	err = load__profile(path, &p);
	if (err)
		return err;
	err = profile__merge(into, p);
	if (err == -EINVAL)
		log_err("'%s' has other sample types than the file before it: only profiles of one "
			"kind can be merged",
			path);
	else if (err == -EOVERFLOW)
		log_err("'%s': sums do not fit in 63 bits", path);
	else if (err)
		log_errno(err, "merge '%s'", path);
	return err;
}
