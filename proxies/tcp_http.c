/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_http.c - see tcp_http.h */
#include "proxies/tcp_http.h"

#include <stdlib.h>
#include <string.h>

#include "core/wire/http_head.h"
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

void mf_tcp_http_announce(struct mf_tcp_conn *c, struct mf_span head)
{
	struct mf_proxy *p = c->tcp->proxy;
	struct mf_span method, target;
	char text[MF_ADDR_TEXT_MAX];
	const uint8_t *query;

	if (!p->session->events || mf_http_find_request(head, &method, &target) < 0)
		return;
	query = target.len ? memchr(target.ptr, '?', target.len) : NULL;
	mf_ask_begin_event(p, &p->event, MF_EV_NET_HTTP_REQUEST, &c->flow, c->host, "connect",
			   "allowed", NULL);
	mf_event_add_str(&p->event, MF_EVF_METHOD, (const char *)method.ptr, method.len);
	mf_event_add_str(&p->event, MF_EVF_URL_PATH, (const char *)target.ptr,
			 query ? (size_t)(query - target.ptr) : target.len);
	mf_ask_add(&p->event, MF_EVF_RESOLVED_IP,
		   mf_addr_format(&c->flow.server.addr, text, sizeof(text)));
	mf_ask_send(p, &p->event);
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

/* What sni is told of the request's protocol. */
static const char *alpn_of(const struct mf_tcp_http *h, enum mf_said_by by)
{
	return h->sni && by == MF_SAID_HTTP2 ? "h2" : mf_tcp_http_alpn(by);
}

/* Whether a request's host is the server name of the intercepted connection; no host is none other. */
static bool is_server_name(const struct mf_tcp_http *h, struct mf_span host)
{
	char name[MF_NAME_ROOM];

	if (!h->sni)
		return false;
	if (!host.len || mf_span_eq(host, mf_span_str(h->sni)))
		return true;
	return mf_name_canon((const char *)host.ptr, host.len, name) > 0 &&
	       strcmp(name, h->sni) == 0;
}

const char mf_tcp_http_blind[] = "a tunnel whose target cannot be read";
static const char fronting[] = "a request whose host is not the server name of its connection";

/* Whether connect allows the name, for this address, in so many words. */
static bool is_meant(struct mf_tcp_http *h, const struct mf_ask_said *said)
{
	struct mf_tcp_conn *c = h->conn;
	char name[MF_NAME_ROOM];
	struct mf_decision d;

	if (mf_name_canon((const char *)said->name.ptr, said->name.len, name) < 0)
		return false;
	mf_ask_connect(&c->tcp->proxy->asker, &c->flow, name, &d);
	return d.matched && mf_verdict_rank(&d) < 3;
}

/* connect, about the name that was said */
static void ask_connect(struct mf_tcp_http *h, const struct mf_ask_said *said,
			struct mf_decision *d, bool *ret_verified)
{
	struct mf_tcp_conn *c = h->conn;
	struct mf_ask_result res;

	mf_ask_connect_said(&c->tcp->proxy->asker, &c->flow, (const char *)said->name.ptr,
			    said->name.len, d, &res, ret_verified);
}

/*
 * A hello in the middle of a connection. It can be denied; to be looked into, or to go elsewhere, it is too late.
 * Return: false: *@d is why it may not go on
 */
static bool may_begin_tls(struct mf_tcp_http *h, const struct mf_ask_said *said,
			  const struct mf_tls_hello *hello, struct mf_decision *d,
			  enum mf_tls_alert *ret_alert)
{
	struct mf_tcp_conn *c = h->conn;
	struct mf_proxy *p = c->tcp->proxy;
	bool verified = false, terminate = false, meant;
	uint64_t way = h->conn->way;
	bool denied;

	p->stats.tls_hellos++;
	*ret_alert = MF_TLS_UNRECOGNIZED_NAME;
	if (mf_ask_unnameable(said->name, d))
		return false;
	*ret_alert = MF_TLS_ACCESS_DENIED;
	if (said->name.len) { /* else what was said before stands */
		ask_connect(h, said, d, &verified);
		if (mf_verdict_rank(d) == 4)
			return false;
		way = mf_decision_way(d);
		terminate = d->verdict == MF_TERMINATE;
		if (mf_ask_target(&p->asker, &c->flow, said, d) && mf_verdict_rank(d) == 4)
			return false;
	}
	mf_ask_sni(&p->asker, &c->flow, hello, verified, d);
	denied = !mf_ask_is_silent(d) && mf_verdict_rank(d) == 4;
	mf_ask_announce_hello(p, &c->flow, c->host, hello, verified, mf_ask_is_silent(d) ? NULL : d,
			      denied ? "blocked" : "allowed");
	if (denied) {
		p->stats.sni_denied++;
		*ret_alert = MF_TLS_UNRECOGNIZED_NAME;
		return false;
	}
	meant = d->matched && mf_verdict_rank(d) < 3;
	if (d->matched) {
		way = mf_verdict_rank(d) == 3 ? mf_decision_way(d) : way;
		terminate = d->verdict == MF_TERMINATE;
	}
	if (terminate)
		*d = mf_ask_own_denial(
			"TLS inside another protocol, where it cannot be intercepted");
	else if (way != h->conn->way)
		*d = mf_ask_own_denial(
			"TLS inside another protocol, where it cannot be sent elsewhere");
	else if (!h->sni || is_server_name(h, said->name) || meant || is_meant(h, said))
		return true;
	else
		*d = mf_ask_own_denial(fronting);
	return false;
}

/* A later request, or one inside: *@d is why it may not go on, where it may not. */
static bool may_go_on(struct mf_tcp_http *h, const struct mf_ask_said *said, struct mf_decision *d)
{
	struct mf_tcp_conn *c = h->conn;
	struct mf_asker *a = &c->tcp->proxy->asker;
	uint64_t way;
	bool verified, meant = false;

	if (mf_ask_unnameable(said->name, d))
		return false;
	ask_connect(h, said, d, &verified);
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
		meant = d->matched && mf_verdict_rank(d) < 3;
	}
	if (way != h->conn->way) {
		*d = mf_ask_own_denial("a request that goes elsewhere than its connection");
		return false;
	}
	if (!h->sni || said->connect || meant || is_meant(h, said))
		return true;
	*d = mf_ask_own_denial(fronting);
	return false;
}

