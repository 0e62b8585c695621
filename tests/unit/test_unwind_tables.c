/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables against a naive model: files come, go, are used and thrown out at random, and after each
 * step every file still there answers as it was made, and nothing is owned by nobody.
 */
#include "unwind_tables_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>
#include "base/clock.h"

/* --- the model ---------------------------------------------------------------------------------
 */
#define MODEL_FILES 4096
#define RULE_POOL   300

struct model {
	struct tables t;
	struct made_file files[MODEL_FILES]; /* by file id; blocks NULL: none */
	uint32_t used_epoch[MODEL_FILES];
	uint32_t evictions;
	uint64_t random;
};

static struct model *model_of(uint32_t leaf_pages, uint32_t block_pages)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->t = tables_in_memory(leaf_pages, block_pages);
	m->random = 42;
	return m;
}

static void model__done(struct model *m)
{
	for (size_t i = 0; i < MODEL_FILES; i++)
		made_file__done(&m->files[i]);
	tables_in_memory__done(&m->t);
	free(m);
}

/* It is the turn of the one that was used longest ago, and walks are told. */
static void on_evict(uint32_t file, void *ctx)
{
	struct model *m = ctx;

	assert_non_null(m->files[file].blocks);
	assert_true(m->t.control->generation & 1);
	assert_int_equal(m->t.files[file].block_cnt, 0);
	assert_true(m->used_epoch[file] < m->t.control->epoch);
	for (size_t i = 0; i < MODEL_FILES; i++)
		if (m->files[i].blocks)
			assert_true(m->used_epoch[file] <= m->used_epoch[i]);
	made_file__done(&m->files[file]);
	m->evictions++;
}

static int model__add(struct model *m, const struct file_plan *plan, uint32_t *ret_file)
{
	struct made_file f = make_file(plan, &m->random);
	uint32_t file = UINT32_MAX;
	int err;

	err = tables__add(&m->t, &f.rows, &file, on_evict, m);
	if (err) {
		assert_int_equal(file, UINT32_MAX);
		made_file__done(&f);
		return err;
	}
	assert_true(file < MODEL_FILES);
	assert_null(m->files[file].blocks);
	m->files[file] = f;
	m->used_epoch[file] = m->t.control->epoch;
	*ret_file = file;
	return 0;
}

static void model__remove(struct model *m, uint32_t file)
{
	tables__remove(&m->t, file);
	made_file__done(&m->files[file]);
}

static void model__use(struct model *m, uint32_t file)
{
	const struct made_file *f = &m->files[file];

	for (int i = 0; i < 50; i++)
		assert_found(&m->t, file, f,
			     next_random(&m->random) % (f->rows.blocks_cnt * UNWIND_BLOCK_BYTES));
	m->used_epoch[file] = m->t.control->epoch;
}

/* What is owned is what the files there need, to the page, word and rule. */
static void assert_nothing_leaks(const struct model *m)
{
	bool rules[2 * UNWIND_RULES_MAX] = { false };
	struct unwind_stats want = { .rules = 1, .evictions = m->evictions }, stats = { 0 };
	uint64_t words = 0;

	for (size_t i = 0; i < MODEL_FILES; i++) {
		const struct made_file *f = &m->files[i];

		assert_int_equal(m->t.files[i].block_cnt, f->rows.blocks_cnt);
		if (!f->blocks)
			continue;
		want.files++;
		want.rows += f->rows.rows_cnt;
		want.leaf_pages_used += pages_of(f);
		words += f->rows.blocks_cnt + 1;
		for (size_t k = 0; k < f->rows.rules_cnt; k++) {
			want.rules += !rules[f->rules[k].cfa_offset];
			rules[f->rules[k].cfa_offset] = true;
		}
	}
	want.block_pages_used = (words + UNWIND_PAGE_WORDS - 1) / UNWIND_PAGE_WORDS;
	tables__stats(&m->t, &stats);
	assert_memory_equal(&stats, &want, sizeof(stats));
	assert_int_equal(m->t.control->generation % 2, 0);
}

static void assert_model_holds(const struct model *m, bool every_address)
{
	/* Looking must not count as using: the model decides that. */
	_cleanup_free_ struct unwind_file *kept = malloc(UNWIND_FILES_MAX * sizeof(*kept));
	uint64_t random = 7;

	memcpy(kept, m->t.files, UNWIND_FILES_MAX * sizeof(*kept));
	for (uint32_t i = 0; i < MODEL_FILES; i++) {
		const struct made_file *f = &m->files[i];

		if (f->blocks && every_address)
			assert_all_found(&m->t, i, f);
		for (int k = 0; f->blocks && k < 20; k++)
			assert_found(&m->t, i, f,
				     next_random(&random) %
					     (f->rows.blocks_cnt * UNWIND_BLOCK_BYTES));
	}
	memcpy(m->t.files, kept, UNWIND_FILES_MAX * sizeof(*kept));
	assert_nothing_leaks(m);
}

