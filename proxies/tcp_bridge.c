/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_bridge.c - a connection whose server name the policy changes: two TLS connections in place of a relay */
#include <stdlib.h>
#include <string.h>

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

bool mf_tcp_conn_plan_bridge(struct mf_tcp_conn *c, const struct mf_tls_hello *hello)
{
	if (!keep_alpn(c->setup, hello)) {
		mf_tcp_conn_close(c, true, "out of memory");
		return false;
	}
	c->setup->bridge = true;
	return true;
}

/* The name that the client's certificate is made for: what it asked for, or else the name that led to the address. */
static const char *client_name(const struct mf_tcp_conn *c, char literal[MF_ADDR_TEXT_MAX])
{
	return c->host ? c->host : mf_addr_format(&c->flow.server.addr, literal, MF_ADDR_TEXT_MAX);
}

void mf_tcp_conn_start_bridge(struct mf_tcp_conn *c)
{
	struct mf_proxy *p = c->tcp->proxy;
	struct mf_tcp_setup *s = c->setup;
	char literal[MF_ADDR_TEXT_MAX];
	int r = MF_E_NOMEM;

	if (p->opt.router) {
		mf_tcp_route_bridge(c);
		return;
	}
	if (!p->tls_upstream)
		p->tls_upstream = mf_tls_upstream_new();
	if (p->tls_upstream)
		r = mf_tls_bridge_new(
			&(struct mf_tls_bridge_options){ .authority = p->opt.tls_authority,
							 .upstream = p->tls_upstream,
							 .client_name = client_name(c, literal),
							 .server_name = s->plan->d.sni,
							 .alpn = mf_span_of(s->alpn, s->alpn_len),
							 .first = mf_span_of(s->in, s->in_len) },
			&c->bridge);
	if (r < 0) {
		mf_tcp_conn_open_failed(c, false, "the server name cannot be changed");
		return;
	}
	p->stats.tls_bridged++;
	p->stats.sni_rewritten++;
	c->relay.writable[1] = true;
	c->state = MF_TCP_BRIDGE;
	mf_tcp_conn_pump_bridge(c);
}

/* The server's handshake is done: from here on this is a connection like any other. */
static void settle(struct mf_tcp_conn *c)
{
	struct mf_proxy *p = c->tcp->proxy;

	c->held = p->session->names && mf_names_hold(p->session->names, &c->flow.server.addr);
	mf_tcp_conn_free_setup(c);
	mf_timeout_arm(&c->timeout, &c->tcp->idle);
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
	c->state = MF_TCP_OPENING;
	mf_tcp_conn_open_failed(c, true,
				error[0] ? error : "the redirect's target ended the connection");
}

void mf_tcp_conn_pump_bridge(struct mf_tcp_conn *c)
{
	enum mf_relay_state state = mf_tls_bridge_pump(c->bridge, &c->relay);

	if (c->setup && mf_tls_bridge_is_joined(c->bridge))
		settle(c);
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
