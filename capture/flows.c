/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flows.c - packets of flows: those with an entry, those that begin one, those that should have one
 *
 * Whose is a packet without an entry?
 *	MF_SCOPE_ALL	ours
 *	MF_SCOPE_PIDS	the owner's, as events and the system's tables say: of our own process and of processes that are
 *			not in the set it passes, of processes that have just ended it is dropped; a first packet whose
 *			owner is not known yet is held, any other passes (it is older than we are, P51)
 */
#include "capture/pipeline_internal.h"

bool mf_flow_begins(const struct mf_view *v)
{
	switch (v->flow.proto) {
	case MF_PROTO_TCP:
		return (v->tcp_flags & (MF_TCP_SYN | MF_TCP_ACK | MF_TCP_RST)) == MF_TCP_SYN;
	case MF_PROTO_ICMP:
		return v->icmp_type == 8;
	case MF_PROTO_ICMPV6:
		return v->icmp_type == 128;
	default:
		return true;
	}
}

void mf_flow_on_hit(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
		    const struct mf_nat_hit *hit)
{
	if (mf_fail_blocks(p) && !p->o.fail_open)
		mf_pipeline_drop(p, MF_DROP_FAIL_CLOSED);
	else if (hit->rewrites)
		mf_redirect_packet(p, pkt, v, hit);
	else
		mf_pipeline_pass(p, pkt, false);
}

static void refuse(struct mf_pipeline *p, struct mf_packet *pkt, const struct mf_view *v,
		   enum mf_pipeline_drop reason, bool silent)
{
	if (!silent)
		mf_answer_packet(p, pkt, v, MF_ANSWER_DENIED);
	mf_pipeline_drop(p, reason);
}

/* Remember a flow that was let through, and send its first packet on its way. @in: prepared for the proxy */
static void admit(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
		  const struct mf_nat_ask *ask, struct mf_nat_insert *in, bool proxy)
{
	struct mf_nat_hit hit = { .dir = MF_NAT_FORWARD };
	int r;

	if (proxy) {
		r = mf_redirect_insert(p, in);
	} else {
		in->to = in->flow;
		in->back_hash = 0;
		r = mf_nat_insert(p->nat, in, p->now_ns);
	}
	if (r == 0) {
		p->inserted |= mf_pipeline_mark(&v->flow);
		p->stats.redirected += proxy;
		hit.rewrites = proxy;
		hit.to = in->to;
	} else if (r == MF_E_EXIST) {
		// Another lane of the same device was faster.
		r = mf_nat_lookup(p->nat, ask, p->now_ns, &hit);
	}
	if (r == MF_E_UNSUPPORTED) {
		refuse(p, pkt, v, MF_DROP_UNSUPPORTED, false);
	} else if (r) {
		mf_pipeline_tell(p, MF_PIPELINE_NAT_FULL, r, "no room for a flow: %s",
				 mf_strerror(r));
		refuse(p, pkt, v, MF_DROP_NAT_FULL, false);
	} else if (hit.rewrites) {
		mf_redirect_packet(p, pkt, v, &hit);
	} else {
		mf_pipeline_pass(p, pkt, false);
	}
}

/* A flow of the session begins. */
static void on_new(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
		   const struct mf_nat_ask *ask, uint32_t pid)
{
	struct mf_flow_question q = {
		.flow = &v->flow, .pid = pid, .packet = pkt, .now_ns = p->now_ns
	};
	struct mf_nat_insert in = { .flow = ask->flow,
				    .hash = ask->hash,
				    .pid = pid,
				    .isn = ask->seq,
				    .via = { pkt->interface, pkt->sub_interface } };
	struct mf_flow_verdict verdict = { .answer = MF_FLOW_UNSET };
	bool can_pass = p->backend.caps & MF_BACKEND_CAN_PASS;
	int r;

	if (mf_fail_blocks(p)) {
		if (p->o.fail_open)
			mf_pipeline_pass(p, pkt, false);
		else
			mf_pipeline_drop(p, MF_DROP_FAIL_CLOSED);
		return;
	}
	mf_redirect_prepare(p, &in);
	r = p->ops.decide(p->ops.ctx, &q, &verdict);
	if (r < 0) {
		p->stats.decide_failures++;
		mf_fail_bad(p, MF_FAIL_DECIDE, r);
		if (p->o.fail_open && can_pass)
			mf_pipeline_pass(p, pkt, false);
		else
			refuse(p, pkt, v, MF_DROP_FAIL_CLOSED, false);
		return;
	}
	mf_fail_good(p, MF_FAIL_DECIDE);
	p->stats.flows_decided++;
	if ((verdict.answer == MF_FLOW_PROXY && mf_redirect_port(p, &v->flow)) ||
	    (verdict.answer == MF_FLOW_PASS && can_pass)) {
		in.redirect = verdict.redirect;
		admit(p, pkt, v, ask, &in, verdict.answer == MF_FLOW_PROXY);
		return;
	}
	p->stats.flows_denied++;
	refuse(p, pkt, v, MF_DROP_DENIED, verdict.answer == MF_FLOW_DROP);
}

