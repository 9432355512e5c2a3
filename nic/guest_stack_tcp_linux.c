/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_stack_tcp_linux.c - connections of guests: from SYN through lwIP to their owner, and back; see guest_stack.h
 *
 * lwIP tells of a control block's end by its error callback, but for one way: TIME-WAIT, which it enters without a word and
 * keeps for two minutes. There a block is freed as soon as it is seen: a wire that loses nothing needs no such wait, and
 * lwIP looks through all of them for each SYN.
 */
#include <lwip/priv/tcp_priv.h>
#include <stdlib.h>

#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "core/packet/build.h"
#include "core/packet/rewrite.h"
#include "nic/guest_stack_int.h"

#define PORT	      1 /* the one that lwIP listens at */
#define PORT_TRIES    64
#define KEEP_IDLE_MS  (30u * 60 * 1000)
#define WRITE_AT_ONCE 32768u
/* Of segments that are cut behind lwIP: payload, and bytes of a connection that wait or are on their way */
#define LARGE	 16384u
#define SEND_MAX (128u << 10)
/* RFC 9293 3.7.1, and lwIP's least (TCP_MIN_MSS of others): who says less gets packets of that size all the same */
#define SEGMENT_DEFAULT 536u
#define SEGMENT_MIN	64u

/* ---- connections ------------------------------------------------------------------------------------------------- */

static void mark(struct mf_stack_conn *c)
{
	struct mf_guest_stack *s = c->peer->stack;

	if (c->dirty)
		return;
	c->dirty = true;
	c->dirty_next = s->dirty;
	s->dirty = c;
}

static void unmark(struct mf_stack_conn *c)
{
	struct mf_stack_conn **at = &c->peer->stack->dirty;

	if (!c->dirty)
		return;
	while (*at && *at != c)
		at = &(*at)->dirty_next;
	if (*at)
		*at = c->dirty_next;
	c->dirty = false;
}

/* Without the control block, which is gone or was given up. */
static void free_conn(struct mf_stack_conn *c)
{
	struct mf_stack_peer *peer = c->peer;
	struct mf_guest_stack *s = peer->stack;

	unmark(c);
	(void)mf_nat_remove(s->nat, &c->flow);
	s->conns[c->number] = NULL;
	s->free_numbers[s->free_cnt++] = c->number;
	if (s->current == c)
		s->current = NULL;
	if (c->prev)
		c->prev->next = c->next;
	else
		peer->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	peer->conn_cnt--;
	s->stats.conns--;
	if (!c->accepted) {
		peer->half_open--;
		s->stats.half_open--;
	}
	while (c->in) {
		struct pbuf *p = c->in;

		c->in = p->next;
		p->next = NULL;
		p->tot_len = p->len;
		pbuf_free(p);
	}
	free(c);
}

static void give_up_pcb(struct mf_stack_conn *c, bool tell_guest)
{
	struct tcp_pcb *pcb = c->pcb;

	if (!pcb)
		return;
	c->pcb = NULL;
	tcp_arg(pcb, NULL);
	tcp_err(pcb, NULL);
	tcp_recv(pcb, NULL);
	tcp_sent(pcb, NULL);
	tcp_abandon(pcb, tell_guest);
}

void mf_stack_tcp_forget(struct mf_stack_conn *c, bool tell_guest)
{
	struct mf_guest_stack *s = c->peer->stack;
	bool owned = c->owned;

	give_up_pcb(c, tell_guest);
	c->owned = false;
	if (owned)
		s->ops.gone(s->ops.ctx, c);
	free_conn(c);
}

/* ---- lwIP calls -------------------------------------------------------------------------------------------------- */

