/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_guest_stack_linux.c - lwIP behind the NAT, with a guest that sends the input's packets, an owner that does what it says, and its clock
 *
 * The input is a list of operations: two bytes (which, how) and what they take. Segments are the input's own, or honest ones with
 * the numbers that the connection is at, and what the input adds to those.
 *
 * What must be true: lwIP never asserts and never touches what is not its own; each packet for the guest is whole, with its checksum,
 * from a server that it has spoken to; what is to be cut is larger than a piece of it; a connection is told of once, and gone once.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/packet/build.h"
#include "core/packet/checksum.h"
#include "nic/guest_stack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((visibility("default"))) uint32_t sys_now(void);

#define PORTS 8u
#define ROOM  4096u

struct port {
	struct mf_stack_conn *conn;
	uint32_t seq, ack; /* the guest's next, and what it has seen */
};

struct world {
	struct mf_guest_stack *stack;
	struct mf_stack_peer *peer;
	struct port ports[2][PORTS];
	bool greedy, full;
	size_t read;
	uint64_t now_ns;
};

/* lwIP's clock: ours stands in front of the library's. */
static uint64_t clock_ns;

uint32_t sys_now(void)
{
	return (uint32_t)(clock_ns / MF_NS_PER_MS);
}

static struct port *port_of(struct world *w, uint8_t family, uint16_t number)
{
	return number >= 4000 && number < 4000 + PORTS ? &w->ports[family == 6][number - 4000]
						       : NULL;
}

static struct port *see(struct world *w, const uint8_t *pkt, size_t len)
{
	struct mf_view v;
	struct port *p;

	MF_MUST(mf_view_read_ip(&v, mf_span_of(pkt, len), 0, NULL) == 0 ||
		v.flags & MF_VIEW_F_FRAG);
	if (v.flags & MF_VIEW_F_FRAG)
		return NULL;
	MF_MUST(v.end == len);
	MF_MUST(mf_csum_verify(&v) != MF_CSUM_BAD && mf_csum_verify_ip4(&v) != MF_CSUM_BAD);
	p = v.flow.proto == MF_PROTO_TCP ? port_of(w, v.flow.family, v.flow.dst_port) : NULL;
	if (p)
		p->ack = mf_view_tcp_seq(&v) + (uint32_t)mf_view_payload(&v).len +
			 !!(v.tcp_flags & MF_TCP_SYN) + !!(v.tcp_flags & MF_TCP_FIN);
	return p;
}

static void on_packet(void *ctx, const uint8_t *pkt, size_t len)
{
	MF_MUST(len <= 1500);
	(void)see(ctx, pkt, len);
}

static void on_large(void *ctx, uint8_t *pkt, size_t len, uint16_t transport, uint16_t segment)
{
	MF_MUST(segment >= 64 && len > (size_t)transport + 20 + segment && len <= 65535);
	(void)see(ctx, pkt, len);
}

static bool is_full(void *ctx, void *owner)
{
	MF_MUST(ctx == owner);
	return ((struct world *)owner)->full;
}

static void on_datagram(void *ctx, const struct mf_flow *flow, struct mf_span payload)
{
	struct world *w = ctx;

	MF_MUST(flow->proto == MF_PROTO_UDP);
	for (size_t i = 0; i < payload.len; i += 61)
		w->read += payload.ptr[i];
}

static int on_accept(void *ctx, struct mf_stack_conn *conn, const struct mf_flow *flow)
{
	struct world *w = ctx;
	struct port *p = port_of(w, flow->family, flow->src_port);

	if (!p || flow->dst_port == 666)
		return MF_E_NOENT;
	MF_MUST(!p->conn);
	p->conn = conn;
	mf_stack_conn_set_data(conn, p);
	return 0;
}

static void read_all(struct world *w, struct mf_stack_conn *conn, size_t most)
{
	struct mf_span pieces[8];
	size_t n;

	while (most && (n = mf_stack_conn_peek(conn, pieces, 8))) {
		size_t all = 0;

		for (size_t i = 0; i < n; i++) {
			w->read += pieces[i].ptr[0] + pieces[i].ptr[pieces[i].len - 1];
			all += pieces[i].len;
		}
		all = all < most ? all : most;
		most -= all;
		mf_stack_conn_take(conn, all);
	}
}

static void on_readable(void *ctx, struct mf_stack_conn *conn)
{
	struct world *w = ctx;

	if (w->greedy)
		read_all(w, conn, SIZE_MAX);
}

static void on_gone(void *ctx, struct mf_stack_conn *conn)
{
	struct port *p = mf_stack_conn_data(conn);

	(void)ctx;
	MF_MUST(p && p->conn == conn);
	p->conn = NULL;
}

static struct mf_flow flow_of(bool six, unsigned port, uint16_t to)
{
	struct mf_flow f = { .family = six ? 6 : 4,
			     .proto = MF_PROTO_TCP,
			     .src_port = (uint16_t)(4000 + port),
			     .dst_port = to };

	if (six) {
		f.src[0] = f.dst[0] = 0xfd;
		f.src[15] = 15;
		f.dst[15] = 80;
	} else {
		memcpy(f.src, (const uint8_t[]){ 10, 0, 2, 15 }, 4);
		memcpy(f.dst, (const uint8_t[]){ 11, 0, 0, 80 }, 4);
	}
	return f;
}

