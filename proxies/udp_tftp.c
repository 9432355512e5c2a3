/* SPDX-License-Identifier: Apache-2.0 */
/* udp_tftp.c - TFTP's transfers: answers of another port of the server; see udp_int.h */
#include "core/base/bytes.h"
#include "proxies/udp_int.h"

/* RFC 1350, 5, and RFC 2347 */
enum { READ = 1, WRITE = 2, DATA = 3, OPTIONS = 6 };

enum {
	PORT = 69,
	TRANSFERS_MAX = 4, /* of one request's flow; the oldest goes */
	DRAIN_MAX = 64,	   /* datagrams of one socket in one turn */
};

static unsigned opcode_of(const uint8_t *buf, size_t len)
{
	return len >= 4 ? mf_load_be16(buf) : 0;
}

/* What follows a request: data, acknowledgements, errors, options */
static bool is_of_a_transfer(const uint8_t *buf, size_t len)
{
	unsigned opcode = opcode_of(buf, len);

	return opcode >= DATA && opcode <= OPTIONS;
}

bool mf_udp_tftp_may_follow(const struct mf_udp_flow *f)
{
	const struct mf_session_ops *ops = &f->udp->proxy->session->ops;

	return f->ends.server.port == PORT && (ops->send_udp || ops->open_udp);
}

static struct mf_udp_flow *find_transfer(const struct mf_udp_flow *f, uint16_t port)
{
	struct mf_udp_flow *t = f->transfer;

	while (t && t->to.port != port)
		t = t->sibling;
	return t;
}

static void end_oldest(struct mf_udp_flow *f)
{
	struct mf_udp_flow *t = f->transfer;

	while (t->sibling)
		t = t->sibling;
	mf_udp_flow_close(t, "idle");
}

static struct mf_udp_flow *begin_transfer(struct mf_udp_flow *f, uint16_t port)
{
	struct mf_udp_proxy *udp = f->udp;
	struct mf_session_flow ends = f->ends;
	struct mf_udp_flow *t;

	ends.server.port = port;
	/* a flow of the client's own to that port was judged by itself, and has a port of ours that the server has not seen */
	if (!f->wanted || !port || mf_udp_flow_find(udp, &ends))
		return NULL;
	if (f->transfer_cnt == TRANSFERS_MAX)
		end_oldest(f);
	/* room is made by ending the quietest one, which must not be the request */
	mf_udp_flow_touch(f);
	if (udp->proxy->opt.udp_flows_max < 2)
		return NULL;
	t = mf_udp_flow_new(udp, &ends, false);
	if (!t)
		return NULL;
	t->to = f->to;
	t->to.port = port;
	mf_udp_flow_set_host(t, f->host ? f->host : "");
	t->request = f;
	t->sibling = f->transfer;
	f->transfer = t;
	f->transfer_cnt++;
	mf_udp_flow_open_inner(t);
	if (t->inner < 0 && !udp->proxy->session->ops.send_udp) {
		mf_udp_flow_close(t,
				  "idle"); /* the client would hear of a port that it never asked */
		return NULL;
	}
	f->wanted--;
	return t;
}

/* Something came to the request's socket. */
static void take(struct mf_udp_flow *f, const struct mf_datagram *d)
{
	struct mf_udp_flow *t = f;

	if (!mf_addr_eq(&d->client.addr, &f->to.addr))
		return; /* not whom policies allowed */
	if (d->client.port == f->to.port) {
		f->wanted = 0; /* a server with one port */
	} else {
		if (!is_of_a_transfer(d->buf, d->len))
			return;
		t = find_transfer(f, d->client.port);
		if (!t)
			t = begin_transfer(f, d->client.port);
		if (!t)
			return;
	}
	f->received += d->len;
	mf_udp_flow_touch(t);
	mf_udp_flow_to_client(t, d->buf, d->len);
}

/* The server's host says that nobody listens there: let the client hear the same. */
static void pass_errors(struct mf_udp_flow *f, int fd)
{
	struct mf_session_ops *ops = &f->udp->proxy->session->ops;
	struct mf_endpoint to;

	for (unsigned i = 0; i < DRAIN_MAX && mf_sock_take_udp_error(fd, &to); i++) {
		struct mf_udp_flow *t = to.port == f->to.port ? f : find_transfer(f, to.port);

		if (t && ops->refuse_udp)
			(void)ops->refuse_udp(ops->ctx, &t->ends, (const uint8_t *)"", 0);
	}
}

void mf_udp_tftp_on_outer(evutil_socket_t fd, short what, void *flow)
{
	struct mf_udp_flow *f = flow;
	struct mf_datagram d = { .buf = f->udp->proxy->pool.buf, .room = MF_RELAY_CHUNK };

	(void)what;
	pass_errors(f, (int)fd);
	for (unsigned i = 0; i < DRAIN_MAX && mf_sock_recv_from((int)fd, &d, 1); i++)
		if (!d.cut)
			take(f, &d);
}

void mf_udp_tftp_to_server(struct mf_udp_flow *f, const uint8_t *buf, size_t len)
{
	const struct mf_endpoint none = { 0 };
	struct mf_udp_flow *request = f->request ? f->request : f;

	if (f->request && !is_of_a_transfer(buf, len))
		return; /* it was allowed as part of a transfer, and for nothing else */
	if (!f->request && f->wanted < TRANSFERS_MAX &&
	    (opcode_of(buf, len) == READ || opcode_of(buf, len) == WRITE))
		f->wanted++;
	request->sent += len;
	(void)mf_sock_send_to(request->outer, &none, &f->to, buf, len);
}

void mf_udp_tftp_end(struct mf_udp_flow *f, const char *reason)
{
	struct mf_udp_flow **at;

	while (f->transfer)
		mf_udp_flow_close(f->transfer, reason);
	if (!f->request)
		return;
	for (at = &f->request->transfer; *at != f;)
		at = &(*at)->sibling;
	*at = f->sibling;
	f->request->transfer_cnt--;
}