/* The block is freed by lwIP: a reset came, nobody answers, or both ends are closed. */
static void on_error(void *arg, err_t error)
{
	struct mf_stack_conn *c = arg;

	if (!c)
		return;
	c->pcb = NULL;
	if (error == ERR_CLSD && c->owned) {
		/* all was sent, and what came is still to be taken */
		mark(c);
		return;
	}
	c->peer->stack->stats.resets += c->accepted && error != ERR_CLSD;
	mf_stack_tcp_forget(c, false);
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error)
{
	struct mf_stack_conn *c = arg;

	(void)error;
	if (!c) {
		if (p) {
			tcp_recved(pcb, p->tot_len);
			pbuf_free(p);
		}
		return ERR_OK;
	}
	if (!p) {
		c->fin_seen = true;
	} else if (!c->owned) {
		/* nobody reads any more: as a socket that was closed */
		pbuf_free(p);
		c->refused = true;
	} else {
		if (c->in_last)
			c->in_last->next = p;
		else
			c->in = p;
		while (p->next)
			p = p->next;
		c->in_last = p;
	}
	c->has_news = true;
	mark(c);
	return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	struct mf_stack_conn *c = arg;

	(void)len;
	/* many segments at a time: the guest joins what comes together, and acknowledges it in one */
	if (c && c->wants_room &&
	    (pcb->snd_buf >= c->send_max / 2 || (!pcb->unacked && !pcb->unsent))) {
		c->has_room = true;
		mark(c);
	}
	return ERR_OK;
}

/*
 * lwIP makes segments of pcb->mss, whatever it was built for, and what goes to the wire is cut there. It would not send one
 * that is larger than its congestion window, which a wire has no use for.
 */
static void widen(struct mf_stack_conn *c, struct tcp_pcb *pcb)
{
	uint16_t cnt = c->segment < LARGE ? (uint16_t)(LARGE / c->segment) : 1;

	pcb->mss = (u16_t)(c->segment * cnt);
	pcb->snd_buf += SEND_MAX - c->send_max;
	c->send_max = SEND_MAX;
	pcb->cwnd = SEND_MAX;
	pcb->ssthresh = SEND_MAX;
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t error)
{
	struct mf_stack_conn *c = arg;
	struct mf_guest_stack *s;

	if (!c || error != ERR_OK)
		return ERR_VAL; /* lwIP then gives it up */
	s = c->peer->stack;
	c->accepted = true;
	c->peer->half_open--;
	s->stats.half_open--;
	s->stats.accepted++;
	tcp_recv(pcb, on_recv);
	tcp_sent(pcb, on_sent);
	tcp_nagle_disable(pcb);
	if (s->ops.large)
		widen(c, pcb);
	ip_set_option(pcb, SOF_KEEPALIVE);
	pcb->keep_idle = KEEP_IDLE_MS;
	c->owned = true;
	if (s->ops.accept(s->ops.ctx, c, &c->flow) < 0) {
		c->owned = false;
		c->refused = true;
		mark(c);
	}
	return ERR_OK;
}

int mf_stack_tcp_start(struct mf_guest_stack *s, struct mf_err *err)
{
	struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_ANY), *listener;

	if (!pcb || tcp_bind(pcb, IP_ANY_TYPE, PORT) != ERR_OK) {
		if (pcb)
			tcp_close(pcb);
		return mf_err_set(err, MF_E_NOMEM, "lwIP takes no listener");
	}
	listener = tcp_listen(pcb);
	if (!listener) {
		tcp_close(pcb);
		return mf_err_set(err, MF_E_NOMEM, "lwIP takes no listener");
	}
	s->listener = listener;
	tcp_accept(listener, on_accept);
	return 0;
}

/* ---- segments of guests ------------------------------------------------------------------------------------------ */

static void refuse_segment(struct mf_guest_stack *s, const struct mf_view *v)
{
	uint8_t answer[MF_BUILD_ANSWER_MAX];
	size_t len;

	if (mf_build_tcp_reset(v, answer, sizeof(answer), &len) == 0)
		s->ops.packet(s->ops.ctx, answer, len);
}