/* Whether the plan's file, as made, has no place even without all that is old. */
static void assert_really_full(const struct model *m, const struct file_plan *plan,
			       uint32_t pages_needed)
{
	uint32_t pages = pages_needed, words = (uint32_t)plan->blocks_cnt + 1;

	for (size_t i = 0; i < MODEL_FILES; i++) {
		if (!m->files[i].blocks || m->used_epoch[i] < m->t.control->epoch)
			continue;
		pages += pages_of(&m->files[i]);
		words += (uint32_t)m->files[i].rows.blocks_cnt + 1;
	}
	assert_true(pages > m->t.leaf_pages || words > m->t.block_pages * UNWIND_PAGE_WORDS);
}

/* --- one file ----------------------------------------------------------------------------------
 */
static void test_one_file(void **state)
{
	const struct file_plan plans[] = {
		{ .blocks_cnt = 1, .rules_cnt = 1, .sparse = 4096 },
		{ .blocks_cnt = 1, .rules_cnt = 5, .sparse = 1 },
		{ .blocks_cnt = 9, .rules_cnt = 50, .sparse = 1 },
		{ .blocks_cnt = 300, .rules_cnt = 200, .sparse = 40 },
		{ .blocks_cnt = 300, .rules_cnt = 200, .sparse = 3, .shared_in = 2 },
		{ .blocks_cnt = 1500, .rules_cnt = 3, .sparse = 4096, .shared_in = 3 },
	};
	struct model *m = model_of(200, 2);
	uint32_t file = 0;

	for (size_t i = 0; i < ARRAY_SIZE(plans); i++) {
		assert_int_equal(model__add(m, &plans[i], &file), 0);
		assert_model_holds(m, true);
		model__remove(m, file);
		assert_null(tables__find(&m->t, file, 0));
		assert_model_holds(m, true);
	}
	assert_null(tables__find(&m->t, UNWIND_FILE_CHAIN, 0));
	assert_null(tables__find(&m->t, UNWIND_FILE_COLD, 0));
	tables__remove(&m->t, UNWIND_FILE_COLD);
	tables__remove(&m->t, file);
	assert_model_holds(m, true);
	model__done(m);
}

/* A file that ends with the last row of a page has no row behind it to point to. */
static void test_full_last_page(void **state)
{
	struct model *m = model_of(8, 1);
	uint32_t file;

	for (size_t blocks = 1; blocks <= 3; blocks++) {
		const struct file_plan plan = { .blocks_cnt = blocks, .rules_cnt = 2, .sparse = 1 };

		assert_int_equal(model__add(m, &plan, &file), 0);
		assert_int_equal(m->files[file].rows.rows_cnt, blocks * UNWIND_LEAF_ROWS);
	}
	assert_model_holds(m, true);
	model__done(m);
}

/* --- many --------------------------------------------------------------------------------------
 */
static void add_at_random(struct model *m)
{
	const struct file_plan plan = {
		.blocks_cnt = 1 + next_random(&m->random) % 300,
		.rules_cnt = 1 + next_random(&m->random) % 40,
		.first_rule = 1 + next_random(&m->random) % RULE_POOL,
		.sparse = 2 + next_random(&m->random) % 200,
		.shared_in = next_random(&m->random) % 6,
	};
	uint64_t again = m->random;
	struct made_file f = make_file(&plan, &again);
	uint32_t file;
	int err;

	err = model__add(m, &plan, &file);
	if (err) {
		assert_int_equal(err, -ENOSPC);
		assert_really_full(m, &plan, pages_of(&f));
	}
	made_file__done(&f);
}

static void test_random_life(void **state)
{
	struct model *m = model_of(64, 2);

	for (int i = 0; i < 4000; i++) {
		uint32_t file = next_random(&m->random) % 64;

		switch (next_random(&m->random) % 8) {
		case 0:
		case 1:
		case 2:
			add_at_random(m);
			break;
		case 3:
			if (m->files[file].blocks)
				model__remove(m, file);
			break;
		case 4:
			m->t.control->epoch++;
			break;
		default:
			if (m->files[file].blocks)
				model__use(m, file);
		}
		assert_model_holds(m, i % 500 == 0);
	}
	assert_true(m->evictions > 100);
	model__done(m);
}

