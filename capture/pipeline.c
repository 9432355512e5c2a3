/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline.c - one turn of the pipeline, and what proxies ask it; see pipeline.h and pipeline_internal.h */
#include "capture/pipeline.h"

#include <stdarg.h>
#include <stdio.h>

#include "capture/pipeline_internal.h"
#include "core/base/prefetch.h"

#define EXPIRE_EVERY_NS MF_NS_PER_S
#define EXPIRE_BUDGET	128u /* steps of one turn: some 40 us */

/* ---- out ---- */

void mf_pipeline_tell(struct mf_pipeline *p, enum mf_pipeline_event_kind kind, int code,
		      const char *fmt, ...)
{
	struct mf_told *t = &p->told[kind];
	struct mf_pipeline_event ev = { .kind = kind,
					.code = code,
					.fail_closed = !p->o.fail_open };
	va_list ap;

	t->count++;
	if (!p->ops.event || (t->once && p->now_ns - t->last_ns < MF_NS_PER_S))
		return;
	ev.count = t->count;
	*t = (struct mf_told){ .last_ns = p->now_ns, .once = true };
	va_start(ap, fmt);
	vsnprintf(ev.text, sizeof(ev.text), fmt, ap);
	va_end(ap);
	p->ops.event(p->ops.ctx, &ev);
}

/* The first packet of @cnt was refused. */
static void on_bad_send(struct mf_pipeline *p, int code)
{
	p->stats.send_failures++;
	p->stats.dropped[MF_DROP_SEND]++;
	mf_fail_bad(p, MF_FAIL_SEND, code);
	mf_pipeline_tell(p, MF_PIPELINE_BAD_SEND, code, "%s refused a packet: %s", p->backend.name,
			 mf_strerror(code));
}

void mf_pipeline_flush(struct mf_pipeline *p)
{
	unsigned done = 0;

	if (p->flushing)
		return;
	p->flushing = true;
	while (done < p->out_cnt) {
		int r = p->backend.send(p->backend.ctx, p->out + done, p->out_cnt - done);

		if (r > 0) {
			done += (unsigned)r < p->out_cnt - done ? (unsigned)r : p->out_cnt - done;
			mf_fail_good(p, MF_FAIL_SEND);
		} else if (r == 0 || r == MF_E_AGAIN) {
			p->stats.dropped[MF_DROP_SEND] += p->out_cnt - done;
			break;
		} else {
			on_bad_send(p, r);
			done++;
		}
	}
	p->out_cnt = p->answer_cnt = 0;
	mf_held_free(p->done);
	p->done = NULL;
	p->flushing = false;
}

void mf_pipeline_queue(struct mf_pipeline *p, struct mf_packet *pkt)
{
	if (p->out_cnt == MF_BACKEND_BATCH_MAX)
		mf_pipeline_flush(p);
	if (p->out_cnt == MF_BACKEND_BATCH_MAX) {
		// Only from a callback that is told of a bad send.
		p->stats.dropped[MF_DROP_SEND]++;
		return;
	}
	p->out[p->out_cnt++] = pkt;
}

void mf_pipeline_drop(struct mf_pipeline *p, enum mf_pipeline_drop reason)
{
	p->stats.dropped[reason]++;
	if (p->fate)
		*p->fate = (struct mf_fate){ .kind = MF_FATE_DROP, .reason = (uint8_t)reason };
}

void mf_pipeline_pass(struct mf_pipeline *p, struct mf_packet *pkt, bool foreign)
{
	if (!(p->backend.caps & MF_BACKEND_CAN_PASS)) {
		mf_pipeline_drop(p, MF_DROP_NO_ENTRY);
		return;
	}
	p->stats.passed++;
	p->stats.foreign += foreign;
	if (p->fate)
		*p->fate = (struct mf_fate){ .kind = MF_FATE_PASS, .foreign = foreign };
	mf_pipeline_queue(p, pkt);
}

/* ---- one packet ---- */

static void read_packet(struct mf_pipeline *p, const struct mf_packet *pkt, struct mf_view *v)
{
	mf_view_read_ip(v, mf_span_of(pkt->ptr, pkt->len),
			pkt->csum == MF_CSUM_FULL ? 0 : MF_VIEW_F_OFFLOAD, &p->view_stats);
}

