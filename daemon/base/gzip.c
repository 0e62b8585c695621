/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See gzip.h.
 */
#include "base/gzip.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <zlib.h>

#define GZIP_WINDOW_BITS (15 + 16) /* zlib: + 16 selects the gzip wrapper */
#define CHUNK_BYTES      (64 * 1024)

bool gzip__is_gzip(const void *data, size_t len)
{
	const unsigned char *p = data;

	return len >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

int gzip__compress(const void *data, size_t len, struct buf *out)
{
	unsigned char chunk[CHUNK_BYTES];
	z_stream z = { 0 };
	int ret;

	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW_BITS, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	z.next_in = (Bytef *)data;
	do {
		if (!z.avail_in && len) {
			z.avail_in = len > UINT_MAX ? UINT_MAX : (uInt)len;
			len -= z.avail_in;
		}
		z.next_out = chunk;
		z.avail_out = sizeof(chunk);
		ret = deflate(&z, len ? Z_NO_FLUSH : Z_FINISH);
		buf__append(out, chunk, sizeof(chunk) - z.avail_out);
	} while (ret == Z_OK);
	deflateEnd(&z);
	return ret == Z_STREAM_END ? buf__error(out) : -ENOMEM;
}

static int inflate_error(int ret)
{
	if (ret == Z_STREAM_END)
		return 0;
	return ret == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

int gzip__decompress(const void *data, size_t len, size_t max_bytes, struct buf *out)
{
	unsigned char chunk[CHUNK_BYTES];
	z_stream z = { 0 };
	size_t total = 0;
	int ret;

	if (!gzip__is_gzip(data, len) || len > UINT_MAX)
		return -EBADMSG;
	if (inflateInit2(&z, GZIP_WINDOW_BITS) != Z_OK)
		return -ENOMEM;
	z.next_in = (Bytef *)data;
	z.avail_in = (uInt)len;
	do {
		size_t n;

		z.next_out = chunk;
		z.avail_out = sizeof(chunk);
		ret = inflate(&z, Z_NO_FLUSH);
		n = sizeof(chunk) - z.avail_out;
		total += n;
		if (total > max_bytes) {
			inflateEnd(&z);
			return -EFBIG;
		}
		buf__append(out, chunk, n);
	} while (ret == Z_OK);
	inflateEnd(&z);
	return inflate_error(ret) ?: buf__error(out);
}
