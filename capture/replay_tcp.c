/* SPDX-License-Identifier: Apache-2.0 */
/* replay_tcp.c - TCP connections of a capture: connect at the SYN, then what their client says first */
#include <stdio.h>
#include <stdlib.h>

#include "capture/replay_int.h"
#include "core/base/bytes.h"
#include "core/wire/http_head.h"
#include "core/wire/tls_hello.h"

enum { CLIENT = MF_REPLAY_CLIENT, SERVER = MF_REPLAY_SERVER };

const char mf_replay_late[] = "its client said nothing in time";
static const char gone[] = "the capture does not hold all of its first words";

/* connect under the names of its address: what a live session asks before the client has said anything. */
static void ask_connect(struct mf_replay *r, struct mf_replay_waiting *w)
{
	for (unsigned i = 0; i < r->opt.session_cnt; i++) {
		struct mf_replay_said *s = &w->said[i];
		struct mf_ask_result res;
		struct mf_decision d;

		mf_ask_connect_names(&r->askers[i], &w->flow, &d, &res);
		mf_replay_answer(r, w, i, &d, res.host);
		s->differ = res.differ;
		s->started = !res.differ && !mf_replay_wants_rewrite(s) &&
			     !mf_tls_is_port(w->flow.server.port);
	}
}

/* --- the client's words --------------------------------------------------------------------------------------------- */

/* A Host is a name that sni is asked about, too; a denial of its is the connection's. */
static void ask_host(struct mf_replay *r, struct mf_replay_flow *f, unsigned i, struct mf_span host)
{
	struct mf_replay_waiting *w = f->question;
	struct mf_replay_said *s = &w->said[i];
	struct mf_ask_said said = { .name = host, .alpn = "http/1.1" };
	struct mf_decision d;

	if (!mf_replay_goes_on(s))
		return;
	(void)mf_replay_judge_said(r, w, i, (const char *)host.ptr, host.len);
	if (!mf_replay_goes_on(s))
		return;
	mf_ask_host(&r->askers[i], &w->flow, &said, &d);
	if (!mf_ask_is_silent(&d) && mf_verdict_rank(&d) == 4)
		mf_replay_answer(r, w, i, &d, s->host);
}

static void judge_http(struct mf_replay *r, struct mf_replay_flow *f, struct mf_span in, bool eof)
{
	struct mf_span host = { NULL, 0 };
	int res = mf_http_find_host(in, &host);

	if (res == MF_E_AGAIN && !eof)
		return;
	if (res == MF_E_BAD) {
		mf_replay_deny(r, f->question, "an HTTP request that could be read in two ways");
		mf_replay_end_question(r, f, NULL);
		return;
	}
	if (res == 0)
		for (unsigned i = 0; i < r->opt.session_cnt; i++)
			ask_host(r, f, i, host);
	mf_replay_end_question(r, f, NULL);
}

/* No TLS: what rewrites a server name cannot be done. */
static void deny_rewrites(struct mf_replay *r, struct mf_replay_waiting *w)
{
	struct mf_decision d =
		mf_ask_own_denial("no TLS ClientHello whose server name could be rewritten");

	for (unsigned i = 0; i < r->opt.session_cnt; i++)
		if (mf_replay_wants_rewrite(&w->said[i]))
			mf_replay_take(r, w, i, &d, w->said[i].host);
}

static void judge_bytes(struct mf_replay *r, struct mf_replay_flow *f, bool eof)
{
	struct mf_span in = mf_stream_ready(f->streams[CLIENT]);
	struct mf_tls_hello hello;
	int res = mf_tls_scan_hello(f->scan, in);

	if (res == MF_E_AGAIN && !eof)
		return;
	if (res == 0)
		res = mf_tls_read_hello(f->scan, in, r->joined, &hello);
	if (res == 0) {
		mf_replay_judge_hello(r, f, &hello);
		return;
	}
	if (res == MF_E_BAD || (res == MF_E_AGAIN && in.len)) {
		mf_replay_deny(r, f->question, "malformed TLS ClientHello");
		mf_replay_end_question(r, f, NULL);
		return;
	}
	deny_rewrites(r, f->question);
	f->not_tls = true;
	switch (mf_speech_of(in)) {
	case MF_SPEECH_UNKNOWN:
		if (eof)
			mf_replay_end_question(r, f, NULL);
		return;
	case MF_SPEECH_HTTP:
		judge_http(r, f, in, eof);
		return;
	default:
		mf_replay_end_question(r, f, NULL);
	}
}

