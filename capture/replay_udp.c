/* SPDX-License-Identifier: Apache-2.0 */
/* replay_udp.c - UDP of a capture: connect at a flow's first datagram, DNS, and the hellos inside QUIC */
#include <stdlib.h>

#include "capture/replay_int.h"

static const char gone[] = "the capture does not hold all of its first words";

/* --- QUIC ----------------------------------------------------------------------------------------------------------- */

static size_t reader_bytes(const struct mf_quic_reader *q)
{
	return sizeof(*q) + q->room + q->room / 8;
}

void mf_replay_free_quic(struct mf_replay *r, struct mf_replay_flow *f)
{
	if (!f->quic)
		return;
	r->stream_bytes -= reader_bytes(f->quic);
	mf_quic_reader_end(f->quic);
	free(f->quic);
	f->quic = NULL;
}

static bool begin_quic(struct mf_replay *r, struct mf_replay_flow *f)
{
	if (!r->quic_crypto)
		r->quic_crypto = mf_quic_crypto_new();
	f->quic = r->quic_crypto ? calloc(1, sizeof(*f->quic)) : NULL;
	if (!f->quic) {
		r->no_memory = true;
		return false;
	}
	r->stream_bytes += reader_bytes(f->quic);
	return true;
}

/* A Retry or another version makes the client begin anew, under other keys: what counts is its last attempt. */
static int begin_attempt(struct mf_quic_reader *q, const struct mf_quic_packet *packet)
{
	mf_quic_reader_end(q);
	*q = (struct mf_quic_reader){ 0 };
	return mf_quic_reader_begin(q, packet);
}

static int take_initial(struct mf_replay *r, struct mf_quic_reader *q,
			const struct mf_quic_packet *packet, bool may_begin)
{
	size_t before = reader_bytes(q);
	int res = q->version ? mf_quic_reader_take(r->quic_crypto, q, packet) : MF_E_NOT_MINE;

	if (res == MF_E_NOT_MINE && may_begin) {
		res = begin_attempt(q, packet);
		if (res == 0)
			res = mf_quic_reader_take(r->quic_crypto, q, packet);
	}
	r->stream_bytes += reader_bytes(q) - before;
	if (res == MF_E_NOMEM)
		r->no_memory = true;
	return res;
}

static void refuse_hello(struct mf_replay *r, struct mf_replay_flow *f)
{
	mf_replay_deny(r, f->question, "malformed TLS ClientHello in QUIC");
	mf_replay_end_question(r, f, NULL);
}

/* What the flow's client said in one datagram, while its hello is waited for. */
static void read_quic(struct mf_replay *r, struct mf_replay_flow *f, struct mf_span datagram)
{
	bool may_begin = datagram.len >= MF_QUIC_DATAGRAM_MIN;
	struct mf_quic_packet packet;
	struct mf_tls_hello hello;

	for (unsigned i = 0; i < MF_QUIC_PACKETS_MAX; i++) {
		int res = mf_quic_next_packet(&datagram, &packet);

		if (res < 0)
			return;
		if (packet.type != MF_QUIC_INITIAL)
			continue;
		res = take_initial(r, f->quic, &packet, may_begin);
		if (res == MF_E_NOT_MINE || res == MF_E_NOMEM)
			continue;
		if (!mf_replay_mind_bytes(r, f)) {
			mf_replay_end_question(r, f, gone);
			return;
		}
		res = res < 0 ? MF_E_BAD : mf_quic_reader_hello(f->quic, &hello);
		if (res == 0)
			mf_replay_judge_hello(r, f, &hello);
		else if (res == MF_E_BAD)
			refuse_hello(r, f);
		if (!f->quic)
			return;
	}
}

void mf_replay_udp_end(struct mf_replay *r, struct mf_replay_flow *f, const char *note)
{
	if (!f->question)
		return;
	if (f->cut) {
		note = gone;
	} else if (note == mf_replay_late) {
		/* so says a live session, which waits no longer */
		mf_replay_deny(r, f->question,
			       "the client's first message did not come to its end in time");
		note = NULL;
	} else if (note) {
		note = "its first message does not come to its end in the capture";
	}
	mf_replay_end_question(r, f, note);
}

/* --- connect -------------------------------------------------------------------------------------------------------- */

