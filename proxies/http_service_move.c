/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_service_move.c - connections that go from one HTTP service to another one's thread, with the request that they have come with
 *
 * It happens between the head of a request and whatever is done with it, when nobody but the connection itself knows of it: no exchange
 * waits, no handler runs, and HTTP/2, whose requests are many at a time, does not do it. So all of it can go as it is: the descriptor,
 * the SSL with the bytes that it has read ahead, the head, what came behind it, answers of earlier requests that wait to be sent.
 */
#include "proxies/http_service_int.h"

bool mf_http_move_ask(struct mf_http_conn *c, const struct mf_http_request *req)
{
	const struct mf_http_filter *f = c->s->filter;

	c->leaving = !c->moved && f && f->leaves && f->leaves(c->s->filter_ctx, req);
	return c->leaving;
}

void mf_http_move(struct mf_http_conn *c)
{
	struct mf_http_service *s = c->s;

	mf_http_conn_part(c); /* it is still counted: those on their way are bounded, too */
	c->leaving = false;
	c->moved = true;
	c->wait = MF_HTTP_WAIT_NONE;
	s->filter->left(s->filter_ctx, c);
}

void mf_http_service_adopt(struct mf_http_service *s, struct mf_http_conn *c)
{
	struct mf_http_together *was = c->s->together;

	if (was != s->together) {
		s->together->connections++;
		was->connections--;
	}
	if (mf_http_conn_join(c, s) == 0)
		return;
	s->together->connections--;
	mf_http_conn_free(c);
}

void mf_http_conn_drop(struct mf_http_conn *c)
{
	c->s->together->connections--;
	mf_http_conn_free(c);
}
