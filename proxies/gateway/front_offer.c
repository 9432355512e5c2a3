/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_offer.c - what of the UDP relay and WebRTC is plain HTTP: offers, ICE servers, and tokens for the relay
 *
 *	GET /webrtc/ice			{"iceServers":[...]}
 *	POST /webrtc/offer, /offer	an offer, answered in full: for clients without a WebSocket for signalling
 *	POST /udp-relay/token		what a page says to the relay
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxies/gateway/keyring.h"
#include "proxies/gateway/peer.h"
#include "proxies/gateway/signal_json.h"

enum { TOKEN_RATE = 10 };

static const char type_json[] = "application/json; charset=utf-8";

void mf_gw_answer_code(struct mf_gateway *gw, struct mf_http_exchange *x,
		       const struct mf_gw_who *who, int status, const char *code,
		       const char *message)
{
	char text[512];

	snprintf(text, sizeof(text), "{\"code\":\"%s\",\"message\":\"%s\"}", code, message);
	mf_gw_answer(gw, x, who,
		     &(struct mf_http_answer){
			     .status = status, .type = type_json, .body = mf_span_str(text) });
}

/* Who may use the relay. Return: false: it was answered */
static bool may_use(struct mf_gateway *gw, struct mf_http_exchange *x,
		    const struct mf_http_request *req, struct mf_gw_who *who)
{
	mf_gw_who_read(gw, req, who);
	if (!who->origin_ok) {
		mf_gw_refused(gw, req, MF_GW_REFUSED_ORIGIN, 403);
		mf_gw_answer_code(gw, x, NULL, 403, "forbidden", "forbidden");
		return false;
	}
	if (who->known)
		return true;
	gw->relay_events[MF_RELAY_AUTH_FAILURE]++;
	mf_gw_refused(gw, req, MF_GW_REFUSED_CREDENTIALS, 401);
	mf_gw_answer_code(gw, x, who, 401, "unauthorized",
			  who->offered ? "invalid credentials" : "missing credentials");
	return false;
}

static void on_ice(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	static const struct mf_http_field fields[] = {
		{ { (const uint8_t *)"pragma", 6 }, { (const uint8_t *)"no-cache", 8 } },
		{ { (const uint8_t *)"expires", 7 }, { (const uint8_t *)"0", 1 } },
	};
	struct mf_gateway *gw = ctx;
	struct mf_gw_who who;
	char *text;

	if (!may_use(gw, x, req, &who))
		return;
	text = mf_gw_ice_text(gw);
	if (text)
		mf_gw_answer(gw, x, &who,
			     &(struct mf_http_answer){ .status = 200,
						       .type = type_json,
						       .body = mf_span_str(text),
						       .fields = fields,
						       .field_cnt = MF_ARRAY_SIZE(fields) });
	else
		mf_gw_answer_code(gw, x, &who, 503, "internal_error", "out of memory");
	free(text);
}

/* --- offers --------------------------------------------------------------------------------------------------------------- */

/* One, from its request to its answer: to where WebRTC is at home, and back to where its exchange is. */
struct offer {
	struct mf_gateway_task task; /* first */
	size_t from;		     /* its exchange's thread */
	struct mf_http_exchange *x;
	struct mf_gw_who who;
	enum mf_signal_body form;
	struct mf_signal said;
	struct mf_gw_member *member;
	struct mf_endpoint client;
	int res;
	struct mf_err err;
	char *text; /* of a good answer */
};

static void free_offer(struct offer *o)
{
	mf_gw_member_unref(o->member);
	mf_signal_done(&o->said);
	free(o->text);
	free(o);
}

static void finish_offer(struct mf_gateway_task *t, struct mf_gateway *gw)
{
	struct offer *o = (struct offer *)t;

	switch (o->res) {
	case 0:
		mf_gw_answer(gw, o->x, &o->who,
			     &(struct mf_http_answer){ .status = 200,
						       .type = type_json,
						       .body = mf_span_str(o->text) });
		break;
	case MF_E_BAD:
	case MF_E_LIMIT:
	case MF_E_UNSUPPORTED:
		mf_gw_answer_code(gw, o->x, &o->who, 400, "bad_message", o->err.msg);
		break;
	case MF_E_EXIST:
		mf_gw_answer_code(gw, o->x, &o->who, 409, "session_already_active",
				  "session already active");
		break;
	case MF_E_FULL:
		mf_gw_answer_code(gw, o->x, &o->who, 503, "too_many_sessions", "too many sessions");
		break;
	case MF_E_CLOSED:
		mf_gw_answer_code(gw, o->x, &o->who, 503, "too_many_sessions", "shutting down");
		break;
	default:
		mf_gw_answer_code(gw, o->x, &o->who, 500, "internal_error",
				  "no session can be made");
		break;
	}
	free_offer(o);
}