/* A packet of the session that belongs to no flow that we know: a connection older than we are, or one forgotten. */
static void on_stray(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v)
{
	if (p->o.fail_open)
		mf_pipeline_pass(p, pkt, false);
	else
		refuse(p, pkt, v, MF_DROP_NO_ENTRY, false);
}

static void on_ours(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
		    const struct mf_nat_ask *ask, uint32_t pid)
{
	if (mf_flow_begins(v))
		on_new(p, pkt, v, ask, pid);
	else
		on_stray(p, pkt, v);
}

/*
 * An answer of a listener whose flow is forgotten. It must not become a flow of its own: a datagram would begin one that
 * is redirected to the listener itself. (A program may connect from that port as well, but a listener never begins a
 * connection.)
 */
static bool is_late_answer(const struct mf_pipeline *p, const struct mf_view *v)
{
	return mf_redirect_is_listener(p, &v->flow) &&
	       !(v->flow.proto == MF_PROTO_TCP && mf_flow_begins(v));
}

static void on_late_answer(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v)
{
	refuse(p, pkt, v, MF_DROP_NO_ENTRY, v->flow.proto != MF_PROTO_TCP);
}

/* ---- owners ---- */

static void on_unknown(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
		       const struct mf_nat_ask *ask)
{
	switch (p->o.unknown_pid) {
	case MF_UNKNOWN_PROXY:
		on_ours(p, pkt, v, ask, 0);
		break;
	case MF_UNKNOWN_DENY:
	case MF_UNKNOWN_DROP:
		refuse(p, pkt, v, MF_DROP_DENIED, p->o.unknown_pid == MF_UNKNOWN_DROP);
		break;
	default:
		mf_pipeline_pass(p, pkt, true);
	}
}

static void on_owned(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
		     const struct mf_nat_ask *ask, const struct mf_owner *owner)
{
	enum mf_pid_state state;

	if (owner->kind != MF_OWNER_KNOWN) {
		on_unknown(p, pkt, v, ask);
		return;
	}
	// Our own connections to servers, first of all: P52.
	if (p->o.own_pid && owner->pid == p->o.own_pid) {
		if (is_late_answer(p, v))
			on_late_answer(p, pkt, v);
		else
			mf_pipeline_pass(p, pkt, true);
		return;
	}
	state = mf_pids_get(p->pids, owner->pid, p->now_ns);
	if (state == MF_PID_EXITED && owner->reborn)
		state = MF_PID_FOREIGN;
	if (state == MF_PID_FOREIGN)
		mf_pipeline_pass(p, pkt, true);
	else if (state == MF_PID_EXITED)
		mf_pipeline_drop(p, MF_DROP_NO_ENTRY);
	else if (owner->accepted && !mf_flow_begins(v))
		mf_pipeline_pass(p, pkt, false);
	else
		on_ours(p, pkt, v, ask, owner->pid);
}

static void hold(struct mf_pipeline *p, struct mf_packet *pkt, const struct mf_nat_ask *ask)
{
	if (mf_holds_put(p->holds, &ask->flow, ask->hash, pkt, p->now_ns))
		mf_pipeline_drop(p, MF_DROP_HOLD);
	else
		p->stats.held++;
}

/* What the system's tables say. */
static struct mf_owner ask_system(struct mf_pipeline *p, const struct mf_flow *flow)
{
	struct mf_owner o = { .kind = MF_OWNER_NOBODY };

	if (p->backend.find_pid && p->backend.find_pid(p->backend.ctx, flow, &o.pid) == 0) {
		o.kind = MF_OWNER_KNOWN;
		// The tables may be a little old.
		if (p->now_ns > MF_NS_PER_S)
			o.reborn = mf_pids_ended_before(p->pids, o.pid, p->now_ns - MF_NS_PER_S);
	}
	return o;
}

