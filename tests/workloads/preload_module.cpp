/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A C++ module that a C program (preload_host.c) loads for itself alone: its operators are in no
 * scope that a preloaded library can look into.
 */
#include <memory>
#include <new>
#include <string>
#include <vector>

static int handler_calls;

extern "C" int module_work(int rounds);

static void give_up()
{
	handler_calls++;
	std::set_new_handler(nullptr);
}

/* How often it throws what it should, and lets the handler try again. */
static int exhaust()
{
	volatile size_t size = SIZE_MAX / 2;

	std::set_new_handler(give_up);
	try {
		::operator delete(::operator new(size));
	} catch (const std::bad_alloc &) {
		handler_calls++;
	}
	if (!::operator new[](size, std::align_val_t(64), std::nothrow))
		handler_calls++;
	return handler_calls;
}

int module_work(int rounds)
{
	std::vector<std::string> strings;
	int sum = exhaust();

	for (int i = 0; i < rounds; i++) {
		strings.emplace_back(static_cast<size_t>(i % 1000), 'x');
		if (i % 3 == 0)
			strings[static_cast<size_t>(i / 2)] = std::to_string(i);
	}
	for (const auto &s : strings)
		sum += static_cast<int>(s.size());
	::operator delete(::operator new(100, std::align_val_t(64)), std::align_val_t(64));
	delete[] new char[10];
	return sum;
}