/*
 * Time is over, or nothing more comes. What a live session saw of its client the capture may not hold: then nothing is
 * concluded from bytes that are not there.
 */
void mf_replay_tcp_end(struct mf_replay *r, struct mf_replay_flow *f, const char *note)
{
	struct mf_stream *s = f->streams[CLIENT];
	bool begun = s && mf_stream_ready(s).len;

	if (!f->question)
		return;
	if (f->cut || (s && mf_stream_has_holes(s))) {
		note = gone;
	} else if (note == mf_replay_late) {
		/* so says a live session, which waits no longer */
		if (begun && !f->not_tls)
			mf_replay_deny(
				r, f->question,
				"the client's first message did not come to its end in time");
		else
			deny_rewrites(r, f->question);
		note = begun ? NULL : note;
	} else if (begun && note) {
		note = "its first message does not come to its end in the capture";
	}
	mf_replay_end_question(r, f, note);
}

/* --- segments ------------------------------------------------------------------------------------------------------- */

static void begin_question(struct mf_replay *r, struct mf_replay_flow *f)
{
	struct mf_replay_waiting *w = mf_replay_ask_later(r, MF_CONNECT, &f->ends);

	if (!w)
		return;
	w->deadline_ns = r->clock->monotonic_ns + MF_REPLAY_HELLO_NS;
	mf_replay_list_names(r, w);
	ask_connect(r, w);
	f->fate = mf_replay_fate_of(&w->said[0]);
	mf_replay_comment(r, MF_CONNECT, &w->said[0]);
	if (!mf_replay_any_goes_on(r, w)) {
		mf_replay_settle(r, w);
		return;
	}
	f->scan = calloc(1, sizeof(*f->scan));
	if (!f->scan || !mf_replay_begin_stream(r, f, CLIENT, f->client_isn + 1, MF_TLS_WIRE_MAX)) {
		r->no_memory = true;
		mf_replay_end_question(r, f, gone);
		return;
	}
	w->owner = f;
	f->question = w;
	if (f->fate == MF_REPLAY_PASS && mf_replay_goes_on(&w->said[0]) && !w->said[0].started)
		mf_replay_leave_open(r, f);
}

static struct mf_replay_flow *begin_flow(struct mf_replay *r, const struct mf_session_flow *ends,
					 uint32_t isn)
{
	struct mf_replay_flow *f = mf_replay_new_flow(r, ends);

	if (!f)
		return NULL;
	r->stats.tcp_flows++;
	f->client_isn = isn;
	f->dns = ends->server.port == 53;
	f->held = mf_names_hold(r->names, &ends->server.addr);
	if (f->dns)
		(void)mf_replay_begin_stream(r, f, CLIENT, isn + 1, MF_REPLAY_DNS_WINDOW);
	else
		begin_question(r, f);
	return f;
}

/* Messages with their lengths in front (RFC 7766 8). */
static void read_dns(struct mf_replay *r, struct mf_replay_flow *f, unsigned which)
{
	struct mf_stream *s = f->streams[which];

	for (;;) {
		struct mf_span in = mf_stream_ready(s), msg, ours;
		uint32_t len;
		bool reaches;

		if (in.len < 2)
			return;
		len = mf_load_be16(in.ptr);
		if (in.len < len + 2u)
			return;
		msg = mf_span_sub(in, 2, len);
		if (which == CLIENT) {
			ours = mf_replay_dns_question(r, &f->ends, msg);
			if (ours.len)
				mf_replay_say(r, f, ours);
		} else {
			reaches = mf_replay_dns_answer(r, &f->ends, msg, &ours);
			mf_replay_hear(r, f, mf_span_sub(in, 0, len + 2u), reaches, ours);
		}
		mf_stream_consume(s, len + 2u);
	}
}

static void take_payload(struct mf_replay *r, struct mf_replay_flow *f, unsigned which,
			 uint32_t seq, struct mf_span payload)
{
	if (!f->streams[which] || !payload.len)
		return;
	if (!mf_replay_keep_bytes(r, f, which, seq, payload)) {
		f->cut = true;
		if (f->dns) {
			mf_replay_free_stream(r, f, which);
			return;
		}
	}
	/* keeping may have settled this very question for want of memory */
	if (!f->streams[which])
		return;
	if (f->dns)
		read_dns(r, f, which);
	else if (f->question)
		judge_bytes(r, f, false);
}

