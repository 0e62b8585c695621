/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers with units as people write them: durations, sizes, rates, percentages. Pure functions.
 */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdint.h>

/*
 * "30s" "500ms" "2m" "1h" "250us" "1.5s" or bare seconds ("30"); "0" is 0. The whole string must
 * match. -EINVAL: not a duration (also negative, empty, unknown unit); -ERANGE: does not fit
 * (more than 365 days).
 */
int units__parse_duration(const char *s, uint64_t *ret_ns);

/* "512" "64K" "8M" "2G", powers of 1024, optional B or iB after the letter. As above. */
int units__parse_size(const char *s, uint64_t *ret_bytes);

/* Decimal digits only, min <= value <= max. -EINVAL or -ERANGE. */
int units__parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);

/* "5", "0.5", "5%": 0 to 100. -EINVAL or -ERANGE. */
int units__parse_percent(const char *s, double *ret_percent);

#endif
