/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * operator new in all its forms, and what containers do with it. As heap_truth.c; extern "C" so
 * that names have no signature.
 *
 * heap_new [ROUNDS [SCALE [PER_MS]]]
 */
#include <new>
#include <string>
#include <vector>
#include "heap_truth.h"

static const int blocks = 48, keep_each = 6;
static size_t scale = 1;

struct wide {
	alignas(64) char bytes[320];
};

extern "C" {
FRAME void *alloc_new(size_t bytes)
{
	return truth_allocated(__func__, bytes, ::operator new(bytes));
}

FRAME char *alloc_new_array(size_t bytes)
{
	char *p = new char[bytes];

	truth_allocated(__func__, bytes, p);
	return p;
}

FRAME void *alloc_new_nothrow(size_t bytes)
{
	return truth_allocated(__func__, bytes, ::operator new(bytes, std::nothrow));
}

FRAME char *alloc_new_array_nothrow(size_t bytes)
{
	char *p = new (std::nothrow) char[bytes];

	truth_allocated(__func__, bytes, p);
	return p;
}

FRAME wide *alloc_new_aligned(void)
{
	wide *p = new wide;

	truth_allocated(__func__, sizeof(*p), p);
	return p;
}

FRAME wide *alloc_new_array_aligned(size_t count)
{
	wide *p = new wide[count];

	truth_allocated(__func__, count * sizeof(*p), p);
	return p;
}

/* The vector's own growth, told by its capacity. */
FRAME void alloc_vector(int elements)
{
	std::vector<uint64_t> v;

	for (int i = 0; i < elements; i++) {
		size_t before = v.capacity();

		v.push_back((uint64_t)i);
		if (v.capacity() == before)
			continue;
		truth_allocated(__func__, v.capacity() * sizeof(v[0]), v.data());
		if (before)
			truth_freed(__func__, before * sizeof(v[0]));
	}
	truth_freed(__func__, v.capacity() * sizeof(v[0]));
}

FRAME std::string *alloc_string(size_t bytes)
{
	std::string *s = new std::string(bytes, 'x');

	truth_allocated(__func__, sizeof(*s), s);
	truth_allocated(__func__, s->capacity() + 1, &(*s)[0]);
	return s;
}
}

/* Within it, an exception may be made and caught. */
static void new_returns_null(void)
{
	if (::operator new(NO_SUCH_SIZE, std::nothrow))
		abort();
	truth.failed++;
}

/* An exception on its way out of operator new, which no other memory is needed for. */
static void new_throws(void)
{
	try {
		volatile size_t bytes = NO_SUCH_SIZE;

		::operator delete(::operator new(bytes));
	} catch (const std::bad_alloc &) {
		truth.failed++;
		return;
	}
	abort();
}

static void work_round(void)
{
	for (int i = 0; i < blocks; i++) {
		bool keep = i % keep_each == 0;
		size_t bytes = 40 * scale;
		void *p = alloc_new(bytes), *q = alloc_new_nothrow(bytes);
		char *a = alloc_new_array(bytes), *b = alloc_new_array_nothrow(bytes);
		wide *w = alloc_new_aligned(), *ww = alloc_new_array_aligned(2);
		std::string *s = alloc_string(100 * scale);

		if (keep)
			continue;
		truth_freed("alloc_new", bytes);
		::operator delete(p, bytes); /* sized */
		truth_freed("alloc_new_nothrow", bytes);
		::operator delete(q, std::nothrow);
		truth_freed("alloc_new_array", bytes);
		delete[] a;
		truth_freed("alloc_new_array_nothrow", bytes);
		delete[] b;
		truth_freed("alloc_new_aligned", sizeof(*w));
		delete w;
		truth_freed("alloc_new_array_aligned", 2 * sizeof(*ww));
		delete[] ww;
		truth_freed("alloc_string", sizeof(*s));
		truth_freed("alloc_string", s->capacity() + 1);
		delete s;
	}
	alloc_vector(600 * (int)scale);
	delete[] static_cast<char *>(nullptr);
	new_returns_null();
	if (!truth_allocator_is("mimalloc")) /* built as C: it ends the program */
		new_throws();
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1;

	scale = argc > 2 ? (size_t)atoi(argv[2]) : 1;
	truth.per_ms = argc > 3 ? (unsigned int)atoi(argv[3]) : 0;
	truth_await_go();
	for (int i = 0; i < rounds; i++)
		work_round();
	truth_done();
	return 0;
}
