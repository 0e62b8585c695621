/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slots.c: who has a slot in the kernel and what it says, in memory and in the map of processes.
 */
#include "unwind_fixture.h"

/* What nothing changes is not written: walks in the kernel are not disturbed. */
static void test_unchanged_is_not_written(void **state)
{
	struct fixture *f = *state;
	uint64_t generation;

	fill_rows(&files[0], 0, 1);
	start_process(f, P);
	map_at(f, P, 0x401000, TEXT_SZ, TEXT, "/a", 0);
	walk(f, P, 0x401004);
	generation = f->view.control->generation;
	assert_int_equal(generation % 2, 0);
	assert_true(generation > 0);
	walk(f, P, 0x401004);
	unwind__process_changed(f->unwind, P);
	assert_int_equal(f->view.control->generation, generation);
	map_at(f, P, 0x900000, 0x1000, 0, "//anon", -1);
	unwind__process_changed(f->unwind, P);
	assert_int_equal(f->view.control->generation, generation + 2);
	assert_entry(f, 0, 1, 0x900000, 0x901000, 0, UNWIND_FILE_CHAIN);
}

/* One process meets a module: whoever maps it has the table at once, and no walk is disturbed. */
static void test_table_reaches_other_slots(void **state)
{
	struct fixture *f = *state;
	uint64_t generation;

	fill_rows(&files[0], 0, 1);
	fill_rows(&files[1], 1, 1);
	start_process(f, P);
	start_process(f, Q);
	map_at(f, P, 0x401000, TEXT_SZ, TEXT, "/a", 0);
	map_at(f, P, 0x501000, TEXT_SZ, TEXT, "/b", 1);
	walk(f, P, 0x401004);
	assert_entry(f, 0, 1, 0x501000, 0x505000, 0, UNWIND_FILE_COLD);
	map_at(f, Q, 0x701000, TEXT_SZ, TEXT, "/b", 1);
	generation = f->view.control->generation;
	walk(f, Q, 0x701004);
	assert_entry(f, 0, 1, 0x501000, 0x505000, 0x501000 - TEXT, 1);
	assert_entry(f, 1, 0, 0x701000, 0x705000, 0x701000 - TEXT, 1);
	assert_int_equal(f->view.control->generation, generation + 2); /* Q's slot */
}

static void test_more_mappings_than_a_slot_has(void **state)
{
	struct fixture *f = *state;
	const uint64_t gap = 0x10000;

	fill_rows(&files[0], 0, 1);
	start_process(f, P);
	for (uint64_t i = 0; i < UNWIND_MAPPINGS; i++)
		map_at(f, P, 0x1000000 + i * gap, 0x1000, 0, "//anon", -1);
	map_at(f, P, 0x7f0000001000, TEXT_SZ, TEXT, "/a", 0);
	assert_int_equal(walk(f, P, 0x7f0000001004), 1);
	assert_int_equal(f->outcome, UNWIND_END);
	for (uint64_t i = 0; i < UNWIND_MAPPINGS; i++)
		assert_entry(f, 0, i, 0x1000000 + i * gap, 0x1001000 + i * gap, 0,
			     UNWIND_FILE_CHAIN);
	/* The rest is walked here for ever. */
	assert_int_equal(walk(f, P, 0x7f0000001004), 1);
	assert_int_equal(files[0].asked, 1);
}

static bool kernel_entry(const struct fixture *f, pid_t pid, struct unwind_process *ret)
{
	uint32_t key = (uint32_t)pid;

	return bpf_map_lookup_elem(f->maps.processes, &key, ret) == 0;
}

/* As setup, with a real map of processes. */
static void need_bpf(struct fixture *f)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "processes", sizeof(uint32_t),
				sizeof(struct unwind_process), UNWIND_SLOTS, NULL);

	if (fd < 0) {
		print_message("skipped: no BPF map: %s\n", strerror(-fd));
		skip();
	}
	unwind__free(f->unwind);
	f->maps.processes = fd;
	assert_int_equal(unwind__new(&f->unwind, &f->maps, f->processes, NULL), 0);
}

