/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * collect/ without a kernel: decoding of records that lie, lists of CPUs.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "collect/cpus.h"
#include "collect/probe_ops.h"

static struct stack_event event;

static size_t make_event(uint16_t kernel_cnt, uint16_t user_cnt)
{
	size_t i, bytes = STACK_EVENT_HEADER_BYTES + (size_t)(kernel_cnt + user_cnt) * 8;

	memset(&event, 0, sizeof(event));
	event.header.kind = EVENT_CPU;
	event.header.size = (uint32_t)bytes;
	event.header.time_ns = 77;
	event.header.tgid = 5;
	event.header.tid = 6;
	event.header.outcome = UNWIND_END;
	event.header.kernel_frames_cnt = kernel_cnt;
	event.header.user_frames_cnt = user_cnt;
	memset(event.header.comm, 'c', sizeof(event.header.comm)); /* no terminator */
	strcpy(event.header.leader_comm, "leader");
	for (i = 0; i < (size_t)kernel_cnt + user_cnt; i++)
		event.frames[i] = 100 + i;
	return bytes;
}

static void test_decodes(void **state)
{
	size_t bytes = make_event(2, 3);
	struct sample s;

	assert_int_equal(probe_cpu.ops->decode(NULL, &event, bytes, &s), 0);
	assert_ptr_equal(s.probe, &probe_cpu);
	assert_int_equal(s.time_ns, 77);
	assert_int_equal(s.pid, 5);
	assert_int_equal(s.tid, 6);
	assert_int_equal(s.kernel_cnt, 2);
	assert_int_equal(s.kernel[1], 101);
	assert_int_equal(s.user_cnt, 3);
	assert_int_equal(s.user[0], 102);
	assert_int_equal(strlen(s.comm), TASK_COMM_BYTES - 1);
	assert_string_equal(s.leader_comm, "leader");
}

static void test_ring_padding_is_fine(void **state)
{
	size_t bytes = make_event(0, 1);
	struct sample s;

	assert_int_equal(probe_cpu.ops->decode(NULL, &event, bytes + 8, &s), 0);
}

static void test_refuses_contradictions(void **state)
{
	size_t bytes = make_event(2, 3);
	struct sample s;

	assert_int_equal(probe_cpu.ops->decode(NULL, &event, bytes - 1, &s), -EBADMSG);
	assert_int_equal(probe_cpu.ops->decode(NULL, &event, STACK_EVENT_HEADER_BYTES - 1, &s),
			 -EBADMSG);
	assert_int_equal(probe_cpu.ops->decode(NULL, &event, 0, &s), -EBADMSG);
	event.header.user_frames_cnt = 60000;
	assert_int_equal(probe_cpu.ops->decode(NULL, &event, bytes, &s), -EBADMSG);
	make_event(2, 3);
	event.header.size = 0;
	assert_int_equal(probe_cpu.ops->decode(NULL, &event, bytes, &s), -EBADMSG);
	make_event(2, 3);
	event.header.outcome = UNWIND_OUTCOME_CNT;
	assert_int_equal(probe_cpu.ops->decode(NULL, &event, bytes, &s), -EBADMSG);
}

static struct cold_event cold;

static size_t make_cold(uint32_t stack_bytes, uint16_t kernel_cnt)
{
	memset(&cold, 0, sizeof(cold));
	cold.header.kind = EVENT_CPU_COLD;
	cold.header.size = (uint32_t)(offsetof(struct cold_event, stack) + stack_bytes);
	cold.header.kernel_frames_cnt = kernel_cnt;
	cold.header.outcome = UNWIND_COLD;
	cold.stack_bytes = stack_bytes;
	cold.skipped_bytes = 0x1000;
	cold.regs[UNWIND_REG_SP] = 0x7000;
	cold.stack[0] = 42;
	return cold.header.size;
}

