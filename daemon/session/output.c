/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See output.h. Everything that can be refused is refused by output_plan__make(): a run of an hour
 * must not end with "no such directory".
 */
#include "session/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/units.h"
#include "export/sink.h"

/* Of a default file name: NAME_MAX less what a temporary file beside it may need. */
#define FILE_NAME_MAX_BYTES 240

struct plan_context {
	struct output_plan *plan;
	const struct options *opts;
	const char *format; /* --format, else pprof: where no suffix decides */
	bool is_format_used;
	uint64_t start_real_ns;
};

/* The owner of what we create: the user behind sudo, or nobody in particular. */
static struct sink_owner find_owner(void)
{
	const char *uid_text = getenv("SUDO_UID"), *gid_text = getenv("SUDO_GID");
	struct sink_owner none = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	uint64_t uid, gid;

	if (geteuid() || !uid_text || !gid_text)
		return none;
	if (units__parse_u64(uid_text, 0, UINT32_MAX - 1, &uid) ||
	    units__parse_u64(gid_text, 0, UINT32_MAX - 1, &gid)) {
		log_warn("SUDO_UID '%s', SUDO_GID '%s': not ids, ignoring", uid_text, gid_text);
		return none;
	}
	return (struct sink_owner){ .uid = (uid_t)uid, .gid = (gid_t)gid };
}

static void append_file_name(struct buf *b, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		char c = name[i];
		bool keep = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';

		buf__putc(b, keep ? c : '_');
	}
}

/* The last component of a path that is not empty: "a/b//" gives "b". */
static void append_last_component(struct buf *b, const char *path)
{
	size_t end = strlen(path), start;

	while (end && path[end - 1] == '/')
		end--;
	for (start = end; start && path[start - 1] != '/'; start--)
		;
	if (end == start)
		buf__puts(b, "root");
	else
		append_file_name(b, path + start, end - start);
}

/* Every kind has it: check_format(). */
static const struct encoder *encoder_of(const struct plan_context *ctx, const struct probe *probe)
{
	return export__find_by_name(ctx->format, probe->name);
}

static void append_target(struct buf *b, const struct options *opts)
{
	switch (opts->target) {
	case TARGET_HOST:
		buf__puts(b, "host");
		break;
	case TARGET_PIDS:
		if (opts->pids_cnt == 1)
			buf__printf(b, "pid%d", (int)opts->pids[0]);
		else
			buf__puts(b, "pids");
		break;
	case TARGET_COMM:
		buf__puts(b, "comm-");
		append_file_name(b, opts->comm, strlen(opts->comm));
		break;
	case TARGET_CGROUP:
		buf__puts(b, "cgroup-");
		append_last_component(b, opts->cgroup);
		break;
	case TARGET_COMMAND:
		buf__puts(b, "cmd-");
		append_last_component(b, opts->command[0]);
		break;
	}
}

/* cprof.<target>.<kind>.<UTC time><suffix>; an over-long target is cut. */
static char *default_file_name(const struct plan_context *ctx, const struct probe *probe)
{
	_cleanup_buf_ struct buf target = BUF_INIT;
	time_t now = (time_t)(ctx->start_real_ns / NSEC_PER_SEC);
	char tail[128], when[32], *name;
	struct tm tm;
	int len, room;

	append_target(&target, ctx->opts);
	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(tail, sizeof(tail), "%s.%s%s", probe->name, when, encoder_of(ctx, probe)->suffix);
	room = FILE_NAME_MAX_BYTES - (int)strlen("cprof..") - (int)strlen(tail);
	len = target.len < (size_t)room ? (int)target.len : room;
	if (buf__error(&target) || asprintf(&name, "cprof.%.*s.%s", len, target.data, tail) < 0)
		return NULL;
	return name;
}

static int out_of_memory(void)
{
	log_errno(-ENOMEM, "plan the output files");
	return EXIT_STATUS_FAILURE;
}

