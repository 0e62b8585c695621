/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The terminal view of scheduler latency, shared between its two halves: sched_text.c (figures)
 * calls sched_text_who.c (who waited, and for whom).
 */
#ifndef EXPORT_SCHED_TEXT_H
#define EXPORT_SCHED_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "profile/sched_report.h"

struct sched_screen {
	const struct sched_report *r;
	struct buf *out;
	size_t width;
	bool color;
};

enum sched_ink {
	SCHED_INK_HEADING,
	SCHED_INK_BAR,
	SCHED_INK_REMARK,
};

/* From here to sched_text__plain(). */
void sched_text__ink(struct sched_screen *s, enum sched_ink ink);
void sched_text__plain(struct sched_screen *s);

/* Waits, sum and share: what every table of waits has in common, SCHED_AMOUNT_WIDTH columns. */
#define SCHED_AMOUNT_WIDTH 28
void sched_text__amount_titles(struct sched_screen *s);
void sched_text__amount(struct sched_screen *s, uint64_t waits, uint64_t ns);

/* Waits of no length, which are among the unknown, and what they are shown as. */
#define SCHED_NO_WAIT "(no wait)"
uint64_t sched_text__no_waits(const struct sched_report *r);

/* Each with an empty line before it; nothing when there is nothing to show. */
void sched_text__groups(struct sched_screen *s);
void sched_text__worst(struct sched_screen *s);
void sched_text__matrix(struct sched_screen *s);

#endif
