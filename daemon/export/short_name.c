/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See short_name.h. Names are what demanglers print, or anything at all: what does not look like
 * arguments stays as it is. Linear in the length of the name.
 */
#include "export/short_name.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "base/array.h"

#define ARGUMENTS_KEPT 8
#define OPERATOR       "operator"
#define IMPL           "<impl " /* Rust: "core::str::<impl str>::len" */

static bool is_identifier(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* Length of the angle brackets at s that belong to an operator's name; 0: they do not. */
static size_t operator_length(const char *name, const char *s)
{
	static const char *const symbols[] = { "<=>", "<<=", ">>=", "->*", "<<", ">>",
					       "<=",  ">=",  "->",  "<",   ">" };
	size_t before = (size_t)(s - name), word = strlen(OPERATOR), i;

	if (before < word || memcmp(s - word, OPERATOR, word) != 0 ||
	    (before > word && is_identifier(s[-(ptrdiff_t)word - 1])))
		return 0;
	for (i = 0; i < ARRAY_SIZE(symbols); i++)
		if (!strncmp(s, symbols[i], strlen(symbols[i])))
			return strlen(symbols[i]);
	return 0;
}

/*
 * The '>' to the '<' at s, or NULL. Within brackets of another kind an angle compares or shifts, or
 * has a pair of its own that ends before they do.
 */
static const char *find_close(const char *name, const char *s)
{
	size_t angles = 0, brackets = 0, skipped;

	for (; *s; s++) {
		if (strchr("([{", *s)) {
			brackets++;
		} else if (strchr(")]}", *s)) {
			if (!brackets--)
				return NULL;
		} else if (!brackets && strchr("<>-", *s)) {
			skipped = operator_length(name, s);
			if (!skipped && !strncmp(s, "->", 2))
				skipped = 2;
			if (skipped)
				s += skipped - 1;
			else if (*s == '<')
				angles++;
			else if (*s == '>' && !--angles)
				return s;
		}
	}
	return NULL;
}

/* Does a '<' at s begin the arguments of what stands before it? */
static bool has_owner(const char *name, const char *s, const char *operator_end)
{
	if (!strncmp(s, IMPL, strlen(IMPL)))
		return false;
	/* "operator<< <char>" */
	if (operator_end && s == operator_end + (*operator_end == ' '))
		return true;
	if (s >= name + 2 && !strncmp(s - 2, "::", 2)) /* Rust: "f::<T>" */
		return s > name + 2;
	/* "operator==<char>", "operator()<int>" */
	return s > name && (is_identifier(s[-1]) || strchr(")]=!+-/%|^", s[-1]));
}

void short_name__append(struct buf *out, const char *name)
{
	const char *s = name, *operator_end = NULL, *close;
	bool is_paired = true;
	size_t skipped;

	while (*s) {
		skipped = strchr("<>-", *s) ? operator_length(name, s) : 0;
		if (skipped) {
			buf__append(out, s, skipped);
			s = operator_end = s + skipped;
			continue;
		}
		close = NULL;
		if (*s == '<' && is_paired && has_owner(name, s, operator_end)) {
			close = find_close(name, s);
			/* Nor will the next ones be found: looking for each takes too long. */
			is_paired = close;
		}
		if (close && close - s - 1 > ARGUMENTS_KEPT) {
			buf__puts(out, "<..>");
			s = close + 1;
		} else {
			buf__putc(out, *s++);
		}
	}
}
