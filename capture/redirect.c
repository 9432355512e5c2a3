/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redirect.c - the rewrite table: how packets of redirected flows reach a listener, and its answers the program
 *
 * C:c is the program's end, S:s the server's, T the listener's port, p the port that the listener sees: c where that is
 * free, else one of the range (another flow of the same client port may have got c).
 *
 *		program's packet	becomes			listener's packet	becomes
 *	R	C:c -> S:s, out		S:p -> C:T, in		C:T -> S:p, out		S:s -> C:c, in
 *	L	C:c -> S:s, out		lo:p -> lo:T, out	lo:T -> lo:p, out+loop	S:s -> C:c, in
 *
 * What becomes inbound by R keeps its own interface; answers take the one of the flow's first packet (W11). The bit of the
 * loopback goes with it. Windows' stack refuses packets of which one end alone is loopback, so L changes both (windows.md
 * 4.1 in other words: nothing else works).
 */
#include "capture/pipeline_internal.h"

#define TRIES 64 /* ports for one flow; each costs an insertion */

struct method_row {
	const char *name;
	bool reflects;	       /* ends change places, else both become loopback */
	uint8_t forward_clear; /* MF_PACKET_... of the program's packets */
	uint8_t reply_clear;   /* of the listener's */
};

static const struct method_row methods[] = {
	[MF_METHOD_REFLECT] = { "reflect", true, MF_PACKET_OUTBOUND | MF_PACKET_LOOPBACK,
				MF_PACKET_OUTBOUND | MF_PACKET_LOOPBACK },
	[MF_METHOD_LOOPBACK] = { "loopback", false, 0, MF_PACKET_OUTBOUND | MF_PACKET_LOOPBACK },
};
_Static_assert(MF_ARRAY_SIZE(methods) == MF_METHOD_NUM, "one row per method");

const char *mf_redirect_method_name(enum mf_redirect_method method)
{
	return (unsigned)method < MF_METHOD_NUM ? methods[method].name : "?";
}

static const struct method_row *method_of(const struct mf_pipeline *p, uint8_t family)
{
	return &methods[family == 4 ? p->o.method4 : p->o.method6];
}

uint16_t mf_redirect_port(const struct mf_pipeline *p, const struct mf_flow *flow)
{
	uint16_t port = flow->proto == MF_PROTO_TCP   ? p->o.tcp_port
			: flow->proto == MF_PROTO_UDP ? p->o.udp_port
						      : 0;

	if (flow->dst_port == 53 && p->o.dns_port &&
	    (flow->proto == MF_PROTO_TCP || flow->proto == MF_PROTO_UDP))
		port = p->o.dns_port;
	return port;
}

static void set_loopback(uint8_t family, uint8_t addr[16])
{
	memset(addr, 0, 16);
	if (family == 4) {
		addr[0] = 127;
		addr[3] = 1;
	} else {
		addr[15] = 1;
	}
}

static bool is_loopback(uint8_t family, const uint8_t *addr)
{
	static const uint8_t one6[16] = { [15] = 1 };

	return family == 4 ? addr[0] == 127 : memcmp(addr, one6, 16) == 0;
}

bool mf_redirect_has_loopback(const struct mf_flow *f)
{
	return is_loopback(f->family, f->src) || is_loopback(f->family, f->dst);
}

/* Neither a group nor the broadcast nor unspecified. */
static bool is_single(uint8_t family, const uint8_t *addr)
{
	static const uint8_t none[16];

	if (family == 4)
		return addr[0] != 0 && addr[0] < 224;
	return addr[0] != 0xff && memcmp(addr, none, 16) != 0;
}

bool mf_redirect_is_listener(const struct mf_pipeline *p, const struct mf_flow *flow)
{
	uint16_t port = flow->src_port;

	if (port && flow->proto == MF_PROTO_TCP)
		return port == p->o.tcp_port || port == p->o.dns_port;
	if (port && flow->proto == MF_PROTO_UDP)
		return port == p->o.udp_port || port == p->o.dns_port;
	return false;
}

bool mf_redirect_is_to_listener(const struct mf_pipeline *p, const struct mf_flow *flow)
{
	struct mf_flow back = mf_flow_reverse(flow);

	return method_of(p, flow->family)->reflects && mf_redirect_is_listener(p, &back);
}

/* Can the other end of a conversation be one that the stack takes packets from? */
static bool can_carry(const struct method_row *m, const struct mf_flow *f)
{
	if (!is_single(f->family, f->src) || !is_single(f->family, f->dst))
		return false;
	return !m->reflects || !mf_redirect_has_loopback(f);
}

static uint16_t next_port(struct mf_pipeline *p)
{
	uint32_t first = p->o.loopback_port_first;
	uint32_t cnt = p->o.loopback_port_last - first + 1u;

	return (uint16_t)(first + p->next_port++ % cnt);
}

/* What a flow becomes, with the client's own port. */
static struct mf_flow become(const struct mf_pipeline *p, const struct method_row *m,
			     const struct mf_flow *flow)
{
	struct mf_flow to = *flow;

	if (m->reflects) {
		memcpy(to.src, flow->dst, 16);
		memcpy(to.dst, flow->src, 16);
	} else {
		set_loopback(flow->family, to.src);
		set_loopback(flow->family, to.dst);
	}
	to.dst_port = mf_redirect_port(p, flow);
	return to;
}

