/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "did you mean": which of a set of names a mistyped word stands for. Pure functions.
 */
#ifndef BASE_SUGGEST_H
#define BASE_SUGGEST_H

#include <stddef.h>

/* How far the word (len bytes) is from the name: its edit distance, at most 2 and less than the
 * length of either; 1 when it is the beginning of the name. SIZE_MAX: too far to be meant. */
size_t suggest__mismatch(const char *word, size_t len, const char *name);

/* The nearest of name(0), name(1), … up to the first NULL; NULL when all are too far. */
const char *suggest__nearest(const char *word, size_t len, const char *(*name)(size_t i));

#endif