static void on_miss_by_pid(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
			   const struct mf_nat_ask *ask)
{
	bool begins = mf_flow_begins(v), tcp = v->flow.proto == MF_PROTO_TCP;
	struct mf_owner owner;
	int r;

	// Nobody tells of the processes behind an echo.
	if (!tcp && v->flow.proto != MF_PROTO_UDP) {
		mf_pipeline_pass(p, pkt, true);
		return;
	}
	r = mf_holds_find(p->holds, &ask->flow, ask->hash, begins, ask->seq, p->now_ns, &owner);
	if (r && !begins) {
		mf_pipeline_pass(p, pkt, true);
	} else if (r && !(p->backend.caps & MF_BACKEND_HAS_EVENTS)) {
		owner = ask_system(p, &v->flow);
		mf_held_free(mf_holds_set(p->holds, &ask->flow, ask->hash, &owner, p->now_ns));
		on_owned(p, pkt, v, ask, &owner);
	} else if (r || owner.kind == MF_OWNER_PENDING) {
		hold(p, pkt, ask);
	} else {
		on_owned(p, pkt, v, ask, &owner);
	}
}

void mf_flow_on_miss(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
		     const struct mf_nat_ask *ask)
{
	bool outbound = pkt->flags & MF_PACKET_OUTBOUND;

	// What is reflected looks like this, but comes from us: here it is somebody on the network who plays the client (W9).
	if (!outbound && mf_redirect_is_to_listener(p, &v->flow)) {
		mf_pipeline_drop(p, MF_DROP_NO_ENTRY);
	} else if (!outbound || (pkt->flags & MF_PACKET_LOOPBACK)) {
		mf_pipeline_pass(p, pkt, true);
	} else if (p->o.scope == MF_SCOPE_PIDS) {
		on_miss_by_pid(p, pkt, v, ask);
	} else if (is_late_answer(p, v)) {
		on_late_answer(p, pkt, v);
	} else {
		on_ours(p, pkt, v, ask, 0);
	}
}

/* ---- events and time ---- */

static void settle(struct mf_pipeline *p, const struct mf_flow *flow, uint64_t hash,
		   const struct mf_owner *owner)
{
	struct mf_held *list = mf_holds_set(p->holds, flow, hash, owner, p->now_ns);

	for (const struct mf_held *h = list; h; h = h->next)
		p->stats.hold_released++;
	if (list)
		mf_pipeline_again(p, list);
}

void mf_flow_on_event(struct mf_pipeline *p, const struct mf_flow_event *ev, uint64_t hash)
{
	struct mf_owner owner = { .kind = MF_OWNER_KNOWN, .pid = ev->pid };

	if (p->o.scope == MF_SCOPE_PIDS)
		owner.reborn = mf_pids_ended_before(p->pids, ev->pid, ev->time_ns);
	switch (ev->kind) {
	case MF_FLOW_EVENT_ACCEPT:
		// The first datagram of a peer is no more than that: what the session sends to it is judged.
		owner.accepted = ev->flow.proto == MF_PROTO_TCP;
		// fallthrough
	case MF_FLOW_EVENT_CONNECT:
		if (p->o.scope == MF_SCOPE_PIDS)
			settle(p, &ev->flow, hash, &owner);
		break;
	case MF_FLOW_EVENT_CLOSE:
		if (p->o.scope == MF_SCOPE_PIDS)
			mf_holds_close(p->holds, &ev->flow, hash);
		mf_nat_close(p->nat, &ev->flow, p->now_ns);
		break;
	default:
		break;
	}
}

/* At the end nobody will tell any more whose these are. */
static void let_go(struct mf_pipeline *p, const struct mf_flow *flow)
{
	struct mf_owner owner = { .kind = MF_OWNER_NOBODY };
	uint64_t hash = mf_nat_hash(p->seed, flow);
	struct mf_held *list = mf_holds_set(p->holds, flow, hash, &owner, p->now_ns), *next;

	for (struct mf_held *h = list; h; h = next) {
		next = h->next;
		if (p->o.fail_open)
			mf_pipeline_pass(p, &h->packet, false);
		else
			mf_pipeline_drop(p, MF_DROP_HOLD);
		mf_pipeline_done(p, h);
	}
}

void mf_flow_on_time(struct mf_pipeline *p, bool all)
{
	struct mf_flow flow;

	while (p->holds && mf_holds_due(p->holds, p->now_ns, all, &flow)) {
		struct mf_owner owner;

		if (all) {
			let_go(p, &flow);
			continue;
		}
		owner = ask_system(p, &flow);
		if (owner.kind == MF_OWNER_NOBODY) {
			p->stats.hold_expired++;
			mf_pipeline_tell(p, MF_PIPELINE_HOLD_OVER, MF_E_NOENT,
					 "nobody knows the process behind a flow");
		}
		settle(p, &flow, mf_nat_hash(p->seed, &flow), &owner);
	}
}
