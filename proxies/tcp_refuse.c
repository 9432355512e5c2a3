/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_refuse.c - telling a client of TCP that it is refused: an alert, a page, or a reset, as its words allow */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxies/refusal.h"
#include "proxies/tcp_int.h"

enum {
	DRAIN_MAX = 1 << 20,
};

/* Send @msg, then keep the connection until the client has read it. */
static void refuse_with(struct mf_tcp_conn *c, const void *msg, size_t len)
{
	/* a new connection's send buffer takes a few kilobytes at once; a client that shrank it to nothing gets a reset */
	if (mf_sock_send(c->relay.fd[0], msg, len) != (ssize_t)len) {
		mf_tcp_conn_close(c, true, NULL);
		return;
	}
	mf_sock_shutdown_write(c->relay.fd[0]);
	c->state = MF_TCP_LINGER;
	mf_timeout_arm(&c->timeout, &c->tcp->linger);
	mf_tcp_conn_drain(c);
}

void mf_tcp_conn_drain(struct mf_tcp_conn *c)
{
	struct mf_relay_pool *pool = &c->tcp->proxy->pool;
	size_t sum = 0;
	ssize_t n = 1;

	while (n > 0 && sum < DRAIN_MAX) {
		n = mf_sock_recv(c->relay.fd[0], pool->buf, MF_RELAY_CHUNK);
		sum += n > 0 ? (size_t)n : 0;
	}
	if (n != MF_E_AGAIN)
		mf_tcp_conn_close(c, n < 0 || sum >= DRAIN_MAX, NULL);
}

bool mf_tcp_conn_refuse_in_kind(struct mf_tcp_conn *c, enum mf_tls_alert alert)
{
	struct mf_tcp_setup *s = c->setup;
	struct mf_span in = mf_span_of(s->in, s->in_len), method, target;
	uint8_t record[MF_TLS_ALERT_LEN];
	char out[MF_HTTP_REFUSAL_MAX], what[600], ep[MF_ENDPOINT_TEXT_MAX];

	switch (mf_speech_of(in)) {
	case MF_SPEECH_UNKNOWN:
		return false;
	case MF_SPEECH_TLS:
		mf_tls_write_alert(alert, record);
		refuse_with(c, record, sizeof(record));
		return true;
	case MF_SPEECH_HTTP:
		mf_endpoint_format(&c->flow.server, ep, sizeof(ep));
		if (mf_http_find_request(in, &method, &target) < 0)
			method = target = mf_span_of("", 0);
		snprintf(what, sizeof(what), "%.*s %s%s%s", (int)method.len,
			 (const char *)method.ptr, ep, c->host ? " as " : "",
			 c->host ? c->host : "");
		refuse_with(c, out, mf_http_write_refusal(&s->plan->d, what, out));
		return true;
	case MF_SPEECH_HTTP2: /* no page that it would read without an exchange of settings */
	case MF_SPEECH_OTHER:
		break;
	}
	mf_tcp_conn_close(c, true, NULL);
	return true;
}

void mf_tcp_conn_deny(struct mf_tcp_conn *c, const struct mf_decision *d, enum mf_tls_alert alert)
{
	struct mf_tcp_setup *s = c->setup;
	struct mf_kept *kept = mf_kept_new(d);

	c->denied = true;
	free(s->plan);
	s->plan = kept;
	if (!kept) {
		mf_tcp_conn_close(c, true, NULL);
		return;
	}
	mf_tcp_conn_forget_server(c);
	if (mf_tcp_conn_refuse_in_kind(c, alert))
		return;
	c->state = MF_TCP_GRACE;
	mf_timeout_arm(&c->timeout, &c->tcp->grace);
}
