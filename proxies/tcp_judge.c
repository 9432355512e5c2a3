/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_judge.c - connect, then the client's first bytes: TLS, HTTP or something else */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/wire/http_head.h"
#include "proxies/tcp_int.h"

enum {
	FIRST_READ = 16384,
};

/* --- what is decided, told ------------------------------------------------------------------------------------------ */

static void set_host(struct mf_tcp_conn *c, const char *host)
{
	char *copy = host && *host ? strdup(host) : NULL;

	free(c->host); /* which may be @host */
	c->host = copy;
}

/* The event of the connect decision, once. */
static void announce(struct mf_tcp_conn *c, const struct mf_decision *d)
{
	struct mf_proxy *p = c->tcp->proxy;
	bool redirect = d->verdict == MF_REDIRECT || d->verdict == MF_ROUTE;
	bool denied = mf_verdict_rank(d) == 4;

	/* A denial is told also after an allowance: the client's words may undo it. */
	if (c->setup->announced && !denied)
		return;
	c->setup->announced = true;
	p->stats.tcp_denied += denied;
	p->stats.tcp_redirected += redirect;
	p->stats.tcp_allowed += !denied && !redirect;
	mf_ask_announce_connect(p, &c->flow, c->host,
				denied	   ? "blocked"
				: redirect ? "redirected"
					   : "allowed",
				d);
}

/* --- refusing (tcp_refuse.c) ----------------------------------------------------------------------------------------- */

/* A denial that no policy spoke: malformed input and limits. */
static void deny_ourselves(struct mf_tcp_conn *c, const char *why, enum mf_tls_alert alert)
{
	struct mf_decision d = mf_ask_own_denial(why);

	announce(c, &d);
	mf_tcp_conn_deny(c, &d, alert);
}

static const char no_hello[] = "no TLS ClientHello whose server name could be rewritten";
static const char two_ways[] = "an HTTP request that could be read in two ways";
static const char second_hello[] = "a second ClientHello that is malformed, or names somebody else";

void mf_tcp_http_announce_bad(struct mf_tcp_conn *c)
{
	bool tls = mf_http_watch_has_tls(c->http->watch);
	struct mf_decision d = mf_ask_own_denial(tls ? second_hello : two_ways);

	c->tcp->proxy->stats.http_refused++;
	mf_ask_announce_connect(c->tcp->proxy, &c->flow, c->host, "blocked", &d);
}

/* --- the client's words --------------------------------------------------------------------------------------------- */

void mf_tcp_conn_note_way(struct mf_tcp_conn *c)
{
	c->way = c->setup->plan ? mf_decision_way(&c->setup->plan->d) : 0;
}

bool mf_tcp_conn_watch_requests(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;
	struct mf_span rest = mf_span_sub(mf_span_of(s->in, s->in_len), s->http_at, s->in_len), out;
	struct mf_tcp_http *h;
	int r;

	if (!c->http)
		c->http = mf_tcp_http_new(c);
	h = c->http;
	if (!h) {
		mf_tcp_conn_close(c, true, "out of memory");
		return false;
	}
	mf_tcp_conn_note_way(c);
	r = h->filter.take(&h->filter, rest, &out);
	if (r == MF_E_NOMEM) {
		mf_tcp_conn_close(c, true, "out of memory");
		return false;
	}
	if (out.len) /* what answered us is gone from it */
		memmove(s->in + s->http_at, out.ptr, out.len);
	s->in_len = s->http_at + (uint32_t)out.len;
	if (r < 0)
		s->client_eof = c->relay.refused = true;
	c->relay.filter = &h->filter;
	return true;
}

/* The connection may go on: to its plan, or to where it wanted. */
static void go_on(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;

	s->judged = true;
	mf_timeout_disarm(&c->timeout);
	if (c->http && !mf_tcp_conn_watch_requests(c))
		return;
	if (s->connected) {
		mf_tcp_conn_start_relay(c);
		return;
	}
	if (s->dialling || s->resolve) {
		mf_timeout_arm(&c->timeout, &c->tcp->dial);
		return;
	}
	mf_tcp_conn_open(c);
}