static void refuse(struct mf_tcp_http *h, const struct mf_http_said *heard,
		   const struct mf_decision *d)
{
	struct mf_tcp_conn *c = h->conn;
	char name[256];

	snprintf(name, sizeof(name), "%.*s", (int)(heard->host.len < 255 ? heard->host.len : 255),
		 (const char *)heard->host.ptr);
	c->tcp->proxy->stats.http_refused++;
	mf_ask_announce_connect(c->tcp->proxy, &c->flow, name, "blocked", d);
	if (h->sni && heard->by == MF_SAID_HTTP1 && !h->refusal)
		h->refusal = mf_kept_new(d);
}

/* Who waits for a server's hello reads an alert. Behind HTTP/2 it would be no frame, and in a bridge no record. */
static void alert(struct mf_tcp_http *h, enum mf_tls_alert what)
{
	uint8_t record[MF_TLS_ALERT_LEN];

	if (h->conn->state != MF_TCP_RELAY || mf_http_watch_is_http2(h->watch))
		return;
	mf_tls_write_alert(what, record);
	/* without memory the connection ends all the same */
	(void)mf_relay_queue(&h->conn->relay, 1, record, sizeof(record));
}

static bool judge(struct mf_tcp_http *h, const struct mf_http_said *heard, struct mf_span from)
{
	struct mf_ask_said said = { .name = heard->host,
				    .alpn = alpn_of(h, heard->by),
				    .connect = heard->connect,
				    .port = heard->port };
	enum mf_tls_alert why;
	struct mf_decision d;

	if (heard->hello) {
		if (may_begin_tls(h, &said, heard->hello, &d, &why))
			return true;
		refuse(h, heard, &d);
		alert(h, why);
		return false;
	}
	if (heard->blind) {
		d = mf_ask_own_denial(mf_tcp_http_blind);
		refuse(h, heard, &d);
		return false;
	}
	if (said.connect || (!is_last(h, said.name) && !is_server_name(h, said.name))) {
		if (!may_go_on(h, &said, &d)) {
			refuse(h, heard, &d);
			return false;
		}
		mf_tcp_http_remember(h, said.name);
	}
	if (h->sni && !h->announced) {
		h->announced = true;
		h->conn->tcp->proxy->stats.http_requests++;
		if (heard->by == MF_SAID_HTTP1)
			mf_tcp_http_announce(h->conn, from);
	}
	return true;
}