/* connect under the names of its address, by its first datagram where that matters (as proxies/udp_proxy.c). */
static void ask_connect(struct mf_replay *r, struct mf_replay_waiting *w, struct mf_span first,
			bool quic)
{
	for (unsigned i = 0; i < r->opt.session_cnt; i++) {
		struct mf_replay_said *s = &w->said[i];
		struct mf_ask_result res;
		struct mf_decision d;

		mf_ask_udp(&r->askers[i], &w->flow, &d, &res);
		s->differ = quic && mf_ask_hello_chooses(&w->flow, &res);
		s->started = !s->differ;
		if (!s->differ)
			mf_ask_udp_limit(&w->flow, &d);
		mf_replay_answer(r, w, i, &d, res.host);
		if (s->differ || mf_verdict_rank(&d) == 4 ||
		    w->flow.server.port != MF_ASK_QUIC_PORT ||
		    !mf_quic_is_foreign(first.ptr, first.len))
			continue;
		d = mf_ask_own_denial(
			"this version of QUIC cannot be read; its clients fall back to TCP");
		mf_replay_take(r, w, i, &d, res.host);
	}
}

static void begin_question(struct mf_replay *r, struct mf_replay_flow *f, struct mf_span first,
			   bool from_client)
{
	struct mf_replay_waiting *w = mf_replay_ask_later(r, MF_CONNECT, &f->ends);
	bool quic = from_client && mf_quic_may_begin(first.ptr, first.len);

	if (!w)
		return;
	w->deadline_ns = r->clock->monotonic_ns + MF_REPLAY_HELLO_NS;
	mf_replay_list_names(r, w);
	ask_connect(r, w, first, quic);
	f->fate = mf_replay_fate_of(&w->said[0]);
	mf_replay_comment(r, MF_CONNECT, &w->said[0]);
	if (!quic || !mf_replay_any_goes_on(r, w)) {
		mf_replay_settle(r, w);
		return;
	}
	w->owner = f;
	f->question = w;
	if (f->fate == MF_REPLAY_PASS && !w->said[0].started)
		mf_replay_leave_open(r, f);
	if (!begin_quic(r, f))
		mf_replay_end_question(r, f, gone);
}

/* --- datagrams ------------------------------------------------------------------------------------------------------ */

/*
 * Who is the client of a datagram that belongs to no flow yet: who sent it, unless it looks like an answer (from a system
 * port to another one) whose question came before the capture.
 */
static void guess_ends(const struct mf_view *v, struct mf_session_flow *ret)
{
	bool answer = v->flow.src_port < 1024 && v->flow.dst_port >= 1024;
	struct mf_endpoint src = mf_flow_src(&v->flow), dst = mf_flow_dst(&v->flow);

	*ret = (struct mf_session_flow){ .proto = MF_UDP,
					 .client = answer ? dst : src,
					 .server = answer ? src : dst };
}

static void take_dns(struct mf_replay *r, struct mf_replay_flow *f, struct mf_span msg,
		     bool from_client, uint32_t missing)
{
	struct mf_span instead;

	r->fate.alone = true;
	if (missing)
		r->stats.bad_dns++;
	else if (from_client)
		(void)mf_replay_dns_question(r, &f->ends, msg);
	else
		(void)mf_replay_dns_answer(r, &f->ends, msg, &instead);
}

void mf_replay_udp(struct mf_replay *r, const struct mf_view *v, uint32_t missing)
{
	bool from_client;
	struct mf_replay_flow *f = mf_replay_find_flow(r, MF_UDP, &v->flow, &from_client);
	struct mf_session_flow ends;
	struct mf_span payload = mf_view_payload(v);
	bool quiet = f && r->clock->monotonic_ns - f->seen_ns > MF_REPLAY_UDP_NS;

	if (f && quiet && from_client && !f->dns) {
		mf_replay_end_flow(r, f, NULL);
		f = NULL;
	}
	if (!f) {
		guess_ends(v, &ends);
		f = mf_replay_new_flow(r, &ends);
		if (!f)
			return;
		r->stats.udp_flows++;
		f->dns = ends.server.port == 53;
		from_client = v->flow.src_port == ends.client.port &&
			      v->flow.dst_port == ends.server.port;
		if (!f->dns)
			begin_question(r, f, payload, from_client);
	} else {
		mf_replay_touch(r, f);
	}
	r->current = f;
	f->cut |= missing && f->quic && from_client;
	if (f->quic && from_client && !missing)
		read_quic(r, f, payload);
	r->current = NULL;
	mf_replay_flow_fate(r, f, from_client);
	if (f->dns)
		take_dns(r, f, payload, from_client, missing);
}
