/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See gzip.h.
 */
#include "base/gzip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define GZIP_WINDOW_BITS (15 + 16) /* zlib: + 16 selects the gzip wrapper */
#define CHUNK_BYTES      4096      /* on the stack */
#define PENDING_BYTES    65536
#define STREAM_LEVEL     Z_BEST_SPEED /* level 6: 4 % smaller, twice the time */

bool gzip__is_gzip(const void *data, size_t len)
{
	const unsigned char *p = data;

	return len >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

struct gzip_writer {
	z_stream z;
	struct buf *out;
	size_t pending_bytes;
	unsigned char pending[PENDING_BYTES]; /* many small writes, few calls of deflate() */
};

int gzip_writer__new(struct gzip_writer **ret, struct buf *out)
{
	struct gzip_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->out = out;
	if (deflateInit2(&w->z, STREAM_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK) {
		free(w);
		return -ENOMEM;
	}
	*ret = w;
	return 0;
}

static int deflate_pending(struct gzip_writer *w, int flush)
{
	unsigned char chunk[CHUNK_BYTES];
	int ret;

	w->z.next_in = w->pending;
	w->z.avail_in = (uInt)w->pending_bytes;
	do {
		w->z.next_out = chunk;
		w->z.avail_out = sizeof(chunk);
		ret = deflate(&w->z, flush);
		if (ret == Z_STREAM_ERROR)
			return -ENOMEM;
		buf__append(w->out, chunk, sizeof(chunk) - w->z.avail_out);
	} while (!w->z.avail_out);
	w->pending_bytes = 0;
	return buf__error(w->out);
}

int gzip_writer__write(struct gzip_writer *w, const void *data, size_t len)
{
	const unsigned char *p = data;
	int err;

	while (len) {
		size_t n = sizeof(w->pending) - w->pending_bytes;

		if (n > len)
			n = len;
		memcpy(w->pending + w->pending_bytes, p, n);
		w->pending_bytes += n;
		p += n;
		len -= n;
		if (w->pending_bytes < sizeof(w->pending))
			continue;
		err = deflate_pending(w, Z_NO_FLUSH);
		if (err)
			return err;
	}
	return 0;
}

int gzip_writer__finish(struct gzip_writer *w)
{
	return deflate_pending(w, Z_FINISH);
}

void gzip_writer__free(struct gzip_writer *w)
{
	if (!w)
		return;
	deflateEnd(&w->z);
	free(w);
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
		/* What follows a member must be another one: nothing is left out silently. */
		if (ret == Z_STREAM_END && z.avail_in)
			ret = inflateReset(&z);
	} while (ret == Z_OK);
	inflateEnd(&z);
	return inflate_error(ret) ?: buf__error(out);
}

int zlib__inflate(const void *data, size_t len, void *out, size_t out_bytes)
{
	uLongf got = out_bytes;
	int ret = uncompress(out, &got, data, len);

	if (ret == Z_MEM_ERROR)
		return -ENOMEM;
	return ret == Z_OK && got == out_bytes ? 0 : -EBADMSG;
}
