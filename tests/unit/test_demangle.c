/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * demangle.c: C++, both Rust manglings, what is not mangled, and names made to explode.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "parse/demangle.h"
#include "parse/limits.h"

static void check(const char *mangled, const char *expected)
{
	char *name = demangle__name(mangled);

	if (expected) {
		assert_non_null(name);
		assert_string_equal(name, expected);
	} else {
		assert_null(name);
	}
	free(name);
}

static void test_cpp(void **state)
{
	check("_ZN2ns5Class6methodEi", "ns::Class::method");
	check("_ZNSt6vectorIiSaIiEE9push_backERKi",
	      "std::vector<int, std::allocator<int> >::push_back");
	check("_Z3maxIiET_S0_S0_", "max<int>");
	check("_ZN2nslsERSoi", "ns::operator<<");
	check("_ZN12_GLOBAL__N_1L3fooEv", "(anonymous namespace)::foo");
	check("_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()");
	check("_ZN2ns1fEv.cold", "ns::f");
	check("_ZN2ns1fEv.constprop.0", "ns::f");
}

static void test_rust(void **state)
{
	check("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad");
	check("_ZN4core3ptr13drop_in_place17h0123456789abcdefE.llvm.1234",
	      "core::ptr::drop_in_place");
	check("_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar"
	      "17h930b740aa94f1d3aE",
	      "<Test + 'static as foo::Bar<Test>>::bar");
	check("_RNvCs1234_7mycrate3foo", "mycrate::foo");
	check("_RNvNtCs1234_7mycrate3mod3bar", "mycrate::mod::bar");
}

static void test_not_mangled(void **state)
{
	const char *const plain[] = { "",   "_",        "main", "_start", "_Z",
				      "_R", "_Refresh", "_ZN3", "Z3foov", "__Z3foov" };

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		check(plain[i], NULL);
}

/* Each template argument is made of the one before, twice: 2^n names to print. */
static void cpp_bomb(struct buf *name, int levels)
{
	const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	buf__clear(name);
	buf__puts(name, "_Z1fI1AIiiE");
	for (int i = 1; i <= levels; i++)
		buf__printf(name, "S0_IS%c_S%c_E", digits[i], digits[i]);
	buf__puts(name, "Evv");
}

static void put_base62(struct buf *name, unsigned int value)
{
	const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	if (value >= 62)
		buf__putc(name, digits[value / 62]);
	buf__putc(name, digits[value % 62]);
}

/* The same with Rust's tuples and back references, which are offsets behind "_R". */
static void rust_bomb(struct buf *name, int levels)
{
	size_t last = strlen("INvC1c1f");

	buf__clear(name);
	buf__puts(name, "_RINvC1c1fThhE");
	for (int i = 0; i < levels; i++) {
		size_t at = name->len - 2;

		buf__putc(name, 'T');
		for (int k = 0; k < 2; k++) {
			buf__putc(name, 'B');
			put_base62(name, (unsigned int)last - 1);
			buf__putc(name, '_');
		}
		buf__putc(name, 'E');
		last = at;
	}
	buf__putc(name, 'E');
}

static void test_output_is_bounded(void **state)
{
	_cleanup_buf_ struct buf name = BUF_INIT;
	uint64_t start = clock__mono_ns();

	cpp_bomb(&name, 1);
	check(name.data, "f<A<int, int>, A<A<int, int>, A<int, int> > >");
	cpp_bomb(&name, 28);
	check(name.data, NULL);
	rust_bomb(&name, 1);
	check(name.data, "c::f::<(u8, u8), ((u8, u8), (u8, u8))>");
	rust_bomb(&name, 28);
	check(name.data, NULL);
	assert_true(clock__mono_ns() - start < NSEC_PER_SEC);
}

static void test_input_is_bounded(void **state)
{
	_cleanup_buf_ struct buf name = BUF_INIT;

	buf__printf(&name, "_ZN%u", 6000);
	for (int i = 0; i < 6000; i++)
		buf__putc(&name, 'a');
	buf__puts(&name, "1fEv");
	check(name.data, NULL);
	check("_ZN7aaaaaaa1fEv", "aaaaaaa::f");

	/* Deep nesting must end in a refusal, not in a stack overflow. */
	buf__clear(&name);
	buf__puts(&name, "_Z1f");
	for (int i = 0; i < 4000; i++)
		buf__putc(&name, 'P');
	buf__putc(&name, 'i');
	free(demangle__name(name.data));
	buf__clear(&name);
	buf__puts(&name, "_RNvC1c1fI");
	for (int i = 0; i < 4000; i++)
		buf__putc(&name, 'R');
	free(demangle__name(name.data));
}

/* A valid name cut, or with bytes changed, gives a name or nothing. */
static void test_garbage(void **state)
{
	const char seed[] = "_ZNSt6vectorIiSaIiEE9push_backERKiS1_NKUlvE_E";
	uint32_t random = 1;

	for (int i = 0; i < 20000; i++) {
		char name[sizeof(seed)];

		memcpy(name, seed, sizeof(seed));
		for (int k = 0; k < 3; k++) {
			random = random * 1664525u + 1013904223u;
			name[2 + (random >> 8) % (sizeof(seed) - 3)] =
				(char)(33 + (random >> 24) % 93);
		}
		if (i & 1)
			name[1] = 'R';
		free(demangle__name(name));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpp),
		cmocka_unit_test(test_rust),
		cmocka_unit_test(test_not_mangled),
		cmocka_unit_test(test_output_is_bounded),
		cmocka_unit_test(test_input_is_bounded),
		cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests_name("demangle", tests, NULL, NULL);
}
