/* SPDX-License-Identifier: Apache-2.0 */
/* vm_stack_linux.c - see vm_stack.h */
#include "cli/vm_stack.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/packet/build.h"
#include "proxies/proxy.h"

#define BACKLOG	     4096
#define PIECES	     64
#define READ_MAX     65536
#define KEEP_IDLE_S  60 /* how long the end of a proxy that has gone for good stays unseen at most */
#define KEEP_INTVL_S 20

/* A machine's connection and the socket towards the proxies. Freed when both are done. */
struct link {
	struct mf_vm_stack *stack;
	struct mf_stack_conn *conn;
	struct mf_session_flow flow;
	struct event *event;
	uint8_t *rest; /* was read, and had no room */
	size_t rest_len;
	int fd;
	uint16_t port;
	bool readable, writable;   /* as far as we know: told by edges */
	bool taken;		   /* by the proxies */
	bool up_ended, down_ended; /* the machine's end was passed on; the proxy's was */
};

struct mf_vm_stack {
	struct mf_vm_stack_options options;
	struct mf_guest_stack *stack;
	struct event_base *base;
	struct mf_proxy *proxy;
	struct event *timer, *later; /* lwIP's; what went to machines outside of a turn of theirs */
	struct mf_vm_stack_wires wires; /* .packet NULL: there are none any more */
	struct sockaddr_in at;
	int listener;
	struct link *links[65536]; /* by the port of our end */
	uint8_t buf[READ_MAX];
};

static uint64_t now(void)
{
	return mf_clock_now(&mf_clock_system);
}

/* ---- links ------------------------------------------------------------------------------------------------------- */

/* Its connection is gone, or was given up. */
static void free_link(struct link *l, bool reset)
{
	const struct linger at_once = { .l_onoff = 1 };

	if (l->stack->links[l->port] == l)
		l->stack->links[l->port] = NULL;
	if (l->event)
		event_free(l->event);
	if (l->fd >= 0) {
		if (reset)
			(void)setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close(l->fd);
	}
	free(l->rest);
	free(l);
}

static void reset_link(struct link *l)
{
	mf_stack_conn_reset(l->conn);
	free_link(l, true);
}

/* From the machine to the proxy. Return: false: the link is no more */
static bool pump_up(struct link *l)
{
	while (l->writable && !l->up_ended) {
		struct mf_span pieces[PIECES];
		struct iovec iov[PIECES];
		struct msghdr msg = { .msg_iov = iov };
		ssize_t n;

		if (mf_stack_conn_ended(l->conn)) {
			l->up_ended = true;
			shutdown(l->fd, SHUT_WR);
			break;
		}
		msg.msg_iovlen = mf_stack_conn_peek(l->conn, pieces, PIECES);
		if (!msg.msg_iovlen)
			break;
		for (size_t i = 0; i < msg.msg_iovlen; i++)
			iov[i] = (struct iovec){ (void *)(uintptr_t)pieces[i].ptr, pieces[i].len };
		n = sendmsg(l->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			l->writable = false;
			break;
		}
		if (n < 0) {
			reset_link(l);
			return false;
		}
		mf_stack_conn_take(l->conn, (size_t)n);
	}
	return true;
}

static bool keep_rest(struct link *l, const uint8_t *buf, size_t len)
{
	l->rest = malloc(len);
	if (!l->rest)
		return false;
	memcpy(l->rest, buf, len);
	l->rest_len = len;
	return true;
}

static bool send_rest(struct link *l)
{
	ssize_t n = mf_stack_conn_write(l->conn, l->rest, l->rest_len);

	if (n < 0)
		return false;
	l->rest_len -= (size_t)n;
	memmove(l->rest, l->rest + n, l->rest_len);
	if (!l->rest_len) {
		free(l->rest);
		l->rest = NULL;
	}
	return true;
}