/* Is a packet one that the NAT table can be asked about? */
static bool has_question(const struct mf_view *v)
{
	return v->layer == MF_VIEW_TRANSPORT &&
	       !(v->flags & (MF_VIEW_F_FRAG_LATER | MF_VIEW_F_SOURCE_ROUTED | MF_VIEW_F_AUTH |
			     MF_VIEW_F_ICMP_ERROR)) &&
	       (v->flags & MF_VIEW_F_HAS_PORTS);
}

/* What the NAT table is not asked about. */
static void on_other(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v)
{
	bool foreign = p->o.scope == MF_SCOPE_PIDS || !(pkt->flags & MF_PACKET_OUTBOUND);

	if ((v->layer == MF_VIEW_TRANSPORT && (v->flags & MF_VIEW_F_ICMP_ERROR) &&
	     !(v->flags & MF_VIEW_F_SOURCE_ROUTED)) &&
	    mf_redirect_error(p, pkt, v))
		return;
	// What no process can be told of may be anybody's.
	if (foreign && (p->backend.caps & MF_BACKEND_CAN_PASS))
		mf_pipeline_pass(p, pkt, true);
	else if (v->layer < MF_VIEW_TRANSPORT)
		mf_pipeline_drop(p, MF_DROP_MALFORMED);
	else if ((v->flags & MF_VIEW_F_ICMP_ERROR) && p->o.fail_open)
		mf_pipeline_pass(p, pkt, false);
	else
		mf_pipeline_drop(p, v->flags & MF_VIEW_F_ICMP_ERROR ? MF_DROP_NO_ENTRY
								    : MF_DROP_UNSUPPORTED);
}

/* What the NAT table is asked about a packet that has_question(). */
static inline void fill_question(const struct mf_pipeline *p, const struct mf_view *v,
				 struct mf_nat_ask *ret)
{
	ret->hash = mf_nat_hash(p->seed, &v->flow);
	ret->flow = v->flow;
	ret->seq = v->flow.proto == MF_PROTO_TCP ? mf_view_tcp_seq(v) : 0;
	ret->tcp_flags = v->tcp_flags;
}

/* A packet that holds a transport header or is none of ours. @ask: NULL without a question */
static void on_whole(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
		     const struct mf_nat_ask *ask, const struct mf_nat_hit *hit)
{
	if (!ask)
		on_other(p, pkt, v);
	else if (hit && (!hit->rewrites || (pkt->flags & MF_PACKET_OUTBOUND)))
		mf_flow_on_hit(p, pkt, v, hit);
	else
		mf_flow_on_miss(p, pkt, v, ask);
}

/* A later fragment whose first one was dealt with. */
static void follow(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
		   const struct mf_fate *fate)
{
	if (fate->kind == MF_FATE_DROP) {
		mf_pipeline_drop(p, (enum mf_pipeline_drop)fate->reason);
		return;
	}
	p->stats.fragments_followed++;
	if (fate->kind == MF_FATE_REWRITE)
		mf_redirect_fragment(p, pkt, v, fate);
	else
		mf_pipeline_pass(p, pkt, fate->foreign);
}

/* Queued packets lie in held memory until they have left. */
void mf_pipeline_done(struct mf_pipeline *p, struct mf_held *h)
{
	h->next = p->done;
	p->done = h;
}

static void follow_all(struct mf_pipeline *p, struct mf_held *list, const struct mf_fate *fate)
{
	struct mf_held *next;

	for (struct mf_held *h = list; h; h = next) {
		struct mf_view v;

		next = h->next;
		read_packet(p, &h->packet, &v);
		follow(p, &h->packet, &v, fate);
		mf_pipeline_done(p, h);
	}
}

static void on_later_fragment(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
			      const struct mf_fate *fate)
{
	if (fate->kind != MF_FATE_WAIT)
		follow(p, pkt, v, fate);
	else if (mf_fragments_put(p->fragments, v, pkt))
		mf_pipeline_drop(p, MF_DROP_FRAGMENT);
}

