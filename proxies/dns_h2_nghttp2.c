/* SPDX-License-Identifier: Apache-2.0 */
/* dns_h2_nghttp2.c - see dns_h2.h */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/wire/dns_wire.h"
#include "proxies/dns_h2.h"
#include "proxies/http2_body.h"

enum {
	HEADERS_MAX = 64, /* of one response; more end the stream */
};

struct stream {
	struct stream *prev, *next;
	struct mf_dns_h2 *h;
	void *token; /* NULL: forgotten */
	int32_t id;
	int status;
	unsigned headers;
	bool type_ok, too_big;
	size_t in_len, in_room;
	uint8_t *in;
	struct mf_http2_body out;
	uint8_t room[]; /* of @out */
};

struct mf_dns_h2 {
	nghttp2_session *session;
	struct stream *streams;
	mf_dns_h2_fn fn;
	void *ctx;
	bool going; /* GOAWAY was heard */
	char authority[300], path[160];
};

bool mf_dns_h2_supported(void)
{
	return true;
}

static void free_stream(struct stream *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		s->h->streams = s->next;
	if (s->next)
		s->next->prev = s->prev;
	free(s->in);
	free(s);
}

static bool is(const uint8_t *ptr, size_t len, const char *text)
{
	return strlen(text) == len && memcmp(ptr, text, len) == 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *ctx)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void)flags;
	(void)ctx;
	if (!s)
		return 0;
	if (++s->headers > HEADERS_MAX)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (is(name, name_len, ":status") && value_len == 3)
		s->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + value[2] - '0';
	else if (is(name, name_len, "content-type"))
		s->type_ok = is(value, value_len, "application/dns-message");
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
		   size_t len, void *ctx)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)flags;
	(void)ctx;
	if (!s || s->too_big)
		return 0;
	if (len > MF_DNS_MESSAGE_MAX - s->in_len) {
		s->too_big = true;
		return 0;
	}
	if (s->in_len + len > s->in_room) {
		size_t room = (s->in_len + len) * 2;
		uint8_t *more = realloc(s->in, room);

		if (!more)
			return NGHTTP2_ERR_CALLBACK_FAILURE;
		s->in = more;
		s->in_room = room;
	}
	memcpy(s->in + s->in_len, data, len);
	s->in_len += len;
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
	struct mf_dns_h2 *h = ctx;
	struct stream *s = nghttp2_session_get_stream_user_data(session, id);
	struct mf_span msg = mf_span_of(NULL, 0);
	char why[80] = "";

	if (!s)
		return 0;
	if (code != NGHTTP2_NO_ERROR)
		snprintf(why, sizeof(why), "HTTP/2: %s", nghttp2_http2_strerror(code));
	else if (s->status != 200)
		snprintf(why, sizeof(why), "HTTP status %d", s->status);
	else if (!s->type_ok || s->too_big || s->in_len == 0)
		snprintf(why, sizeof(why), "HTTP: the body is no DNS message");
	else
		msg = mf_span_of(s->in, s->in_len);
	if (s->token) {
		void *token = s->token;

		s->token = NULL;
		h->fn(h->ctx, token, msg, why);
	}
	free_stream(s);
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct mf_dns_h2 *h = ctx;

	(void)session;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		h->going = true;
	return 0;
}

int mf_dns_h2_new(const char *authority, const char *path, mf_dns_h2_fn fn, void *ctx,
		  struct mf_dns_h2 **ret)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 16384 },
	};
	nghttp2_session_callbacks *callbacks = NULL;
	struct mf_dns_h2 *h = calloc(1, sizeof(*h));

	if (!h || nghttp2_session_callbacks_new(&callbacks) != 0) {
		free(h);
		return MF_E_NOMEM;
	}
	h->fn = fn;
	h->ctx = ctx;
	snprintf(h->authority, sizeof(h->authority), "%s", authority);
	snprintf(h->path, sizeof(h->path), "%s", path);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	if (nghttp2_session_client_new(&h->session, callbacks, h) != 0 ||
	    nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
				    MF_ARRAY_SIZE(settings)) != 0) {
		nghttp2_session_callbacks_del(callbacks);
		mf_dns_h2_free(h);
		return MF_E_NOMEM;
	}
	nghttp2_session_callbacks_del(callbacks);
	*ret = h;
	return 0;
}

void mf_dns_h2_free(struct mf_dns_h2 *h)
{
	if (!h)
		return;
	nghttp2_session_del(h->session); /* closes no stream by its callback */
	while (h->streams)
		free_stream(h->streams);
	free(h);
}

#define HEADER(name_, value_, len_)                                                  \
	{                                                                            \
		.name = (uint8_t *)(uintptr_t)(name_), .namelen = sizeof(name_) - 1, \
		.value = (uint8_t *)(uintptr_t)(value_), .valuelen = (len_),         \
	}

int32_t mf_dns_h2_ask(struct mf_dns_h2 *h, struct mf_span msg, void *token)
{
	static const char type[] = "application/dns-message";
	char length[12];
	int length_len = snprintf(length, sizeof(length), "%zu", msg.len);
	const nghttp2_nv headers[] = {
		HEADER(":method", "POST", 4),
		HEADER(":scheme", "https", 5),
		HEADER(":authority", h->authority, strlen(h->authority)),
		HEADER(":path", h->path, strlen(h->path)),
		HEADER("accept", type, sizeof(type) - 1),
		HEADER("content-type", type, sizeof(type) - 1),
		HEADER("content-length", length, (size_t)length_len),
	};
	nghttp2_data_provider body = { .read_callback = mf_http2_body_read };
	struct stream *s;

	if (h->going || !nghttp2_session_check_request_allowed(h->session))
		return MF_E_CLOSED;
	s = calloc(1, sizeof(*s) + msg.len);
	if (!s)
		return MF_E_NOMEM;
	s->h = h;
	s->token = token;
	s->out = (struct mf_http2_body){ .ptr = s->room, .len = msg.len };
	memcpy(s->room, msg.ptr, msg.len);
	s->next = h->streams;
	if (s->next)
		s->next->prev = s;
	h->streams = s;
	body.source.ptr = &s->out;
	s->id = nghttp2_submit_request(h->session, NULL, headers, MF_ARRAY_SIZE(headers), &body, s);
	if (s->id <= 0) {
		free_stream(s);
		return MF_E_NOMEM;
	}
	return s->id;
}

void mf_dns_h2_forget(struct mf_dns_h2 *h, int32_t stream)
{
	for (struct stream *s = h->streams; s; s = s->next) {
		if (s->id != stream || !s->token)
			continue;
		s->token = NULL;
		(void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, stream,
						NGHTTP2_CANCEL);
		return;
	}
}

int mf_dns_h2_recv(struct mf_dns_h2 *h, const uint8_t *bytes, size_t len)
{
	ssize_t n = nghttp2_session_mem_recv(h->session, bytes, len);

	return n == (ssize_t)len ? 0 : MF_E_BAD;
}

int mf_dns_h2_pull(struct mf_dns_h2 *h, const uint8_t **ret)
{
	ssize_t n = nghttp2_session_mem_send(h->session, ret);

	return n < 0 ? MF_E_BAD : (int)n;
}

bool mf_dns_h2_ended(const struct mf_dns_h2 *h)
{
	return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}
