// SPDX-License-Identifier: BSD-2-Clause
//
// C++ as distributions build it, without frame pointers: exceptions through several frames, virtual
// calls, callbacks out of libc, signal handlers, threads. For comparing unwinders.
// truth_cpp [SECONDS]
#include "workload.h"

#include <algorithm>
#include <csignal>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <sys/time.h>
#include <thread>
#include <vector>

namespace
{
volatile uint64_t sink;

struct Shape {
	virtual ~Shape() = default;
	virtual double area(int depth) const = 0;
};

struct Leaf : Shape {
	double side;
	explicit Leaf(double s) : side(s) {}
	double area(int depth) const override
	{
		std::ostringstream out;

		out << side << ' ' << depth;
		return side * double(out.str().size());
	}
};

struct Group : Shape {
	std::vector<std::unique_ptr<Shape>> parts;
	double area(int depth) const override
	{
		double sum = 0;

		for (const auto &p : parts)
			sum += p->area(depth + 1);
		return sum;
	}
};

std::unique_ptr<Shape> grow(int depth)
{
	auto g = std::make_unique<Group>();

	if (!depth)
		return std::make_unique<Leaf>(1.5);
	for (int i = 0; i < 3; i++)
		g->parts.push_back(grow(depth - 1));
	return g;
}

__attribute__((noinline)) int throw_deep(int depth, const std::string &text)
{
	std::string copy = text + std::to_string(depth);

	if (!depth)
		throw std::runtime_error(copy);
	return throw_deep(depth - 1, copy) + int(copy.size());
}

__attribute__((noinline)) int catch_it(int depth)
{
	try {
		return throw_deep(depth, "x");
	} catch (const std::exception &e) {
		return int(std::string(e.what()).size());
	}
}

extern "C" int compare_ints(const void *a, const void *b)
{
	return *static_cast<const int *>(a) - *static_cast<const int *>(b);
}

__attribute__((noinline)) void sort_with_libc(std::mt19937 &random)
{
	std::vector<int> v(500);

	for (auto &i : v)
		i = int(random() % 10000);
	qsort(v.data(), v.size(), sizeof(v[0]), compare_ints);
	sink += uint64_t(v[0]);
}

/* An array of variable size: the frame's size is known to the frame pointer only. */
__attribute__((noinline)) uint64_t variable_frame(int n)
{
	auto *a = static_cast<unsigned char *>(__builtin_alloca(size_t(n)));
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		a[i] = static_cast<unsigned char>(i * n);
	for (int i = 0; i < n; i++)
		sum += a[i];
	return sum;
}

/* Asks for more alignment than a stack has. */
__attribute__((noinline)) double aligned_frame(double x)
{
	alignas(64) volatile double a[16];

	for (int i = 0; i < 16; i++)
		a[i] = x * i;
	return a[3] + variable_frame(int(x) % 64 + 1);
}

void on_alarm(int)
{
	for (int i = 0; i < 20000; i++)
		sink = sink * 6364136223846793005u + 1;
}

void work(double end_s)
{
	std::mt19937 random(7);
	auto tree = grow(5);
	std::map<std::string, int> words;
	double x = 1;

	while (now_s() < end_s) {
		x += tree->area(0);
		sink += uint64_t(catch_it(12));
		sort_with_libc(random);
		for (int i = 0; i < 200; i++)
			words[std::to_string(random() % 1000)]++;
		for (int i = 0; i < 200; i++)
			x = aligned_frame(x > 1e6 ? 1 : x);
	}
}
} // namespace

int main(int argc, char **argv)
{
	double end_s = now_s() + seconds_arg(argc, argv, 3600);
	const struct itimerval every_ms = { { 0, 1000 }, { 0, 1000 } };
	stack_t alternate = {};
	struct sigaction action = {};

	alternate.ss_sp = malloc(65536);
	alternate.ss_size = 65536;
	sigaltstack(&alternate, nullptr);
	action.sa_handler = on_alarm;
	action.sa_flags = SA_RESTART | SA_ONSTACK;
	sigaction(SIGPROF, &action, nullptr);
	setitimer(ITIMER_PROF, &every_ms, nullptr);
	say_ready();
	std::thread other(work, end_s);
	work(end_s);
	other.join();
	return sink == 0;
}