/* What @held is false for came just now; what was held is a piece of its datagram already. */
static void on_fragment(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
			const struct mf_nat_ask *ask, const struct mf_nat_hit *hit, bool held)
{
	struct mf_fate fate = { .kind = MF_FATE_WAIT };
	struct mf_view as_came = *v;
	int r;

	// What comes in and passes anyway is put together by its receiver.
	if (!(pkt->flags & MF_PACKET_OUTBOUND) && (p->backend.caps & MF_BACKEND_CAN_PASS) &&
	    (v->flags & MF_VIEW_F_FRAG_LATER)) {
		mf_pipeline_pass(p, pkt, true);
		return;
	}
	r = held ? 0 : mf_fragments_check(p->fragments, v, p->now_ns, &fate);
	p->stats.dropped[MF_DROP_FRAGMENT] += mf_fragments_evicted(p->fragments);
	if (r) {
		mf_pipeline_drop(p, MF_DROP_FRAGMENT);
	} else if ((v->flags & MF_VIEW_F_FRAG_LATER) || fate.kind != MF_FATE_WAIT) {
		// A first one whose datagram is refused already is refused as well.
		on_later_fragment(p, pkt, v, &fate);
	} else {
		p->fate = &fate;
		on_whole(p, pkt, v, ask, hit);
		p->fate = NULL;
		if (fate.kind != MF_FATE_WAIT)
			follow_all(p, mf_fragments_decide(p->fragments, &as_came, &fate), &fate);
	}
}

static inline void on_packet(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
			     const struct mf_nat_ask *ask, const struct mf_nat_hit *hit, bool held)
{
	if (v->layer == MF_VIEW_TRANSPORT && (v->flags & MF_VIEW_F_FRAG))
		on_fragment(p, pkt, v, ask, hit, held);
	else
		on_whole(p, pkt, v, ask, hit);
}

void mf_pipeline_again(struct mf_pipeline *p, struct mf_held *list)
{
	struct mf_held *next;

	for (struct mf_held *h = list; h; h = next) {
		struct mf_nat_hit hit;
		struct mf_nat_ask ask;
		struct mf_view v;
		bool asks, found = false;

		next = h->next;
		read_packet(p, &h->packet, &v);
		asks = has_question(&v);
		if (asks) {
			fill_question(p, &v, &ask);
			found = mf_nat_lookup(p->nat, &ask, p->now_ns, &hit) == 0;
		}
		on_packet(p, &h->packet, &v, asks ? &ask : NULL, found ? &hit : NULL, true);
		mf_pipeline_done(p, h);
	}
}

/* ---- a batch ---- */

/* One of 64 bits for a flow in both directions: which later packets of a batch may have got an entry meanwhile. */
uint64_t mf_pipeline_mark(const struct mf_flow *f)
{
	uint32_t ports = (uint32_t)f->src_port ^ f->dst_port;

	return UINT64_C(1) << ((ports * 0x9e3779b1u) >> 26);
}

/* Packets without an entry are looked up by owner; their memory is fetched together as well. */
static void prefetch_owners(struct mf_pipeline *p, unsigned cnt, uint64_t found)
{
	uint64_t none = ~found & (cnt == 64 ? ~UINT64_C(0) : (UINT64_C(1) << cnt) - 1);

	for (uint64_t m = none; m; m &= m - 1)
		mf_holds_prefetch(p->holds, p->asks[__builtin_ctzll(m)].hash, false);
	for (uint64_t m = none; m; m &= m - 1)
		mf_holds_prefetch(p->holds, p->asks[__builtin_ctzll(m)].hash, true);
}

/* Read all packets; Return: those that have a question, in @p->asks in their order: @ret_cnt */
static uint64_t read_batch(struct mf_pipeline *p, unsigned cnt, unsigned *ret_cnt)
{
	uint64_t asking = 0, bytes = 0;
	unsigned asks = 0;

	for (unsigned i = 0; i < cnt; i++)
		mf_prefetch_write(p->packets[i].ptr);
	for (unsigned i = 0; i < cnt; i++) {
		struct mf_view *v = &p->views[i];

		bytes += p->packets[i].len;
		read_packet(p, &p->packets[i], v);
		if (has_question(v)) {
			fill_question(p, v, &p->asks[asks]);
			mf_nat_prefetch(p->nat, p->asks[asks++].hash);
			asking |= UINT64_C(1) << i;
		}
	}
	p->stats.captured_bytes += bytes;
	*ret_cnt = asks;
	return asking;
}

