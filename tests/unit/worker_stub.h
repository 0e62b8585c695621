/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a test program runs when it is started as its own worker: the real one, or, where the
 * environment asks for it, one that dies, hangs or lies in a chosen way.
 */
#ifndef TESTS_UNIT_WORKER_STUB_H
#define TESTS_UNIT_WORKER_STUB_H

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "parse/parse_status.h"
#include "worker/protocol.h"
#include "worker/worker.h"

#define WORKER_STUB_ENV "CPROF_TEST_WORKER"

/* An answer to one address that is right until a lie is told in it. */
struct stub_answer {
	struct wire_reply header;
	struct wire_segment segment;
	struct wire_symbol symbol;
	char strings[24]; /* "", "name", "system", padding */
};

static const char *const worker_stub_lies[] __attribute__((unused)) = {
	"magic",
	"sequence",
	"status_unknown",
	"status_not_its_own",
	"status_with_tables",
	"build_id_len",
	"segments_cnt",
	"symbols_cnt_less",
	"symbols_cnt_huge",
	"modules_cnt",
	"strings_none",
	"strings_huge",
	"rows_unasked",
	"rows_base_unasked",
	"status_of_rows",
	"segment_reversed",
	"segment_idx",
	"segment_idx_negative",
	"name_beyond",
	"system_name_beyond",
	"name_alone",
	"name_empty",
	"strings_not_ended",
	"strings_first_byte",
	NULL,
};

static inline void stub_tell_header_lie(const char *lie, struct wire_reply *h)
{
	if (!strcmp(lie, "magic"))
		h->magic++;
	else if (!strcmp(lie, "sequence"))
		h->sequence++;
	else if (!strcmp(lie, "status_unknown"))
		h->status = PARSE_STATUS_CNT;
	else if (!strcmp(lie, "status_not_its_own"))
		h->status = PARSE_TIMEOUT;
	else if (!strcmp(lie, "status_with_tables"))
		h->status = PARSE_CORRUPT;
	else if (!strcmp(lie, "build_id_len"))
		h->build_id_len = WIRE_BUILD_ID_MAX + 1;
	else if (!strcmp(lie, "segments_cnt"))
		h->segments_cnt = UINT32_MAX;
	else if (!strcmp(lie, "symbols_cnt_less"))
		h->symbols_cnt = 0;
	else if (!strcmp(lie, "symbols_cnt_huge"))
		h->symbols_cnt = UINT32_MAX;
	else if (!strcmp(lie, "modules_cnt"))
		h->modules_cnt = 1;
	else if (!strcmp(lie, "strings_none"))
		h->strings_bytes = 0;
	else if (!strcmp(lie, "strings_huge"))
		h->strings_bytes = WIRE_REPLY_BYTES;
	else if (!strcmp(lie, "rows_unasked"))
		h->rows_cnt = 1;
	else if (!strcmp(lie, "rows_base_unasked"))
		h->rows_base = 0x1000;
	else if (!strcmp(lie, "status_of_rows"))
		h->status = PARSE_NO_CFI;
}

static inline void stub_tell_lie(const char *lie, struct stub_answer *a)
{
	stub_tell_header_lie(lie, &a->header);
	if (!strcmp(lie, "segment_reversed"))
		a->segment.limit = 0;
	else if (!strcmp(lie, "segment_idx"))
		a->symbol.segment = 1;
	else if (!strcmp(lie, "segment_idx_negative"))
		a->symbol.segment = -2;
	else if (!strcmp(lie, "name_beyond"))
		a->symbol.name = sizeof(a->strings);
	else if (!strcmp(lie, "system_name_beyond"))
		a->symbol.system_name = UINT32_MAX;
	else if (!strcmp(lie, "name_alone"))
		a->symbol.system_name = 0;
	else if (!strcmp(lie, "name_empty"))
		a->symbol.name = sizeof(a->strings) - 1;
	else if (!strcmp(lie, "strings_not_ended"))
		a->strings[sizeof(a->strings) - 1] = 'x';
	else if (!strcmp(lie, "strings_first_byte"))
		a->strings[0] = 'x';
}

static inline void stub_send(int fd, const void *data, size_t len)
{
	if (send(fd, data, len, MSG_NOSIGNAL) != (ssize_t)len)
		_exit(99);
}

static inline void stub_answer(int fd, const char *mode, uint64_t sequence)
{
	struct stub_answer a = {
		.header = { .magic = WIRE_MAGIC,
			    .status = PARSE_OK,
			    .sequence = sequence,
			    .segments_cnt = 1,
			    .symbols_cnt = 1,
			    .strings_bytes = sizeof(a.strings) },
		.segment = { .vaddr = 0x1000, .limit = 0x2000 },
		.symbol = { .address = 0x1000, .segment = 0, .name = 1, .system_name = 6 },
		.strings = "\0name\0system",
	};
	size_t len = sizeof(a);

	_Static_assert(sizeof(a) == 80 + 24 + 24 + 24, "as on the wire");
	stub_tell_lie(mode, &a);
	if (!strcmp(mode, "half_header"))
		len = sizeof(a.header) / 2;
	else if (!strcmp(mode, "half_tables") || !strcmp(mode, "stalls"))
		len = sizeof(a) - 10;
	if (!strcmp(mode, "garbage"))
		memset(&a, 0xa5, sizeof(a));
	stub_send(fd, &a, len);
}

static inline int stub_serve(int fd, const char *mode)
{
	struct {
		struct wire_request header;
		uint64_t address;
	} request;

	if (recv(fd, &request, sizeof(request), MSG_WAITALL) != (ssize_t)sizeof(request))
		return 98;
	if (!strncmp(mode, "leave_once:", 11))
		return WORKER_EXIT_DONE;
	if (!strcmp(mode, "abort")) {
		signal(SIGABRT, SIG_DFL);
		abort();
	}
	if (!strcmp(mode, "bus"))
		return WORKER_EXIT_FILE_CHANGED;
	if (!strcmp(mode, "cpu_limit"))
		raise(SIGXCPU);
	if (!strcmp(mode, "alarm"))
		raise(SIGALRM);
	if (strcmp(mode, "hang") != 0)
		stub_answer(fd, mode, request.header.sequence);
	if (!strcmp(mode, "half_header") || !strcmp(mode, "half_tables"))
		return 97;
	for (;;)
		pause();
}

static inline int worker_stub__main(int fd)
{
	struct wire_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION };
	const char *mode = getenv(WORKER_STUB_ENV);

	/* Only the first worker leaves: the flag is a file that it takes away. */
	if (!mode || (!strncmp(mode, "leave_once:", 11) && unlink(mode + 11)))
		return worker__main(fd);
	if (!strcmp(mode, "exit"))
		_exit(1);
	if (!strcmp(mode, "wrong_hello"))
		hello.version++;
	if (strcmp(mode, "no_hello") != 0)
		stub_send(fd, &hello, sizeof(hello));
	_exit(stub_serve(fd, mode));
}

#endif
