/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_http.c - see tcp_http.h */
#include "proxies/tcp_http.h"

#include <stdlib.h>
#include <string.h>

#include "proxies/tcp_int.h"

const char *mf_tcp_http_alpn(enum mf_said_by by)
{
	static const char *const names[] = {
		[MF_SAID_HTTP1] = "http/1.1",
		[MF_SAID_HTTP2] = "h2c",
		[MF_SAID_TLS] = NULL,
	};
	_Static_assert(MF_ARRAY_SIZE(names) == MF_SAID_NUM, "protocols of names that were said");

	return names[by];
}

void mf_tcp_http_remember(struct mf_tcp_http *h, struct mf_span name)
{
	h->has_last = name.len < sizeof(h->last);
	if (!h->has_last)
		return;
	if (name.len)
		memcpy(h->last, name.ptr, name.len);
	h->last[name.len] = '\0';
}

static bool is_last(const struct mf_tcp_http *h, struct mf_span name)
{
	return h->has_last && mf_span_eq(name, mf_span_str(h->last));
}

/* A later request: *@d is why it may not go on, where it may not. */
static bool may_go_on(struct mf_tcp_http *h, const struct mf_ask_said *said, struct mf_decision *d)
{
	struct mf_tcp_conn *c = h->conn;
	struct mf_asker *a = &c->tcp->proxy->asker;
	struct mf_ask_result res;
	uint64_t way;
	bool verified;

	if (mf_ask_unnameable(said->name, d))
		return false;
	mf_ask_connect_said(a, &c->flow, (const char *)said->name.ptr, said->name.len, d, &res,
			    &verified);
	way = mf_decision_way(d);
	if (mf_verdict_rank(d) == 4)
		return false;
	if (mf_ask_target(a, &c->flow, said, d) && mf_verdict_rank(d) == 4)
		return false;
	if (said->name.len) {
		mf_ask_host(a, &c->flow, said, d);
		if (!mf_ask_is_silent(d) && mf_verdict_rank(d) == 4)
			return false;
		way = d->matched && mf_verdict_rank(d) == 3 ? mf_decision_way(d) : way;
	}
	if (way == h->way)
		return true;
	*d = mf_ask_own_denial("a request that goes elsewhere than its connection");
	return false;
}

static bool judge(struct mf_tcp_http *h, const struct mf_http_said *heard)
{
	struct mf_tcp_conn *c = h->conn;
	struct mf_ask_said said = { .name = heard->host,
				    .alpn = mf_tcp_http_alpn(heard->by),
				    .connect = heard->connect,
				    .port = heard->port };
	struct mf_decision d;
	char name[256];

	if (!said.connect && is_last(h, said.name))
		return true;
	if (may_go_on(h, &said, &d)) {
		mf_tcp_http_remember(h, said.name);
		return true;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(said.name.len < 255 ? said.name.len : 255),
		 (const char *)said.name.ptr);
	c->tcp->proxy->stats.http_refused++;
	mf_ask_announce_connect(c->tcp->proxy, &c->flow, name, "blocked", &d);
	return false;
}

static bool append(struct mf_tcp_http *h, struct mf_span in)
{
	uint32_t left = h->held_len - h->held_off;

	if (left + in.len > h->held_room) {
		/* doubling, so that bytes that come one by one cost no more than their number */
		size_t room = left + in.len < 2u * h->held_room ? 2u * h->held_room : left + in.len;
		uint8_t *grown = malloc(room);

		if (!grown)
			return false;
		if (left)
			memcpy(grown, h->held + h->held_off, left);
		free(h->held);
		h->held = grown;
		h->held_room = (uint32_t)room;
	} else if (h->held_off) {
		memmove(h->held, h->held + h->held_off, left);
	}
	memcpy(h->held + left, in.ptr, in.len);
	h->held_off = 0;
	h->held_len = left + (uint32_t)in.len;
	return true;
}

/* Everything that may go of @in; *ret_at: what the watch has passed of it */
static int look(struct mf_tcp_http *h, struct mf_span in, size_t *ret_at)
{
	struct mf_http_said said;
	size_t at = 0, pass;
	int r;

	do {
		r = mf_http_watch_next(h->watch, mf_span_sub(in, at, in.len), &pass, &said);
		at += pass;
		if (r == 1 && !judge(h, &said))
			r = MF_E_BAD;
		else if (r < 0)
			mf_tcp_http_announce_bad(h->conn);
	} while (r == 1);
	*ret_at = at;
	return r;
}

static int take(struct mf_relay_filter *f, struct mf_span in, struct mf_span *ret_out)
{
	struct mf_tcp_http *h =
		(struct mf_tcp_http *)((char *)f - offsetof(struct mf_tcp_http, filter));
	bool holds = h->held_len > h->held_off;
	size_t at = 0, to;
	int r;

	*ret_out = mf_span_of(in.ptr, 0);
	if (holds) {
		if (!append(h, in))
			return MF_E_NOMEM;
		in = mf_span_of(h->held, h->held_len);
	}
	r = look(h, in, &at);
	to = r == 0 && mf_http_watch_is_unsure(h->watch) ? in.len : at;
	if (to > h->sent)
		*ret_out = mf_span_sub(in, h->sent, to - h->sent);
	h->sent = (to > h->sent ? (uint32_t)to : h->sent);
	h->sent = h->sent > at ? h->sent - (uint32_t)at : 0;
	if (holds) {
		h->held_off = (uint32_t)at; /* what goes stays where it is until the next call */
	} else if (at < in.len && r == 0) {
		h->held_off = h->held_len = 0;
		if (!append(h, mf_span_sub(in, at, in.len)))
			return MF_E_NOMEM;
	}
	return r;
}

struct mf_tcp_http *mf_tcp_http_new(struct mf_tcp_conn *c)
{
	struct mf_tcp_http *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->filter.take = take;
	h->conn = c;
	h->watch = mf_http_watch_new();
	if (h->watch)
		return h;
	free(h);
	return NULL;
}

void mf_tcp_http_free(struct mf_tcp_http *h)
{
	if (!h)
		return;
	mf_http_watch_free(h->watch);
	free(h->held);
	free(h);
}
