/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which records mean the same file, and what kind of memory a path stands for. How the files are
 * opened is in test_module_open.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "process/module.h"
#include "process/process.h"

static const uint8_t id_a[20] = "aaaaaaaaaaaaaaaaaaa", id_b[20] = "bbbbbbbbbbbbbbbbbbb";

static struct module_spec file(const char *path, uint64_t inode)
{
	return (struct module_spec){
		.kind = MODULE_FILE,
		.path = path,
		.path_len = strlen(path),
		.dev_major = 8,
		.dev_minor = 1,
		.inode = inode,
	};
}

static struct module_spec with_generation(struct module_spec s, uint64_t generation)
{
	s.inode_generation = generation;
	s.generation_known = true;
	return s;
}

static struct module_spec by_build_id(const char *path, const uint8_t id[20])
{
	return (struct module_spec){
		.kind = MODULE_FILE,
		.path = path,
		.path_len = strlen(path),
		.build_id = id,
		.build_id_len = 20,
	};
}

static struct module *intern(struct module_set *set, struct module_spec s)
{
	struct module *m = module_set__intern(set, &s);

	assert_non_null(m);
	return m;
}

static void test_classify(void **state)
{
	static const struct {
		const char *path;
		enum module_kind kind;
		const char *name;
	} cases[] = {
		{ "/usr/bin/a", MODULE_FILE, "/usr/bin/a" },
		{ "/usr/bin/a (deleted)", MODULE_FILE, "/usr/bin/a" },
		{ "/ (deleted)", MODULE_FILE, "/" },
		{ "/dev/shm/lib.so", MODULE_FILE, "/dev/shm/lib.so" },
		{ "/memfdx", MODULE_FILE, "/memfdx" },
		{ "", MODULE_JIT, "[JIT]" },
		{ "//anon", MODULE_JIT, "[JIT]" },
		{ "[heap]", MODULE_JIT, "[JIT]" },
		{ "[stack]", MODULE_JIT, "[JIT]" },
		{ "[anon:v8]", MODULE_JIT, "[JIT]" },
		{ "/memfd:jit (deleted)", MODULE_JIT, "[JIT]" },
		{ "/dev/zero (deleted)", MODULE_JIT, "[JIT]" },
		{ "/SYSV00000000 (deleted)", MODULE_JIT, "[JIT]" },
		{ "/anon_hugepage (deleted)", MODULE_JIT, "[JIT]" },
		{ "[vdso]", MODULE_VDSO, "[vdso]" },
		{ "[vsyscall]", MODULE_OTHER, "[vsyscall]" },
		{ "[uprobes]", MODULE_OTHER, "[uprobes]" },
		{ "/dev/nvidia0", MODULE_OTHER, "/dev/nvidia0" },
		{ "anon_inode:[x]", MODULE_OTHER, "anon_inode:[x]" },
	};
	struct module_spec s;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s = (struct module_spec){ 0 };
		module_spec__classify(&s, cases[i].path, 0x7fff00000000);
		assert_int_equal(s.kind, cases[i].kind);
		assert_int_equal(s.path_len, strlen(cases[i].name));
		assert_memory_equal(s.path, cases[i].name, s.path_len);
	}
	module_spec__classify(&s, "[vdso]", 0xf7fc0000);
	assert_int_equal(s.kind, MODULE_OTHER);
}

static void test_same_inode(void **state)
{
	struct module_set *set = module_set__new();
	struct module *scanned = intern(set, file("/lib/a", 10));

	assert_int_equal(scanned->idx, 0);
	assert_int_equal(scanned->fd, -1);
	assert_ptr_equal(intern(set, file("/lib/a", 10)), scanned);
	/* The side-band adds the generation, and then tells links and reused inodes apart by it. */
	assert_ptr_equal(intern(set, with_generation(file("/lib/a", 10), 5)), scanned);
	assert_true(scanned->generation_known);
	assert_ptr_equal(intern(set, with_generation(file("/lib/link", 10), 5)), scanned);
	assert_ptr_not_equal(intern(set, with_generation(file("/lib/a", 10), 6)), scanned);
	assert_ptr_not_equal(intern(set, file("/lib/other", 10)), scanned);
	assert_ptr_not_equal(intern(set, file("/lib/a", 11)), scanned);
	/* The newest of several is meant by a record that cannot tell. */
	assert_int_equal(intern(set, file("/lib/a", 10))->inode_generation, 6);
	assert_int_equal(module_set__cnt(set), 4);
	assert_null(module_set__get(set, 4));
	module_set__free(set);
}

