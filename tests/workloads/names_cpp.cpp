// SPDX-License-Identifier: BSD-2-Clause
//
// C++ names of every shape the demangler meets daily. Each takes the same share.
// names_cpp [SECONDS]
#include "workload.h"

#include <string>
#include <vector>

namespace outer
{
namespace
{
FRAME uint64_t in_anonymous(uint64_t x)
{
	return chew(x, 10);
}
} // namespace

template <typename T, int N> struct Grinder {
	FRAME uint64_t grind(const std::vector<T> &in, uint64_t x);
	FRAME uint64_t operator()(uint64_t x)
	{
		return chew(x, N);
	}
};

template <typename T, int N> uint64_t Grinder<T, N>::grind(const std::vector<T> &in, uint64_t x)
{
	return chew(x + in.size(), N);
}

class Machine
{
    public:
	virtual ~Machine() = default;
	FRAME virtual uint64_t run(uint64_t x) const
	{
		return chew(x, 10);
	}
};
} // namespace outer

int main(int argc, char **argv)
{
	double end_s = now_s() + seconds_arg(argc, argv, 1);
	std::vector<std::string> in(3);
	outer::Grinder<std::string, 10> grinder;
	outer::Machine machine;
	uint64_t x = 1;

	puts("expect name outer::(anonymous namespace)::in_anonymous");
	puts("expect name outer::Grinder<std::");
	puts("expect name ::operator()");
	puts("expect name outer::Machine::run");
	say_ready();
	while (now_s() < end_s) {
		x = outer::in_anonymous(x);
		x = grinder.grind(in, x);
		x = grinder(x);
		x = machine.run(x);
	}
	return x == 0;
}