/* From the proxy to the machine. Return: false: the link is no more */
static bool pump_down(struct link *l)
{
	struct mf_vm_stack *s = l->stack;

	if (l->rest && !send_rest(l)) {
		reset_link(l);
		return false;
	}
	while (l->readable && !l->down_ended && !l->rest) {
		size_t room = mf_stack_conn_room(l->conn);
		ssize_t n, done;

		if (!room) {
			(void)mf_stack_conn_write(l->conn, NULL, 1); /* to hear of room */
			break;
		}
		n = recv(l->fd, s->buf, room < READ_MAX ? room : READ_MAX, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			l->readable = false;
			break;
		}
		if (n < 0) {
			reset_link(l);
			return false;
		}
		if (n == 0) {
			l->down_ended = true;
			mf_stack_conn_shutdown(l->conn);
			break;
		}
		done = mf_stack_conn_write(l->conn, s->buf, (size_t)n);
		if (done < 0 || (done < n && !keep_rest(l, s->buf + done, (size_t)(n - done)))) {
			reset_link(l);
			return false;
		}
	}
	return true;
}

static void pump(struct link *l)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (!pump_up(l) || !pump_down(l))
		return;
	if (l->up_ended && l->down_ended) {
		mf_stack_conn_release(l->conn);
		free_link(l, false);
		return;
	}
	/* where nothing is read any more, nothing else tells of a reset */
	if (l->down_ended && l->readable &&
	    (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error))
		reset_link(l);
}

static void on_socket(evutil_socket_t fd, short what, void *ctx)
{
	struct link *l = ctx;
	struct mf_vm_stack *s = l->stack;

	(void)fd;
	l->readable |= (what & EV_READ) != 0;
	l->writable |= (what & EV_WRITE) != 0;
	pump(l);
	s->wires.changed(s->wires.ctx);
}

static void on_readable(void *ctx, struct mf_stack_conn *conn)
{
	(void)ctx;
	pump(mf_stack_conn_data(conn));
}

static void on_gone(void *ctx, struct mf_stack_conn *conn)
{
	(void)ctx;
	free_link(mf_stack_conn_data(conn), true);
}

/* ---- a connection was made ---------------------------------------------------------------------------------------- */

static bool make_flow(enum mf_proto proto, const struct mf_flow *flow, struct mf_session_flow *ret)
{
	*ret = (struct mf_session_flow){ .proto = proto,
					 .client = mf_flow_src(flow),
					 .server = mf_flow_dst(flow) };
	/* an IPv4 address in an IPv6 packet is nobody's */
	return ret->client.addr.family == ret->server.addr.family;
}

