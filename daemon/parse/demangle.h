/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mangled C++ and Rust names → readable ones, by libiberty. Sees one name at a time; knows no
 * files.
 */
#ifndef PARSE_DEMANGLE_H
#define PARSE_DEMANGLE_H

/*
 * The readable form of a linker name, to be freed: without parameters and return types, with
 * template arguments ("std::vector<int, std::allocator<int> >::push_back"), Rust without its hash.
 * NULL: not mangled, malformed, longer than PARSE_NAME_BYTES before or after, or out of memory.
 */
char *demangle__name(const char *system_name);

#endif