/* A connect verdict that stands. Return: false when the connection is refused, or waits for an answer. */
static bool take_connect(struct mf_tcp_conn *c, const struct mf_decision *d, const char *host)
{
	struct mf_tcp_setup *s = c->setup;
	struct mf_decision refused;

	if (d->verdict == MF_ASK) {
		refused = *d;
		if (mf_tcp_conn_hold(c, &refused))
			return false;
		d = &refused;
	}

	set_host(c, host);
	c->connect_way = mf_decision_way(d);
	announce(c, d);
	if (mf_verdict_rank(d) == 4) {
		mf_tcp_conn_deny(c, d, MF_TLS_ACCESS_DENIED);
		return false;
	}
	free(s->plan);
	s->plan = NULL;
	mf_tcp_intercept_drop(c);
	if (d->verdict == MF_TERMINATE)
		return mf_tcp_intercept_take(c, d);
	if (d->verdict != MF_REDIRECT && d->verdict != MF_ROUTE)
		return true;
	s->plan = mf_kept_new(d);
	if (!s->plan)
		mf_tcp_conn_close(c, true, "out of memory");
	return s->plan != NULL;
}

static bool wants_rewrite(const struct mf_tcp_setup *s)
{
	return s->plan && s->plan->d.tls_mode == MF_TLS_REWRITE_SNI && s->plan->d.sni;
}

/* Return: false when the connection was refused: a rewrite that cannot be done fails closed (P23). */
static bool rewrite(struct mf_tcp_conn *c, const struct mf_tls_hello *h)
{
	struct mf_tcp_setup *s = c->setup;
	int n = MF_E_NOMEM;

	if (!wants_rewrite(s))
		return true;
	if (c->tcp->proxy->opt.tls_authority)
		return mf_tcp_conn_plan_bridge(c, h);
	s->rewritten = malloc(MF_TLS_WIRE_MAX);
	if (s->rewritten)
		n = mf_tls_rewrite_sni(h, mf_span_of(s->in, s->in_len), mf_span_str(s->plan->d.sni),
				       s->rewritten, MF_TLS_WIRE_MAX);
	if (n < 0) {
		free(s->rewritten);
		s->rewritten = NULL;
		deny_ourselves(c,
			       n == MF_E_UNSUPPORTED
				       ? "the server name of a resumed session cannot be rewritten"
				       : "the server name cannot be rewritten",
			       MF_TLS_ACCESS_DENIED);
		return false;
	}
	s->rewritten_len = (uint32_t)n;
	c->tcp->proxy->stats.sni_rewritten++;
	return true;
}

/* Return: false when the connection was refused: nobody could sign the certificates. */
static bool intercept(struct mf_tcp_conn *c, const struct mf_tls_hello *h)
{
	if (!c->intercept || mf_tcp_intercept_passes(c, h))
		return true;
	if (c->tcp->proxy->opt.tls_authority)
		return mf_tcp_conn_plan_bridge(c, h);
	deny_ourselves(c, "TLS cannot be intercepted here, where there is no authority for it",
		       MF_TLS_ACCESS_DENIED);
	return false;
}

/* connect again where the said name changes what was decided; false: refused */
static bool judge_said(struct mf_tcp_conn *c, const char *said, size_t len, bool *ret_verified)
{
	struct mf_proxy *p = c->tcp->proxy;
	struct mf_ask_result res;
	struct mf_decision d;

	*ret_verified = !c->setup->differ && mf_ask_is_host(c->host, said, len);
	if (*ret_verified)
		return true;
	mf_ask_connect_said(&p->asker, &c->flow, said, len, &d, &res, ret_verified);
	/* what waits is asked in the same way once more */
	if (d.verdict == MF_ASK && mf_tcp_conn_hold(c, &d))
		return false;
	c->setup->differ = false;
	/* already on its way to where connect sent it: only a denial can change that, or that it is to be looked into */
	if (c->setup->started && d.verdict == MF_TERMINATE)
		return mf_tcp_intercept_take(c, &d);
	if (c->setup->started)
		return mf_verdict_rank(&d) < 4 || take_connect(c, &d, res.host);
	return take_connect(c, &d, res.host);
}