static void test_decodes_a_copy(void **state)
{
	size_t bytes = make_cold(100, 3);
	struct sample s;

	assert_int_equal(probe_cpu.ops->decode(NULL, &cold, bytes, &s), 0);
	assert_int_equal(s.outcome, UNWIND_COLD);
	assert_int_equal(s.kernel_cnt, 3);
	assert_int_equal(s.user_cnt, 0);
	assert_int_equal(s.regs[UNWIND_REG_SP], 0x7000);
	assert_int_equal(s.stack_bytes, 100);
	assert_int_equal(s.skipped_bytes, 0x1000);
	assert_int_equal(s.stack[0], 42);
}

static void test_refuses_copies_that_lie(void **state)
{
	size_t bytes = make_cold(100, 3);
	struct sample s;

	assert_int_equal(probe_cpu.ops->decode(NULL, &cold, bytes - 1, &s), -EBADMSG);
	cold.stack_bytes = 200;
	assert_int_equal(probe_cpu.ops->decode(NULL, &cold, bytes, &s), -EBADMSG);
	cold.stack_bytes = COLD_STACK_BYTES + 1;
	assert_int_equal(probe_cpu.ops->decode(NULL, &cold, sizeof(cold), &s), -EBADMSG);
	bytes = make_cold(0, 0);
	cold.skipped_bytes = UINT32_MAX;
	assert_int_equal(probe_cpu.ops->decode(NULL, &cold, bytes, &s), -EBADMSG);
	bytes = make_cold(0, MAX_KERNEL_FRAMES + 1);
	assert_int_equal(probe_cpu.ops->decode(NULL, &cold, bytes, &s), -EBADMSG);
	bytes = make_cold(0, 0);
	cold.header.outcome = UNWIND_END;
	assert_int_equal(probe_cpu.ops->decode(NULL, &cold, bytes, &s), -EBADMSG);
	make_event(1, 1);
	event.header.outcome = UNWIND_COLD; /* a walked record cannot be one */
	assert_int_equal(probe_cpu.ops->decode(NULL, &event, event.header.size, &s), -EBADMSG);
}

static void test_cpu_lists(void **state)
{
	struct cpu_list l = { 0 };

	assert_int_equal(cpu_list__parse(&l, "0-2,5,8-8\n"), 0);
	assert_int_equal(l.cnt, 5);
	assert_int_equal(l.cpus[3], 5);
	assert_true(cpu_list__has(&l, 8));
	assert_false(cpu_list__has(&l, 3));
	assert_int_equal(cpu_list__parse(&l, "3-1"), -EINVAL);
	assert_int_equal(cpu_list__parse(&l, "0-99999999"), -EINVAL);
	assert_int_equal(cpu_list__parse(&l, "1;2"), -EINVAL);
	assert_int_equal(cpu_list__parse(&l, "7"), 0);
	assert_int_equal(l.cnt, 1);
	cpu_list__done(&l);
}

static void test_online_cpus_of_this_host(void **state)
{
	struct cpu_list l = { 0 };

	assert_int_equal(cpu_list__read_online(&l), 0);
	assert_int_equal(l.cnt, (size_t)sysconf(_SC_NPROCESSORS_ONLN));
	cpu_list__done(&l);
}

static void test_probe_table(void **state)
{
	size_t i;

	assert_ptr_equal(probe__find("cpu"), &probe_cpu);
	assert_null(probe__find("cp"));
	for (i = 0; i < probes_cnt; i++)
		assert_in_range(probes[i]->default_type, 0, probes[i]->sample_types_cnt - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decodes),
		cmocka_unit_test(test_ring_padding_is_fine),
		cmocka_unit_test(test_refuses_contradictions),
		cmocka_unit_test(test_decodes_a_copy),
		cmocka_unit_test(test_refuses_copies_that_lie),
		cmocka_unit_test(test_cpu_lists),
		cmocka_unit_test(test_online_cpus_of_this_host),
		cmocka_unit_test(test_probe_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
