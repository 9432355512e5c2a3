/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_route.c - connections whose way a router knows (router.h): the client's first words, then its route */
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/wire/http_head.h"
#include "proxies/tcp_int.h"
#include "proxies/tls_client.h"

static const struct mf_router *router_of(const struct mf_tcp_conn *c)
{
	return c->tcp->proxy->opt.router;
}

/* --- refusing ------------------------------------------------------------------------------------------------------- */

static void refuse(struct mf_tcp_conn *c, const char *why, enum mf_tls_alert alert)
{
	struct mf_decision d = mf_ask_own_denial(why);
	struct mf_proxy *p = c->tcp->proxy;

	p->stats.tcp_denied++;
	mf_ask_announce_connect(p, &c->flow, c->host, "blocked", &d);
	mf_tcp_conn_deny(c, &d, alert);
}

/* --- policies, where they are asked at all --------------------------------------------------------------------------- */

/* Return: false: refused; *ret_redirected: the plan is a policy's */
static bool take_decision(struct mf_tcp_conn *c, const struct mf_decision *d, bool *ret_redirected)
{
	struct mf_tcp_setup *s = c->setup;

	if (mf_ask_is_silent(d))
		return true;
	if (mf_verdict_rank(d) == 4) {
		c->tcp->proxy->stats.tcp_denied++;
		mf_ask_announce_connect(c->tcp->proxy, &c->flow, c->host, "blocked", d);
		mf_tcp_conn_deny(c, d, MF_TLS_ACCESS_DENIED);
		return false;
	}
	if (d->verdict != MF_REDIRECT && d->verdict != MF_ROUTE)
		return true;
	free(s->plan);
	s->plan = mf_kept_new(d);
	if (!s->plan) {
		mf_tcp_conn_close(c, true, "out of memory");
		return false;
	}
	*ret_redirected = true;
	return true;
}

/* Return: whether a person is asked: then it goes on in mf_tcp_route_again(), to the route that it has */
static bool hold(struct mf_tcp_conn *c, struct mf_decision *d, const struct mf_router_words *w,
		 const struct mf_router_route *r)
{
	struct mf_tcp_setup *s = c->setup;

	if (d->verdict != MF_ASK || !mf_tcp_conn_hold(c, d))
		return false;
	s->judged = false;
	free(s->plan);
	s->plan = NULL;
	c->asked->route = *r;
	c->asked->speech = w->speech;
	return true;
}

/* Return: false: refused, or it waits */
static bool ask_policies(struct mf_tcp_conn *c, const struct mf_router_words *w,
			 const struct mf_router_route *r, const struct mf_tls_hello *hello,
			 bool *ret_redirected)
{
	struct mf_asker *a = &c->tcp->proxy->asker;
	struct mf_decision d;

	c->setup->stage = MF_TCP_AT_ROUTE;
	mf_ask_connect(a, &c->flow, c->host, &d);
	if (hold(c, &d, w, r) || !take_decision(c, &d, ret_redirected))
		return false;
	if (hello)
		mf_ask_sni(a, &c->flow, hello, false, &d);
	else if (w->name.len && c->host)
		mf_ask_host(a, &c->flow,
			    &(struct mf_ask_said){ .name = w->name, .alpn = "http/1.1" }, &d);
	else
		return true;
	return !hold(c, &d, w, r) && take_decision(c, &d, ret_redirected);
}

/* --- the route ------------------------------------------------------------------------------------------------------ */

/* Return: false without memory: closed */
static bool plan_target(struct mf_tcp_conn *c, const struct mf_router_route *r)
{
	struct mf_decision d = MF_DECISION_INIT;

	if (!r->host)
		return true;
	d.verdict = MF_REDIRECT;
	d.on_failure = MF_FAIL_CLOSED;
	d.redirect_host = r->host;
	d.redirect_port = r->port;
	c->setup->plan = mf_kept_new(&d);
	if (!c->setup->plan)
		mf_tcp_conn_close(c, true, "out of memory");
	return c->setup->plan != NULL;
}

static void carry_out(struct mf_tcp_conn *c, const struct mf_router_route *r,
		      const struct mf_tls_hello *hello)
{
	struct mf_tcp_setup *s = c->setup;

	if (!plan_target(c, r))
		return;
	if (hello && r->way != MF_ROUTER_PASS) {
		s->to_tls = r->way == MF_ROUTER_TO_TLS;
		s->unverified = r->unverified;
		s->plain_alpn = r->alpn;
		if (!mf_tcp_conn_plan_bridge(c, hello))
			return;
	}
	mf_tcp_conn_open(c);
}

/* The name as events, certificates and policies want it; none where it is no name. */
static void set_name(struct mf_tcp_conn *c, struct mf_span name)
{
	char canon[MF_NAME_ROOM];

	free(c->host);
	c->host = NULL;
	if (name.len && mf_name_canon((const char *)name.ptr, name.len, canon) > 0)
		c->host = strdup(canon);
}

