/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - see stream.h */
#include "core/packet/stream.h"

#include <stdlib.h>

#include <moonfence/moonfence.h>

#include "core/base/err.h"

void mf_stream_begin(struct mf_stream *s, uint32_t seq, uint32_t window)
{
	*s = (struct mf_stream){ .base = seq, .window = window };
}

void mf_stream_done(struct mf_stream *s)
{
	free(s->buf);
	s->buf = NULL;
	s->room = 0;
	s->range_cnt = 0;
}

static bool make_room(struct mf_stream *s, uint32_t len)
{
	uint32_t room = s->room ? s->room : 2048;
	uint8_t *grown;

	while (room < len)
		room *= 2;
	if (room == s->room)
		return true;
	grown = realloc(s->buf, room);
	if (!grown)
		return false;
	s->buf = grown;
	s->room = room;
	return true;
}

/* Bytes that are there stay: only the holes of [from, to) are filled. */
static void fill_holes(struct mf_stream *s, uint32_t from, uint32_t to, const uint8_t *ptr)
{
	uint32_t at = from;

	for (unsigned i = 0; i < s->range_cnt && at < to; i++) {
		uint32_t a = s->ranges[i].from, b = s->ranges[i].to;

		if (b <= at)
			continue;
		if (a >= to)
			break;
		if (a > at) {
			memcpy(s->buf + at, ptr + (at - from), a - at);
			at = a;
		}
		if (b > to)
			b = to;
		if (memcmp(s->buf + at, ptr + (at - from), b - at) != 0)
			s->disagreed = true;
		at = b;
	}
	if (at < to)
		memcpy(s->buf + at, ptr + (at - from), to - at);
}

/* [from, to) joined with the ranges that it touches. Return: false where it would be one range too many. */
static bool join_ranges(struct mf_stream *s, uint32_t *from, uint32_t *to)
{
	unsigned first = 0, last;

	while (first < s->range_cnt && s->ranges[first].to < *from)
		first++;
	last = first;
	while (last < s->range_cnt && s->ranges[last].from <= *to)
		last++;
	if (first == last) {
		if (s->range_cnt == MF_STREAM_RANGES_MAX)
			return false;
		memmove(&s->ranges[first + 1], &s->ranges[first],
			(s->range_cnt - first) * sizeof(s->ranges[0]));
		s->range_cnt++;
	} else {
		if (s->ranges[first].from < *from)
			*from = s->ranges[first].from;
		if (s->ranges[last - 1].to > *to)
			*to = s->ranges[last - 1].to;
		memmove(&s->ranges[first + 1], &s->ranges[last],
			(s->range_cnt - last) * sizeof(s->ranges[0]));
		s->range_cnt -= (uint8_t)(last - first - 1);
	}
	s->ranges[first].from = *from;
	s->ranges[first].to = *to;
	return true;
}

static bool would_be_too_many(const struct mf_stream *s, uint32_t from, uint32_t to)
{
	if (s->range_cnt < MF_STREAM_RANGES_MAX)
		return false;
	for (unsigned i = 0; i < s->range_cnt; i++)
		if (s->ranges[i].from <= to && s->ranges[i].to >= from)
			return false;
	return true;
}

int mf_stream_add(struct mf_stream *s, uint32_t seq, struct mf_span payload)
{
	int32_t off = (int32_t)(seq - s->base);
	uint32_t from, to;
	int r = 0;

	if (payload.len > UINT16_MAX)
		return MF_E_LIMIT; /* no segment is so long */
	if (off < 0) {		   /* consumed before */
		uint32_t old = 0 - (uint32_t)off;

		if (old >= payload.len)
			return 0;
		payload = mf_span_sub(payload, old, payload.len);
		off = 0;
	}
	if (payload.len == 0)
		return 0;
	from = (uint32_t)off;
	if (from >= s->window)
		return MF_E_FULL;
	if (payload.len > s->window - from) {
		payload.len = s->window - from;
		r = MF_E_FULL;
	}
	to = from + (uint32_t)payload.len;
	if (would_be_too_many(s, from, to))
		return MF_E_LIMIT;
	if (!make_room(s, to))
		return MF_E_NOMEM;
	fill_holes(s, from, to, payload.ptr);
	if (mf_bug(!join_ranges(s, &from, &to)))
		return MF_E_BUG;
	return r;
}

struct mf_span mf_stream_ready(const struct mf_stream *s)
{
	if (!s->range_cnt || s->ranges[0].from)
		return mf_span_of(s->buf, 0);
	return mf_span_of(s->buf, s->ranges[0].to);
}

void mf_stream_consume(struct mf_stream *s, uint32_t n)
{
	uint32_t ready = (uint32_t)mf_stream_ready(s).len, end;

	if (n == 0 || mf_bug(n > ready))
		return;
	end = s->ranges[s->range_cnt - 1].to;
	memmove(s->buf, s->buf + n, end - n);
	s->base += n;
	for (unsigned i = 0; i < s->range_cnt; i++) {
		s->ranges[i].from -= s->ranges[i].from ? n : 0;
		s->ranges[i].to -= n;
	}
	if (s->ranges[0].to == 0) {
		memmove(&s->ranges[0], &s->ranges[1], (s->range_cnt - 1u) * sizeof(s->ranges[0]));
		s->range_cnt--;
	}
}

bool mf_stream_has_holes(const struct mf_stream *s)
{
	return s->range_cnt > 1 || (s->range_cnt == 1 && s->ranges[0].from);
}

uint32_t mf_stream_next(const struct mf_stream *s)
{
	return s->base + (uint32_t)mf_stream_ready(s).len;
}
