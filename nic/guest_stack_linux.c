/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_stack_linux.c - lwIP as Debian builds it: its one interface, its memory, its timers; see guest_stack.h
 *
 * The library is built with NO_SYS 0: it could run a thread of its own. lwip_init() alone starts none, and what is called
 * here is called by one thread only, which its checks of the core lock let pass as long as tcpip_init() was never called.
 * Not called are: what wants that thread (loopback of the interface's own addresses, PBUF_POOL).
 */
#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/timeouts.h>
#include <stdlib.h>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/packet/build.h"
#include "core/packet/rewrite.h"
#include "nic/guest_stack_int.h"

#define MTU_DEFAULT	   1500u
#define CONNS_DEFAULT	   16384u
#define CONNS_EACH_DEFAULT 4096u
#define HALF_OPEN_DEFAULT  256u
#define BYTES_EACH_DEFAULT (32u << 20)
#define BYTES_ALWAYS	   (64u << 10) /* of a guest, where all together have too many */
#define NAT_SLACK	   64u
#define EXPIRE_NS	   MF_NS_PER_S
#define EXPIRE_BUDGET	   64u
/* A table's entry lives as long as its connection, which removes it. */
#define NAT_IDLE_NS (7ull * 24 * 3600 * MF_NS_PER_S)
#define HEADERS_MAX 128u /* of what lwIP sends: no IP options, at most 60 bytes of TCP */

static struct mf_guest_stack *the_stack;

const char *mf_stack_drop_name(enum mf_stack_drop reason)
{
	static const char *const names[] = {
		[MF_STACK_DROP_MALFORMED] = "malformed", [MF_STACK_DROP_PROTOCOL] = "protocol",
		[MF_STACK_DROP_FRAGMENT] = "fragment",	 [MF_STACK_DROP_UNKNOWN] = "unknown",
		[MF_STACK_DROP_HALF_OPEN] = "half_open", [MF_STACK_DROP_CONNS] = "connections",
		[MF_STACK_DROP_MEMORY] = "memory",
	};
	_Static_assert(MF_ARRAY_SIZE(names) == MF_STACK_DROP_NUM, "a name for each reason");

	return (unsigned)reason < MF_STACK_DROP_NUM ? names[reason] : "?";
}

/* ---- to lwIP ----------------------------------------------------------------------------------------------------- */

static void put_peer(struct mf_stack_peer *peer)
{
	if (--peer->refs == 0)
		free(peer);
}

static void free_pbuf(struct pbuf *p)
{
	struct mf_stack_pbuf *b = (struct mf_stack_pbuf *)(void *)p;

	b->peer->bytes -= b->size;
	b->peer->stack->bytes -= b->size;
	put_peer(b->peer);
	free(b);
}

/* One that reads its own does not wait for those who do not. */
static bool may_hold(const struct mf_guest_stack *s, const struct mf_stack_peer *peer,
		     uint32_t size)
{
	if (peer->bytes + size > s->options.bytes_each)
		return false;
	return !s->options.bytes_max || s->bytes + size <= s->options.bytes_max ||
	       peer->bytes + size <= BYTES_ALWAYS;
}

void mf_stack_to_lwip(struct mf_guest_stack *s, struct mf_stack_peer *peer, const uint8_t *pkt,
		      size_t len)
{
	uint32_t size = (uint32_t)(sizeof(struct mf_stack_pbuf) + len);
	struct mf_stack_pbuf *b;
	struct pbuf *p;

	b = may_hold(s, peer, size) ? malloc(size) : NULL;
	if (!b) {
		mf_stack_dropped(s, MF_STACK_DROP_MEMORY);
		return;
	}
	b->custom.custom_free_function = free_pbuf;
	b->peer = peer;
	b->size = size;
	peer->bytes += size;
	s->bytes += size;
	peer->refs++;
	memcpy(b->bytes, pkt, len);
	p = pbuf_alloced_custom(PBUF_RAW, (u16_t)len, PBUF_REF, &b->custom, b->bytes, (u16_t)len);
	if (s->netif.input(p, &s->netif) != ERR_OK)
		pbuf_free(p);
}

/* ---- from lwIP --------------------------------------------------------------------------------------------------- */

/* lwIP was built for segments of 1,460 bytes, and takes larger ones: the guest hears what its wire carries, be it more or less. */
static void say_segment(const struct mf_guest_stack *s, const struct mf_view *v, uint8_t *pkt)
{
	uint16_t most = (uint16_t)(s->options.mtu - (v->flow.family == 4 ? 40u : 60u)), said;
	uint8_t *tcp = pkt + v->transport_off, *field;
	struct mf_span option;

	if (!mf_view_tcp_option(v, MF_STACK_OPTION_MSS, &option) || option.len != 2)
		return;
	field = pkt + (option.ptr - v->ptr);
	said = mf_load_be16(field);
	if (said == most || (option.ptr - v->ptr) % 2)
		return;
	mf_store_be16(field, most);
	mf_store_be16(tcp + 16,
		      mf_csum_update(mf_load_be16(tcp + 16), mf_csum_diff16(0, said, most)));
}

/*
 * A segment of lwIP's becomes one of the connection that the guest sees. The headers change in place, in memory that lwIP sends
 * again when it must: so they are put back.
 */
static void send_packet(struct mf_guest_stack *s, uint8_t *pkt, size_t len)
{
	uint8_t saved[HEADERS_MAX];
	size_t head = len < sizeof(saved) ? len : sizeof(saved);
	struct mf_stack_conn *c = NULL;
	struct mf_nat_hit hit;
	struct mf_view v;

	/* what else lwIP says (groups that it joins, neighbours that it looks for) is for nobody */
	if (mf_view_read_ip(&v, mf_span_of(pkt, len), 0, NULL) < 0 ||
	    v.flow.proto != MF_PROTO_TCP || !(v.flags & MF_VIEW_F_HAS_PORTS))
		return;
	memcpy(saved, pkt, head);
	{
		struct mf_nat_ask ask = mf_nat_ask_view(&v);

		if (mf_nat_lookup(s->nat, &ask, s->now_ns, &hit) < 0)
			return;
	}
	if (hit.pid && hit.pid <= s->options.conns_max)
		c = s->conns[hit.pid];
	if (c && mf_rewrite_flow(&v, pkt, &hit.to, MF_CSUM_FULL) == 0) {
		uint8_t *tcp = pkt + v.transport_off;
		uint8_t now[4];

		mf_store_be32(now, mf_load_be32(tcp + 4) + c->isn_add);
		mf_store_be16(tcp + 16, mf_csum_update(mf_load_be16(tcp + 16),
						       mf_csum_diff(0, tcp + 4, now, 4)));
		memcpy(tcp + 4, now, 4);
		if (v.tcp_flags & MF_TCP_SYN)
			say_segment(s, &v, pkt);
		if (s->ops.large && len - v.payload_off > c->segment)
			s->ops.large(s->ops.ctx, pkt, len, (uint16_t)v.transport_off, c->segment);
		else
			s->ops.packet(s->ops.ctx, pkt, len);
	}
	memcpy(pkt, saved, head);
}

static err_t output(struct netif *netif, struct pbuf *p)
{
	struct mf_guest_stack *s = netif->state;

	if (!p->next) {
		send_packet(s, p->payload, p->len);
	} else {
		pbuf_copy_partial(p, s->packet, p->tot_len, 0);
		send_packet(s, s->packet, p->tot_len);
	}
	return ERR_OK;
}

static err_t output4(struct netif *netif, struct pbuf *p, const ip4_addr_t *to)
{
	(void)to;
	return output(netif, p);
}

static err_t output6(struct netif *netif, struct pbuf *p, const ip6_addr_t *to)
{
	(void)to;
	return output(netif, p);
}

/* ---- packets of guests ------------------------------------------------------------------------------------------- */

static void take_packet(struct mf_guest_stack *s, struct mf_stack_peer *peer, struct mf_view *v,
			uint8_t *pkt)
{
	if (v->flags & (MF_VIEW_F_SOURCE_ROUTED | MF_VIEW_F_AUTH)) {
		mf_stack_dropped(s, MF_STACK_DROP_MALFORMED);
		return;
	}
	if (v->flow.proto == MF_PROTO_TCP) {
		mf_stack_tcp_input(s, peer, v, pkt);
		return;
	}
	if (v->flow.proto == MF_PROTO_UDP) {
		s->stats.datagrams_in++;
		s->ops.datagram(s->ops.ctx, &v->flow, mf_view_payload(v));
		return;
	}
	mf_stack_dropped(s, MF_STACK_DROP_PROTOCOL);
	mf_stack_refuse(s, v);
}

static void take_fragment(struct mf_guest_stack *s, struct mf_stack_peer *peer,
			  const struct mf_view *v)
{
	const struct mf_reassembler_options o = { .datagrams_max = 32, .bytes_max = 1u << 20 };
	struct mf_reassembler_stats before, after;
	struct mf_view whole;
	struct mf_span pkt;
	int r;

	if (!peer->fragments)
		peer->fragments = mf_reassembler_new(&o);
	if (!peer->fragments) {
		mf_stack_dropped(s, MF_STACK_DROP_FRAGMENT);
		return;
	}
	mf_reassembler_get_stats(peer->fragments, &before);
	r = mf_reassembler_add(peer->fragments, v, s->now_ns, &pkt);
	mf_reassembler_get_stats(peer->fragments, &after);
	s->stats.dropped[MF_STACK_DROP_FRAGMENT] +=
		after.evicted - before.evicted + after.timeouts - before.timeouts;
	switch (r) {
	case 0:
		return;
	case 1:
		if (pkt.len <= sizeof(s->packet)) {
			/* what was put together is not ours to change */
			memcpy(s->packet, pkt.ptr, pkt.len);
			if (mf_view_read_ip(&whole, mf_span_of(s->packet, pkt.len),
					    MF_VIEW_F_OFFLOAD, NULL) == 0) {
				take_packet(s, peer, &whole, s->packet);
				return;
			}
		}
		mf_stack_dropped(s, MF_STACK_DROP_MALFORMED);
		return;
	default:
		mf_stack_dropped(s, MF_STACK_DROP_FRAGMENT);
		return;
	}
}

void mf_guest_stack_input(struct mf_guest_stack *s, struct mf_stack_peer *peer, uint8_t *pkt,
			  size_t len, uint64_t now_ns)
{
	struct mf_view v;
	int r;

	s->now_ns = now_ns;
	r = len <= MF_STACK_PACKET_MAX
		    ? mf_view_read_ip(&v, mf_span_of(pkt, len), MF_VIEW_F_OFFLOAD, NULL)
		    : MF_E_BAD;
	if (r < 0 && !(r == MF_E_NOT_MINE && v.layer >= MF_VIEW_NET))
		mf_stack_dropped(s, MF_STACK_DROP_MALFORMED);
	else if (v.flags & MF_VIEW_F_FRAG)
		take_fragment(s, peer, &v);
	else
		take_packet(s, peer, &v, pkt);
}

/* ---- timers ------------------------------------------------------------------------------------------------------ */

/* lwIP's timers beat ten times a second; without connections there is nothing for them to do. */
static bool needs_timers(const struct mf_guest_stack *s)
{
	return s->stats.conns > 0;
}

void mf_guest_stack_flush(struct mf_guest_stack *s, uint64_t now_ns)
{
	s->now_ns = now_ns;
	mf_stack_tcp_flush(s);
	if (needs_timers(s)) {
		if (!s->timers)
			sys_restart_timeouts();
		sys_check_timeouts();
		mf_stack_tcp_flush(s);
	}
	s->timers = needs_timers(s);
	if (now_ns >= s->expire_ns) {
		s->expire_ns = now_ns + EXPIRE_NS;
		(void)mf_nat_expire(s->nat, now_ns, EXPIRE_BUDGET);
	}
}

int mf_guest_stack_timeout(struct mf_guest_stack *s)
{
	u32_t ms;

	if (s->dirty)
		return 0;
	if (!needs_timers(s))
		return -1;
	ms = sys_timeouts_sleeptime();
	return ms > 1000 ? 1000 : (int)ms;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

int mf_guest_stack_join(struct mf_guest_stack *s, void *owner, struct mf_stack_peer **ret)
{
	struct mf_stack_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return MF_E_NOMEM;
	peer->stack = s;
	peer->owner = owner;
	peer->refs = 1;
	*ret = peer;
	return 0;
}

void mf_guest_stack_tidy(struct mf_stack_peer *peer, uint64_t now_ns)
{
	mf_reassembler_expire(peer->fragments, now_ns);
}

void mf_guest_stack_leave(struct mf_stack_peer *peer)
{
	if (!peer)
		return;
	peer->left = true;
	while (peer->conns)
		mf_stack_tcp_forget(peer->conns, false);
	mf_reassembler_free(peer->fragments);
	peer->fragments = NULL;
	put_peer(peer);
}

static err_t init_netif(struct netif *netif)
{
	struct mf_guest_stack *s = netif->state;

	netif->name[0] = 'm';
	netif->name[1] = 'f';
	/* it would make fragments of what is to be cut behind it */
	netif->mtu = s->ops.large ? UINT16_MAX : s->options.mtu;
	netif->output = output4;
	netif->output_ip6 = output6;
	netif->flags = NETIF_FLAG_LINK_UP;
	return ERR_OK;
}

static int start_lwip(struct mf_guest_stack *s, struct mf_err *err)
{
	static bool started;
	/* addresses that nobody has: RFC 7600, RFC 6666 */
	ip4_addr_t own, mask, gateway = { 0 };
	ip6_addr_t own6 = { { PP_HTONL(0x01000000), 0, 0, PP_HTONL(8) }, 0 };

	IP4_ADDR(&own, 192, 0, 0, 8);
	IP4_ADDR(&mask, 255, 255, 255, 255);
	if (!started)
		lwip_init();
	started = true;
	if (!netif_add(&s->netif, &own, &mask, &gateway, s, init_netif, ip_input))
		return mf_err_set(err, MF_E_NOMEM, "lwIP takes no interface");
	netif_ip6_addr_set(&s->netif, 0, &own6);
	netif_ip6_addr_set_state(&s->netif, 0, IP6_ADDR_PREFERRED);
	s->netif.rs_count = 0;
	netif_set_default(&s->netif);
	netif_set_up(&s->netif);
	return mf_stack_tcp_start(s, err);
}

static void set_defaults(struct mf_guest_stack_options *o)
{
	o->mtu = o->mtu ? o->mtu : MTU_DEFAULT;
	o->conns_max = o->conns_max ? o->conns_max : CONNS_DEFAULT;
	o->conns_each = o->conns_each ? o->conns_each : CONNS_EACH_DEFAULT;
	o->half_open = o->half_open ? o->half_open : HALF_OPEN_DEFAULT;
	o->bytes_each = o->bytes_each ? o->bytes_each : BYTES_EACH_DEFAULT;
}

int mf_guest_stack_new(const struct mf_guest_stack_options *options,
		       const struct mf_guest_stack_ops *ops, struct mf_guest_stack **ret,
		       struct mf_err *err)
{
	struct mf_nat_options nat = { .size = sizeof(nat),
				      .tcp_new_ns = NAT_IDLE_NS,
				      .tcp_idle_ns = NAT_IDLE_NS,
				      .linger_ns = NAT_IDLE_NS };
	struct mf_guest_stack *s;
	int r = MF_E_NOMEM;

	if (options->size != sizeof(*options) || !ops->packet || !ops->datagram || !ops->accept)
		return mf_err_set(err, MF_E_INVAL, "a stack of guests wants its owner");
	if (the_stack)
		return mf_err_set(err, MF_E_EXIST, "lwIP is there once in a process");
	s = calloc(1, sizeof(*s));
	if (!s)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	s->options = *options;
	s->ops = *ops;
	set_defaults(&s->options);
	s->conns = calloc(s->options.conns_max + 1u, sizeof(struct mf_stack_conn *));
	s->free_numbers = calloc(s->options.conns_max, sizeof(uint32_t));
	nat.entries_max = s->options.conns_max + NAT_SLACK;
	if (s->conns && s->free_numbers) {
		for (uint32_t i = s->options.conns_max; i; i--)
			s->free_numbers[s->free_cnt++] = i;
		r = mf_nat_new(&nat, &s->nat, err);
	} else {
		(void)mf_err_set(err, r, "out of memory");
	}
	if (r == 0)
		r = start_lwip(s, err);
	if (r < 0) {
		the_stack = s;
		mf_guest_stack_free(s);
		return r;
	}
	the_stack = s;
	*ret = s;
	return 0;
}

void mf_guest_stack_free(struct mf_guest_stack *s)
{
	if (!s)
		return;
	for (uint32_t i = 1; s->conns && i <= s->options.conns_max; i++)
		if (s->conns[i])
			mf_stack_tcp_forget(s->conns[i], false);
	if (s->listener)
		tcp_close(s->listener);
	if (s->netif.state)
		netif_remove(&s->netif);
	mf_nat_free(s->nat);
	free(s->conns);
	free(s->free_numbers);
	free(s);
	the_stack = NULL;
}

void mf_guest_stack_get_stats(const struct mf_guest_stack *s, struct mf_guest_stack_stats *ret)
{
	*ret = s->stats;
}