static void on_batch(struct mf_pipeline *p, unsigned cnt)
{
	unsigned asks, at = 0;
	uint64_t found, asking = read_batch(p, cnt, &asks);

	p->inserted = 0;
	found = mf_nat_lookup_burst(p->nat, p->asks, asks, p->now_ns, p->hits);
	if (p->holds)
		prefetch_owners(p, asks, found);
	for (unsigned i = 0; i < cnt; i++, asking >>= 1) {
		struct mf_view *v = &p->views[i];
		const struct mf_nat_ask *ask;
		struct mf_nat_hit *hit;

		if (!(asking & 1)) {
			on_packet(p, &p->packets[i], v, NULL, NULL, false);
			continue;
		}
		ask = &p->asks[at];
		hit = found & 1 ? &p->hits[at] : NULL;
		if (p->inserted & mf_pipeline_mark(&ask->flow)) {
			hit = &p->hits[at];
			if (mf_nat_lookup(p->nat, ask, p->now_ns, hit))
				hit = NULL;
		}
		found >>= 1;
		at++;
		on_packet(p, &p->packets[i], v, ask, hit, false);
	}
}

static unsigned read_events(struct mf_pipeline *p)
{
	uint64_t hashes[MF_BACKEND_BATCH_MAX];
	unsigned n = 0;
	int r = 1;

	if (!(p->backend.caps & MF_BACKEND_HAS_EVENTS))
		return 0;
	for (; n < MF_BACKEND_BATCH_MAX && r > 0; n += r > 0) {
		r = p->backend.next_event(p->backend.ctx, &p->events[n]);
		if (r > 0 && p->holds) {
			hashes[n] = mf_nat_hash(p->seed, &p->events[n].flow);
			mf_holds_prefetch(p->holds, hashes[n], false);
		}
	}
	for (unsigned i = 0; i < n && p->holds; i++)
		mf_holds_prefetch(p->holds, hashes[i], true);
	for (unsigned i = 0; i < n; i++)
		mf_flow_on_event(p, &p->events[i], p->holds ? hashes[i] : 0);
	if (r < 0 && r != MF_E_CLOSED && r != MF_E_AGAIN) {
		p->stats.receive_failures++;
		mf_fail_bad(p, MF_FAIL_RECEIVE, r);
	}
	return n;
}

static void on_time(struct mf_pipeline *p)
{
	mf_flow_on_time(p, false);
	p->stats.dropped[MF_DROP_FRAGMENT] += mf_fragments_expire(p->fragments, p->now_ns, false);
	if (p->now_ns < p->expire_ns && !p->expire_more)
		return;
	p->expire_more = mf_nat_expire(p->nat, p->now_ns, EXPIRE_BUDGET) == EXPIRE_BUDGET;
	p->expire_ns = p->now_ns + EXPIRE_EVERY_NS;
}

static int receive(struct mf_pipeline *p)
{
	int r = p->backend.receive(p->backend.ctx, p->packets, MF_BACKEND_BATCH_MAX);

	if (r > 0) {
		if (r > MF_BACKEND_BATCH_MAX)
			r = MF_BACKEND_BATCH_MAX;
		p->stats.captured += (unsigned)r;
		mf_fail_good(p, MF_FAIL_RECEIVE);
	} else if (r < 0 && r != MF_E_CLOSED && r != MF_E_AGAIN) {
		p->stats.receive_failures++;
		mf_fail_bad(p, MF_FAIL_RECEIVE, r);
	}
	return r;
}

int mf_pipeline_run(struct mf_pipeline *p, uint64_t now_ns)
{
	unsigned packets, events;
	int r;

	if (now_ns > p->now_ns)
		p->now_ns = now_ns;
	p->in_turn = true;
	mf_fail_begin_turn(p);
	r = receive(p);
	packets = r > 0 ? (unsigned)r : 0;
	// Events after packets: what a packet of this batch needs to know has come by now, so that few are held.
	events = read_events(p);
	if (packets)
		on_batch(p, packets);
	on_time(p);
	mf_pipeline_flush(p);
	mf_fail_end_turn(p, packets);
	p->in_turn = false;
	if (r != MF_E_CLOSED)
		return (int)(packets + events);
	mf_pipeline_drain(p, now_ns);
	return MF_E_CLOSED;
}

