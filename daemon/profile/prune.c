/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See prune.h. The expressions are RE2 in the format; what people write in them is within POSIX
 * extended syntax, but for "(?:", which is translated. They come from files, so what glibc's
 * matcher cannot bound is refused.
 */
#include "profile/prune.h"

#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "profile/shown_name.h"

#define EXPRESSION_MAX_BYTES 4096
#define REPEATED_GROUPS_MAX  4

enum cut {
	CUT_NOTHING = 0,
	CUT_BELOW = 1, /* the location stays, with its outer lines */
	CUT_WHOLE = 2,
};

struct prune {
	enum cut *cuts;      /* per location */
	size_t *first_lines; /* per location */
};

struct expressions {
	regex_t drop, keep;
	bool has_drop, has_keep;
};

static void expressions_done(struct expressions *e)
{
	if (e->has_drop)
		regfree(&e->drop);
	if (e->has_keep)
		regfree(&e->keep);
}

/* "[^]x]": where the set that begins at re ends, on its last character. */
static const char *end_of_set(const char *re)
{
	const char *c = re + 1;

	if (*c == '^')
		c++;
	if (*c == ']')
		c++;
	c += strcspn(c, "]");
	return *c ? c : NULL;
}

/* Character classes of letters are the only escapes that are no punctuation. */
static bool is_plain_escape(char c)
{
	return ispunct((unsigned char)c) ? !strchr("<>`'", c) : c && strchr("wWsS", c);
}

/*
 * "(?:" becomes "(". False for what makes glibc build automata of unbounded size: intervals and
 * nested "(…)+" are expanded by copying, back-references and anchors inside defeat its sharing.
 */
static bool translate(const char *re, struct buf *out)
{
	unsigned int repeated_groups = 0;

	buf__puts(out, "^(");
	for (; *re; re++) {
		const char *start = re;

		if (strchr("{^$", *re))
			return false;
		if (*re == ')' && re[1] == '+' && ++repeated_groups > REPEATED_GROUPS_MAX)
			return false;
		if (*re == '\\' && !is_plain_escape(*++re))
			return false;
		if (*re == '[' && re == start && !(re = end_of_set(re)))
			return false;
		buf__append(out, start, (size_t)(re - start) + 1);
		if (*re == '(' && re == start && re[1] == '?' && re[2] == ':')
			re += 2;
	}
	buf__puts(out, ")$");
	return true;
}

static bool compile(const char *re, regex_t *ret)
{
	_cleanup_buf_ struct buf posix = BUF_INIT;

	if (!*re || strlen(re) > EXPRESSION_MAX_BYTES || !translate(re, &posix))
		return false;
	return !buf__error(&posix) && !regcomp(ret, posix.data, REG_EXTENDED | REG_NOSUB);
}

/* Length of name up to its argument list; "(anonymous namespace)" and "operator()" are none. */
static size_t length_without_arguments(const char *name)
{
	static const char anonymous[] = "(anonymous namespace)", call[] = "operator()";
	const char *c = name;

	while (*c) {
		if (!strncmp(c, anonymous, sizeof(anonymous) - 1))
			c += sizeof(anonymous) - 1;
		else if (!strncmp(c, call, sizeof(call) - 1))
			c += sizeof(call) - 1;
		else if (*c == '(')
			break;
		else
			c++;
	}
	return (size_t)(c - name);
}

static int function_is_dropped(const struct profile *p, const struct profile_function *f,
			       const struct expressions *e, bool *ret)
{
	_cleanup_free_ char *owned = NULL;
	_cleanup_free_ char *bare = NULL;
	const char *name = shown_name__get(p, f, &owned);

	*ret = false;
	if (!name)
		return -ENOMEM;
	if (!*name)
		return 0;
	if (*name == '.')
		name++;
	bare = strndup(name, length_without_arguments(name));
	if (!bare)
		return -ENOMEM;
	*ret = !regexec(&e->drop, bare, 0, NULL, 0) &&
	       !(e->has_keep && !regexec(&e->keep, bare, 0, NULL, 0));
	return 0;
}

static void mark_locations(const struct profile *p, const bool *dropped, struct prune *pr)
{
	size_t i, k;

	for (i = 0; i < p->locations_cnt; i++) {
		const struct profile_location *l = &p->locations[i];

		for (k = l->lines_cnt; k > 0; k--)
			if (dropped[l->lines[k - 1].function - 1])
				break;
		if (k == 0)
			continue;
		pr->cuts[i] = k == l->lines_cnt ? CUT_WHOLE : CUT_BELOW;
		pr->first_lines[i] = k == l->lines_cnt ? 0 : k;
	}
}

int prune__new(const struct profile *p, struct prune **ret)
{
	_cleanup_(expressions_done) struct expressions e = { .has_drop = false };
	_cleanup_(prune__freep) struct prune *pr = NULL;
	_cleanup_free_ bool *dropped = NULL;
	size_t i;
	int err;

	*ret = NULL;
	e.has_drop = compile(profile__str(p, p->drop_frames), &e.drop);
	if (!e.has_drop)
		return 0;
	e.has_keep = compile(profile__str(p, p->keep_frames), &e.keep);
	if (p->keep_frames && !e.has_keep)
		return 0;

	pr = calloc(1, sizeof(*pr));
	dropped = calloc(p->functions_cnt + 1, sizeof(*dropped));
	if (!pr || !dropped)
		return -ENOMEM;
	pr->cuts = calloc(p->locations_cnt + 1, sizeof(*pr->cuts));
	pr->first_lines = calloc(p->locations_cnt + 1, sizeof(*pr->first_lines));
	if (!pr->cuts || !pr->first_lines)
		return -ENOMEM;
	for (i = 0; i < p->functions_cnt; i++) {
		err = function_is_dropped(p, &p->functions[i], &e, &dropped[i]);
		if (err)
			return err;
	}
	mark_locations(p, dropped, pr);
	*ret = take_ptr(pr);
	return 0;
}

void prune__free(struct prune *pr)
{
	if (!pr)
		return;
	free(pr->cuts);
	free(pr->first_lines);
	free(pr);
}

uint32_t prune__first_location(const struct prune *pr, const struct profile_sample *s)
{
	bool found_user = false;
	uint32_t i;

	/* From the root on; what matches before the first frame that does not is left alone. */
	for (i = s->locations_cnt; pr && i > 0; i--) {
		enum cut cut = pr->cuts[s->locations[i - 1] - 1];

		if (cut == CUT_NOTHING)
			found_user = true;
		else if (found_user)
			return cut == CUT_WHOLE ? i : i - 1;
	}
	return 0;
}

size_t prune__first_line(const struct prune *pr, uint32_t location)
{
	return pr ? pr->first_lines[location - 1] : 0;
}