static char *answer_text(enum mf_signal_body form, const struct mf_gw_peer *peer,
			 const struct mf_strbuf *sdp)
{
	json_t *json = form == MF_SIGNAL_BODY_LEGACY
			       ? json_pack("{s:i, s:{s:s, s:s}}", "version", 1, "answer", "type",
					   "answer", "sdp", sdp->str)
			       : json_pack("{s:s, s:{s:s, s:s}}", "sessionId", mf_gw_peer_id(peer),
					   "sdp", "type", "answer", "sdp", sdp->str);
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	return text;
}

static void make_peer(struct offer *o, struct mf_gateway *home)
{
	const struct mf_gw_peer_owner nobody = { 0 };
	struct mf_gw_peer_answer answer = { .sdp = MF_STRBUF_INIT(MF_SDP_ANSWER_MAX) };
	struct mf_gw_peer *peer = NULL;

	if (home->stopping) {
		o->res = MF_E_CLOSED;
		return;
	}
	o->res = mf_gw_peer_new(home, o->member, o->who.by_jwt, &o->client, o->said.sdp, &nobody,
				&answer, &peer, &o->err);
	if (o->res == 0) {
		o->text = answer_text(o->form, peer, &answer.sdp);
		if (!o->text || (o->who.until_ms && mf_gw_peer_expire(peer) < 0)) {
			mf_gw_peer_close(peer);
			o->res = MF_E_NOMEM;
		}
	}
	mf_strbuf_done(&answer.sdp);
}

static void run_offer(struct mf_gateway_task *t, struct mf_gateway *home)
{
	struct offer *o = (struct offer *)t;

	make_peer(o, home);
	t->run = finish_offer;
	/* else its thread has ended, and the exchange has nobody any more */
	if (mf_gateway_post(home->house, o->from, t) < 0)
		finish_offer(t, home);
}

static void take_offer(struct mf_gateway *gw, struct mf_http_exchange *x,
		       const struct mf_http_request *req, enum mf_signal_body form)
{
	struct mf_gw_who who;
	struct offer *o;

	if (!may_use(gw, x, req, &who))
		return;
	if (gw->stopping) {
		mf_gw_answer_code(gw, x, &who, 503, "too_many_sessions", "shutting down");
		return;
	}
	o = calloc(1, sizeof(*o));
	if (!o) {
		mf_gw_answer_code(gw, x, &who, 500, "internal_error", "no session can be made");
		return;
	}
	*o = (struct offer){ .task.run = run_offer,
			     .from = gw->seat,
			     .x = x,
			     .who = who,
			     .form = form,
			     .client = req->peer };
	mf_signal_read_body(req->body, form, &o->said);
	if (o->said.type == MF_SIGNAL_OFFER)
		o->member = mf_gw_who_member(gw, req, &who);
	if (o->said.type != MF_SIGNAL_OFFER)
		o->res = mf_err_set(&o->err, MF_E_BAD, "malformed message");
	else if (!o->member)
		o->res = MF_E_FULL;
	else if (mf_gw_is_home(gw))
		make_peer(o, gw);
	else if (mf_gateway_post(gw->house, 0, &o->task) == 0)
		return;
	else
		o->res = MF_E_CLOSED;
	finish_offer(&o->task, gw);
}

static void on_offer(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	take_offer(ctx, x, req, MF_SIGNAL_BODY_OFFER);
}

static void on_legacy_offer(void *ctx, struct mf_http_exchange *x,
			    const struct mf_http_request *req)
{
	take_offer(ctx, x, req, MF_SIGNAL_BODY_LEGACY);
}

/* --- tokens --------------------------------------------------------------------------------------------------------------- */

/* Where the relay is, as the request came here. Return: false: that cannot be told */
static bool find_base(const struct mf_gateway *gw, const struct mf_http_request *req, char *buf,
		      size_t size)
{
	struct mf_span host = mf_http_find_field(req, "host");
	const char *path = gw->opt.base_path ? gw->opt.base_path : "";

	if (gw->opt.webrtc.told_url)
		return snprintf(buf, size, "%s", gw->opt.webrtc.told_url) < (int)size;
	if (gw->opt.webrtc.base_url)
		return snprintf(buf, size, "%s%s", gw->opt.webrtc.base_url, path) < (int)size;
	for (size_t i = 0; i < host.len; i++)
		if (host.ptr[i] <= ' ' || host.ptr[i] > '~' || strchr("\"\\/?#@<>", host.ptr[i]))
			return false;
	return host.len && snprintf(buf, size, "http%s://%.*s%s", req->secure ? "s" : "",
				    (int)host.len, (const char *)host.ptr, path) < (int)size;
}

static void format_time(int64_t at_s, char buf[40])
{
	time_t at = (time_t)at_s;
	struct tm tm;

	if (!gmtime_r(&at, &tm) || !strftime(buf, 40, "%Y-%m-%dT%H:%M:%S.000Z", &tm))
		buf[0] = '\0';
}