static void test_memory_full(void **state)
{
	const struct file_plan plan = { .blocks_cnt = 10, .rules_cnt = 4, .sparse = 1 };
	const struct file_plan too_large = { .blocks_cnt = 33, .rules_cnt = 4, .sparse = 1 };
	struct model *m = model_of(32, 1);
	uint32_t file;

	for (int i = 0; i < 3; i++)
		assert_int_equal(model__add(m, &plan, &file), 0);
	/* All are in use. */
	assert_int_equal(model__add(m, &plan, &file), -ENOSPC);
	assert_int_equal(m->evictions, 0);
	m->t.control->epoch++;
	model__use(m, 1);
	/* One that fits into nothing costs nobody his place. */
	assert_int_equal(model__add(m, &too_large, &file), -ENOSPC);
	assert_int_equal(m->evictions, 0);
	assert_int_equal(model__add(m, &plan, &file), 0);
	assert_int_equal(m->evictions, 1);
	assert_non_null(m->files[1].blocks);
	assert_model_holds(m, true);
	model__done(m);
}

/* Words enough, in gaps that are each too narrow. */
static void test_fragmented_blocks(void **state)
{
	const struct file_plan small = { .blocks_cnt = 99, .rules_cnt = 4, .sparse = 4096 };
	const struct file_plan large = { .blocks_cnt = 400, .rules_cnt = 4, .sparse = 4096 };
	struct model *m = model_of(64, 1);
	uint64_t generation;
	uint32_t file;

	for (int i = 0; i < 10; i++)
		assert_int_equal(model__add(m, &small, &file), 0);
	for (uint32_t i = 0; i < 10; i += 2)
		model__remove(m, i);
	generation = m->t.control->generation;
	assert_int_equal(model__add(m, &large, &file), 0);
	assert_true(m->t.control->generation > generation);
	assert_int_equal(m->evictions, 0);
	assert_model_holds(m, true);
	model__done(m);
}

static void test_every_file_id(void **state)
{
	const struct file_plan plan = { .blocks_cnt = 1, .rules_cnt = 1, .sparse = 4096 };
	struct model *m = model_of(UNWIND_FILES_MAX + 10, 16);
	uint32_t file;

	for (uint32_t i = 0; i < UNWIND_FILES_MAX; i++)
		assert_int_equal(model__add(m, &plan, &file), 0);
	assert_int_equal(model__add(m, &plan, &file), -ENFILE);
	m->t.control->epoch++;
	for (uint32_t i = 0; i < UNWIND_FILES_MAX; i++)
		if (i != 1234)
			model__use(m, i);
	assert_int_equal(model__add(m, &plan, &file), 0);
	assert_int_equal(file, 1234);
	assert_int_equal(m->evictions, 1);
	assert_nothing_leaks(m);
	model__done(m);
}

/* --- rules -------------------------------------------------------------------------------------
 */
static void test_rules_are_reused(void **state)
{
	struct model *m = model_of(4, 1);
	uint32_t file;

	for (uint32_t i = 0; i < 5000; i++) {
		const struct file_plan plan = { .blocks_cnt = 3,
						.rules_cnt = 100,
						.first_rule = 1 + i * 37 % 16000,
						.sparse = 8 };

		m->t.control->epoch++;
		assert_int_equal(model__add(m, &plan, &file), 0);
		assert_nothing_leaks(m);
	}
	assert_true(m->evictions > 4000);
	assert_model_holds(m, true);
	model__done(m);
}

static void test_dictionary_full(void **state)
{
	struct file_plan plan = { .blocks_cnt = 4, .rules_cnt = 4000, .sparse = 2 };
	struct model *m = model_of(64, 1);
	uint32_t file;

	for (uint32_t i = 0; i < 4; i++) {
		plan.first_rule = 1 + i * 4000;
		assert_int_equal(model__add(m, &plan, &file), 0);
	}
	/* 16,000 of 16,384: the same again need no room, 384 others do not fit. */
	assert_int_equal(model__add(m, &plan, &file), 0);
	plan = (struct file_plan){ .blocks_cnt = 1, .rules_cnt = 384, .sparse = 9 };
	plan.first_rule = 16001;
	assert_int_equal(model__add(m, &plan, &file), -ENFILE);
	assert_nothing_leaks(m);
	m->t.control->epoch++;
	assert_int_equal(model__add(m, &plan, &file), 0);
	assert_int_equal(m->evictions, 1);
	assert_model_holds(m, true);
	model__done(m);
}

