/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One escaped line per message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include "base/log.h"
#include "capture.h"

static void expect(struct capture *c, const char *want)
{
	char *text = capture__finish(c);

	assert_string_equal(text, want);
	free(text);
}

static void test_prefixes(void **state)
{
	struct capture c = capture__start(STDERR_FILENO);

	log_err("cannot open '%s'", "x");
	log_warn("w");
	log_info("i");
	log_debug("d");
	expect(&c, "cprofd: error: cannot open 'x'\ncprofd: warning: w\ncprofd: i\n");
	log__set_program("cprof");
	c = capture__start(STDERR_FILENO);
	log_info("i");
	expect(&c, "cprof: i\n");
	log__set_program("cprofd");
}

static void test_levels(void **state)
{
	struct capture c = capture__start(STDERR_FILENO);

	log__set_level(LOG_LEVEL_ERROR);
	assert_int_equal(log__level(), LOG_LEVEL_ERROR);
	log_warn("not shown");
	log_err("shown");
	log_errno(-EPERM, "shown too");
	log__set_level(LOG_LEVEL_DEBUG);
	log_debug("now");
	log__set_level(LOG_LEVEL_INFO);
	expect(&c, "cprofd: error: shown\ncprofd: error: shown too: Operation not permitted\n"
		   "cprofd: now\n");
}

static void test_errno(void **state)
{
	struct capture c = capture__start(STDERR_FILENO);
	int neg = log_errno(-ENOENT, "open '%s'", "x"), pos = log_errno(EACCES, "y");

	expect(&c, "cprofd: error: open 'x': No such file or directory\n"
		   "cprofd: error: y: Permission denied\n");
	assert_int_equal(neg, -ENOENT);
	assert_int_equal(pos, EACCES);
	c = capture__start(STDERR_FILENO);
	errno = EXDEV;
	log_err("x");
	assert_int_equal(errno, EXDEV);
	expect(&c, "cprofd: error: x\n");
}

static void test_hostile_text(void **state)
{
	struct capture c = capture__start(STDERR_FILENO);

	log_err("%s", "a\ncprofd: error: forged\x1b[2J\xff\xc3\xbc");
	expect(&c, "cprofd: error: a\\x0acprofd: error: forged\\x1b[2J\\xff\\xc3\\xbc\n");
}

static void test_long_text(void **state)
{
	char *name = malloc(100001), *text;
	struct capture c;

	memset(name, 'n', 100000);
	name[100000] = '\0';
	c = capture__start(STDERR_FILENO);
	log_err("%s!", name);
	text = capture__finish(&c);
	assert_int_equal(strlen(text), strlen("cprofd: error: ") + 100000 + 2);
	assert_string_equal(text + strlen(text) - 3, "n!\n");
	free(text);
	free(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefixes),  cmocka_unit_test(test_levels),
		cmocka_unit_test(test_errno),     cmocka_unit_test(test_hostile_text),
		cmocka_unit_test(test_long_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
