/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /proc/PID/mountinfo, read and searched; see mountinfo.h. Knows no module.
 */
#include "process/mountinfo.h"

#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "process/line_reader.h"

void mountinfo__done(struct mountinfo *mi)
{
	for (size_t i = 0; i < mi->cnt; i++)
		free(mi->mounts[i].mount_point);
	free(mi->mounts);
	*mi = (struct mountinfo){ 0 };
}

/* "\040" and the like, in place. */
static void unescape_octal(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

static int parse_device(const char *s, uint32_t *ret_major, uint32_t *ret_minor)
{
	char *end;
	unsigned long a, b;

	a = strtoul(s, &end, 10);
	if (end == s || *end != ':')
		return -EBADMSG;
	s = end + 1;
	b = strtoul(s, &end, 10);
	if (end == s || *end || a > UINT32_MAX || b > UINT32_MAX)
		return -EBADMSG;
	*ret_major = (uint32_t)a;
	*ret_minor = (uint32_t)b;
	return 0;
}

/* id parent major:minor root mount_point options [optional…] - fs_type source super_options */
int mountinfo__add_line(struct mountinfo *mi, char *line)
{
	struct mount m = { 0 };
	char *field[6], *save = NULL, *word;
	size_t point_len, type_len;

	for (size_t i = 0; i < ARRAY_SIZE(field); i++) {
		field[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
		if (!field[i])
			return -EBADMSG;
	}
	do {
		word = strtok_r(NULL, " ", &save);
		if (!word)
			return -EBADMSG;
	} while (strcmp(word, "-") != 0);
	word = strtok_r(NULL, " ", &save);
	if (!word || parse_device(field[2], &m.dev_major, &m.dev_minor) < 0 || field[4][0] != '/')
		return -EBADMSG;
	if (array__reserve(mi->mounts, mi->cap, mi->cnt + 1) < 0)
		return -ENOMEM;
	unescape_octal(field[4]);
	unescape_octal(word);
	point_len = strlen(field[4]);
	type_len = strlen(word);
	m.mount_point = malloc(point_len + type_len + 2);
	if (!m.mount_point)
		return -ENOMEM;
	m.fs_type = m.mount_point + point_len + 1;
	memcpy(m.mount_point, field[4], point_len + 1);
	memcpy(m.fs_type, word, type_len + 1);
	mi->mounts[mi->cnt++] = m;
	return 0;
}

int mountinfo__read(struct mountinfo *mi, const char *path)
{
	_cleanup_(line_reader__freep) struct line_reader *r = NULL;
	char *line;
	int err = 0;

	r = line_reader__open(path, &err);
	if (!r)
		return err;
	while ((err = line_reader__next(r, &line)) > 0) {
		if (mi->cnt == MOUNTINFO_MOUNTS_MAX) {
			mi->incomplete = true;
			return 0;
		}
		err = mountinfo__add_line(mi, line);
		if (err == -EBADMSG)
			mi->incomplete = true;
		else if (err)
			return err;
	}
	return err;
}

const struct mount *mountinfo__find_device(const struct mountinfo *mi, uint32_t dev_major,
					   uint32_t dev_minor)
{
	for (size_t i = mi->cnt; i-- > 0;)
		if (mi->mounts[i].dev_major == dev_major && mi->mounts[i].dev_minor == dev_minor)
			return &mi->mounts[i];
	return NULL;
}

static bool is_path_prefix(const char *prefix, size_t len, const char *path)
{
	if (len == 1 && prefix[0] == '/')
		return true;
	return strncmp(prefix, path, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

const struct mount *mountinfo__find_path(const struct mountinfo *mi, const char *path)
{
	const struct mount *best = NULL;
	size_t best_len = 0;

	for (size_t i = 0; i < mi->cnt; i++) {
		size_t len = strlen(mi->mounts[i].mount_point);

		if (len < best_len || !is_path_prefix(mi->mounts[i].mount_point, len, path))
			continue;
		best = &mi->mounts[i];
		best_len = len;
	}
	return best;
}

bool mountinfo__path_is_foreign(const struct mountinfo *mi, const char *path)
{
	for (size_t i = 0; i < mi->cnt; i++) {
		const struct mount *m = &mi->mounts[i];

		if (mountinfo__fs_is_foreign(m->fs_type) &&
		    is_path_prefix(m->mount_point, strlen(m->mount_point), path))
			return true;
	}
	return false;
}

static bool is_one_of(const char *s, const char *const *list, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		if (strcmp(s, list[i]) == 0)
			return true;
	return false;
}

bool mountinfo__fs_is_pseudo(const char *fs_type)
{
	static const char *const types[] = {
		"proc",       "sysfs",    "debugfs", "tracefs", "securityfs", "configfs",
		"bpf",        "cgroup",   "cgroup2", "pstore",  "efivarfs",   "fusectl",
		"selinuxfs",  "devtmpfs", "devpts",  "mqueue",  "nsfs",       "binfmt_misc",
		"rpc_pipefs", "smackfs",  "resctrl",
	};

	return is_one_of(fs_type, types, ARRAY_SIZE(types));
}

bool mountinfo__fs_is_foreign(const char *fs_type)
{
	/* autofs: looking a name up there mounts whatever it stands for. */
	static const char *const types[] = {
		"fuse",   "fuseblk", "nfs",    "nfs4",  "9p",       "cifs",  "smb3",
		"smbfs",  "smb2",    "ceph",   "afs",   "coda",     "ncpfs", "glusterfs",
		"lustre", "gpfs",    "beegfs", "pvfs2", "orangefs", "panfs", "davfs",
		"autofs", "vboxsf",  "ocfs2",  "gfs2",  "mmfs",
	};

	if (strncmp(fs_type, "fuse.", 5) == 0 || strncmp(fs_type, "fuseblk.", 8) == 0)
		return true;
	return is_one_of(fs_type, types, ARRAY_SIZE(types));
}
