/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The labels samples carry, as --labels asks for them. Used by the pipeline and for waits that have
 * no stack.
 */
#ifndef SESSION_LABELS_H
#define SESSION_LABELS_H

#include <sys/types.h>
#include "profile/profile.h"

#define LABELS_MAX 8

/* Keys as strings of one profile. */
struct label_keys {
	uint32_t pid, tid, comm, thread, cpu;
};

int label_keys__intern(struct label_keys *keys, struct profile *profile);

struct label_values {
	pid_t pid, tid;
	const char *comm, *thread; /* of the process, of the thread */
	uint32_t cpu;
};

struct label_set {
	struct profile_label labels[LABELS_MAX];
	uint32_t cnt;
};

/* 'wanted': enum sample_label. 0, -ENOMEM or -ENOSPC. */
int label_set__make(struct label_set *set, const struct label_keys *keys, struct profile *profile,
		    unsigned int wanted, const struct label_values *v);

#endif
