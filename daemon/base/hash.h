/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uthash with this project's settings: an allocation failure is reported (the inserted element's
 * handle has tbl == NULL), never fatal. Include this, not <uthash.h>.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* True when the HASH_ADD of 'elem' just before failed for lack of memory. */
#define hash__add_failed(elem) ((elem)->hh.tbl == NULL)

#endif