/* Where a policy redirects goes before the route; the original is no way out where it is ourselves. */
static void take_policys_way(struct mf_tcp_setup *s, struct mf_router_route *r, bool loops)
{
	if (s->given_fd > 0)
		mf_sock_close(s->given_fd);
	s->given_fd = 0;
	if (loops)
		s->plan->d.on_failure = MF_FAIL_CLOSED;
	*r = (struct mf_router_route){ .way = MF_ROUTER_PASS, .fd = -1 };
}

/* It has waited for a person: what is done once has been done. */
static bool was_routed(const struct mf_tcp_conn *c)
{
	return c->asked && c->asked->stage == MF_TCP_AT_ROUTE;
}

static void take_words(struct mf_tcp_conn *c, enum mf_router_speech speech, struct mf_span name,
		       const struct mf_tls_hello *hello)
{
	const struct mf_router *router = router_of(c);
	struct mf_proxy *p = c->tcp->proxy;
	struct mf_tcp_setup *s = c->setup;
	struct mf_router_words w = { .flow = &c->flow, .speech = speech, .name = name };
	struct mf_router_route r = { .fd = -1 };
	bool redirected = false;

	w.loops = mf_tcp_proxy_is_loop(c->tcp, &c->flow.server, false);
	mf_timeout_disarm(&c->timeout);
	s->judged = true;
	set_name(c, name);
	if (was_routed(c)) {
		r = c->asked->route;
	} else {
		router->route(router->ctx, &w, &r);
		c->tag = r.tag;
		c->routed_ns = mf_clock_now(&mf_clock_system);
		if (r.fd >= 0)
			s->given_fd = r.fd;
	}
	if (speech == MF_ROUTER_LATE) {
		refuse(c, "the client's first message did not come to its end in time",
		       MF_TLS_DECODE_ERROR);
		return;
	}
	if (p->opt.router_asks && !r.firm && r.way != MF_ROUTER_REFUSE &&
	    !ask_policies(c, &w, &r, hello, &redirected))
		return;
	if (r.way == MF_ROUTER_REFUSE) {
		refuse(c, r.why ? r.why : "refused", MF_TLS_UNRECOGNIZED_NAME);
		return;
	}
	if (!redirected && !r.host && r.fd < 0 && w.loops) {
		if (router->looped)
			router->looped(router->ctx);
		refuse(c,
		       name.len ? "no server of this machine has this name"
				: "no name was said, and nothing else is meant",
		       MF_TLS_UNRECOGNIZED_NAME);
		return;
	}
	if (redirected && s->plan->d.tls_mode == MF_TLS_REWRITE_SNI) {
		refuse(c, "server names are not rewritten where names are forwarded",
		       MF_TLS_ACCESS_DENIED);
		return;
	}
	p->stats.tcp_allowed++;
	if (redirected)
		take_policys_way(s, &r, w.loops);
	carry_out(c, &r, hello);
}

/* --- the client's words --------------------------------------------------------------------------------------------- */

/* What may be the beginning of a request waits: a moment where it may still be anything, else for its head. */
static void wait_for_head(struct mf_tcp_conn *c, bool sure)
{
	struct mf_tcp_setup *s = c->setup;

	s->in_head = sure;
	if (sure && s->holding) {
		s->holding = false;
		mf_timeout_arm(&c->timeout, &c->tcp->hello);
	}
	if (sure || s->holding)
		return;
	s->holding = true;
	mf_timeout_arm(&c->timeout, &c->tcp->grace);
}

static void read_text(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;
	struct mf_span in = mf_span_of(s->in, s->in_len), name = mf_span_of("", 0);
	enum mf_speech speech = mf_speech_of(in);
	int r;

	s->not_tls = true;
	if (speech == MF_SPEECH_UNKNOWN && !s->client_eof) {
		wait_for_head(c, false);
		return;
	}
	if (speech != MF_SPEECH_HTTP) {
		take_words(c, MF_ROUTER_OTHER, name, NULL);
		return;
	}
	r = mf_http_find_host(in, &name);
	if (r == MF_E_AGAIN && !s->client_eof)
		wait_for_head(c, true);
	else if (r == MF_E_BAD || r == MF_E_AGAIN) /* no HTTP that we would answer for */
		take_words(c, MF_ROUTER_OTHER, mf_span_of("", 0), NULL);
	else
		take_words(c, MF_ROUTER_HTTP, r == 0 ? name : mf_span_of("", 0), NULL);
}

void mf_tcp_route_bytes(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;
	struct mf_span in = mf_span_of(s->in, s->in_len), none = mf_span_of("", 0);
	uint8_t joined[MF_TLS_HELLO_MAX];
	struct mf_tls_hello hello;
	int r = mf_tls_scan_hello(&s->scan, in);

	if (r == MF_E_AGAIN && !s->client_eof)
		return;
	if (r == 0)
		r = mf_tls_read_hello(&s->scan, in, joined, &hello);
	if (r == 0) {
		c->tcp->proxy->stats.tls_hellos += !was_routed(c);
		take_words(c, MF_ROUTER_TLS, hello.has_sni ? hello.sni : none, &hello);
	} else if (r == MF_E_BAD || (r == MF_E_AGAIN && s->in_len)) {
		c->tcp->proxy->stats.tls_bad++;
		take_words(c, MF_ROUTER_TLS_BAD, none, NULL);
	} else {
		read_text(c);
	}
}