/* The path with its directory resolved, so that "a" and "./a" are the same; NULL if it is not. */
static char *canonical_path(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	_cleanup_free_ char *real = dir ? realpath(dir, NULL) : NULL;
	char *full;

	if (!real || asprintf(&full, "%s/%s", real, slash ? slash + 1 : path) < 0)
		return NULL;
	return full;
}

static bool is_same_file(const char *a, const char *b)
{
	_cleanup_free_ char *full_a = canonical_path(a);
	_cleanup_free_ char *full_b = canonical_path(b);

	return !strcmp(a, b) || (full_a && full_b && !strcmp(full_a, full_b));
}

/* Checks and adds one file; takes 'path' and 'made_dir' (NULL for either is allowed). */
static int add_output(struct plan_context *ctx, const struct probe *probe,
		      const struct encoder *encoder, char *path, char *made_dir)
{
	struct output_plan *plan = ctx->plan;
	size_t i;
	int err;

	if (array__reserve(plan->outputs, plan->outputs_cap, plan->outputs_cnt + 1)) {
		free(path);
		free(made_dir);
		return out_of_memory();
	}
	for (i = 0; i < plan->outputs_cnt; i++) {
		const char *other = plan->outputs[i].path;
		bool is_same = path && other ? is_same_file(path, other) : !path && !other;

		if (!is_same)
			continue;
		log_err("two outputs for '%s'; give each -o a file of its own",
			path ?: "standard output");
		free(path);
		free(made_dir);
		return EXIT_STATUS_USAGE;
	}
	plan->outputs[plan->outputs_cnt++] = (struct output){
		.probe = probe,
		.encoder = encoder,
		.path = path,
		.made_dir = made_dir,
	};
	err = path ? sink__check_file(path) : 0;
	if (err) {
		log_errno(err, "cannot write to '%s'%s", path,
			  err == -ENOENT ? ", its directory is missing" : "");
		return EXIT_STATUS_FAILURE;
	}
	return EXIT_STATUS_OK;
}

static int plan_stdout(struct plan_context *ctx)
{
	const struct encoder *encoder = encoder_of(ctx, ctx->opts->kinds[0].probe);

	ctx->is_format_used = true;
	if (ctx->opts->kinds_cnt > 1) {
		log_err("'-o -' takes one kind, not %zu; give a directory", ctx->opts->kinds_cnt);
		return EXIT_STATUS_USAGE;
	}
	if (encoder->is_binary && isatty(STDOUT_FILENO)) {
		log_err("'-o -' would write binary %s to a terminal; redirect it, or add --format "
			"folded or txt",
			encoder->name);
		return EXIT_STATUS_USAGE;
	}
	ctx->plan->uses_stdout = true;
	return add_output(ctx, ctx->opts->kinds[0].probe, encoder, NULL, NULL);
}

/*
 * For the user behind sudo. The directory it lies in may be somebody else's, so that what is opened
 * need not be what was created: it is given away only if it looks like it.
 */
static int give_away_directory(const char *path, const struct sink_owner *owner)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (st.st_uid != geteuid() || (st.st_mode & 0777) != 0700)
		return -EPERM;
	return fchown(fd, owner->uid, owner->gid) ? -errno : 0;
}

/* One level. */
static int make_directory(const char *path)
{
	struct sink_owner owner = find_owner();
	int err;

	if (mkdir(path, 0700))
		return -errno;
	err = owner.uid == (uid_t)-1 ? 0 : give_away_directory(path, &owner);
	if (err)
		rmdir(path);
	return err;
}