/* The beginning of a connection, or of the capture of it. Return: the flow, NULL when there is nothing more to do */
static struct mf_replay_flow *take_syn(struct mf_replay *r, const struct mf_view *v,
				       struct mf_replay_flow *f, bool from_client)
{
	struct mf_session_flow ends = { .proto = MF_TCP };
	uint32_t seq = mf_view_tcp_seq(v);

	if (!(v->tcp_flags & MF_TCP_ACK)) {
		if (f && from_client && !f->old && f->client_isn == seq)
			return f; /* repeated */
		if (f)		  /* its ports are used again */
			mf_replay_end_flow(r, f, "its ports were used for another connection");
		ends.client = mf_flow_src(&v->flow);
		ends.server = mf_flow_dst(&v->flow);
		return begin_flow(r, &ends, seq);
	}
	if (!f) { /* the SYN came before the capture */
		ends.client = mf_flow_dst(&v->flow);
		ends.server = mf_flow_src(&v->flow);
		f = begin_flow(r, &ends, mf_view_tcp_ack(v) - 1);
		from_client = false;
	}
	if (f && f->dns && !from_client && !f->has_server_isn) {
		f->has_server_isn = true;
		(void)mf_replay_begin_stream(r, f, SERVER, seq + 1, MF_REPLAY_DNS_WINDOW);
	}
	return f;
}

static struct mf_replay_flow *begin_old(struct mf_replay *r, const struct mf_view *v)
{
	struct mf_session_flow ends = { .proto = MF_TCP,
					.client = mf_flow_src(&v->flow),
					.server = mf_flow_dst(&v->flow) };
	struct mf_replay_flow *f = mf_replay_new_flow(r, &ends);

	if (f) {
		r->stats.old_connections++;
		f->old = true;
	}
	return f;
}

/* Has the client said all that it will ever say, and is all of it here? */
static bool is_at_end(const struct mf_replay_flow *f)
{
	const struct mf_stream *s = f->streams[CLIENT];

	return f->has_fin && s && !f->cut && mf_stream_next(s) == f->fin_seq;
}

/* What a segment of @f says and ends. */
static void take_segment(struct mf_replay *r, const struct mf_view *v, struct mf_replay_flow *f,
			 bool from_client, uint32_t missing)
{
	struct mf_span payload = mf_view_payload(v);
	uint32_t seq = mf_view_tcp_seq(v) + !!(v->tcp_flags & MF_TCP_SYN);

	if (missing && from_client && !f->dns && f->question &&
	    (int32_t)(seq - f->client_isn) < MF_TLS_WIRE_MAX)
		f->cut = true;
	take_payload(r, f, from_client ? CLIENT : SERVER, seq, payload);
	if (v->tcp_flags & MF_TCP_RST) {
		mf_replay_tcp_end(r, f, "it was reset before its client said anything");
		mf_replay_close_flow(r, f);
		return;
	}
	f->has_server_fin |= !from_client && v->tcp_flags & MF_TCP_FIN;
	if (from_client && v->tcp_flags & MF_TCP_FIN && !f->has_fin) {
		f->has_fin = true;
		f->fin_seq = seq + (uint32_t)payload.len + missing;
	}
	if (f->question && is_at_end(f))
		judge_bytes(r, f, true);
	if (f->has_fin && f->has_server_fin)
		mf_replay_close_flow(r, f);
}

void mf_replay_tcp(struct mf_replay *r, const struct mf_view *v, uint32_t missing)
{
	bool from_client = true, syn = v->tcp_flags & MF_TCP_SYN;
	struct mf_replay_flow *f = mf_replay_find_flow(r, MF_TCP, &v->flow, &from_client);

	if (syn)
		f = take_syn(r, v, f, from_client);
	else if (!f)
		f = begin_old(r, v);
	if (!f)
		return;
	mf_replay_touch(r, f);
	if (f->old)
		return;
	if (syn)
		from_client = !(v->tcp_flags & MF_TCP_ACK);
	r->current = f;
	take_segment(r, v, f, from_client, missing);
	r->current = NULL;
	mf_replay_flow_fate(r, f, from_client);
	mf_replay_voice_fate(r, f, v, from_client);
}