uint64_t mf_pipeline_deadline(const struct mf_pipeline *p)
{
	uint64_t next = UINT64_MAX, t;

	if (p->holds && (t = mf_holds_deadline(p->holds)) < next)
		next = t;
	t = mf_fragments_deadline(p->fragments);
	if (t < next)
		next = t;
	if (mf_nat_count(p->nat) && p->expire_ns < next)
		next = p->expire_more ? p->now_ns : p->expire_ns;
	return next;
}

void mf_pipeline_drain(struct mf_pipeline *p, uint64_t now_ns)
{
	if (now_ns > p->now_ns)
		p->now_ns = now_ns;
	p->in_turn = true;
	mf_flow_on_time(p, true);
	p->stats.dropped[MF_DROP_FRAGMENT] += mf_fragments_expire(p->fragments, p->now_ns, true);
	mf_pipeline_flush(p);
	p->in_turn = false;
}

/* ---- what proxies ask ---- */

int mf_pipeline_find_flow(struct mf_pipeline *p, uint8_t proto, const struct mf_endpoint *peer,
			  const struct mf_endpoint *local, uint64_t now_ns, struct mf_flow *ret)
{
	struct mf_nat_entry e;
	struct mf_flow back, to;

	if (!mf_flow_make(&back, proto, local, peer) || mf_nat_get(p->nat, &back, now_ns, &e))
		return MF_E_NOENT;
	// By the key of the answers, of a flow that is redirected: anything else did not come through us.
	to = mf_flow_reverse(&e.to);
	if (!mf_flow_eq(&to, &back) || mf_flow_eq(&e.flow, &e.to))
		return MF_E_NOENT;
	*ret = e.flow;
	return 0;
}

int mf_pipeline_refuse_udp(struct mf_pipeline *p, const struct mf_flow *flow,
			   struct mf_span payload, uint64_t now_ns)
{
	uint8_t bytes[1280];
	struct mf_packet pkt = { .ptr = bytes, .flags = MF_PACKET_OUTBOUND };
	struct mf_nat_entry e;
	struct mf_view v;
	size_t len;
	int r;

	if (now_ns > p->now_ns)
		p->now_ns = now_ns;
	// An error quotes the beginning alone.
	if (payload.len > sizeof(bytes) - 48)
		payload.len = sizeof(bytes) - 48;
	r = mf_build_udp(flow, payload, bytes, sizeof(bytes), &len);
	if (r)
		return r;
	if (mf_nat_get(p->nat, flow, p->now_ns, &e) == 0) {
		pkt.interface = e.via[0];
		pkt.sub_interface = e.via[1];
	}
	pkt.len = (uint32_t)len;
	read_packet(p, &pkt, &v);
	r = mf_answer_packet(p, &pkt, &v, MF_ANSWER_UNREACHABLE);
	if (!p->in_turn)
		mf_pipeline_flush(p);
	return r;
}

/* ---- processes ---- */

int mf_pipeline_add_pid(struct mf_pipeline *p, uint32_t pid)
{
	return mf_pids_add(p->pids, pid);
}

bool mf_pipeline_on_created(struct mf_pipeline *p, uint32_t pid, uint32_t parent)
{
	int r;

	if (mf_pids_get(p->pids, parent, p->now_ns) != MF_PID_SESSION)
		return false;
	r = mf_pids_add(p->pids, pid);
	return !r || r == MF_E_EXIST;
}

unsigned mf_pipeline_on_exited(struct mf_pipeline *p, uint32_t pid, uint64_t now_ns)
{
	if (now_ns > p->now_ns)
		p->now_ns = now_ns;
	return mf_pids_remove(p->pids, pid, p->now_ns) ? mf_nat_close_pid(p->nat, pid, p->now_ns)
						       : 0;
}