static void input(struct world *w, uint8_t *pkt, size_t len)
{
	mf_guest_stack_input(w->stack, w->peer, pkt, len, w->now_ns);
}

/* @how: family, port, whether the numbers are the connection's. The first bytes: flags, window, what is added to the numbers */
static void segment(struct world *w, uint8_t how, const uint8_t *data, size_t len)
{
	struct mf_flow f = flow_of(how & 1, how >> 1 & (PORTS - 1), how & 0x10 ? 666 : 80);
	struct port *p = port_of(w, f.family, f.src_port);
	struct mf_tcp_fields t = { .seq = p->seq, .ack = p->ack };
	uint8_t pkt[ROOM + 100];
	size_t options, n;

	if (len < 8)
		return;
	t.flags = data[0];
	t.window = mf_load_be16(data + 1);
	t.seq += (uint32_t)(int8_t)data[3] * (how & 0x20 ? 1000u : 1u);
	t.ack += (uint32_t)(int8_t)data[4] * (how & 0x40 ? 1000u : 1u);
	options = (data[5] & 15u) * 4u;
	options = options < 40 ? options : 40;
	data += 8;
	len -= 8;
	options = options < len ? options & ~(size_t)3 : len & ~(size_t)3;
	/* options are the first bytes of what mf_build_tcp() takes for payload */
	if (mf_build_tcp(&f, &t, mf_span_of(data, len), pkt, sizeof(pkt), &n) < 0)
		return;
	pkt[(how & 1 ? 40 : 20) + 12] = (uint8_t)((5 + options / 4) << 4);
	if (!(t.flags & MF_TCP_RST))
		p->seq = t.seq + (uint32_t)(len - options) + !!(t.flags & MF_TCP_SYN) +
			 !!(t.flags & MF_TCP_FIN);
	input(w, pkt, n);
}

static void own(struct world *w, uint8_t how, const uint8_t *data, size_t len)
{
	struct port *p = &w->ports[how & 1][how >> 1 & (PORTS - 1)];
	static const uint8_t zeros[255 * 157];

	if (!p->conn)
		return;
	switch (len ? data[0] & 7 : 0) {
	case 0:
		read_all(w, p->conn, len > 1 ? data[1] * 100u : SIZE_MAX);
		break;
	case 1:
	case 2:
	case 3:
		(void)mf_stack_conn_write(p->conn, zeros, len > 1 ? data[1] * 157u : 1);
		break;
	case 4:
		mf_stack_conn_shutdown(p->conn);
		break;
	case 5:
		mf_stack_conn_release(p->conn);
		p->conn = NULL;
		break;
	case 6:
		mf_stack_conn_reset(p->conn);
		p->conn = NULL;
		break;
	default:
		MF_MUST(mf_stack_conn_flow(p->conn)->family == (how & 1 ? 6 : 4));
		w->read += mf_stack_conn_room(p->conn) + mf_stack_conn_ended(p->conn);
	}
}

static void operate(struct world *w, uint8_t op, uint8_t how, const uint8_t *data, size_t len)
{
	uint8_t pkt[ROOM];

	switch (op & 7) {
	case 0:
		w->now_ns += ((uint64_t)how + 1) * MF_NS_PER_MS * (op & 8 ? 100u : 1u);
		clock_ns = w->now_ns;
		break;
	case 1:
		own(w, how, data, len);
		return; /* without a flush */
	case 2:
		w->greedy = how & 1;
		w->full = how & 2;
		if (!w->full && mf_guest_stack_stopped(w->peer))
			mf_guest_stack_go_on(w->peer);
		break;
	case 3:
		memcpy(pkt, data, len);
		input(w, pkt, len);
		break;
	default:
		segment(w, how, data, len);
		if (op & 16)
			return;
	}
	mf_guest_stack_flush(w->stack, w->now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = { .greedy = true, .now_ns = MF_NS_PER_S };
	const struct mf_guest_stack_options o = { .size = sizeof(o),
						  .conns_max = 64,
						  .conns_each = 12,
						  .half_open = 6,
						  .bytes_each = 1u << 18 };
	struct mf_guest_stack_ops ops = { .packet = on_packet,
					  .full = is_full,
					  .datagram = on_datagram,
					  .accept = on_accept,
					  .readable = on_readable,
					  .writable = on_readable,
					  .gone = on_gone,
					  .ctx = &w };
	struct mf_guest_stack_stats s;

	if (size < 1)
		return 0;
	if (data[0] & 1)
		ops.large = on_large;
	data++;
	size--;
	clock_ns = w.now_ns;
	MF_MUST(mf_guest_stack_new(&o, &ops, &w.stack, NULL) == 0);
	MF_MUST(mf_guest_stack_join(w.stack, &w, &w.peer) == 0);
	while (size >= 3) {
		uint8_t op = data[0], how = data[1];
		size_t len = data[2] * (op & 0x80 ? 16u : 1u);

		data += 3;
		size -= 3;
		len = len < size ? len : size;
		operate(&w, op, how, data, len < ROOM ? len : ROOM);
		data += len;
		size -= len;
	}
	mf_guest_stack_get_stats(w.stack, &s);
	MF_MUST(s.conns <= 12 && s.half_open <= 6);
	mf_guest_stack_leave(w.peer);
	mf_guest_stack_get_stats(w.stack, &s);
	MF_MUST(s.conns == 0 && s.half_open == 0);
	mf_guest_stack_free(w.stack);
	return 0;
}
