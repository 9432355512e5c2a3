/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_held.c - connections that wait until a person has answered
 *
 * Nothing of the client's goes on meanwhile and nothing more of it is read; what was begun towards a server that connect
 * allows may come to its end. A client that ends its side has given up, unless a process still has its socket (it may have
 * said all that it has to say).
 */
#include <stdlib.h>
#include <string.h>

#include "proxies/tcp_int.h"

static void resume(struct mf_held *held)
{
	struct mf_tcp_held *h = (struct mf_tcp_held *)held;
	struct mf_tcp_conn *c = h->conn;
	struct mf_tcp_proxy *tcp = c->tcp, *entered = mf_tcp_enter(c);
	struct mf_http_said said = h->said;
	char *host = h->host;

	h->host = NULL;
	mf_timeout_disarm(&c->timeout);
	mf_tcp_conn_judge_again(c, h->stage, &said);
	free(host);
	/* what it said while it waited is told of no more: the refusal is in its language */
	if (tcp->current == c && c->state == MF_TCP_GRACE && c->relay.readable[0])
		mf_tcp_conn_read_client(c);
	mf_tcp_leave(entered);
}

static bool keep_said(struct mf_tcp_held *h, const struct mf_http_said *said)
{
	h->said = *said;
	h->said.hello = NULL;
	h->host = malloc(said->host.len + 1);
	if (!h->host)
		return false;
	if (said->host.len)
		memcpy(h->host, said->host.ptr, said->host.len);
	h->host[said->host.len] = '\0';
	h->said.host = mf_span_of(h->host, said->host.len);
	return true;
}

bool mf_tcp_conn_hold(struct mf_tcp_conn *c, struct mf_decision *d)
{
	struct mf_tcp_setup *s = c->setup;
	struct mf_tcp_held *h = c->asked;

	if (!h) {
		h = c->asked = calloc(1, sizeof(*h));
		if (!h) {
			mf_approve_refuse(d, mf_approve_too_many);
			return false;
		}
		h->conn = c;
		h->held.resume = resume;
	}
	if (!s || s->stage >= MF_TCP_STAGE_NUM || c->relay.ended[0]) {
		mf_approve_refuse(d, mf_approve_cannot_wait);
		return false;
	}
	h->stage = (enum mf_tcp_stage)s->stage;
	if (h->stage == MF_TCP_AT_REQUEST && !keep_said(h, s->judging)) {
		mf_approve_refuse(d, mf_approve_too_many);
		return false;
	}
	if (!mf_held_begin(c->tcp->proxy, &h->held, d)) {
		free(h->host);
		h->host = NULL;
		return false;
	}
	mf_timeout_disarm(&c->timeout);
	return true;
}

void mf_tcp_conn_end_hold(struct mf_tcp_conn *c)
{
	if (!c->asked)
		return;
	mf_held_end(&c->asked->held);
	free(c->asked->host);
	free(c->asked);
	c->asked = NULL;
}

void mf_tcp_conn_left_while_held(struct mf_tcp_conn *c)
{
	struct mf_session_ops *ops = &c->tcp->proxy->session->ops;
	struct mf_process who;

	if (ops->find_process && ops->find_process(ops->ctx, &c->flow, &who) == 0) {
		mf_timeout_arm(&c->timeout, &c->tcp->left);
		return;
	}
	mf_tcp_conn_close(c, true, "the client did not wait for an answer");
}
