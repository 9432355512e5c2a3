/* SPDX-License-Identifier: Apache-2.0 */
/* gzip_zlib.c - see gzip.h */
#include <errno.h>
#include <moonfence/moonfence.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "core/journal/gzip.h"

#define PIECE 32768u
#define GZIP  (15 + 16) // the largest window, and a gzip header

bool mf_gzip_is_there(void)
{
	return true;
}

struct buffers {
	unsigned char in[PIECE], out[PIECE];
};

static int put(int fd, const unsigned char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return MF_E_IO;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

// One piece of input, and all the output that it makes.
static int squeeze(z_stream *z, struct buffers *b, int to, int how)
{
	do {
		int r;

		z->next_out = b->out;
		z->avail_out = PIECE;
		if (deflate(z, how) == Z_STREAM_ERROR)
			return MF_E_BUG;
		r = put(to, b->out, PIECE - z->avail_out);
		if (r)
			return r;
	} while (!z->avail_out);
	return 0;
}

int mf_gzip_copy(int from, int to, bool (*stop)(void *ctx), void *ctx)
{
	struct buffers *b = malloc(sizeof(*b));
	z_stream z = { 0 };
	ssize_t n = 1;
	int r = 0;

	if (!b || deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP, 8,
			       Z_DEFAULT_STRATEGY) != Z_OK) {
		free(b);
		return MF_E_NOMEM;
	}
	while (!r && n) {
		if (stop(ctx)) {
			r = MF_E_CLOSED;
			break;
		}
		n = read(from, b->in, PIECE);
		if (n < 0) {
			r = errno == EINTR ? 0 : MF_E_IO;
			n = 1;
			continue;
		}
		z.next_in = b->in;
		z.avail_in = (unsigned)n;
		r = squeeze(&z, b, to, n ? Z_NO_FLUSH : Z_FINISH);
	}
	deflateEnd(&z);
	free(b);
	return r;
}
