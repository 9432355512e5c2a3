/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_signal.c - /webrtc/signal: one WebRTC session a WebSocket, which lives as long as it
 *
 * The browser says who it is, unless its request did; offers; is answered with all of our candidates, and told each once more as a
 * message, for clients that wait for one. Its own candidates are not needed, and taken without a word.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proxies/gateway/peer.h"
#include "proxies/gateway/signal_json.h"

struct signal {
	struct mf_gw_front front; /* first */
	struct mf_gw_peer *peer;
	struct mf_timeout timeout; /* for who he is */
	struct mf_rate rate;
};

static struct signal *of_timeout(struct mf_timeout *t)
{
	return (struct signal *)((char *)t - offsetof(struct signal, timeout));
}

/* An error as a message, then a Close; @s is gone. */
static void fail(struct signal *s, const char *code, const char *message, unsigned close,
		 const char *reason)
{
	char text[256];

	snprintf(text, sizeof(text), "{\"type\":\"error\",\"code\":\"%s\",\"message\":\"%s\"}",
		 code, message);
	(void)mf_ws_send(s->front.ws, true, mf_span_of(NULL, 0), mf_span_str(text));
	mf_gw_front_end(&s->front, close, reason);
}

static void fail_auth(struct signal *s, const char *message, const char *reason)
{
	s->front.gw->relay_events[MF_RELAY_AUTH_FAILURE]++;
	mf_gw_refused_as(s->front.gw, &s->front.client, NULL, "webrtc", MF_GW_REFUSED_CREDENTIALS,
			 1008);
	fail(s, "unauthorized", message, 1008, reason);
}

static void on_peer_ended(void *ctx)
{
	struct signal *s = ctx;

	s->peer = NULL;
	mf_gw_front_end(&s->front, 1000, "session closed");
}

/* --- the offer ------------------------------------------------------------------------------------------------------------ */

static bool send_json(struct signal *s, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	bool sent =
		text && mf_ws_send(s->front.ws, true, mf_span_of(NULL, 0), mf_span_str(text)) == 0;

	free(text);
	json_decref(json);
	return sent;
}

static bool send_answer(struct signal *s, const struct mf_gw_peer_answer *a)
{
	bool sent = send_json(s, json_pack("{s:s, s:{s:s, s:s}}", "type", "answer", "sdp", "type",
					   "answer", "sdp", a->sdp.str));

	for (size_t i = 0; i < a->local.candidate_cnt && sent; i++) {
		struct mf_strbuf line = MF_STRBUF_INIT(512);

		mf_sdp_candidate_write(&a->local, i, &line);
		sent = !line.failed &&
		       send_json(s, json_pack("{s:s, s:{s:s, s:s, s:i}}", "type", "candidate",
					      "candidate", "candidate", line.str, "sdpMid", a->mid,
					      "sdpMLineIndex", (int)a->section));
		mf_strbuf_done(&line);
	}
	return sent;
}

static void on_offer(struct signal *s, struct mf_span sdp)
{
	const struct mf_gw_peer_owner owner = { .ended = on_peer_ended, .ctx = s };
	struct mf_gw_peer_answer answer = { .sdp = MF_STRBUF_INIT(MF_SDP_ANSWER_MAX) };
	struct mf_gw_front *f = &s->front;
	struct mf_err err = { 0 };
	bool sent;

	switch (mf_gw_peer_new(f->gw, f->member, f->by_jwt, &f->client, sdp, &owner, &answer,
			       &s->peer, &err)) {
	case 0:
		sent = send_answer(s, &answer);
		if (!sent)
			fail(s, "internal_error", "out of memory", 1011, "internal error");
		break;
	case MF_E_BAD:
	case MF_E_LIMIT:
	case MF_E_UNSUPPORTED:
		fail(s, "bad_message", err.msg, 1008, "bad message");
		break;
	case MF_E_EXIST:
		fail(s, "session_already_active", "session already active", 1008,
		     "session_already_active");
		break;
	case MF_E_FULL:
		fail(s, "too_many_sessions", "too many sessions", 1008, "too_many_sessions");
		break;
	default:
		fail(s, "internal_error", "no session can be made", 1011, "internal error");
		break;
	}
	mf_strbuf_done(&answer.sdp);
}

/* --- messages ------------------------------------------------------------------------------------------------------------- */

