/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_udp.c - /udp: a guest's datagrams, one a message (udp_relay.h)
 *
 * Who has not said who he is in his request may say so in his first message: a page cannot set fields of a WebSocket's. Then "ready" is
 * told, before which no client sends. Of a JWT's "sid" one session lives at a time, whatever it came by.
 */
#include "proxies/gateway/gateway_int.h"
#include "proxies/gateway/signal_json.h"
#include "proxies/gateway/udp_relay.h"

enum { TEXT_MAX = 65536 };

struct udp_front {
	struct mf_gw_front front; /* first */
	struct mf_udp_relay relay;
	struct mf_gw_relay_session session;
	struct mf_timeout timeout; /* for the first message */
	bool ready;
};

static struct udp_front *of_timeout(struct mf_timeout *t)
{
	return (struct udp_front *)((char *)t - offsetof(struct udp_front, timeout));
}

static void fail(struct udp_front *u, unsigned close, const char *code, const char *message)
{
	char text[160];

	snprintf(text, sizeof(text), "{\"type\":\"error\",\"code\":\"%s\",\"message\":\"%s\"}",
		 code, message);
	(void)mf_ws_send(u->front.ws, true, mf_span_of(NULL, 0), mf_span_str(text));
	mf_gw_front_end(&u->front, close, message);
}

static void fail_auth(struct udp_front *u, unsigned close, const char *code, const char *message)
{
	u->front.gw->relay_events[MF_RELAY_AUTH_FAILURE]++;
	mf_gw_refused_as(u->front.gw, &u->front.client, NULL, "udp", MF_GW_REFUSED_CREDENTIALS,
			 (int)close);
	fail(u, close, code, message);
}

/* --- towards the browser -------------------------------------------------------------------------------------------------- */

static int send_frame(void *ctx, struct mf_span head, struct mf_span payload)
{
	struct udp_front *u = ctx;

	return mf_ws_send(u->front.ws, false, head, payload);
}

static size_t waiting(void *ctx)
{
	struct udp_front *u = ctx;

	return mf_ws_waiting(u->front.ws);
}

static const struct mf_udp_relay_sink sink = { .send = send_frame, .waiting = waiting };

static void get_ready(struct udp_front *u)
{
	struct mf_gw_front *f = &u->front;
	char text[80];

	switch (mf_gw_relay_session_begin(f->gw, f->member, f->by_jwt, &u->session)) {
	case 0:
		break;
	case MF_E_EXIST:
		fail(u, 1013, "session_already_active", "session already active");
		return;
	case MF_E_FULL:
		fail(u, 1013, "too_many_sessions", "too many sessions");
		return;
	default:
		fail(u, 1011, "internal_error", "failed to allocate session");
		return;
	}
	u->ready = true;
	mf_udp_relay_begin(&u->relay, f->gw, f->member, f->address, &f->client, MF_RELAY_WS, &sink,
			   u);
	snprintf(text, sizeof(text), "{\"type\":\"ready\",\"sessionId\":\"%s\"}", u->session.id);
	if (mf_ws_send(f->ws, true, mf_span_of(NULL, 0), mf_span_str(text)) < 0)
		mf_gw_front_end(f, 1011, "");
}

/* --- what the guest says -------------------------------------------------------------------------------------------------- */

/* Return: what to say against it, NULL: he is known now */
static const char *check_auth(struct udp_front *u, bool text, struct mf_span bytes,
			      unsigned *ret_close, const char **ret_code)
{
	const char *why = NULL;
	struct mf_signal s;

	*ret_close = 1008;
	*ret_code = "unauthorized";
	mf_signal_read_auth(text ? bytes : mf_span_of(NULL, 0), &s);
	if (s.type != MF_SIGNAL_AUTH)
		why = "authentication required";
	else if (s.auth == MF_SIGNAL_AUTH_MISSING)
		why = "missing credentials";
	else if (s.auth == MF_SIGNAL_AUTH_GOOD)
		why = mf_gw_front_authenticate(&u->front, s.credential) < 0 ? "invalid credentials"
									    : NULL;
	else {
		why = "invalid auth message";
		*ret_code = "bad_message";
		if (s.auth == MF_SIGNAL_AUTH_FIELDS)
			*ret_close = 1003;
	}
	mf_signal_done(&s);
	return why;
}

static void on_first(struct udp_front *u, bool text, struct mf_span bytes)
{
	const char *code, *why;
	unsigned close;

	mf_timeout_disarm(&u->timeout);
	why = check_auth(u, text, bytes, &close, &code);
	if (why)
		fail_auth(u, close, code, why);
	else
		get_ready(u);
}

static void on_text(struct udp_front *u, struct mf_span bytes)
{
	struct mf_signal s;

	/* clients that have a token say it here as well, also where it was in the URL */
	mf_signal_read_auth(bytes, &s);
	if (s.type != MF_SIGNAL_AUTH)
		fail(u, 1003, "bad_message", "expected binary message");
	else if (s.auth == MF_SIGNAL_AUTH_GOOD)
		mf_gw_front_renew(&u->front, s.credential);
	mf_signal_done(&s);
}

static void on_message(struct mf_gw_front *front, bool text, struct mf_span bytes)
{
	struct udp_front *u = (struct udp_front *)front;

	if (!u->ready) {
		on_first(u, text, bytes);
	} else if (text) {
		on_text(u, bytes);
	} else {
		switch (mf_udp_relay_take(&u->relay, bytes)) {
		case MF_E_LIMIT:
			mf_gw_front_end(front, 1009, "");
			break;
		case MF_E_FULL:
			mf_gw_front_end(front, 1008, "session closed");
			break;
		case MF_E_PERM:
			mf_gw_front_end(front, 1008, "byte quota exceeded");
			break;
		}
	}
}

static void on_open(struct mf_gw_front *f)
{
	struct udp_front *u = (struct udp_front *)f;

	f->gw->relay_events[MF_RELAY_WS_CONNECTIONS]++;
	if (f->known)
		get_ready(u);
	else if (f->offered)
		fail_auth(u, 1008, "unauthorized", "invalid credentials");
	else
		mf_timeout_arm(&u->timeout, &f->gw->udp_auth);
}

static void on_auth_timeout(struct mf_timeout *t, void *ctx)
{
	(void)ctx;
	fail_auth(of_timeout(t), 1008, "unauthorized", "authentication timeout");
}

static void on_done(struct mf_gw_front *f)
{
	struct udp_front *u = (struct udp_front *)f;

	mf_timeout_disarm(&u->timeout);
	if (u->ready) {
		mf_udp_relay_end(&u->relay);
		mf_gw_relay_session_end(f->gw, &u->session);
	}
}

static const struct mf_gw_front_kind kind = {
	.name = "udp",
	.datagrams = true,
	.late = true,
	.open = on_open,
	.message = on_message,
	.done = on_done,
};

static void on_udp(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct udp_front *u = mf_gw_front_begin(ctx, x, req, &kind, NULL, sizeof(*u));

	if (!u)
		return;
	u->front.message_max = TEXT_MAX;
	mf_gw_front_accept(&u->front);
}

int mf_gw_udp_add(struct mf_gateway *gw, struct mf_http_service *http)
{
	static const struct mf_http_route routes[] = {
		{ .method = "GET", .path = "/udp", .fn = on_udp },
	};

	mf_udp_ports_init(gw);
	mf_timeout_queue_init(&gw->udp_auth, gw->timeouts, gw->opt.relay.auth_ms, on_auth_timeout,
			      gw);
	return mf_http_service_add(http, routes, MF_ARRAY_SIZE(routes), gw);
}