static void test_exec_and_exit_free_the_slot(void **state)
{
	struct fixture *f = *state;
	struct unwind_process entry;

	need_bpf(f);
	start_process(f, P);
	map_at(f, P, 0x500000, 0x1000, 0, "//anon", -1);
	walk(f, P, 0x500004);
	assert_true(kernel_entry(f, P, &entry));
	assert_int_equal(entry.start_ns, START);
	assert_int_equal(entry.slot, 0);
	feed(f, (struct process_event){ .kind = PROCESS_EVENT_EXEC, .pid = P });
	unwind__process_changed(f->unwind, P);
	assert_false(kernel_entry(f, P, &entry));
	assert_int_equal(stats_of(f).slots_used, 0);
	/* Nothing is mapped yet that could be written to a slot. */
	walk(f, P, 0x500004);
	assert_false(kernel_entry(f, P, &entry));
	map_at(f, P, 0x600000, 0x1000, 0, "//anon", -1);
	walk(f, P, 0x600004);
	assert_true(kernel_entry(f, P, &entry));
	assert_entry(f, entry.slot, 0, 0x600000, 0x601000, 0, UNWIND_FILE_CHAIN);
	feed(f, (struct process_event){ .kind = PROCESS_EVENT_EXIT, .pid = P });
	unwind__process_changed(f->unwind, P);
	assert_false(kernel_entry(f, P, &entry));
	/* A sample that comes late does not bring it back. */
	assert_int_equal(walk(f, P, 0x600004), 1);
	assert_false(kernel_entry(f, P, &entry));
	assert_int_equal(stats_of(f).slots_used, 0);
	unwind__process_changed(f->unwind, P);
	unwind__process_changed(f->unwind, Q);
}

static void test_slots_run_out(void **state)
{
	struct fixture *f = *state;
	struct unwind_process entry;

	need_bpf(f);
	for (pid_t i = 0; i <= UNWIND_SLOTS; i++) {
		start_process(f, P + i);
		map_at(f, P + i, 0x1000000 + (uint64_t)i * 0x10000, 0x1000, 0, "//anon", -1);
		if (i < UNWIND_SLOTS)
			walk(f, P + i, 0x1000000 + (uint64_t)i * 0x10000);
	}
	assert_int_equal(stats_of(f).slots_used, UNWIND_SLOTS);
	walk(f, P, 0x1000000); /* not the oldest any more: that is the one after it */
	walk(f, P + UNWIND_SLOTS, 0x1000000 + UNWIND_SLOTS * 0x10000);
	assert_true(kernel_entry(f, P, &entry));
	assert_false(kernel_entry(f, P + 1, &entry));
	assert_true(kernel_entry(f, P + UNWIND_SLOTS, &entry));
	assert_int_equal(entry.slot, 1);
	assert_entry(f, 1, 0, 0x1000000 + UNWIND_SLOTS * 0x10000,
		     0x1001000 + UNWIND_SLOTS * 0x10000, 0, UNWIND_FILE_CHAIN);
	assert_int_equal(stats_of(f).slots_used, UNWIND_SLOTS);
	assert_int_equal(stats_of(f).slot_evictions, 1);
}

/* Another process has the pid now: the slot is its, under its start time. */
static void test_pid_comes_back(void **state)
{
	struct fixture *f = *state;
	struct unwind_process entry;
	uint64_t frame;
	const struct unwind_input in = {
		.pid = P, .start_ns = START + 1, .regs = f->regs, .stack = (const uint8_t *)f->stack
	};

	need_bpf(f);
	start_process(f, P);
	map_at(f, P, 0x500000, 0x1000, 0, "//anon", -1);
	walk(f, P, 0x500004);
	start_process(f, P);
	map_at(f, P, 0x700000, 0x1000, 0, "//anon", -1);
	f->regs[UNWIND_REG_RA] = 0x700004;
	unwind__walk(f->unwind, process_table__find(f->processes, P), &in, &frame, 1, &f->outcome,
		     NULL);
	assert_true(kernel_entry(f, P, &entry));
	assert_int_equal(entry.start_ns, START + 1);
	assert_entry(f, entry.slot, 0, 0x700000, 0x701000, 0, UNWIND_FILE_CHAIN);
	assert_int_equal(stats_of(f).slots_used, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unchanged_is_not_written),
		TEST(test_table_reaches_other_slots),
		TEST(test_more_mappings_than_a_slot_has),
		TEST(test_exec_and_exit_free_the_slot),
		TEST(test_slots_run_out),
		TEST(test_pid_comes_back),
	};

	return cmocka_run_group_tests_name("unwind_slots", tests, NULL, NULL);
}
