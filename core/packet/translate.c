/* SPDX-License-Identifier: Apache-2.0 */
/* translate.c - see translate.h */
#include "core/packet/translate.h"

#include "core/base/err.h"

/* Does a packet without an entry begin a flow? */
static bool begins(const struct mf_view *v)
{
	if (v->flow.proto == MF_PROTO_TCP)
		return (v->tcp_flags & (MF_TCP_SYN | MF_TCP_ACK | MF_TCP_RST)) == MF_TCP_SYN;
	if (v->flow.proto == MF_PROTO_ICMP)
		return v->icmp_type == 8;
	if (v->flow.proto == MF_PROTO_ICMPV6)
		return v->icmp_type == 128;
	return true;
}

/*
 * An error quotes a packet as its sender saw it go by: the reverse of that is what the sender would answer, and finds
 * the entry like any packet of that direction.
 */
static enum mf_translation translate_error(struct mf_nat *nat, struct mf_view *v, uint8_t *pkt,
					   uint64_t now_ns, struct mf_nat_hit *ret_hit)
{
	struct mf_view inner;
	struct mf_nat_entry e;
	struct mf_flow answer, become, quoted;
	bool forward, from_end;

	if (mf_view_quote(v, &inner))
		return MF_TRANSLATE_REFUSED;
	answer = mf_flow_reverse(&inner.flow);
	if (mf_nat_get(nat, &answer, now_ns, &e) || memcmp(v->flow.dst, inner.flow.src, 16) != 0)
		return MF_TRANSLATE_OTHER;
	forward = mf_flow_eq(&answer, &e.flow);
	become = forward ? e.to : mf_flow_reverse(&e.flow);
	quoted = mf_flow_reverse(&become);
	*ret_hit = (struct mf_nat_hit){ .to = become,
					.pid = e.pid,
					.dir = forward ? MF_NAT_FORWARD : MF_NAT_REPLY,
					.state = (uint8_t)e.state,
					.rewrites = !mf_flow_eq(&e.flow, &e.to),
					.redirected = e.redirect.host[0] || e.redirect.sni[0] };
	if (!ret_hit->rewrites)
		return MF_TRANSLATE_SAME;
	// A router on the way keeps its own address; the far end gets the one that the program knows.
	from_end = memcmp(v->flow.src, inner.flow.dst, 16) == 0;
	if (mf_rewrite_icmp_error(v, &inner, pkt, from_end ? become.src : v->flow.src, become.dst,
				  &quoted))
		return MF_TRANSLATE_REFUSED;
	return MF_TRANSLATE_REWRITTEN;
}

enum mf_translation mf_translate_packet(struct mf_nat *nat, struct mf_view *v, uint8_t *pkt,
					enum mf_csum_kind kind, uint64_t now_ns,
					struct mf_nat_hit *ret_hit)
{
	struct mf_nat_ask ask;

	if (v->layer < MF_VIEW_TRANSPORT || v->net == MF_NET_ARP)
		return MF_TRANSLATE_REFUSED;
	if (v->flags & MF_VIEW_F_FRAG_LATER)
		return MF_TRANSLATE_FRAGMENT;
	if (v->flags & MF_VIEW_F_SOURCE_ROUTED)
		return MF_TRANSLATE_REFUSED;
	if (v->flags & MF_VIEW_F_ICMP_ERROR)
		return translate_error(nat, v, pkt, now_ns, ret_hit);
	ask = mf_nat_ask_view(v);
	if (mf_nat_lookup(nat, &ask, now_ns, ret_hit))
		return begins(v) ? MF_TRANSLATE_NEW : MF_TRANSLATE_OTHER;
	if (!ret_hit->rewrites)
		return MF_TRANSLATE_SAME;
	if (mf_rewrite_flow(v, pkt, &ret_hit->to, kind))
		return MF_TRANSLATE_REFUSED;
	return MF_TRANSLATE_REWRITTEN;
}

const char *mf_translation_name(enum mf_translation t)
{
	static const char *const names[] = {
		[MF_TRANSLATE_REWRITTEN] = "rewritten",
		[MF_TRANSLATE_SAME] = "same",
		[MF_TRANSLATE_NEW] = "new",
		[MF_TRANSLATE_OTHER] = "other",
		[MF_TRANSLATE_FRAGMENT] = "fragment",
		[MF_TRANSLATE_REFUSED] = "refused",
	};

	_Static_assert(MF_ARRAY_SIZE(names) == MF_TRANSLATION_NUM, "one name per verdict");
	return (unsigned)t < MF_TRANSLATION_NUM ? names[t] : "?";
}