void mf_tcp_route_again(struct mf_tcp_conn *c)
{
	enum mf_router_speech speech = c->asked->speech;

	if (speech == MF_ROUTER_TLS || speech == MF_ROUTER_HTTP)
		mf_tcp_route_bytes(c);
	else
		take_words(c, speech, mf_span_of("", 0), NULL);
}

void mf_tcp_route_late(struct mf_tcp_conn *c, bool was_held)
{
	const struct mf_tcp_setup *s = c->setup;
	bool cut_off = !was_held && ((s->in_len && !s->not_tls) || s->in_head);

	take_words(c,
		   cut_off     ? MF_ROUTER_LATE
		   : s->in_len ? MF_ROUTER_OTHER
			       : MF_ROUTER_SILENT,
		   mf_span_of("", 0), NULL);
}

void mf_tcp_route_begin(struct mf_tcp_conn *c)
{
	c->state = MF_TCP_HELLO;
	mf_timeout_arm(&c->timeout, &c->tcp->hello);
	mf_tcp_conn_read_client(c);
}

/* --- the server ----------------------------------------------------------------------------------------------------- */

void mf_tcp_route_reached(struct mf_tcp_conn *c)
{
	const struct mf_router *router = router_of(c);

	c->reached = true;
	if (router->connected && !(c->setup && c->setup->told))
		router->connected(router->ctx, c->tag,
				  mf_clock_now(&mf_clock_system) - c->routed_ns);
}

static bool sends_alert(struct mf_tcp_conn *c)
{
	mf_tcp_conn_forget_server(c);
	return mf_speech_of(mf_span_of(c->setup->in, c->setup->in_len)) == MF_SPEECH_TLS &&
	       mf_tcp_conn_refuse_in_kind(c, MF_TLS_INTERNAL_ERROR);
}

bool mf_tcp_route_unreached(struct mf_tcp_conn *c, const char *error)
{
	static const char alpn[] = "\x02h2\x08http/1.1";
	const struct mf_router *router = router_of(c);
	struct mf_tcp_setup *s = c->setup;
	enum mf_speech speech;
	int fd;

	if (!router || !router->unreached || !c->tag || !s || s->told || c->reached)
		return false;
	speech = mf_speech_of(mf_span_of(s->in, s->in_len));
	fd = router->unreached(router->ctx, c->tag, error, s->bridge || speech == MF_SPEECH_HTTP);
	if (fd < 0)
		return sends_alert(c);
	s->told = true;
	s->to_tls = false;
	s->plain_alpn = mf_span_of(alpn, sizeof(alpn) - 1);
	free(s->plan);
	s->plan = NULL;
	s->sent = 0;
	s->given_fd = fd;
	mf_tcp_conn_open(c);
	return true;
}

/* The context for the server's side. Return: false without memory */
static bool upstream_of(struct mf_tcp_conn *c, SSL_CTX **ret)
{
	struct mf_proxy *p = c->tcp->proxy;
	SSL_CTX **ctx = c->setup->unverified ? &p->tls_unverified : &p->tls_upstream;

	*ret = NULL;
	if (!c->setup->to_tls)
		return true;
	if (!*ctx) {
		*ctx = mf_tls_upstream_new();
		if (*ctx && c->setup->unverified)
			SSL_CTX_set_verify(*ctx, SSL_VERIFY_NONE, NULL);
	}
	*ret = *ctx;
	return *ctx != NULL;
}

void mf_tcp_route_bridge(struct mf_tcp_conn *c)
{
	struct mf_proxy *p = c->tcp->proxy;
	struct mf_tcp_setup *s = c->setup;
	struct mf_tls_bridge_options o = {
		.authority = p->opt.tls_authority,
		.client_name = c->host,
		.server_name = c->host,
		.alpn = s->to_tls ? mf_span_of(s->alpn, s->alpn_len) : s->plain_alpn,
		.first = mf_span_of(s->in, s->in_len),
	};

	if (!o.authority || !o.client_name || !upstream_of(c, &o.upstream) ||
	    mf_tls_bridge_new(&o, &c->bridge) < 0) {
		mf_tcp_conn_open_failed(c, false, "no certificate for this name");
		return;
	}
	p->stats.tls_bridged++;
	c->relay.writable[1] = true;
	c->state = MF_TCP_BRIDGE;
	mf_tcp_conn_pump_bridge(c);
}

/* --- the end -------------------------------------------------------------------------------------------------------- */

void mf_tcp_route_ended(struct mf_tcp_conn *c, const char *error)
{
	const struct mf_router *router = router_of(c);

	router->ended(router->ctx,
		      &(struct mf_router_end){ .flow = &c->flow,
					       .tag = c->tag,
					       .error = error,
					       .routed = c->routed_ns != 0,
					       .connected = c->reached,
					       .bytes_to_server = c->relay.dir[0].bytes,
					       .bytes_to_client = c->relay.dir[1].bytes });
}
