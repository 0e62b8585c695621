/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See doctor.h.
 */
#include "session/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/escape.h"
#include "base/file.h"
#include "base/log.h"
#include "collect/kernel_features.h"
#include "options.h"
#include "session/heap_environment.h"

static const char *state_name(const struct feature *f)
{
	switch (f->state) {
	case FEATURE_OK:
		return "ok";
	case FEATURE_DEGRADED:
		return "degraded";
	case FEATURE_MISSING_PERMISSION:
	case FEATURE_MISSING_KERNEL:
		break;
	}
	return f->is_required ? "missing" : "degraded";
}

/* Details quote what the host says of itself: paths, version strings. */
static void append_line(struct buf *out, const struct feature *f)
{
	buf__printf(out, "%-9s %-22s ", state_name(f), f->name);
	escape__append(out, f->detail, strlen(f->detail), ESCAPE_UTF8, NULL);
	if (f->advice[0]) {
		buf__puts(out, "; ");
		escape__append(out, f->advice, strlen(f->advice), ESCAPE_UTF8, NULL);
	}
	buf__putc(out, '\n');
}

static int append_verdict(struct buf *out, const struct kernel_features *features)
{
	const struct feature *missing = kernel_features__first_missing(features);
	size_t degraded_cnt = 0, i;

	if (missing) {
		buf__printf(out, "cprofd cannot profile here: see '%s' above\n", missing->name);
		return missing->state == FEATURE_MISSING_PERMISSION ? EXIT_STATUS_PERMISSION
								    : EXIT_STATUS_KERNEL;
	}
	for (i = 0; i < features->features_cnt; i++)
		degraded_cnt += features->features[i].state != FEATURE_OK;
	if (degraded_cnt)
		buf__printf(out, "cprofd can profile here, with %zu limit%s: see above\n",
			    degraded_cnt, degraded_cnt == 1 ? "" : "s");
	else
		buf__puts(out, "cprofd can profile here\n");
	return EXIT_STATUS_OK;
}

/* A matter of our own installation, not of the host. */
static void append_library(struct buf *out)
{
	_cleanup_free_ char *library = heap_environment__library();
	struct feature f = { .name = HEAP_LIBRARY,
			     .state = library ? FEATURE_OK : FEATURE_DEGRADED };

	snprintf(f.detail, sizeof(f.detail), "%s",
		 library ?: "neither beside cprofd nor where it is installed");
	if (!library)
		snprintf(f.advice, sizeof(f.advice), "--heap probes COMMAND by uprobes, too");
	append_line(out, &f);
}

int doctor__run(void)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct kernel_features features;
	int status, err;
	size_t i;

	kernel_features__probe(&features, false);
	for (i = 0; i < features.features_cnt; i++)
		append_line(&out, &features.features[i]);
	append_library(&out);
	status = append_verdict(&out, &features);
	err = buf__error(&out) ?: file__write_all(STDOUT_FILENO, out.data, out.len);
	if (err) {
		log_errno(err, "write to standard output");
		return EXIT_STATUS_FAILURE;
	}
	return status;
}