void mf_redirect_prepare(const struct mf_pipeline *p, struct mf_nat_insert *in)
{
	struct mf_flow back;

	in->to = become(p, method_of(p, in->flow.family), &in->flow);
	back = mf_flow_reverse(&in->to);
	in->back_hash = mf_nat_hash(p->seed, &back);
	mf_nat_prefetch(p->nat, in->back_hash);
}

int mf_redirect_insert(struct mf_pipeline *p, struct mf_nat_insert *in)
{
	const struct method_row *m = method_of(p, in->flow.family);
	int r;

	if (!can_carry(m, &in->flow))
		return MF_E_UNSUPPORTED;
	r = mf_nat_insert(p->nat, in, p->now_ns);
	for (int i = 0; r == MF_E_AGAIN && i < TRIES; i++) {
		in->to.src_port = next_port(p);
		in->back_hash = 0;
		r = mf_nat_insert(p->nat, in, p->now_ns);
	}
	return r;
}

/* Direction and interface of what a packet became, as a fate, so that later fragments get the same. */
static struct mf_fate fate_of(const struct mf_pipeline *p, const struct mf_flow *to, uint8_t dir,
			      const uint32_t via[2])
{
	const struct method_row *m = method_of(p, to->family);
	struct mf_fate f = { .kind = MF_FATE_REWRITE,
			     .clear = dir == MF_NAT_REPLY ? m->reply_clear : m->forward_clear,
			     .has_via = dir == MF_NAT_REPLY,
			     .via = { via[0], via[1] } };

	memcpy(f.src, to->src, 32);
	return f;
}

_Static_assert(offsetof(struct mf_fate, dst) == offsetof(struct mf_fate, src) + 16,
	       "both addresses are copied in one go");

static void send_as(struct mf_pipeline *p, struct mf_packet *pkt, uint8_t clear, bool has_via,
		    const uint32_t via[2], bool reply)
{
	pkt->flags &= (uint8_t)~clear;
	if (has_via) {
		pkt->interface = via[0];
		pkt->sub_interface = via[1];
	}
	p->stats.rewritten++;
	p->stats.rewritten_bytes += pkt->len;
	p->stats.replies += reply;
	mf_pipeline_queue(p, pkt);
}

void mf_redirect_packet(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
			const struct mf_nat_hit *hit)
{
	const struct method_row *m = method_of(p, hit->to.family);
	bool reply = hit->dir == MF_NAT_REPLY;

	if (mf_rewrite_flow(v, pkt->ptr, &hit->to, (enum mf_csum_kind)pkt->csum)) {
		mf_pipeline_drop(p, MF_DROP_UNSUPPORTED);
		return;
	}
	if (p->fate)
		*p->fate = fate_of(p, &hit->to, hit->dir, hit->via);
	send_as(p, pkt, reply ? m->reply_clear : m->forward_clear, reply, hit->via, reply);
}

void mf_redirect_fragment(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
			  const struct mf_fate *fate)
{
	struct mf_flow to = v->flow;

	memcpy(to.src, fate->src, 32);
	if (mf_rewrite_flow(v, pkt->ptr, &to, (enum mf_csum_kind)pkt->csum))
		mf_pipeline_drop(p, MF_DROP_UNSUPPORTED);
	else
		send_as(p, pkt, fate->clear, fate->has_via, fate->via, fate->has_via);
}

/*
 * An error quotes a packet as its sender saw it go by. The reverse of that is what the sender would answer, so it finds
 * the entry like a packet of that direction, and is rewritten and sent like one.
 */
bool mf_redirect_error(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v)
{
	struct mf_flow answer, now, quoted;
	struct mf_nat_entry e;
	struct mf_view inner;
	struct mf_fate f;
	bool forward;

	if (mf_view_quote(v, &inner) || (inner.flags & MF_VIEW_F_FRAG_LATER))
		return false;
	answer = mf_flow_reverse(&inner.flow);
	if (mf_nat_get(p->nat, &answer, p->now_ns, &e) ||
	    memcmp(v->flow.dst, inner.flow.src, 16) != 0)
		return false;
	if (mf_flow_eq(&e.flow, &e.to)) {
		mf_pipeline_pass(p, pkt, false);
		return true;
	}
	// Both the program's stack and the listener's are this side of us: an error from anywhere else is a forgery.
	if (!(pkt->flags & MF_PACKET_OUTBOUND))
		return false;
	if (mf_fail_blocks(p) && !p->o.fail_open) {
		mf_pipeline_drop(p, MF_DROP_FAIL_CLOSED);
		return true;
	}
	forward = mf_flow_eq(&answer, &e.flow);
	now = forward ? e.to : mf_flow_reverse(&e.flow);
	quoted = mf_flow_reverse(&now);
	if (mf_rewrite_icmp_error(v, &inner, pkt->ptr, now.src, now.dst, &quoted)) {
		mf_pipeline_drop(p, MF_DROP_UNSUPPORTED);
		return true;
	}
	f = fate_of(p, &now, forward ? MF_NAT_FORWARD : MF_NAT_REPLY, e.via);
	p->stats.icmp_translated++;
	send_as(p, pkt, f.clear, f.has_via, f.via, !forward);
	return true;
}