/* What a proxy is to dial, or the address that stands where a name should, is asked about as well. */
static bool judge_target(struct mf_tcp_conn *c, const struct mf_ask_said *said)
{
	struct mf_decision d;

	return !mf_ask_target(&c->tcp->proxy->asker, &c->flow, said, &d) ||
	       mf_verdict_rank(&d) < 4 || take_connect(c, &d, c->host);
}

/* What sni answered about a name, however that was said. Return: false when the connection is refused */
static bool take_sni(struct mf_tcp_conn *c, const struct mf_decision *d)
{
	struct mf_proxy *p = c->tcp->proxy;

	/* Where no policy has an opinion on the name, what connect said stands. */
	if (mf_ask_is_silent(d))
		return true;
	if (mf_verdict_rank(d) == 4) { /* an ask has waited before */
		p->stats.sni_denied++;
		mf_tcp_conn_deny(c, d, MF_TLS_UNRECOGNIZED_NAME);
		return false;
	}
	if (d->verdict == MF_TERMINATE)
		return mf_tcp_intercept_take(c, d);
	mf_tcp_intercept_drop(c); /* what sni allows is exempt, whatever connect said */
	if (d->verdict != MF_REDIRECT && d->verdict != MF_ROUTE)
		return true;
	mf_tcp_conn_forget_server(c); /* the original was being dialled meanwhile */
	c->setup->started = false;
	c->setup->announced = false; /* that it goes elsewhere is news */
	return take_connect(c, d, c->host);
}

static const char *action_of(const struct mf_decision *d)
{
	if (mf_ask_is_silent(d))
		return "allowed";
	return mf_verdict_rank(d) == 4				     ? "blocked"
	       : d->verdict == MF_REDIRECT || d->verdict == MF_ROUTE ? "redirected"
								     : "allowed";
}

/* There may be a second hello, of a handshake of TLS 1.3. Return: false: closed */
static bool follow(struct mf_tcp_conn *c, const struct mf_tls_hello *h)
{
	struct mf_tcp_setup *s = c->setup;
	bool tls13 = false;

	for (unsigned i = 0; i < h->version_cnt; i++)
		tls13 |= h->versions[i] >= 0x0304;
	if (!tls13 || s->bridge || s->rewritten)
		return true;
	s->http_at = s->scan.wire_len;
	if (mf_tcp_http_follow(c, h))
		return true;
	mf_tcp_conn_close(c, true, "out of memory");
	return false;
}

/* Whether it has waited there: what is counted once was counted then. */
static bool was_at(const struct mf_tcp_conn *c, enum mf_tcp_stage stage)
{
	return c->asked && c->asked->stage == stage;
}

static void judge_hello(struct mf_tcp_conn *c, const struct mf_tls_hello *h)
{
	struct mf_proxy *p = c->tcp->proxy;
	struct mf_decision d;
	bool verified = false;

	p->stats.tls_hellos += !was_at(c, MF_TCP_AT_BYTES);
	c->setup->stage = MF_TCP_AT_BYTES;
	if (mf_ask_unnameable(h->sni, &d)) {
		mf_ask_announce_hello(p, &c->flow, c->host, h, false, &d, "blocked");
		mf_tcp_conn_deny(c, &d, MF_TLS_UNRECOGNIZED_NAME);
		return;
	}
	if ((h->has_sni || c->setup->differ) &&
	    !judge_said(c, (const char *)h->sni.ptr, h->sni.len, &verified))
		return;
	if (!judge_target(c, &(struct mf_ask_said){ .name = h->sni }))
		return;
	mf_ask_sni(&p->asker, &c->flow, h, verified, &d);
	if (d.verdict == MF_ASK && mf_tcp_conn_hold(c, &d))
		return;
	mf_ask_announce_hello(p, &c->flow, c->host, h, verified, mf_ask_is_silent(&d) ? NULL : &d,
			      action_of(&d));
	if (take_sni(c, &d) && rewrite(c, h) && intercept(c, h) && follow(c, h))
		go_on(c);
}

/*
 * HTTP/2's clients may wait for the server's settings before they ask for anything: they get some of ours, once.
 * Return: false: closed
 */
