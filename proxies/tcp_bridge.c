/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_bridge.c - a connection whose server name the policy changes, or whose TLS it looks into: two TLS connections in place
 * of a relay */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names/canonical.h"
#include "proxies/tcp_int.h"
#include "proxies/tls_client.h"

/* The client's list of application protocols as it stood in the hello, for the server. Return: false without memory */
static bool keep_alpn(struct mf_tcp_setup *s, const struct mf_tls_hello *hello)
{
	uint32_t len = 0;

	for (unsigned i = 0; i < hello->alpn_cnt; i++)
		len += 1 + (uint32_t)hello->alpn[i].len;
	if (!len)
		return true;
	s->alpn = malloc(len);
	if (!s->alpn)
		return false;
	for (unsigned i = 0; i < hello->alpn_cnt; i++) {
		s->alpn[s->alpn_len++] = (uint8_t)hello->alpn[i].len;
		memcpy(s->alpn + s->alpn_len, hello->alpn[i].ptr, hello->alpn[i].len);
		s->alpn_len += (uint32_t)hello->alpn[i].len;
	}
	return true;
}

/* The server name, in the form in which certificates have it. Return: false without memory */
static bool keep_name(struct mf_tcp_setup *s, struct mf_span sni)
{
	char name[MF_NAME_ROOM];

	if (!sni.len)
		return true;
	if (mf_name_canon((const char *)sni.ptr, sni.len, name) < 0) // an address: judged as one
		snprintf(name, sizeof(name), "%.*s", (int)sni.len, (const char *)sni.ptr);
	free(s->said);
	s->said = strdup(name);
	return s->said != NULL;
}

bool mf_tcp_conn_plan_bridge(struct mf_tcp_conn *c, const struct mf_tls_hello *hello)
{
	struct mf_tcp_setup *s = c->setup;

	if (!s->bridge && (!keep_alpn(s, hello) || !keep_name(s, hello->sni))) {
		mf_tcp_conn_close(c, true, "out of memory");
		return false;
	}
	s->bridge = true;
	return true;
}

/* The name that the client's certificate is made for: what it asked for, or else the name that led to the address. */
static const char *client_name(const struct mf_tcp_conn *c, char literal[MF_ADDR_TEXT_MAX])
{
	if (c->setup->said)
		return c->setup->said;
	return c->host ? c->host : mf_addr_format(&c->flow.server.addr, literal, MF_ADDR_TEXT_MAX);
}

/* One server under one name */
static void name_server(const struct mf_tcp_conn *c, const char *sni, char out[MF_TLS_SERVER_MAX])
{
	const struct mf_tcp_setup *s = c->setup;
	const char *path = s->plan && !s->fell_back ? s->plan->d.redirect_unix : NULL;
	char at[MF_ENDPOINT_TEXT_MAX];

	snprintf(out, MF_TLS_SERVER_MAX, "%s %s", sni,
		 path ? path : mf_endpoint_format(&s->dialled, at, sizeof(at)));
}

void mf_tcp_conn_start_bridge(struct mf_tcp_conn *c)
{
	struct mf_proxy *p = c->tcp->proxy;
	struct mf_tcp_setup *s = c->setup;
	char literal[MF_ADDR_TEXT_MAX];
	const char *name = client_name(c, literal);
	bool renamed = s->plan && !s->fell_back && s->plan->d.tls_mode == MF_TLS_REWRITE_SNI;
	const char *sni = renamed ? s->plan->d.sni : name;
	char server[MF_TLS_SERVER_MAX];
	int r = MF_E_NOMEM;

	if (p->opt.router) {
		mf_tcp_route_bridge(c);
		return;
	}
	name_server(c, sni, server);
	if (!p->tls_servers)
		p->tls_servers = mf_tls_upstream_new();
	if (!p->tls_sessions)
		p->tls_sessions = mf_tls_sessions_new();
	if (p->tls_servers && p->tls_sessions && (!c->intercept || mf_tcp_intercept_begin(c, name)))
		r = mf_tls_bridge_new(
			&(struct mf_tls_bridge_options){ .authority = p->opt.tls_authority,
							 .upstream = p->tls_servers,
							 .client_name = name,
							 .server_name = sni,
							 .alpn = mf_span_of(s->alpn, s->alpn_len),
							 .first = mf_span_of(s->in, s->in_len),
							 .sessions = p->tls_sessions,
							 .server = server },
			&c->bridge);
	if (r < 0) {
		mf_tcp_conn_open_failed(c, false,
					renamed ? "the server name cannot be changed"
						: "its TLS cannot be intercepted");
		return;
	}
	p->stats.tls_bridged++;
	p->stats.sni_rewritten += renamed;
	c->relay.writable[1] = true;
	c->state = MF_TCP_BRIDGE;
	mf_timeout_arm(&c->timeout, &c->tcp->dial);
	mf_tcp_conn_pump_bridge(c);
}

