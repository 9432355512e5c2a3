/* SPDX-License-Identifier: Apache-2.0 */
/* frame_stream_posix.c - frames with their length before them; see frame_socket.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/bytes.h"
#include "nic/frame_socket.h"
#include "nic/frame_socket_posix.h"

#define PREFIX 4u
/* Together less than a megabyte for a guest, however busy it has been. */
#define IN_ROOM	 (160u << 10)
#define OUT_ROOM (768u << 10) /* what waits for a guest that does not read */

_Static_assert(IN_ROOM > 2 * (MF_FRAME_MAX + PREFIX), "a whole frame always fits");

struct stream {
	struct mf_frame_source source;
	bool closed;
	size_t in_at, in_end;	/* bytes of @in that are not taken yet */
	size_t out_at, out_end; /* bytes of @out that are not written yet */
	uint8_t in[IN_ROOM], out[OUT_ROOM];
};

/* Return: frames, MF_E_SYNTAX */
static int take(struct stream *s, unsigned max)
{
	unsigned cnt = 0;

	while (cnt < max) {
		size_t frame;
		int len = mf_frame_split(s->in + s->in_at, s->in_end - s->in_at, &frame);

		if (len == MF_E_AGAIN)
			break;
		if (len < 0)
			return len;
		s->in_at += frame + (size_t)len;
		cnt++;
		if ((unsigned)len < MF_FRAME_MIN) {
			s->source.stats.in_bad++;
			continue;
		}
		s->source.stats.in++;
		s->source.stats.in_bytes += (unsigned)len;
		s->source.receiver(s->source.ctx, s->in + s->in_at - len, (size_t)len);
	}
	return (int)cnt;
}

static void compact(uint8_t *buf, size_t *at, size_t *end)
{
	if (*at)
		memmove(buf, buf + *at, *end - *at);
	*end -= *at;
	*at = 0;
}

static int stream_run(struct mf_frame_source *source, unsigned max)
{
	struct stream *s = (struct stream *)source;
	unsigned cnt = 0;

	/* Whole frames that an earlier turn had no more turn for come first. */
	while (cnt < max) {
		ssize_t n;
		int r = take(s, max - cnt);

		if (r < 0)
			return r;
		cnt += (unsigned)r;
		if (cnt >= max || s->closed)
			break;
		compact(s->in, &s->in_at, &s->in_end);
		n = recv(source->fd, s->in + s->in_end, IN_ROOM - s->in_end, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n <= 0)
			s->closed = true;
		else
			s->in_end += (size_t)n;
	}
	return cnt ? (int)cnt : s->closed ? MF_E_CLOSED : 0;
}

static int stream_send(struct mf_frame_source *source, const uint8_t *head, size_t head_len,
		       const uint8_t *body, size_t body_len)
{
	struct stream *s = (struct stream *)source;
	size_t len = head_len + body_len;

	if (len > MF_FRAME_MAX)
		return MF_E_LIMIT;
	if (OUT_ROOM - s->out_end < PREFIX + len)
		compact(s->out, &s->out_at, &s->out_end);
	if (s->closed || OUT_ROOM - s->out_end < PREFIX + len) {
		source->stats.out_dropped++;
		return MF_E_AGAIN;
	}
	mf_store_be32(s->out + s->out_end, (uint32_t)len);
	memcpy(s->out + s->out_end + PREFIX, head, head_len);
	memcpy(s->out + s->out_end + PREFIX + head_len, body, body_len);
	s->out_end += PREFIX + len;
	source->waiting = s->out_end - s->out_at;
	source->stats.out++;
	source->stats.out_bytes += len;
	return 0;
}

static void stream_flush(struct mf_frame_source *source)
{
	struct stream *s = (struct stream *)source;

	while (s->out_at < s->out_end && !s->closed) {
		ssize_t n = send(source->fd, s->out + s->out_at, s->out_end - s->out_at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			/* run() tells of a peer that has gone */
			if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS)
				s->closed = true;
			break;
		}
		s->out_at += (size_t)n;
	}
	if (s->out_at == s->out_end || s->closed)
		s->out_at = s->out_end = 0;
	source->waiting = s->out_end - s->out_at;
	source->wants_write = source->waiting;
}

static void stream_free(struct mf_frame_source *source)
{
	close(source->fd);
	free(source);
}

static const struct mf_frame_ops ops = { "stream", stream_run, stream_send, stream_flush,
					 stream_free };

int mf_frame_stream_new(int fd, struct mf_frame_source **ret, struct mf_err *err)
{
	/* Without calloc(): most of it is never touched. */
	struct stream *s = malloc(sizeof(*s));

	if (!s) {
		close(fd);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	s->source = (struct mf_frame_source){ .ops = &ops, .fd = fd };
	s->closed = false;
	s->in_at = s->in_end = s->out_at = s->out_end = 0;
	mf_frame_no_signal(fd);
	*ret = &s->source;
	return 0;
}