static bool greet(struct mf_tcp_conn *c)
{
	ssize_t n;

	if (c->setup->greeted)
		return true;
	c->setup->greeted = true;
	n = mf_sock_send(c->relay.fd[0], MF_HTTP2_GREETING, MF_HTTP2_GREETING_LEN);
	if (n == MF_HTTP2_GREETING_LEN)
		mf_http_watch_greeted(c->http->watch);
	if (n <= 0 || n == MF_HTTP2_GREETING_LEN)
		return true;
	mf_tcp_conn_close(c, true, NULL); /* half a frame: the client has no room for more */
	return false;
}

/*
 * Wait for more of what is or may be a request: as long as for a hello where it says that it is one or where its name
 * decides, else for a moment. A client of HTTP/2 that has nothing to ask in that time goes on without a name.
 */
static void wait_for_request(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;
	bool http2 = mf_http_watch_is_http2(c->http->watch);
	bool sure = !mf_http_watch_is_unsure(c->http->watch);

	s->in_head = sure && !http2;
	if (sure && s->holding) {
		s->holding = false;
		mf_timeout_arm(&c->timeout, &c->tcp->hello);
	}
	if ((http2 && !greet(c)) || sure || s->holding || s->differ)
		return;
	s->holding = true;
	mf_timeout_arm(&c->timeout, &c->tcp->grace);
}

/* The first request's name chooses among names, and is checked, as a server_name is. */
static void judge_request(struct mf_tcp_conn *c, const struct mf_http_said *heard)
{
	struct mf_proxy *p = c->tcp->proxy;
	struct mf_ask_said said = { .name = heard->host,
				    .alpn = mf_tcp_http_alpn(heard->by),
				    .connect = heard->connect,
				    .port = heard->port };
	struct mf_decision d;
	bool verified;

	p->stats.http_requests += !was_at(c, MF_TCP_AT_REQUEST);
	c->setup->stage = MF_TCP_AT_REQUEST;
	c->setup->judging = heard;
	if (heard->blind) {
		deny_ourselves(c, mf_tcp_http_blind, MF_TLS_ACCESS_DENIED);
		return;
	}
	if (mf_ask_unnameable(said.name, &d)) {
		announce(c, &d);
		mf_tcp_conn_deny(c, &d, MF_TLS_ACCESS_DENIED);
		return;
	}
	if ((said.name.len || c->setup->differ) &&
	    !judge_said(c, (const char *)said.name.ptr, said.name.len, &verified))
		return;
	if (!judge_target(c, &said))
		return;
	if (said.name.len) {
		mf_ask_host(&p->asker, &c->flow, &said, &d);
		if (d.verdict == MF_ASK && mf_tcp_conn_hold(c, &d))
			return;
		if (strcmp(action_of(&d), "blocked") == 0)
			announce(c, &d);
		if (!take_sni(c, &d))
			return;
	}
	if (wants_rewrite(c->setup)) {
		deny_ourselves(c, no_hello, MF_TLS_ACCESS_DENIED);
		return;
	}
	mf_tcp_http_remember(c->http, said.name);
	if (heard->by == MF_SAID_HTTP1)
		mf_tcp_http_announce(c, mf_span_of(c->setup->in, c->setup->in_len));
	go_on(c);
}

/* No TLS: HTTP, or what may become it, or something else. */
static void judge_text(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;
	struct mf_http_said said;
	bool verified;
	size_t pass;
	int r;

	if (!c->http)
		c->http = mf_tcp_http_new(c);
	if (!c->http) {
		mf_tcp_conn_close(c, true, "out of memory");
		return;
	}
	while ((r = mf_http_watch_next(
			c->http->watch,
			mf_span_sub(mf_span_of(s->in, s->in_len), s->http_at, s->in_len), &pass,
			&said)) == 2) {
		s->http_at += (uint32_t)pass;
		s->in_len -= MF_HTTP2_ACK_LEN;
		memmove(s->in + s->http_at + said.at,
			s->in + s->http_at + said.at + MF_HTTP2_ACK_LEN,
			s->in_len - s->http_at - said.at);
	}
	s->http_at += (uint32_t)pass;
	if (r < 0) {
		c->tcp->proxy->stats.http_refused++;
		deny_ourselves(c, two_ways, MF_TLS_ACCESS_DENIED);
		return;
	}
	if (r == 1 && said.by != MF_SAID_TLS) {
		judge_request(c, &said);
		return;
	}
	if (r == 0 && !s->client_eof && !mf_http_watch_is_another(c->http->watch)) {
		wait_for_request(c);
		return;
	}
	/* a hello behind other words is judged with them, or not at all */
	s->stage = r == 1 ? MF_TCP_STAGE_NUM : MF_TCP_AT_SILENCE;
	if (s->differ && !judge_said(c, "", 0, &verified))
		return;
	mf_tcp_conn_note_way(c);
	/* a hello behind words of another protocol, which has waited for no answer to them */
	if (r == 1 && !mf_tcp_http_judge(c->http, &said, mf_span_of("", 0)))
		mf_tcp_conn_close(c, true, "policy");
	else
		go_on(c);
}

