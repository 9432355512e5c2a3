/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_service_proxied.c - connections that begin with a PROXY header: whose they are is what a trusted balancer says
 *
 * The header comes before TLS, and has the time of a request's head. From anybody but a balancer nothing is read: a stranger would
 * choose his address.
 */
#include <stdlib.h>

#include "core/match/cidr_set.h"
#include "proxies/http_service_int.h"
#include "proxies/proxy_header.h"

struct mf_http_proxied {
	struct mf_proxy_reader reader;
	struct mf_proxy_header header;
};

int mf_http_proxied_begin(struct mf_http_conn *c)
{
	const struct mf_http_service_options *o = &c->s->opt;
	size_t i = 0;

	while (i < o->balancer_cnt && !mf_cidr_has(&o->balancers[i], &c->peer.addr))
		i++;
	if (i == o->balancer_cnt) {
		c->s->stats.strangers++;
		return MF_E_PERM;
	}
	c->proxied = calloc(1, sizeof(*c->proxied));
	return c->proxied ? 0 : MF_E_NOMEM;
}

bool mf_http_proxied_read(struct mf_http_conn *c)
{
	uint8_t buf[MF_PROXY_READ_MAX];
	struct mf_http_proxied *p = c->proxied;
	bool moved = false;
	ssize_t n;
	int r = 0;

	while (r == 0) {
		n = mf_sock_recv(c->fd, buf, mf_proxy_reader_wants(&p->reader));
		if (n == MF_E_AGAIN)
			return moved;
		if (n <= 0) {
			c->broken = true;
			return moved;
		}
		moved = true;
		r = mf_proxy_reader_take(&p->reader, buf, (size_t)n, &p->header);
	}
	if (r < 0) {
		c->s->stats.bad_proxy_headers++;
		c->broken = true;
		return true;
	}
	if (p->header.has_addrs)
		c->peer = p->header.client;
	free(p);
	c->proxied = NULL;
	return true;
}