/* 'dir' is never empty. Every kind gets its file in it. */
static int plan_directory(struct plan_context *ctx, const char *dir)
{
	const char *slash = dir[strlen(dir) - 1] == '/' ? "" : "/";
	bool is_new = access(dir, F_OK) && errno == ENOENT;
	int err = is_new ? make_directory(dir) : 0, status;
	size_t i;

	ctx->is_format_used = true;
	if (err) {
		log_errno(err, "cannot create directory '%s'", dir);
		return EXIT_STATUS_FAILURE;
	}
	for (i = 0; i < ctx->opts->kinds_cnt; i++) {
		const struct probe *probe = ctx->opts->kinds[i].probe;
		const struct encoder *encoder = encoder_of(ctx, probe);
		char *made_dir = is_new && !i ? strdup(dir) : NULL;
		char *path;

		if (asprintf(&path, "%s%s%s%s", dir, slash, probe->name, encoder->suffix) < 0) {
			free(made_dir);
			return out_of_memory();
		}
		status = add_output(ctx, probe, encoder, path, made_dir);
		if (status)
			return status;
	}
	return EXIT_STATUS_OK;
}

static int plan_file(struct plan_context *ctx, const char *path)
{
	const struct encoder *encoder =
		export__find_by_suffix(path, ctx->opts->kinds[0].probe->name);
	_cleanup_buf_ struct buf suffixes = BUF_INIT;
	char *copy;

	if (!encoder) {
		export__list_suffixes(ctx->opts->kinds[0].probe->name, &suffixes);
		log_err("-o '%s': no format ends like this; there are %s, and directories ('%s/')",
			path, suffixes.data ?: "none", path);
		return EXIT_STATUS_USAGE;
	}
	if (ctx->opts->kinds_cnt > 1) {
		log_err("-o '%s' is one file for %zu kinds; give a directory, such as -o out/",
			path, ctx->opts->kinds_cnt);
		return EXIT_STATUS_USAGE;
	}
	copy = strdup(path);
	if (!copy)
		return out_of_memory();
	return add_output(ctx, ctx->opts->kinds[0].probe, encoder, copy, NULL);
}

static int plan_output(struct plan_context *ctx, const char *path)
{
	struct stat st;

	if (!strcmp(path, "-"))
		return plan_stdout(ctx);
	if (path[strlen(path) - 1] == '/' || (!stat(path, &st) && S_ISDIR(st.st_mode)))
		return plan_directory(ctx, path);
	return plan_file(ctx, path);
}

static int plan_default_files(struct plan_context *ctx)
{
	size_t i;

	ctx->is_format_used = true;
	for (i = 0; i < ctx->opts->kinds_cnt; i++) {
		const struct probe *probe = ctx->opts->kinds[i].probe;
		char *name = default_file_name(ctx, probe);
		int status;

		if (!name)
			return out_of_memory();
		status = add_output(ctx, probe, encoder_of(ctx, probe), name, NULL);
		if (status)
			return status;
	}
	return EXIT_STATUS_OK;
}

static bool is_format_of_any(const char *format)
{
	size_t i;

	for (i = 0; i < export_encoders_cnt; i++)
		if (!strcmp(export_encoders[i].name, format))
			return true;
	return false;
}

/* A name may stand for one encoder of a kind and another one of the rest. */
static void list_formats(const char *kind, struct buf *out)
{
	size_t i;

	for (i = 0; i < export_encoders_cnt; i++)
		if (export__find_by_name(export_encoders[i].name, kind) == &export_encoders[i])
			buf__printf(out, "%s%s", out->len ? ", " : "", export_encoders[i].name);
}

static int check_format(const struct plan_context *ctx)
{
	_cleanup_buf_ struct buf names = BUF_INIT;
	const char *kind = NULL;
	size_t i;

	for (i = 0; !kind && i < ctx->opts->kinds_cnt; i++)
		if (!encoder_of(ctx, ctx->opts->kinds[i].probe))
			kind = ctx->opts->kinds[i].probe->name;
	if (!kind)
		return EXIT_STATUS_OK;
	list_formats(kind, &names);
	if (buf__error(&names))
		return out_of_memory();
	if (is_format_of_any(ctx->format))
		log_err("--format '%s' is not a format of --%s; there are %s", ctx->format, kind,
			names.data ?: "none");
	else
		log_err("--format '%s' is not a format; there are %s", ctx->format,
			names.data ?: "none");
	return EXIT_STATUS_USAGE;
}

