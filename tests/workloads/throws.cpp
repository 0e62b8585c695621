// SPDX-License-Identifier: BSD-2-Clause
//
// Throws exceptions through several frames with destructors all the time: about half of it is spent
// in the run-time libraries' own unwinder.
// throws [SECONDS]
#include "workload.h"

#include <stdexcept>
#include <string>

namespace
{
struct Guard {
	explicit Guard(uint64_t &count) : count(count)
	{
	}
	~Guard()
	{
		count++;
		__asm__ volatile("" : : "r"(&count) : "memory");
	}
	uint64_t &count;
};
} // namespace

extern "C" {
FRAME uint64_t burn_before(uint64_t x)
{
	for (unsigned int i = 0; i < 10000; i++) {
		x = x * 6364136223846793005ULL + 1;
		__asm__ volatile("" : "+r"(x));
	}
	return x;
}

FRAME uint64_t fail_below(unsigned int depth, uint64_t &count)
{
	Guard guard(count);

	if (depth == 0)
		throw std::runtime_error(std::to_string(burn_before(count)));
	return fail_below(depth - 1, count) + 1;
}

FRAME uint64_t catch_all(uint64_t &count)
{
	try {
		return fail_below(8, count);
	} catch (const std::exception &e) {
		return e.what()[0];
	}
}
}

int main(int argc, char **argv)
{
	double end_s = now_s() + seconds_arg(argc, argv, 1);
	uint64_t count = 0, x = 1;

	puts("expect path main catch_all");
	puts("expect path main catch_all fail_below burn_before");
	say_ready();
	while (now_s() < end_s)
		x += catch_all(count);
	return x == 0;
}
