/* SPDX-License-Identifier: Apache-2.0 */
/* http_watch.c - see http_watch.h */
#include "core/wire/http_watch.h"

#include <stdlib.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/http_head.h"
#include "core/wire/http_watch_int.h"

enum {
	CHUNK_DIGITS_MAX = 15,
	CHUNK_LINE_MAX = 256,
};

struct mf_http_watch *mf_http_watch_new(void)
{
	return calloc(1, sizeof(struct mf_http_watch));
}

void mf_http_watch_free(struct mf_http_watch *w)
{
	if (!w)
		return;
	if (w->hpack)
		mf_hpack_done(w->hpack);
	free(w->hpack);
	free(w->host);
	mf_watch_drop_tunnels(w);
	free(w->hello);
	free(w);
}

bool mf_http_watch_is_opaque(const struct mf_http_watch *w)
{
	return w->state == OPAQUE;
}

bool mf_http_watch_is_http2(const struct mf_http_watch *w)
{
	return w->hpack;
}

bool mf_http_watch_has_tls(const struct mf_http_watch *w)
{
	return w->has_tls;
}

bool mf_http_watch_is_another(const struct mf_http_watch *w)
{
	return w->state == WORDS || w->state == OPAQUE;
}

bool mf_http_watch_is_unsure(const struct mf_http_watch *w)
{
	return w->unsure;
}

void mf_http_watch_greeted(struct mf_http_watch *w)
{
	w->greeted = true;
}

bool mf_http_watch_awaits_answer(const struct mf_http_watch *w)
{
	return w->greeted;
}

/* --- HTTP/1 --------------------------------------------------------------------------------------------------------- */

static bool is_blank(uint8_t c)
{
	return c == '\r' || c == '\n';
}

static int step_head(struct mf_http_watch *w, struct mf_span in, size_t *pass,
		     struct mf_http_said *ret)
{
	struct mf_http_head h;
	size_t len;

	if (in.len && is_blank(in.ptr[0])) {
		*pass = 1;
		return AGAIN;
	}
	len = mf_http_find_end(in, w->scanned);
	if (!len) {
		w->scanned = (uint32_t)in.len;
		return in.len > MF_HTTP_HEAD_MAX ? MF_E_BAD : WAIT;
	}
	if (len > MF_HTTP_HEAD_MAX || mf_http_read_head(mf_span_sub(in, 0, len), &h) < 0)
		return MF_E_BAD;
	ret->host = h.host;
	ret->port = h.port;
	ret->connect = h.connect;
	ret->blind = h.blind;
	ret->by = MF_SAID_HTTP1;
	w->behind = h.connect || h.upgrade ? AFTER : HEAD;
	/* a body of known length goes with the head */
	return mf_watch_tell(w, len + h.body_len, h.chunked ? CHUNK : w->behind);
}

static int begin_chunk(struct mf_http_watch *w)
{
	w->left = 0;
	w->line = 0;
	w->digits = 0;
	w->in_extension = w->cr = false;
	return AGAIN;
}

static int hex_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "1a;name=value" CRLF, byte by byte: none of it needs to be held */
static int step_chunk(struct mf_http_watch *w, struct mf_span in, size_t *pass)
{
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.ptr[i];

		if (w->cr && c != '\n')
			return MF_E_BAD;
		if (c == '\n') {
			*pass = i + 1;
			if (!w->digits)
				return MF_E_BAD;
			w->cr = false;
			w->line = 0;
			w->state = w->left ? BODY : TRAILER;
			w->next = CHUNK_END;
			return AGAIN;
		}
		if (++w->line > CHUNK_LINE_MAX)
			return MF_E_BAD;
		if (c == '\r') {
			w->cr = true;
		} else if (!w->in_extension && hex_of(c) >= 0) {
			if (++w->digits > CHUNK_DIGITS_MAX)
				return MF_E_BAD;
			w->left = w->left << 4 | (uint64_t)hex_of(c);
		} else if (!w->in_extension && c != ';' && c != ' ' && c != '\t') {
			return MF_E_BAD;
		} else {
			w->in_extension = true;
		}
	}
	*pass = in.len;
	return WAIT;
}

