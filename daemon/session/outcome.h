/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How walks of user stacks end, in words: for the summary and for the root frame of what was cut.
 */
#ifndef SESSION_OUTCOME_H
#define SESSION_OUTCOME_H

#include <stdint.h>
#include "abi/event.h"

const char *outcome__name(enum unwind_outcome outcome);

/* "[truncated: reason]" for the root of a stack that ended so after 'frames_cnt' frames; NULL for a
 * complete one and where there was none to walk. */
const char *outcome__root(enum unwind_outcome outcome, uint32_t frames_cnt);

#endif