/* What has come so far, judged as far as it goes. */
static void judge_bytes(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;
	struct mf_span in = mf_span_of(s->in, s->in_len);
	uint8_t joined[MF_TLS_HELLO_MAX];
	struct mf_tls_hello hello;
	int r;

	if (c->tcp->proxy->opt.router) {
		mf_tcp_route_bytes(c);
		return;
	}
	r = mf_tls_scan_hello(&s->scan, in);
	if (r == MF_E_AGAIN && !s->client_eof)
		return;
	if (r == 0)
		r = mf_tls_read_hello(&s->scan, in, joined, &hello);
	if (r == 0) {
		judge_hello(c, &hello);
		return;
	}
	if (r == MF_E_BAD || (r == MF_E_AGAIN && s->in_len)) {
		c->tcp->proxy->stats.tls_bad++;
		deny_ourselves(c, "malformed TLS ClientHello", MF_TLS_DECODE_ERROR);
		return;
	}
	if (wants_rewrite(s)) {
		deny_ourselves(c, no_hello, MF_TLS_ACCESS_DENIED);
		return;
	}
	s->not_tls = true;
	judge_text(c);
}

static bool keep_bytes(struct mf_tcp_setup *s, const uint8_t *ptr, size_t len)
{
	if (s->in_len + len > s->in_room) {
		size_t room = s->in_len + len;
		uint8_t *grown;

		if (s->in_room) /* it comes in pieces: grow by doubling */
			room = room < 2u * s->in_room ? 2u * s->in_room : room;
		grown = realloc(s->in, room);
		if (!grown)
			return false;
		s->in = grown;
		s->in_room = (uint32_t)room;
	}
	memcpy(s->in + s->in_len, ptr, len);
	s->in_len += (uint32_t)len;
	return true;
}

/* One read. Return: false when nothing new came, or @c is closed. */
static bool read_some(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;
	uint8_t *buf = c->tcp->proxy->pool.buf;
	ssize_t n = mf_sock_recv(c->relay.fd[0], buf, FIRST_READ);

	if (n == MF_E_AGAIN) {
		c->relay.readable[0] = false;
		return false;
	}
	if (n < 0) {
		mf_tcp_conn_close(c, true, NULL);
		return false;
	}
	if (n < FIRST_READ)
		c->relay.readable[0] = n == 0 || c->relay.ended[0];
	if (n == 0) {
		s->client_eof = true;
		return true;
	}
	if (keep_bytes(s, buf, (size_t)n))
		return true;
	mf_tcp_conn_close(c, true, "out of memory");
	return false;
}

/* One read, judged. Return: false when there is no more to do now */
static bool read_and_judge(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;
	struct mf_tcp_proxy *tcp = c->tcp;
	bool first = s->in_len == 0;

	/* judged bytes wait for the server; more are not needed before */
	if (!mf_tcp_setup_reads(s) || mf_tcp_conn_waits(c) || !read_some(c))
		return false;
	if (c->state == MF_TCP_GRACE) {
		if (s->client_eof)
			mf_tcp_conn_close(c, true, NULL);
		else
			(void)mf_tcp_conn_refuse_in_kind(c, MF_TLS_ACCESS_DENIED);
		return false;
	}
	/* the time for a whole hello runs from its first byte */
	if (first && s->in_len && !s->holding)
		mf_timeout_arm(&c->timeout, &tcp->hello);
	judge_bytes(c);
	return tcp->current == c && (c->state == MF_TCP_HELLO || c->state == MF_TCP_OPENING) &&
	       c->relay.readable[0];
}