/* S:p -> X:T, with p = c where that is free */
static int insert(struct mf_guest_stack *s, struct mf_stack_conn *c, const struct mf_view *v)
{
	struct mf_nat_insert in = {
		.flow = v->flow, .to = v->flow, .pid = c->number, .isn = mf_view_tcp_seq(v)
	};
	static const uint8_t own4[4] = { 192, 0, 0, 8 }, own6[16] = { 1, [15] = 8 };
	int r = MF_E_AGAIN;

	memcpy(in.to.src, v->flow.dst, 16);
	memset(in.to.dst, 0, 16);
	if (v->flow.family == 4)
		memcpy(in.to.dst, own4, 4);
	else
		memcpy(in.to.dst, own6, 16);
	if (memcmp(in.to.src, in.to.dst, 16) == 0)
		return MF_E_INVAL;
	in.to.dst_port = PORT;
	for (int i = 0; r == MF_E_AGAIN && i < PORT_TRIES; i++) {
		in.to.src_port =
			i ? (uint16_t)(32768u | (uint16_t)mf_hash_seed()) : v->flow.src_port;
		r = mf_nat_insert(s->nat, &in, s->now_ns);
	}
	return r;
}

/* What the guest takes, and its wire. */
static uint16_t segment_of(const struct mf_guest_stack *s, const struct mf_view *v)
{
	uint16_t most = (uint16_t)(s->options.mtu - (v->flow.family == 4 ? 40u : 60u));
	uint16_t said = SEGMENT_DEFAULT;
	struct mf_span option;

	if (mf_view_tcp_option(v, MF_STACK_OPTION_MSS, &option) && option.len == 2)
		said = mf_load_be16(option.ptr);
	said = said < SEGMENT_MIN ? SEGMENT_MIN : said;
	return said < most ? said : most;
}

/* A SYN without an entry. Return: its connection; NULL: it goes nowhere */
static struct mf_stack_conn *begin(struct mf_guest_stack *s, struct mf_stack_peer *peer,
				   const struct mf_view *v)
{
	struct mf_nat_entry old;
	struct mf_stack_conn *c;

	/* The guest has forgotten a connection and uses its port again. */
	if (mf_nat_get(s->nat, &v->flow, s->now_ns, &old) == 0 && old.pid &&
	    old.pid <= s->options.conns_max && s->conns[old.pid])
		mf_stack_tcp_forget(s->conns[old.pid], false);
	if (peer->half_open >= s->options.half_open) {
		mf_stack_dropped(s, MF_STACK_DROP_HALF_OPEN);
		return NULL;
	}
	if (!s->free_cnt || peer->conn_cnt >= s->options.conns_each) {
		mf_stack_dropped(s, MF_STACK_DROP_CONNS);
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		mf_stack_dropped(s, MF_STACK_DROP_MEMORY);
		return NULL;
	}
	c->peer = peer;
	c->flow = v->flow;
	c->number = s->free_numbers[s->free_cnt - 1];
	c->isn_add = (uint32_t)mf_hash_seed();
	c->segment = segment_of(s, v);
	c->send_max = TCP_SND_BUF;
	if (insert(s, c, v) < 0) {
		free(c);
		mf_stack_dropped(s, MF_STACK_DROP_CONNS);
		return NULL;
	}
	s->free_cnt--;
	s->conns[c->number] = c;
	c->next = peer->conns;
	if (c->next)
		c->next->prev = c;
	peer->conns = c;
	peer->conn_cnt++;
	peer->half_open++;
	s->stats.conns++;
	s->stats.half_open++;
	return c;
}

/* The control block that lwIP has just made for a SYN is the first one of its list. */
static bool find_pcb(struct mf_stack_conn *c, const struct tcp_pcb *before, uint16_t port)
{
	struct tcp_pcb *pcb = tcp_active_pcbs;

	if (!pcb || pcb == before || pcb->state != SYN_RCVD || pcb->remote_port != port)
		return false;
	c->pcb = pcb;
	tcp_arg(pcb, c);
	tcp_err(pcb, on_error);
	return true;
}

