/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export/short_name: what is shortened, and what only looks like template arguments.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/array.h"
#include "base/clock.h"
#include "export/short_name.h"

static void test_names(void **state)
{
	static const struct {
		const char *name, *text;
	} cases[] = {
		{ "", "" },
		{ "main", "main" },
		{ "std::vector<int, std::allocator<int> >::_M_default_append",
		  "std::vector<..>::_M_default_append" },
		{ "f<12345678>", "f<12345678>" },
		{ "f<123456789>", "f<..>" },
		{ "a<std::pair<int, int> >::b<std::pair<int, int>>", "a<..>::b<..>" },
		/* operators are names */
		{ "std::operator<< <std::char_traits<char> >", "std::operator<< <..>" },
		{ "operator< <std::string>", "operator< <..>" },
		{ "std::operator<=><std::string_view>", "std::operator<=><..>" },
		{ "A::operator<(A const&, std::vector<A, Alloc<A> > const&)",
		  "A::operator<(A const&, std::vector<..> const&)" },
		{ "A::operator<<=", "A::operator<<=" },
		{ "std::unique_ptr<int, std::default_delete<int> >::operator->",
		  "std::unique_ptr<..>::operator->" },
		{ "A::operator->*<std::string>", "A::operator->*<..>" },
		{ "A::operator><std::string>(int)", "A::operator><..>(int)" },
		{ "bool operator==<char, std::less<char> >", "bool operator==<..>" },
		{ "A::operator()<std::string>", "A::operator()<..>" },
		{ "my_operator<std::string>", "my_operator<..>" },
		{ "f<&(A::operator<), 12345>::g", "f<..>::g" },
		{ "f<&A::operator->, &A::operator>>, &A::operator< >::g", "f<..>::g" },
		/* expressions in arguments */
		{ "f<(1>2), 12345>::g", "f<..>::g" },
		{ "f<(1<2), 12345>::g", "f<..>::g" },
		{ "f<decltype (a->b), int>::g", "f<..>::g" },
		{ "f<auto g() -> int, int>::g", "f<..>::g" },
		{ "std::function<void (std::vector<int>)>::operator()",
		  "std::function<..>::operator()" },
		/* lambdas, and what is within other brackets */
		{ "run()::{lambda()#1}::operator()", "run()::{lambda()#1}::operator()" },
		{ "run()::{lambda(std::vector<int, Alloc<A> > const&)#12}::operator()",
		  "run()::{lambda(std::vector<..> const&)#12}::operator()" },
		{ "f<run()::{lambda()#1}>::g", "f<..>::g" },
		{ "f<run()::{lambda(A<B>)#1}>::g", "f<..>::g" },
		/* Rust */
		{ "<alloc::vec::Vec<T, Global> as core::ops::Drop>::drop",
		  "<alloc::vec::Vec<..> as core::ops::Drop>::drop" },
		{ "core::str::<impl core::fmt::Display>::fmt",
		  "core::str::<impl core::fmt::Display>::fmt" },
		{ "alloc::vec::Vec::<my::thing::Type>::push", "alloc::vec::Vec::<..>::push" },
		{ "::<my::thing::Type>", "::<my::thing::Type>" },
		/* others */
		{ "[libc.so.6]", "[libc.so.6]" },
		{ "<unknown>", "<unknown>" },
		{ "py::<lambda>:/a.py", "py::<lambda>:/a.py" },
		{ "a < b_long_enough > c", "a < b_long_enough > c" },
		/* without an end */
		{ "f<std::vector<int", "f<std::vector<int" },
		{ "f<aaaaaaaaaaaa)>", "f<aaaaaaaaaaaa)>" },
		{ "f<aaaaaaaaaaaa(>", "f<aaaaaaaaaaaa(>" },
		{ "f<", "f<" },
		{ "operator", "operator" },
		{ "operator<", "operator<" },
		{ ">", ">" },
		{ "-", "-" },
		{ "\xff<\xff\xff\xff\xff\xff\xff\xff\xff\xff>", "\xff<..>" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT;

		short_name__append(&out, cases[i].name);
		assert_int_equal(buf__error(&out), 0);
		assert_string_equal(out.data ?: "", cases[i].text);
	}
}

/* A name may be as long as its file is: the time it takes must not be its square. */
static void test_long(void **state)
{
	static const char *const parts[] = { "a<", "a<b>", "operator<", "a<(", "a<)", "<impl a" };
	const size_t len = 4 << 20;
	char *name = malloc(len + 1);
	uint64_t start_ns;
	size_t i, k;

	assert_non_null(name);
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT;

		for (k = 0; k < len; k++)
			name[k] = parts[i][k % strlen(parts[i])];
		name[len] = '\0';
		start_ns = clock__mono_ns();
		short_name__append(&out, name);
		assert_true(clock__mono_ns() - start_ns < 10 * NSEC_PER_SEC);
		assert_int_equal(buf__error(&out), 0);
		assert_string_equal(out.data, name);
	}
	free(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