static int step_chunk_end(struct mf_http_watch *w, struct mf_span in, size_t *pass)
{
	for (size_t i = 0; i < in.len; i++) {
		if (in.ptr[i] == '\n') {
			*pass = i + 1;
			w->state = CHUNK;
			return begin_chunk(w);
		}
		if (in.ptr[i] != '\r' || w->cr)
			return MF_E_BAD;
		w->cr = true;
	}
	*pass = in.len;
	return WAIT;
}

/* Lines up to an empty one. What they say comes too late to matter. */
static int step_trailer(struct mf_http_watch *w, struct mf_span in, size_t *pass)
{
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.ptr[i];

		if (w->cr && c != '\n')
			return MF_E_BAD;
		w->cr = c == '\r';
		if (c == '\n' && w->line == 0) {
			*pass = i + 1;
			w->state = w->behind;
			return AGAIN;
		}
		if (c == '\n')
			w->line = 0;
		else if (c != '\r' && ++w->line > MF_HTTP_HEAD_MAX)
			return MF_E_BAD;
	}
	*pass = in.len;
	return WAIT;
}

/* --- behind CONNECT and Upgrade ------------------------------------------------------------------------------------- */

/* Whether the first line that is not empty is whole. */
static bool has_line(struct mf_span in)
{
	size_t i = 0;

	while (i < in.len && (is_blank(in.ptr[i]) || in.ptr[i] == ' ' || in.ptr[i] == '\t'))
		i++;
	return i < in.len && memchr(in.ptr + i, '\n', in.len - i);
}

/* The first bytes of a connection, or what comes behind CONNECT or Upgrade: anything. */
static int step_any(struct mf_http_watch *w, struct mf_span in, size_t *pass,
		    struct mf_http_said *ret)
{
	enum mf_speech speech = mf_speech_of(in);

	/* of a request, the first line is still to say that it is one */
	w->unsure = speech == MF_SPEECH_UNKNOWN || (speech == MF_SPEECH_HTTP && !has_line(in));
	if (w->unsure)
		return WAIT;
	switch (speech) {
	case MF_SPEECH_HTTP:
		if (is_blank(in.ptr[0])) {
			*pass = 1;
			return AGAIN;
		}
		w->state = HEAD;
		return AGAIN;
	case MF_SPEECH_HTTP2:
		if (is_blank(in.ptr[0])) {
			*pass = 1;
			return AGAIN;
		}
		return mf_watch_begin_http2(w);
	case MF_SPEECH_TLS:
		return mf_watch_step_hello(w, in, ret);
	default:
		break;
	}
	w->state = WORDS;
	return AGAIN;
}

/* --- ---------------------------------------------------------------------------------------------------------------- */

static int step_pass(struct mf_http_watch *w, struct mf_span in, size_t *pass)
{
	*pass = in.len < w->left ? in.len : (size_t)w->left;
	w->left -= *pass;
	if (w->left)
		return WAIT;
	w->state = w->next;
	w->cr = false;
	if (w->state == CHUNK)
		begin_chunk(w);
	return AGAIN;
}

static int step(struct mf_http_watch *w, struct mf_span in, size_t *pass, struct mf_http_said *ret)
{
	switch (w->state) {
	case FIRST:
	case AFTER:
		return step_any(w, in, pass, ret);
	case HEAD:
		return step_head(w, in, pass, ret);
	case TOLD:
	case BODY:
		return step_pass(w, in, pass);
	case CHUNK:
		return step_chunk(w, in, pass);
	case CHUNK_END:
		return step_chunk_end(w, in, pass);
	case TRAILER:
		return step_trailer(w, in, pass);
	case FRAME:
		return mf_watch_step_frame(w, in, pass, ret);
	case WORDS:
		return mf_watch_step_words(w, in, pass, ret);
	case RECORDS:
		return mf_watch_step_records(w, in);
	case OPAQUE:
		break;
	}
	*pass = in.len;
	return WAIT;
}

int mf_http_watch_next(struct mf_http_watch *w, struct mf_span in, size_t *ret_pass,
		       struct mf_http_said *ret)
{
	size_t at = 0;
	int r = AGAIN;

	memset(ret, 0, sizeof(*ret));
	free(w->hello);
	w->hello = NULL;
	while (r == AGAIN && (at < in.len || w->state == TOLD)) {
		size_t pass = 0;

		r = step(w, mf_span_sub(in, at, in.len), &pass, ret);
		at += pass;
	}
	*ret_pass = at;
	return r < 0 ? r : r == SAID ? 1 : r == OURS ? 2 : 0;
}