void mf_stack_tcp_input(struct mf_guest_stack *s, struct mf_stack_peer *peer, struct mf_view *v,
			uint8_t *pkt)
{
	struct mf_nat_ask ask = mf_nat_ask_view(v);
	bool syn = (v->tcp_flags & (MF_TCP_SYN | MF_TCP_ACK | MF_TCP_RST)) == MF_TCP_SYN;
	const struct tcp_pcb *before = tcp_active_pcbs;
	struct mf_stack_conn *c = NULL;
	struct mf_nat_hit hit;
	uint8_t *tcp = pkt + v->transport_off;

	if (mf_nat_lookup(s->nat, &ask, s->now_ns, &hit) < 0) {
		if (syn)
			c = begin(s, peer, v);
		if (!syn) {
			mf_stack_dropped(s, MF_STACK_DROP_UNKNOWN);
			refuse_segment(s, v);
		}
		if (!c || mf_nat_lookup(s->nat, &ask, s->now_ns, &hit) < 0)
			return;
	} else {
		c = hit.pid && hit.pid <= s->options.conns_max ? s->conns[hit.pid] : NULL;
	}
	if (!c || hit.dir != MF_NAT_FORWARD || c->peer != peer ||
	    mf_rewrite_flow(v, pkt, &hit.to, MF_CSUM_FULL) < 0) {
		mf_stack_dropped(s, MF_STACK_DROP_MALFORMED);
		return;
	}
	if (v->tcp_flags & MF_TCP_ACK)
		mf_store_be32(tcp + 8, mf_load_be32(tcp + 8) - c->isn_add);
	(void)mf_csum_fill(v, pkt, MF_CSUM_FULL);
	c->joined |= v->payload_end - v->payload_off > c->segment;
	s->current = c;
	mf_stack_to_lwip(s, peer, pkt, v->end);
	c = s->current; /* none when it was freed meanwhile */
	s->current = NULL;
	if (!c)
		return;
	if (!c->pcb && !c->accepted && !find_pcb(c, before, hit.to.src_port))
		mf_stack_tcp_forget(c, false); /* lwIP would not have it */
	else if (c->pcb && c->pcb->state == TIME_WAIT)
		mark(c);
}

/* ---- flush ------------------------------------------------------------------------------------------------------- */

static void tell(struct mf_guest_stack *s, struct mf_stack_conn *c)
{
	bool room = c->has_room && c->wants_room, news = c->has_news;

	c->has_room = c->has_news = false;
	if (c->refused) {
		mf_stack_tcp_forget(c, true);
		return;
	}
	s->current = c;
	if (c->owned && news && s->ops.readable)
		s->ops.readable(s->ops.ctx, c);
	if (s->current == c && c->owned && room && s->ops.writable) {
		c->wants_room = false;
		s->ops.writable(s->ops.ctx, c);
	}
	if (s->current != c)
		return;
	s->current = NULL;
	/* What was joined before it came here is several segments to the guest (RFC 9293 3.8.6.3). */
	if (c->pcb && c->joined && c->pcb->flags & TF_ACK_DELAY) {
		tcp_ack_now(c->pcb);
		(void)tcp_output(c->pcb);
	}
	c->joined = false;
	if (c->pcb && c->pcb->state == TIME_WAIT)
		give_up_pcb(c, false);
	if (!c->pcb && !c->owned)
		free_conn(c);
}

void mf_stack_tcp_flush(struct mf_guest_stack *s)
{
	struct mf_stack_conn *c;

	/* whoever is marked meanwhile comes in this turn, too: each does a bounded thing */
	while ((c = s->dirty)) {
		s->dirty = c->dirty_next;
		c->dirty = false;
		tell(s, c);
	}
}

/* ---- the owner calls --------------------------------------------------------------------------------------------- */

void mf_stack_conn_set_data(struct mf_stack_conn *c, void *data)
{
	c->data = data;
}

void *mf_stack_conn_data(const struct mf_stack_conn *c)
{
	return c->data;
}

const struct mf_flow *mf_stack_conn_flow(const struct mf_stack_conn *c)
{
	return &c->flow;
}

