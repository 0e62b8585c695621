/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libiberty behind a bounded sink. Substitutions let a name of 100 bytes print gigabytes, and the
 * callback has no way to say stop, so the sink leaves by longjmp: the callback forms of libiberty
 * keep their state on the stack (one small buffer for a non-ASCII Rust identifier aside, which the
 * worker can afford to lose on a hostile name). Recursion is limited by libiberty itself.
 */
#include "parse/demangle.h"

#include <setjmp.h>
#include <stdbool.h>
#include <string.h>
#include <libiberty/demangle.h>
#include "parse/limits.h"

struct bounded_text {
	jmp_buf overflow;
	size_t len;
	char text[PARSE_NAME_BYTES];
};

static void append_bounded(const char *s, size_t len, void *ctx)
{
	struct bounded_text *out = ctx;

	if (len >= sizeof(out->text) - out->len)
		longjmp(out->overflow, 1);
	memcpy(out->text + out->len, s, len);
	out->len += len;
}

static bool demangle_into(const char *name, struct bounded_text *out)
{
	out->len = 0;
	if (setjmp(out->overflow))
		return false;
	/* Rust first: its legacy names are valid C++ ones with a hash as the last component. */
	if (rust_demangle_callback(name, DMGL_NO_OPTS, append_bounded, out))
		return out->len > 0;
	out->len = 0;
	if (name[1] != 'Z' || !cplus_demangle_v3_callback(name, DMGL_NO_OPTS, append_bounded, out))
		return false;
	return out->len > 0;
}

char *demangle__name(const char *system_name)
{
	struct bounded_text out;

	if (system_name[0] != '_' || (system_name[1] != 'Z' && system_name[1] != 'R') ||
	    strnlen(system_name, PARSE_NAME_BYTES) == PARSE_NAME_BYTES)
		return NULL;
	if (!demangle_into(system_name, &out))
		return NULL;
	/* A control byte inside would be cut or garbled further on; sinks escape the rest. */
	if (memchr(out.text, '\0', out.len))
		return NULL;
	return strndup(out.text, out.len);
}