bool mf_tcp_http_judge(struct mf_tcp_http *h, const struct mf_http_said *heard, struct mf_span from)
{
	struct mf_asker *a = &h->conn->tcp->proxy->asker;
	bool may_hold = a->may_hold, goes_on;

	a->may_hold =
		false; /* in the middle of a connection: only what was answered already counts */
	goes_on = judge(h, heard, from);
	a->may_hold = may_hold;
	return goes_on;
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
	if (in.len)
		memcpy(h->held + left, in.ptr, in.len);
	h->held_off = 0;
	h->held_len = left + (uint32_t)in.len;
	return true;
}

/* Takes what answers us out of the held bytes, from @at on. */
static void take_out(struct mf_tcp_http *h, size_t at, struct mf_span *in)
{
	memmove(h->held + at, h->held + at + MF_HTTP2_ACK_LEN, in->len - at - MF_HTTP2_ACK_LEN);
	h->held_len -= MF_HTTP2_ACK_LEN;
	in->len -= MF_HTTP2_ACK_LEN;
}

static void bad(struct mf_tcp_http *h)
{
	mf_tcp_http_announce_bad(h->conn);
	if (mf_http_watch_has_tls(h->watch))
		alert(h, MF_TLS_DECODE_ERROR);
}

/* Everything that may go of *in; *ret_at: what the watch has passed of it */
static int look(struct mf_tcp_http *h, struct mf_span *in, size_t *ret_at)
{
	struct mf_http_said said;
	size_t at = 0, pass;
	int r;

	do {
		r = mf_http_watch_next(h->watch, mf_span_sub(*in, at, in->len), &pass, &said);
		at += pass;
		if (r == 1 && !mf_tcp_http_judge(h, &said, mf_span_sub(*in, at, in->len)))
			r = MF_E_BAD;
		else if (r == 2)
			take_out(h, at + said.at, in);
		else if (r < 0)
			bad(h);
	} while (r > 0);
	*ret_at = at;
	return r;
}

static int take(struct mf_relay_filter *f, struct mf_span in, struct mf_span *ret_out)
{
	struct mf_tcp_http *h =
		(struct mf_tcp_http *)((char *)f - offsetof(struct mf_tcp_http, filter));
	bool holds = h->held_len > h->held_off || mf_http_watch_awaits_answer(h->watch);
	size_t at = 0, to;
	int r;

	*ret_out = mf_span_of(in.ptr, 0);
	if (holds) {
		if (!append(h, in))
			return MF_E_NOMEM;
		in = mf_span_of(h->held, h->held_len);
	}
	r = look(h, &in, &at);
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
	free(h->refusal);
	free(h->held);
	free(h);
}

bool mf_tcp_http_follow(struct mf_tcp_conn *c, const struct mf_tls_hello *hello)
{
	c->http = mf_tcp_http_new(c);
	if (!c->http)
		return false;
	mf_http_watch_follow_hello(c->http->watch, hello);
	return true;
}

int mf_tcp_http_on_hello(struct mf_relay *r)
{
	struct mf_tcp_conn *c =
		(struct mf_tcp_conn *)((char *)r - offsetof(struct mf_tcp_conn, relay));

	if (c->http)
		return 0;
	c->http = mf_tcp_http_new(c);
	if (!c->http)
		return MF_E_NOMEM;
	mf_http_watch_begin_in_words(c->http->watch);
	r->filter = &c->http->filter;
	return 0;
}