void mf_tcp_conn_read_client(struct mf_tcp_conn *c)
{
	/* where the loop knows edges, nobody tells again of what one read left behind */
	while (read_and_judge(c))
		;
}

void mf_tcp_conn_grace_over(struct mf_tcp_conn *c)
{
	if (c->state == MF_TCP_GRACE)
		mf_tcp_conn_close(c, true, NULL);
	else if (c->tcp->proxy->opt.router)
		mf_tcp_route_late(c, true);
	else
		go_on(c);
}

/* Whoever says no name goes where connect has sent it. */
static void go_on_unnamed(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;

	if (s->in_len || s->client_eof) {
		go_on(c);
	} else if (s->connected) {
		s->judged = true;
		if (mf_tcp_conn_watch_requests(c))
			mf_tcp_conn_start_relay(c);
	} else { /* it waits for the server: then it speaks no TLS, and says no name */
		mf_tcp_conn_open(c);
	}
}

void mf_tcp_conn_hello_late(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;
	bool verified;

	if (c->state == MF_TCP_BRIDGE) {
		mf_tcp_conn_close(c, false,
				  "the client's TLS handshake did not come to its end in time");
		return;
	}
	if (c->tcp->proxy->opt.router) {
		mf_tcp_route_late(c, false);
		return;
	}
	if ((s->in_len && !s->not_tls) || s->in_head || wants_rewrite(s)) {
		deny_ourselves(c, "the client's first message did not come to its end in time",
			       MF_TLS_DECODE_ERROR);
		return;
	}
	s->stage = MF_TCP_AT_SILENCE;
	if (s->differ && !judge_said(c, "", 0, &verified))
		return;
	go_on_unnamed(c);
}

void mf_tcp_conn_judge_again(struct mf_tcp_conn *c, enum mf_tcp_stage stage,
			     const struct mf_http_said *said)
{
	struct mf_tcp_setup *s = c->setup;
	bool verified;

	switch (stage) {
	case MF_TCP_AT_BEGIN:
		mf_tcp_conn_begin(c);
		return;
	case MF_TCP_AT_BYTES:
		memset(&s->scan, 0, sizeof(s->scan));
		judge_bytes(c);
		return;
	case MF_TCP_AT_REQUEST:
		judge_request(c, said);
		return;
	case MF_TCP_AT_SILENCE:
		if (!s->differ || judge_said(c, "", 0, &verified))
			go_on_unnamed(c);
		return;
	case MF_TCP_AT_ROUTE:
		memset(&s->scan, 0, sizeof(s->scan));
		mf_tcp_route_again(c);
		return;
	case MF_TCP_STAGE_NUM:
		return;
	}
}

void mf_tcp_conn_begin(struct mf_tcp_conn *c)
{
	struct mf_tcp_proxy *tcp = c->tcp;
	struct mf_tcp_setup *s = c->setup;
	struct mf_ask_result res;
	struct mf_decision d;
	struct mf_kept *kept;
	bool goes_on;

	if (tcp->proxy->opt.router) {
		mf_tcp_route_begin(c);
		return;
	}
	if (!tcp->proxy->opt.find_flow && mf_tcp_proxy_is_loop(tcp, &c->flow.server, true)) {
		deny_ourselves(c, "a connection to moonfence's own listener would loop",
			       MF_TLS_ACCESS_DENIED);
		return;
	}
	s->stage = MF_TCP_AT_BEGIN;
	kept = mf_judged_take(tcp->proxy, &c->flow, &res);
	if (kept)
		d = kept->d;
	else
		mf_ask_connect_names(&tcp->proxy->asker, &c->flow, &d, &res);
	s->differ = res.differ;
	goes_on = res.differ || take_connect(c, &d, res.host);
	free(kept);
	if (!goes_on)
		return;
	c->state = MF_TCP_HELLO;
	mf_timeout_arm(&c->timeout, &tcp->hello);
	if (!s->differ && !wants_rewrite(s) && !mf_tls_is_port(c->flow.server.port)) {
		mf_tcp_conn_open(c);
		return;
	}
	mf_tcp_conn_read_client(c);
}