/* A token of @sid's that the relay takes, for some minutes. Return: NULL: it takes none, or none could be made */
static json_t *make_token(const struct mf_gateway *gw, const char *sid, const char *origin)
{
	const struct mf_gateway_options *o = &gw->opt;
	int64_t now_s = (int64_t)time(NULL), exp_s = now_s + o->relay.token_ttl_s;
	const char *aud = o->jwt_audience ? o->jwt_audience : o->relay.token_audience;
	const char *iss = o->jwt_issuer ? o->jwt_issuer : o->relay.token_issuer;
	char at[40], session[MF_TOKEN_MINT_ROOM];
	char *jwt = NULL;
	json_t *json;

	if (o->auth & MF_GW_BY_JWT)
		jwt = mf_keyring_mint_jwt(
			o->keys, &(struct mf_jwt_claims){ .iat_s = now_s,
							  .exp_s = exp_s,
							  .sid = sid,
							  .origin = origin[0] ? origin : NULL,
							  .aud = aud,
							  .iss = iss });
	if (!jwt &&
	    (!(o->auth & MF_GW_BY_SESSION) || mf_keyring_mint(o->keys, sid, exp_s, session) < 0))
		return NULL;
	format_time(exp_s, at);
	json = json_pack("{s:s, s:s, s:s}", "authMode", "jwt", "token", jwt ? jwt : session,
			 "expiresAt", at);
	free(jwt);
	return json;
}

json_t *mf_gw_relay_facts(struct mf_gateway *gw, const struct mf_http_request *req, const char *sid,
			  const char *origin)
{
	json_t *json = make_token(gw, sid, origin);
	char base[512];

	if (!json)
		json = json_pack("{s:s}", "authMode",
				 gw->opt.auth & MF_GW_BY_KEY ? "api_key" : "none");
	if (!json || !find_base(gw, req, base, sizeof(base)) ||
	    json_object_set_new(json, "baseUrl", json_string(base)) < 0 ||
	    json_object_set_new(json, "endpoints",
				gw->opt.webrtc.wanted
					? json_pack("{s:s, s:s, s:s, s:s}", "webrtcSignal",
						    "/webrtc/signal", "webrtcOffer",
						    "/webrtc/offer", "udp", "/udp", "webrtcIce",
						    "/webrtc/ice")
					: json_pack("{s:s}", "udp", "/udp")) < 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static void on_token(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_gateway *gw = ctx;
	struct mf_gw_member *member;
	struct mf_gw_who who;
	json_t *json;
	bool may;
	char *text;

	mf_gw_who_read(gw, req, &who);
	if (!who.origin_ok || !who.origin[0]) {
		mf_gw_refused(gw, req, MF_GW_REFUSED_ORIGIN, 403);
		mf_gw_answer_error(gw, x, NULL, 403, "forbidden",
				   who.origin_ok ? "Origin header required" : "Origin not allowed");
		return;
	}
	member = who.sid[0] && who.known ? mf_gw_who_member(gw, req, &who) : NULL;
	if (!member) {
		mf_gw_refused(gw, req, MF_GW_REFUSED_CREDENTIALS, 401);
		mf_gw_answer_error(gw, x, &who, 401, "unauthorized", "Missing or expired session");
		return;
	}
	may = mf_gw_member_take_token(member, TOKEN_RATE);
	mf_gw_member_unref(member);
	if (!may) {
		mf_gw_refused(gw, req, MF_GW_REFUSED_REQUEST_RATE, 429);
		mf_gw_answer_error(gw, x, &who, 429, "too_many_requests", "Too many requests");
		return;
	}
	json = make_token(gw, who.sid, who.origin);
	if (!json)
		json = json_pack("{s:s}", "authMode",
				 gw->opt.auth & MF_GW_BY_KEY ? "api_key" : "none");
	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	if (text)
		mf_gw_answer(gw, x, &who,
			     &(struct mf_http_answer){
				     .status = 200, .type = type_json, .body = mf_span_str(text) });
	else
		mf_gw_answer_error(gw, x, &who, 503, "unavailable", "No token can be made");
	free(text);
	json_decref(json);
}

int mf_gw_offer_add(struct mf_gateway *gw, struct mf_http_service *http)
{
	static const struct mf_http_route routes[] = {
		{ .method = "POST", .path = "/udp-relay/token", .fn = on_token },
		/* with WebRTC only: */
		{ .method = "GET", .path = "/webrtc/ice", .fn = on_ice },
		{ .method = "POST", .path = "/webrtc/offer", .fn = on_offer },
		{ .method = "POST", .path = "/offer", .fn = on_legacy_offer },
	};

	return mf_http_service_add(http, routes, gw->opt.webrtc.wanted ? MF_ARRAY_SIZE(routes) : 1,
				   gw);
}