/* Only the trace is. */
bool output_plan__has_intervals(const struct output_plan *plan)
{
	size_t i;

	for (i = 0; i < plan->outputs_cnt; i++) {
		const struct encoder *encoder = plan->outputs[i].encoder;

		if (encoder->kind && !strcmp(encoder->name, "txt"))
			return true;
	}
	return false;
}

static void check_interval(const struct plan_context *ctx)
{
	if (!ctx->opts->sched_interval_ns || output_plan__has_intervals(ctx->plan))
		return;
	log_warn("--interval is about the lines of a .txt file, and none is asked for, ignoring");
}

int output_plan__make(struct output_plan *plan, const struct options *opts, uint64_t start_real_ns)
{
	struct plan_context ctx = {
		.plan = plan,
		.opts = opts,
		.format = opts->format ?: "pprof",
		.start_real_ns = start_real_ns,
	};
	size_t i;
	int status;

	*plan = (struct output_plan){ 0 };
	status = check_format(&ctx);
	for (i = 0; !status && i < opts->outputs_cnt; i++)
		status = plan_output(&ctx, opts->outputs[i]);
	if (!status && !opts->outputs_cnt)
		status = plan_default_files(&ctx);
	if (!status && opts->format && !ctx.is_format_used) {
		log_err("--format '%s' is for '-o -' and directories; '%s' has its format by its "
			"suffix",
			opts->format, opts->outputs[0]);
		status = EXIT_STATUS_USAGE;
	}
	if (!status && opts->json && plan->uses_stdout) {
		log_err("'--json' and '-o -' both want standard output");
		status = EXIT_STATUS_USAGE;
	}
	if (status)
		output_plan__done(plan);
	else
		check_interval(&ctx);
	return status;
}

void output_plan__done(struct output_plan *plan)
{
	size_t i;

	for (i = 0; i < plan->outputs_cnt; i++) {
		/* Fails where a file was written: then it stays. */
		if (plan->outputs[i].made_dir)
			rmdir(plan->outputs[i].made_dir);
		free(plan->outputs[i].made_dir);
		free(plan->outputs[i].path);
	}
	free(plan->outputs);
	*plan = (struct output_plan){ 0 };
}

static int write_output(const struct output *o, const struct profile *p)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT;
	struct sink_owner owner = find_owner();
	const char *shown = o->path ?: "standard output";
	int err;

	err = o->encoder->encode(p, &bytes) ?: buf__error(&bytes);
	if (err)
		return log_errno(err, "cannot encode '%s' as %s", shown, o->encoder->name);
	if (o->path)
		err = sink__write_file(o->path, bytes.data, bytes.len, &owner);
	else
		err = file__write_all(STDOUT_FILENO, bytes.data, bytes.len);
	return err ? log_errno(err, "cannot write '%s'", shown) : 0;
}

int output_plan__write(const struct output_plan *plan, const struct probe *probe,
		       const struct profile *p)
{
	int status = EXIT_STATUS_OK;
	size_t i;

	for (i = 0; i < plan->outputs_cnt; i++) {
		if (plan->outputs[i].probe == probe && write_output(&plan->outputs[i], p))
			status = EXIT_STATUS_FAILURE;
	}
	return status;
}

const char *output_plan__pprof_path(const struct output_plan *plan, const struct probe *probe)
{
	size_t i;

	for (i = 0; i < plan->outputs_cnt; i++) {
		const struct output *o = &plan->outputs[i];

		if (o->probe == probe && o->path && !strcmp(o->encoder->name, "pprof"))
			return o->path;
	}
	return NULL;
}
