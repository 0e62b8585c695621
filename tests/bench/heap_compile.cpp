/* SPDX-License-Identifier: BSD-2-Clause */
/* What a compiler is given to chew by bench_heap.py: the standard library's heavier templates. */
#include <algorithm>
#include <functional>
#include <map>
#include <regex>
#include <string>
#include <variant>
#include <vector>

using value = std::variant<int, double, std::string, std::vector<int>>;

std::map<std::string, std::vector<value>> parse(const std::string &text)
{
	static const std::regex line("([a-z_]+)\\s*=\\s*([0-9]+|\"[^\"]*\")");
	std::map<std::string, std::vector<value>> out;

	for (std::sregex_iterator i(text.begin(), text.end(), line), end; i != end; ++i)
		out[(*i)[1]].emplace_back((*i)[2].str());
	return out;
}

std::vector<std::string> names(const std::map<std::string, std::vector<value>> &values)
{
	std::vector<std::string> out;

	std::transform(values.begin(), values.end(), std::back_inserter(out),
		       [](const auto &pair) { return pair.first; });
	std::stable_sort(out.begin(), out.end(), std::greater<>());
	return out;
}

std::string replace(const std::string &text)
{
	return std::regex_replace(
		text, std::wregex(L"x").mark_count() ? std::regex("a+") : std::regex("b*"), "c");
}