static int open_socket(struct link *l)
{
	struct mf_vm_stack *s = l->stack;
	struct sockaddr_in own;
	socklen_t len = sizeof(own);
	int one = 1, idle = KEEP_IDLE_S, interval = KEEP_INTVL_S;

	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return MF_E_FULL;
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(l->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	if (connect(l->fd, (struct sockaddr *)&s->at, sizeof(s->at)) < 0 && errno != EINPROGRESS)
		return MF_E_IO;
	if (getsockname(l->fd, (struct sockaddr *)&own, &len) < 0)
		return MF_E_IO;
	l->port = ntohs(own.sin_port);
	return 0;
}

static int on_accept(void *ctx, struct mf_stack_conn *conn, const struct mf_flow *flow)
{
	struct mf_vm_stack *s = ctx;
	struct link *l = s->proxy ? calloc(1, sizeof(*l)) : NULL;

	if (!l)
		return MF_E_NOMEM;
	l->stack = s;
	l->conn = conn;
	l->fd = -1;
	if (!make_flow(MF_TCP, flow, &l->flow) || open_socket(l) < 0)
		goto bad;
	l->event = event_new(s->base, l->fd, EV_READ | EV_WRITE | EV_PERSIST | EV_ET, on_socket, l);
	if (!l->event || event_add(l->event, NULL) < 0)
		goto bad;
	s->links[l->port] = l;
	mf_stack_conn_set_data(conn, l);
	return 0;
bad:
	free_link(l, true);
	return MF_E_IO;
}

int mf_vm_stack_find_flow(void *ctx, enum mf_proto proto, const struct mf_endpoint *peer,
			  const struct mf_endpoint *local, struct mf_session_flow *ret)
{
	static const uint8_t own[4] = { 127, 0, 0, 1 };
	struct mf_vm_stack *s = ctx;
	struct link *l = s->links[peer->port];

	(void)local;
	/* another process may connect from that port of another address of loopback's */
	if (proto != MF_TCP || !l || l->taken || peer->addr.family != 4 ||
	    memcmp(peer->addr.bytes, own, sizeof(own)) != 0)
		return MF_E_NOENT;
	l->taken = true;
	*ret = l->flow;
	return 0;
}

/* ---- datagrams --------------------------------------------------------------------------------------------------- */

static int send_udp(void *ctx, const struct mf_session_flow *flow, const uint8_t *payload,
		    size_t len)
{
	struct mf_vm_stack *s = ctx;
	struct mf_flow f;

	if (!mf_flow_make(&f, MF_PROTO_UDP, &flow->server, &flow->client))
		return MF_E_INVAL;
	event_active(s->later, EV_TIMEOUT, 0);
	return mf_guest_stack_send_udp(s->stack, &f, mf_span_of(payload, len));
}

static int refuse_udp(void *ctx, const struct mf_session_flow *flow, const uint8_t *payload,
		      size_t len)
{
	struct mf_vm_stack *s = ctx;
	uint8_t pkt[1400], answer[MF_BUILD_ANSWER_MAX];
	struct mf_flow f;
	struct mf_view v;
	size_t n;
	int r;

	if (!mf_flow_make(&f, MF_PROTO_UDP, &flow->client, &flow->server))
		return MF_E_INVAL;
	r = mf_build_udp(&f, mf_span_of(payload, len < 1280 ? len : 1280), pkt, sizeof(pkt), &n);
	if (r == 0)
		r = mf_view_read_ip(&v, mf_span_of(pkt, n), 0, NULL);
	if (r == 0)
		r = mf_build_unreachable(
			&v, f.family == 4 ? MF_ICMP_ADMIN_PROHIBITED : MF_ICMPV6_ADMIN_PROHIBITED,
			answer, sizeof(answer), &n);
	if (r < 0)
		return r;
	event_active(s->later, EV_TIMEOUT, 0);
	s->wires.packet(s->wires.ctx, answer, n);
	return 0;
}

static void on_datagram(void *ctx, const struct mf_flow *flow, struct mf_span payload)
{
	struct mf_vm_stack *s = ctx;
	struct mf_session_flow f;

	if (!s->proxy || !make_flow(MF_UDP, flow, &f))
		return;
	if (s->options.own && s->options.own(s->options.own_ctx, &f) < 0)
		(void)refuse_udp(s, &f, payload.ptr, payload.len);
	else
		mf_proxy_take_datagram(s->proxy, &f, (uint8_t *)(uintptr_t)payload.ptr,
				       payload.len);
}

void mf_vm_stack_get_ops(struct mf_vm_stack *s, struct mf_session_ops *ret)
{
	*ret = (struct mf_session_ops){ .send_udp = send_udp, .refuse_udp = refuse_udp, .ctx = s };
}

/* ---- turns ------------------------------------------------------------------------------------------------------- */

static void on_packet(void *ctx, const uint8_t *pkt, size_t len)
{
	struct mf_vm_stack *s = ctx;

	if (s->wires.packet)
		s->wires.packet(s->wires.ctx, pkt, len);
}

static void on_large(void *ctx, uint8_t *pkt, size_t len, uint16_t transport, uint16_t segment)
{
	struct mf_vm_stack *s = ctx;

	if (s->wires.packet)
		s->wires.large(s->wires.ctx, pkt, len, transport, segment);
}

static bool is_full(void *ctx, void *owner)
{
	struct mf_vm_stack *s = ctx;

	return s->wires.packet && s->wires.full && s->wires.full(s->wires.ctx, owner);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_vm_stack *s = ctx;

	(void)fd;
	(void)what;
	s->wires.changed(s->wires.ctx);
}

void mf_vm_stack_input(struct mf_vm_stack *s, struct mf_stack_peer *peer, uint8_t *pkt, size_t len)
{
	mf_guest_stack_input(s->stack, peer, pkt, len, now());
}

void mf_vm_stack_flush(struct mf_vm_stack *s)
{
	struct timeval tv;
	int ms;

	mf_guest_stack_flush(s->stack, now());
	ms = mf_guest_stack_timeout(s->stack);
	if (ms < 0 || !s->timer || evtimer_pending(s->timer, NULL))
		return;
	tv = (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000L };
	event_add(s->timer, &tv);
}

void mf_vm_stack_again(struct mf_vm_stack *s)
{
	event_active(s->later, EV_TIMEOUT, 0);
}

int mf_vm_stack_join(struct mf_vm_stack *s, void *owner, struct mf_stack_peer **ret)
{
	return mf_guest_stack_join(s->stack, owner, ret);
}

void mf_vm_stack_get_stats(const struct mf_vm_stack *s, struct mf_guest_stack_stats *ret)
{
	mf_guest_stack_get_stats(s->stack, ret);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static int listen_here(struct mf_vm_stack *s, struct mf_err *err)
{
	socklen_t len = sizeof(s->at);

	s->at = (struct sockaddr_in){ .sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&s->at, sizeof(s->at)) < 0 ||
	    listen(s->listener, BACKLOG) < 0 ||
	    getsockname(s->listener, (struct sockaddr *)&s->at, &len) < 0)
		return mf_err_set(err, MF_E_IO, "cannot listen on loopback: %s", strerror(errno));
	return 0;
}

int mf_vm_stack_new(const struct mf_vm_stack_options *options, struct mf_vm_stack **ret,
		    struct mf_err *err)
{
	struct mf_vm_stack *s = calloc(1, sizeof(*s));
	const struct mf_guest_stack_options o = { .size = sizeof(o),
						  .mtu = options->mtu,
						  .conns_max = options->conns_max,
						  .conns_each = options->conns_each,
						  .half_open = options->half_open,
						  .bytes_each = options->bytes_each,
						  .bytes_max = options->bytes_max };
	const struct mf_guest_stack_ops ops = { .packet = on_packet,
						.large = options->large ? on_large : NULL,
						.full = is_full,
						.datagram = on_datagram,
						.accept = on_accept,
						.readable = on_readable,
						.writable = on_readable,
						.gone = on_gone,
						.ctx = s };
	int r;

	if (!s)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	s->options = *options;
	s->listener = -1;
	r = listen_here(s, err);
	if (r == 0)
		r = mf_guest_stack_new(&o, &ops, &s->stack, err);
	if (r < 0) {
		mf_vm_stack_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

int mf_vm_stack_listener(const struct mf_vm_stack *s)
{
	return s->listener;
}

int mf_vm_stack_begin(struct mf_vm_stack *s, struct event_base *base, struct mf_proxy *proxy,
		      const struct mf_vm_stack_wires *wires)
{
	s->base = base;
	s->proxy = proxy;
	s->wires = *wires;
	s->timer = evtimer_new(base, on_timer, s);
	s->later = evtimer_new(base, on_timer, s);
	return s->timer && s->later ? 0 : MF_E_NOMEM;
}

void mf_vm_stack_end(struct mf_vm_stack *s)
{
	if (s)
		s->proxy = NULL;
}

void mf_vm_stack_free(struct mf_vm_stack *s)
{
	if (!s)
		return;
	s->wires.packet = NULL;
	mf_guest_stack_free(s->stack);
	if (s->timer)
		event_free(s->timer);
	if (s->later)
		event_free(s->later);
	if (s->listener >= 0)
		close(s->listener);
	free(s);
}