static void test_build_id_is_no_proof(void **state)
{
	struct module_set *set = module_set__new();
	struct module *a = intern(set, by_build_id("/lib/a", id_a));
	struct module_spec rewritten = file("/lib/r", 12);
	struct module *before;

	assert_ptr_equal(intern(set, by_build_id("/lib/a", id_a)), a);
	assert_ptr_not_equal(intern(set, by_build_id("/lib/a", id_b)), a);
	assert_ptr_not_equal(intern(set, by_build_id("/tmp/forged", id_a)), a);
	/* A file whose build-id changed under its inode is another one. */
	rewritten.build_id = id_a;
	rewritten.build_id_len = 20;
	before = intern(set, rewritten);
	rewritten.build_id = id_b;
	assert_ptr_not_equal(intern(set, rewritten), before);
	rewritten.build_id_len = 21;
	assert_null(module_set__intern(set, &rewritten));
	module_set__free(set);
}

static void test_unify(void **state)
{
	struct module_set *set = module_set__new();
	struct module *by_id = intern(set, by_build_id("/lib/a", id_a));
	struct module_spec inode = with_generation(file("/lib/a", 20), 1);
	struct module_spec same_id = by_build_id("/lib/a", id_a),
			   other_id = by_build_id("/lib/a", id_b);
	struct module *other, *scanned;
	struct module_spec s;

	/* The inode is new: the module learns it and is found by it from now on. */
	assert_ptr_equal(module_set__unify(set, by_id, &inode), by_id);
	assert_int_equal(by_id->inode, 20);
	assert_ptr_equal(intern(set, inode), by_id);
	assert_ptr_equal(module_set__unify(set, by_id, &same_id), by_id);
	assert_null(module_set__unify(set, by_id, &other_id));
	s = file("/lib/b", 20);
	assert_null(module_set__unify(set, by_id, &s));
	/* The inode has a module already: that one learns the build-id and is used. */
	scanned = intern(set, file("/lib/c", 21));
	other = intern(set, by_build_id("/lib/c", id_b));
	s = file("/lib/c", 21);
	assert_ptr_equal(module_set__unify(set, other, &s), scanned);
	assert_int_equal(scanned->build_id_len, 20);
	assert_memory_equal(scanned->build_id, id_b, 20);
	/* Side-band order: the inode first, its build-id repeated afterwards. */
	scanned = intern(set, file("/lib/d", 22));
	s = by_build_id("/lib/d", id_a);
	assert_ptr_equal(module_set__unify(set, scanned, &s), scanned);
	assert_memory_equal(scanned->build_id, id_a, 20);
	module_set__free(set);
}

static void test_one_module_per_name(void **state)
{
	struct module_set *set = module_set__new();
	struct module_spec s = { 0 };
	struct module *jit;

	module_spec__classify(&s, "//anon", 0x1000);
	jit = intern(set, s);
	for (int i = 0; i < 1000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "/memfd:%d (deleted)", i);
		module_spec__classify(&s, name, 0x1000);
		assert_ptr_equal(intern(set, s), jit);
	}
	assert_int_equal(module_set__cnt(set), 1);
	module_set__free(set);
}

static void test_floods_are_bounded(void **state)
{
	struct module_set *set = module_set__new();
	struct module *last = NULL;
	char path[64];

	/* One inode under ever new names, then ever new inodes. */
	for (int i = 0; i < 2000; i++) {
		snprintf(path, sizeof(path), "/tmp/%d", i);
		intern(set, file(path, 1));
	}
	for (uint64_t i = 0; i < MODULE_SET_MAX + 10; i++)
		last = intern(set, file("/tmp/x", 1000 + i));
	assert_int_equal(last->kind, MODULE_OTHER);
	assert_int_equal(module_set__cnt(set), MODULE_SET_MAX + 1);
	/* What was known before is still found. */
	assert_int_equal(intern(set, file("/tmp/x", 1000))->inode, 1000);
	module_set__free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classify),
		cmocka_unit_test(test_same_inode),
		cmocka_unit_test(test_build_id_is_no_proof),
		cmocka_unit_test(test_unify),
		cmocka_unit_test(test_one_module_per_name),
		cmocka_unit_test(test_floods_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