/* The server's handshake is done: from here on this is a connection like any other, once the client's is. */
static void settle(struct mf_tcp_conn *c)
{
	struct mf_proxy *p = c->tcp->proxy;

	c->held = mf_session_names(p->session, &c->flow) &&
		  mf_names_hold(mf_session_names(p->session, &c->flow), &c->flow.server.addr);
	mf_tcp_conn_free_setup(c);
	mf_timeout_arm(&c->timeout, &c->tcp->hello);
}

static const char *ended(const struct mf_tcp_conn *c)
{
	return c->intercept ? "the server ended the connection in the TLS handshake"
			    : "the redirect's target ended the connection";
}

/* The server's side of an interception failed, and there is nowhere else to go: the client is told in TLS. */
static void refuse(struct mf_tcp_conn *c, const char *error)
{
	struct mf_decision d = mf_ask_own_denial(error);

	c->tcp->proxy->stats.tcp_failed++;
	mf_tls_bridge_free(c->bridge);
	c->bridge = NULL;
	mf_tcp_conn_deny(c, &d, MF_TLS_ACCESS_DENIED);
}

static bool may_fall_back(const struct mf_tcp_setup *s)
{
	return s->plan && !s->fell_back && s->plan->d.on_failure != MF_FAIL_CLOSED;
}

static void broken(struct mf_tcp_conn *c)
{
	char error[256];

	strncpy(error, mf_tls_bridge_error(c->bridge), sizeof(error) - 1);
	error[sizeof(error) - 1] = '\0';
	if (!c->setup) {
		// What was still to be said, an alert among it, has been sent: no reset that would overtake it.
		mf_tcp_conn_close(c, !error[0], error[0] ? error : NULL);
		return;
	}
	if (!error[0])
		snprintf(error, sizeof(error), "%s", ended(c));
	c->state = MF_TCP_OPENING;
	if (c->intercept && !may_fall_back(c->setup)) {
		mf_tcp_intercept_server_failed(c, error);
		refuse(c, error);
		return;
	}
	mf_tcp_conn_open_failed(c, true, error);
}

void mf_tcp_conn_pump_bridge(struct mf_tcp_conn *c)
{
	enum mf_relay_state state = mf_tls_bridge_pump(c->bridge, &c->relay);

	if (c->setup && mf_tls_bridge_is_joined(c->bridge))
		settle(c);
	if (!c->opened && mf_tls_bridge_is_open(c->bridge)) {
		c->opened = true;
		mf_timeout_arm(&c->timeout, &c->tcp->idle);
	}
	if (c->intercept)
		mf_tcp_intercept_heard(c);
	if (c->http)
		mf_tcp_conn_mind_http(c);
	switch (state) {
	case MF_RELAY_WAITING:
		return;
	case MF_RELAY_BUSY:
		mf_tcp_conn_pump_later(c);
		return;
	case MF_RELAY_FINISHED:
		mf_tcp_conn_close(c, false, NULL);
		return;
	case MF_RELAY_BROKEN:
		broken(c);
		return;
	}
}
