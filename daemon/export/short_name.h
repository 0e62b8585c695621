/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Function names for a line of a screen: template arguments that say more than the name itself
 * become "<..>". Used by the heap view; what programs read keeps names whole.
 */
#ifndef EXPORT_SHORT_NAME_H
#define EXPORT_SHORT_NAME_H

#include "base/buf.h"

/*
 * "std::vector<int, std::allocator<int> >::at" → "std::vector<..>::at"; arguments of up to eight
 * characters stay. Only what follows a name is taken for arguments: operators (operator<<,
 * operator->) are names, and Rust's "<T as Trait>::f" is all there is of its kind. Escapes nothing.
 */
void short_name__append(struct buf *out, const char *name);

#endif