size_t mf_stack_conn_peek(const struct mf_stack_conn *c, struct mf_span *pieces, size_t max)
{
	size_t n = 0;

	for (const struct pbuf *p = c->in; p && n < max; p = p->next)
		if (p->len)
			pieces[n++] = mf_span_of(p->payload, p->len);
	return n;
}

void mf_stack_conn_take(struct mf_stack_conn *c, size_t len)
{
	size_t left = len;

	while (c->in) {
		struct pbuf *p = c->in;
		u16_t n = left < p->len ? (u16_t)left : p->len;

		if (n < p->len) {
			p->tot_len = p->len; /* alone, whatever came with it */
			if (n)
				pbuf_remove_header(p, n);
			break;
		}
		left -= n;
		c->in = p->next;
		p->next = NULL;
		p->tot_len = p->len;
		pbuf_free(p);
	}
	if (!c->in)
		c->in_last = NULL;
	while (c->pcb && len) {
		u16_t n = len < 0xffff ? (u16_t)len : 0xffff, mss = c->pcb->mss;

		/* a window is told of when it has grown by so much, which is of the other direction's segments */
		c->pcb->mss = c->segment < mss ? c->segment : mss;
		tcp_recved(c->pcb, n);
		c->pcb->mss = mss;
		len -= n;
	}
}

bool mf_stack_conn_ended(const struct mf_stack_conn *c)
{
	return !c->in && c->fin_seen;
}

static size_t room(const struct mf_stack_conn *c)
{
	struct mf_guest_stack *s = c->peer->stack;

	if (!c->pcb || c->fin_sent || tcp_sndqueuelen(c->pcb) >= TCP_SND_QUEUELEN / 2)
		return 0;
	if (s->ops.full && s->ops.full(s->ops.ctx, c->peer->owner)) {
		c->peer->stopped = true;
		return 0;
	}
	return c->pcb->snd_buf;
}

size_t mf_stack_conn_room(const struct mf_stack_conn *c)
{
	return room(c);
}

ssize_t mf_stack_conn_write(struct mf_stack_conn *c, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	size_t done = 0;

	if (!c->pcb || c->fin_sent)
		return MF_E_CLOSED;
	while (done < len) {
		size_t n = len - done;

		n = n < WRITE_AT_ONCE ? n : WRITE_AT_ONCE;
		n = n < room(c) ? n : room(c);
		if (!n || tcp_write(c->pcb, p + done, (u16_t)n,
				    TCP_WRITE_FLAG_COPY |
					    (done + n < len ? TCP_WRITE_FLAG_MORE : 0)) != ERR_OK) {
			c->wants_room = true;
			break;
		}
		done += n;
	}
	/* an error shows in the callback */
	if (done)
		(void)tcp_output(c->pcb);
	return (ssize_t)done;
}

bool mf_guest_stack_stopped(const struct mf_stack_peer *peer)
{
	return peer->stopped;
}

void mf_guest_stack_go_on(struct mf_stack_peer *peer)
{
	peer->stopped = false;
	for (struct mf_stack_conn *c = peer->conns; c; c = c->next) {
		if (!c->wants_room)
			continue;
		c->has_room = true;
		mark(c);
	}
}

void mf_stack_conn_shutdown(struct mf_stack_conn *c)
{
	if (!c->pcb || c->fin_sent)
		return;
	c->fin_sent = true;
	/* lwIP tries again by itself where it has no room for it now */
	(void)tcp_shutdown(c->pcb, 0, 1);
}

void mf_stack_conn_reset(struct mf_stack_conn *c)
{
	struct mf_guest_stack *s = c->peer->stack;

	c->owned = false;
	if (s->current == c)
		s->current = NULL;
	mf_stack_tcp_forget(c, true);
}

void mf_stack_conn_release(struct mf_stack_conn *c)
{
	if (c->pcb && (!c->fin_sent || !c->fin_seen || c->in)) {
		mf_stack_conn_reset(c);
		return;
	}
	c->owned = false;
	mark(c);
}
