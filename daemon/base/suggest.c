/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See suggest.h. The distance is that of optimal string alignment: insert, delete, replace one
 * byte, or swap two neighbours.
 */
#include "base/suggest.h"

#include <stdint.h>
#include <string.h>

#define WORD_MAX_BYTES 32 /* nobody means anything by a longer word */

static size_t min2(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t d[WORD_MAX_BYTES + 1][WORD_MAX_BYTES + 1];
	size_t i, j;

	for (i = 0; i <= a_len; i++) {
		for (j = 0; j <= b_len; j++) {
			if (!i || !j) {
				d[i][j] = i + j;
				continue;
			}
			d[i][j] = min2(min2(d[i - 1][j], d[i][j - 1]) + 1,
				       d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = min2(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[a_len][b_len];
}

size_t suggest__mismatch(const char *word, size_t len, const char *name)
{
	size_t name_len = strlen(name), distance;

	if (len < 2 || len > WORD_MAX_BYTES || name_len > WORD_MAX_BYTES)
		return SIZE_MAX;
	if (len < name_len && !strncmp(word, name, len))
		return 1;
	distance = edit_distance(word, len, name, name_len);
	return distance <= 2 && distance < min2(len, name_len) ? distance : SIZE_MAX;
}

const char *suggest__nearest(const char *word, size_t len, const char *(*name)(size_t i))
{
	size_t best_mismatch = SIZE_MAX, i;
	const char *best = NULL, *candidate;

	for (i = 0; (candidate = name(i)); i++) {
		size_t m = suggest__mismatch(word, len, candidate);

		if (m < best_mismatch) {
			best_mismatch = m;
			best = candidate;
		}
	}
	return best;
}