/* --- readers while it changes ------------------------------------------------------------------
 */
struct shared_slot {
	struct tables *t;
	uint32_t file; /* what a process's mapping points to; UNWIND_FILE_COLD: nothing */
	uint64_t base;
	bool stop;
	uint64_t good, changed, wrong;
};

static void forget_slot(uint32_t file, void *ctx)
{
	struct shared_slot *slot = ctx;

	if (__atomic_load_n(&slot->file, __ATOMIC_RELAXED) == file)
		__atomic_store_n(&slot->file, UNWIND_FILE_COLD, __ATOMIC_RELAXED);
}

/* As the walk does it: what was read between two equal, even generations was right. */
static void *read_slot(void *arg)
{
	struct shared_slot *s = arg;
	uint64_t *generation = (uint64_t *)&s->t->control->generation;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		uint64_t before = __atomic_load_n(generation, __ATOMIC_SEQ_CST);
		uint32_t file = __atomic_load_n(&s->file, __ATOMIC_SEQ_CST);
		uint64_t base = __atomic_load_n(&s->base, __ATOMIC_RELAXED);
		const struct unwind_rule *rule = tables__find(s->t, file, base + 5000);
		int32_t found = rule ? rule->cfa_offset : -1;

		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (file == UNWIND_FILE_COLD)
			continue;
		if (before & 1 || before != __atomic_load_n(generation, __ATOMIC_SEQ_CST))
			s->changed++;
		else if (found == (int32_t)(base >> UNWIND_BLOCK_SHIFT))
			s->good++;
		else
			s->wrong++;
	}
	return NULL;
}

/* Every file has one rule, which its base tells. */
static struct made_file tagged_file(uint32_t tag)
{
	uint64_t random = tag;
	struct made_file f = make_file(&(struct file_plan){ .blocks_cnt = 20 + tag % 50,
							    .rules_cnt = 1,
							    .first_rule = tag,
							    .sparse = 64 },
				       &random);

	f.rows.base = (uint64_t)tag << UNWIND_BLOCK_SHIFT;
	return f;
}

static void test_walks_notice(void **state)
{
	struct tables t = tables_in_memory(8, 1);
	struct shared_slot slot = { .t = &t, .file = UNWIND_FILE_COLD };
	uint64_t end_ns = clock__mono_ns() + NSEC_PER_SEC / 2;
	struct unwind_stats stats = { 0 };
	uint32_t tag = 1;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, read_slot, &slot), 0);
	for (; clock__mono_ns() < end_ns; tag++) {
		struct made_file f = tagged_file(1 + tag % 10000);
		uint32_t file;

		__atomic_store_n(&t.control->epoch, t.control->epoch + 1, __ATOMIC_RELAXED);
		if (!tables__add(&t, &f.rows, &file, forget_slot, &slot)) {
			tables__begin_change(&t);
			__atomic_store_n(&slot.base, f.rows.base, __ATOMIC_RELAXED);
			__atomic_store_n(&slot.file, file, __ATOMIC_RELAXED);
			tables__end_change(&t);
		}
		made_file__done(&f);
	}
	__atomic_store_n(&slot.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(slot.wrong, 0);
	assert_true(slot.good > 50);
	tables__stats(&t, &stats);
	assert_true(stats.evictions > 50);
	tables_in_memory__done(&t);
}

static void test_changes_nest(void **state)
{
	struct tables t = tables_in_memory(1, 1);

	assert_int_equal(t.control->generation, 0);
	tables__begin_change(&t);
	assert_int_equal(t.control->generation, 1);
	tables__begin_change(&t);
	tables__end_change(&t);
	assert_int_equal(t.control->generation, 1);
	tables__end_change(&t);
	assert_int_equal(t.control->generation, 2);
	tables_in_memory__done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_file),          cmocka_unit_test(test_full_last_page),
		cmocka_unit_test(test_random_life),       cmocka_unit_test(test_memory_full),
		cmocka_unit_test(test_fragmented_blocks), cmocka_unit_test(test_every_file_id),
		cmocka_unit_test(test_rules_are_reused),  cmocka_unit_test(test_dictionary_full),
		cmocka_unit_test(test_walks_notice),      cmocka_unit_test(test_changes_nest),
	};

	return cmocka_run_group_tests_name("unwind_tables", tests, NULL, NULL);
}
