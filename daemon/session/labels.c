/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See labels.h.
 */
#include "session/labels.h"

#include "options.h"

int label_keys__intern(struct label_keys *keys, struct profile *profile)
{
	int err;

	err = profile__string(profile, "pid", &keys->pid);
	if (!err)
		err = profile__string(profile, "tid", &keys->tid);
	if (!err)
		err = profile__string(profile, "comm", &keys->comm);
	if (!err)
		err = profile__string(profile, "thread", &keys->thread);
	return err ?: profile__string(profile, "cpu", &keys->cpu);
}

/* A unit, or a value of 0 would be dropped on decoding by pprof. */
static void add_number(struct label_set *set, uint32_t key, int64_t value)
{
	set->labels[set->cnt++] =
		(struct profile_label){ .key = key, .num = value, .num_unit = key };
}

static int add_text(struct profile *profile, struct label_set *set, uint32_t key, const char *value)
{
	struct profile_label *l = &set->labels[set->cnt];

	if (!*value)
		return 0; /* an empty string would read as a number of 0 */
	*l = (struct profile_label){ .key = key };
	set->cnt++;
	return profile__string(profile, value, &l->str);
}

int label_set__make(struct label_set *set, const struct label_keys *keys, struct profile *profile,
		    unsigned int wanted, const struct label_values *v)
{
	int err = 0;

	set->cnt = 0;
	if (wanted & LABEL_PID)
		add_number(set, keys->pid, v->pid);
	if (wanted & LABEL_COMM)
		err = add_text(profile, set, keys->comm, v->comm);
	if (!err && (wanted & LABEL_THREAD))
		err = add_text(profile, set, keys->thread, v->thread);
	if (wanted & LABEL_TID)
		add_number(set, keys->tid, v->tid);
	if (wanted & LABEL_CPU)
		add_number(set, keys->cpu, v->cpu);
	return err;
}