static void on_stranger(struct signal *s, const struct mf_signal *m)
{
	if (m->type == MF_SIGNAL_BAD) {
		fail(s, "bad_message", "malformed message", 1008, "bad message");
	} else if (m->type != MF_SIGNAL_AUTH) {
		fail_auth(s, "authentication required", "authentication required");
	} else if (m->auth == MF_SIGNAL_AUTH_DIFFERS) {
		fail(s, "bad_message", "token and apiKey differ", 1008, "bad message");
	} else if (m->auth != MF_SIGNAL_AUTH_GOOD ||
		   mf_gw_front_authenticate(&s->front, m->credential) < 0) {
		fail_auth(s,
			  m->auth == MF_SIGNAL_AUTH_GOOD ? "invalid credentials"
							 : "missing credentials",
			  "unauthorized");
	} else {
		mf_timeout_disarm(&s->timeout);
	}
}

static void on_known(struct signal *s, const struct mf_signal *m)
{
	bool unexpected = false;

	switch (m->type) {
	case MF_SIGNAL_BAD:
		fail(s, "bad_message", "malformed message", 1008, "bad message");
		return;
	case MF_SIGNAL_AUTH:
		unexpected = s->peer;
		break;
	case MF_SIGNAL_OFFER:
		unexpected = s->peer;
		if (!unexpected)
			on_offer(s, m->sdp);
		break;
	case MF_SIGNAL_CANDIDATE:
		unexpected = !s->peer;
		if (!unexpected)
			mf_gw_peer_candidate(s->peer, m->candidate);
		break;
	case MF_SIGNAL_CLOSE:
		mf_gw_front_end(&s->front, 1000, "");
		return;
	}
	if (unexpected)
		fail(s, "unexpected_message", "not now", 1008, "unexpected message");
}

static void on_message(struct mf_gw_front *front, bool text, struct mf_span bytes)
{
	struct signal *s = (struct signal *)front;
	struct mf_signal m;

	if (!mf_rate_take(&s->rate, front->gw->opt.webrtc.signal_rate, 1, mf_now_ms())) {
		front->gw->relay_events[MF_RELAY_RATE_LIMITED]++;
		fail(s, "rate_limited", "too many messages", 1008, "rate limit exceeded");
		return;
	}
	if (!text) {
		fail(s, "bad_message", "expected text message", 1003, "expected text message");
		return;
	}
	mf_signal_read(bytes, &m);
	if (front->known)
		on_known(s, &m);
	else
		on_stranger(s, &m);
	mf_signal_done(&m);
}

static void on_open(struct mf_gw_front *f)
{
	struct signal *s = (struct signal *)f;

	if (f->known)
		return;
	if (f->offered)
		fail_auth(s, "invalid credentials", "unauthorized");
	else
		mf_timeout_arm(&s->timeout, &f->gw->signal_auth);
}

static void on_auth_timeout(struct mf_timeout *t, void *ctx)
{
	struct mf_gateway *gw = ctx;

	gw->relay_events[MF_RELAY_AUTH_FAILURE]++;
	mf_gw_front_end(&of_timeout(t)->front, 1008, "authentication timeout");
}

static void on_done(struct mf_gw_front *f)
{
	struct signal *s = (struct signal *)f;

	mf_timeout_disarm(&s->timeout);
	mf_gw_peer_close(s->peer);
	s->peer = NULL;
}

static const struct mf_gw_front_kind kind = {
	.name = "webrtc",
	.late = true,
	.open = on_open,
	.message = on_message,
	.done = on_done,
};

static void on_signal(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_gateway *gw = ctx;
	struct signal *s;
	struct mf_gw_who who;

	if (!mf_http_find_field(req, "upgrade").len && !req->http2) {
		mf_gw_who_read(gw, req, &who);
		mf_gw_answer_code(gw, x, &who, 400, "bad_message", "websocket upgrade required");
		return;
	}
	s = mf_gw_front_begin(gw, x, req, &kind, NULL, sizeof(*s));
	if (!s)
		return;
	s->front.message_max = gw->opt.webrtc.signal_max;
	mf_gw_front_accept(&s->front);
}

int mf_gw_signal_add(struct mf_gateway *gw, struct mf_http_service *http)
{
	static const struct mf_http_route routes[] = {
		{ .method = "GET", .path = "/webrtc/signal", .fn = on_signal },
	};

	mf_timeout_queue_init(&gw->signal_auth, gw->timeouts, gw->opt.relay.auth_ms,
			      on_auth_timeout, gw);
	return mf_http_service_add(http, routes, MF_ARRAY_SIZE(routes), gw);
}
