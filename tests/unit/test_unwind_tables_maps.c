/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables in the kernel's own arrays: what is written through the mappings is what a program finds
 * under the keys.
 */
#include "unwind_tables_fixture.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LEAF_PAGES  64
#define BLOCK_PAGES 3

static int make_array(const char *name, size_t value_bytes, uint32_t cnt)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(uint32_t), (uint32_t)value_bytes,
				cnt, &opts);

	if (fd < 0) {
		print_message("skipped: no BPF array to be had: %s\n", strerror(errno));
		skip();
	}
	return fd;
}

static struct unwind_maps make_maps(void)
{
	return (struct unwind_maps){
		.leaf = make_array("leaf", sizeof(struct unwind_page), LEAF_PAGES),
		.block = make_array("block", sizeof(struct unwind_page), BLOCK_PAGES),
		.files = make_array("files", sizeof(struct unwind_file), UNWIND_FILES_MAX),
		.rules = make_array("rules", sizeof(struct unwind_rule_entry), UNWIND_RULES_MAX),
		.slots = make_array("slots", sizeof(struct unwind_slot), UNWIND_SLOTS),
		.control = make_array("control", sizeof(struct unwind_control), 1),
		.processes = -1,
		.leaf_pages = LEAF_PAGES,
		.block_pages = BLOCK_PAGES,
	};
}

static void close_maps(const struct unwind_maps *m)
{
	close(m->leaf);
	close(m->block);
	close(m->files);
	close(m->rules);
	close(m->slots);
	close(m->control);
}

static void look_up(int fd, uint32_t key, void *value)
{
	assert_int_equal(bpf_map_lookup_elem(fd, &key, value), 0);
}

static uint32_t block_entry(const struct unwind_maps *m, uint32_t idx)
{
	struct unwind_page page;

	look_up(m->block, idx / UNWIND_PAGE_WORDS, &page);
	return page.words[idx % UNWIND_PAGE_WORDS];
}

/* Rule of an address, by one look-up after the other, row by row. */
static struct unwind_rule find_in_kernel(const struct unwind_maps *m, uint32_t file_id,
					 uint64_t address)
{
	uint32_t first, next, end, byte, rule = 0;
	struct unwind_rule_entry entry;
	struct unwind_file file;
	struct unwind_page leaf;

	look_up(m->files, file_id, &file);
	first = file.first_block + (uint32_t)((address - file.base) >> UNWIND_BLOCK_SHIFT);
	byte = (address - file.base) % UNWIND_BLOCK_BYTES;
	next = block_entry(m, first + 1);
	first = block_entry(m, first);
	look_up(m->leaf, first / UNWIND_LEAF_ROWS, &leaf);
	end = next / UNWIND_LEAF_ROWS == first / UNWIND_LEAF_ROWS ? next % UNWIND_LEAF_ROWS
								  : UNWIND_LEAF_ROWS;
	for (uint32_t i = first % UNWIND_LEAF_ROWS; i < end; i++)
		if (UNWIND_ROW_BYTE(leaf.words[i]) <= byte)
			rule = UNWIND_ROW_RULE(leaf.words[i]);
	look_up(m->rules, rule, &entry);
	return entry.rule;
}

static void test_in_the_kernel(void **state)
{
	const struct file_plan plan = {
		.blocks_cnt = 700, .rules_cnt = 100, .first_rule = 1, .sparse = 30
	};
	const struct unwind_maps maps = make_maps();
	struct unwind_control control;
	uint64_t random = 11;
	uint32_t ids[2];
	struct tables t;

	assert_int_equal(tables__map(&t, &maps), 0);
	t.control->epoch = 5;
	for (int i = 0; i < 2; i++) {
		struct made_file f = make_file(&plan, &random);

		assert_int_equal(tables__add(&t, &f.rows, &ids[i], NULL, NULL), 0);
		for (int k = 0; k < 300; k++) {
			size_t offset = next_random(&random) % (700 * UNWIND_BLOCK_BYTES);
			struct unwind_rule found =
				find_in_kernel(&maps, ids[i], f.rows.base + offset);

			assert_memory_equal(&found, &f.rules[f.by_address[offset]], sizeof(found));
		}
		made_file__done(&f);
	}
	tables__begin_change(&t);
	look_up(maps.control, 0, &control);
	assert_int_equal(control.generation, 1);
	assert_int_equal(control.epoch, 5);
	t.slots[UNWIND_SLOTS - 1].file[UNWIND_MAPPINGS - 1] = 77;
	tables__end_change(&t);
	tables__remove(&t, ids[0]);
	look_up(maps.control, 0, &control);
	assert_int_equal(control.generation, 4);
	tables__unmap(&t);
	assert_null(t.leaf);
	close_maps(&maps);
}

/* Every element has the stride that the kernel gives it: the last one is where it is said to be. */
static void test_last_elements(void **state)
{
	struct unwind_maps maps = make_maps();
	struct unwind_rule_entry entry;
	struct unwind_slot slot;
	struct unwind_file file;
	struct unwind_page page;
	struct tables t;

	assert_int_equal(tables__map(&t, &maps), 0);
	t.leaf[LEAF_PAGES - 1].words[1023] = 1;
	t.block[BLOCK_PAGES - 1].words[1023] = 2;
	t.files[UNWIND_FILES_MAX - 1].epoch = 3;
	t.rules[UNWIND_RULES_MAX - 1].rule.cfa_offset = 4;
	t.slots[UNWIND_SLOTS - 1].file[UNWIND_MAPPINGS - 1] = 5;
	look_up(maps.leaf, LEAF_PAGES - 1, &page);
	assert_int_equal(page.words[1023], 1);
	look_up(maps.block, BLOCK_PAGES - 1, &page);
	assert_int_equal(page.words[1023], 2);
	look_up(maps.files, UNWIND_FILES_MAX - 1, &file);
	assert_int_equal(file.epoch, 3);
	look_up(maps.rules, UNWIND_RULES_MAX - 1, &entry);
	assert_int_equal(entry.rule.cfa_offset, 4);
	look_up(maps.slots, UNWIND_SLOTS - 1, &slot);
	assert_int_equal(slot.file[UNWIND_MAPPINGS - 1], 5);
	tables__unmap(&t);

	maps.leaf_pages++;
	assert_int_equal(tables__map(&t, &maps), -EINVAL);
	assert_null(t.space);
	assert_null(t.control);
	close_maps(&maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_the_kernel),
		cmocka_unit_test(test_last_elements),
	};

	return cmocka_run_group_tests_name("unwind_tables_maps", tests, NULL, NULL);
}
