/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_session.c - what is plain HTTP: health, version, metrics, and sessions
 *
 * A session is a token in a cookie and nothing else: it is made without a store, and good at every gateway with the same secret. Who comes
 * with a good one keeps its "sid" and gets another term.
 */
#include <jansson.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/observe/metrics.h"
#include "proxies/gateway/gateway_int.h"

enum { METRICS_MAX = 4 << 20 };

static const char type_json[] = "application/json; charset=utf-8";

/* Return: false: it was refused */
static bool may_ask(struct mf_gateway *gw, struct mf_http_exchange *x,
		    const struct mf_http_request *req, struct mf_gw_who *who)
{
	mf_gw_who_read(gw, req, who);
	if (who->origin_ok)
		return true;
	mf_gw_refused(gw, req, MF_GW_REFUSED_ORIGIN, 403);
	mf_gw_answer_error(gw, x, NULL, 403, "forbidden", "Origin not allowed");
	return false;
}

static void answer_json(struct mf_gateway *gw, struct mf_http_exchange *x,
			const struct mf_gw_who *who, int status, const char *text)
{
	mf_gw_answer(gw, x, who,
		     &(struct mf_http_answer){
			     .status = status, .type = type_json, .body = mf_span_str(text) });
}

static void on_healthz(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_gw_who who;

	if (may_ask(ctx, x, req, &who))
		answer_json(ctx, x, &who, 200, "{\"ok\":true}");
}

static void on_readyz(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_gateway *gw = ctx;
	struct mf_gw_who who;

	if (may_ask(gw, x, req, &who))
		answer_json(gw, x, &who, gw->stopping ? 503 : 200,
			    gw->stopping ? "{\"ok\":false,\"ready\":false}"
					 : "{\"ok\":true,\"ready\":true}");
}

static void on_version(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_gateway *gw = ctx;
	struct mf_gw_who who;
	json_t *json = json_pack("{s:s, s:s, s:s}", "version", gw->opt.version, "gitSha",
				 gw->opt.git_sha ? gw->opt.git_sha : "dev", "builtAt",
				 gw->opt.built_at ? gw->opt.built_at : "");
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	if (may_ask(gw, x, req, &who))
		answer_json(gw, x, &who, 200, text ? text : "{}");
	json_decref(json);
	free(text);
}

/* --- metrics -------------------------------------------------------------------------------------------------------------- */

static void count(struct mf_metrics *m, const char *family, const char *help, const char *value,
		  uint64_t n)
{
	const struct mf_label l = { "outcome", value };

	mf_counter_add(mf_metrics_counter(m, family, help, value ? &l : NULL, value ? 1 : 0), n);
}

static void gauge(struct mf_metrics *m, const char *name, const char *help, uint64_t n)
{
	mf_gauge_add(mf_metrics_gauge(m, name, help, NULL, 0), (int64_t)n);
}

static void gather(struct mf_gateway *gw, struct mf_metrics *m)
{
	static const char sockets[] = "moonfence_gateway_websockets_total",
			  flows[] = "moonfence_gateway_flows_total",
			  datagrams[] = "moonfence_gateway_datagrams_total";
	char seat[24];
	const struct mf_label thread = { "thread", seat };
	struct mf_gateway_stats s;

	mf_gateway_get_stats(gw, &s);
	count(m, sockets, "WebSockets by what became of their upgrade", "opened", s.sockets);
	count(m, sockets, "", "refused", s.refused);
	for (unsigned i = 0; i < MF_GW_REFUSED_NUM; i++)
		mf_counter_add(mf_metrics_counter(
				       m, "moonfence_gateway_refusals_total",
				       "Requests and upgrades that were refused",
				       &(struct mf_label){ "reason", mf_gw_refusal_name(i) }, 1),
			       s.refusals[i]);
	count(m, flows, "TCP connections that browsers asked for", "asked", s.flows);
	count(m, flows, "", "denied", s.flows_denied);
	count(m, flows, "", "failed", s.flows_failed);
	count(m, datagrams, "Datagrams by what became of them", "sent", s.datagrams_out);
	count(m, datagrams, "", "received", s.datagrams_in);
	count(m, datagrams, "", "denied", s.datagrams_denied);
	count(m, datagrams, "", "malformed", s.datagrams_bad);
	count(m, datagrams, "", "lost", s.datagrams_lost);
	for (unsigned i = 0; i < MF_RELAY_EVENT_CNT; i++) {
		const struct mf_label l = { "event", mf_relay_event_name(i) };

		mf_counter_add(mf_metrics_counter(m, "aero_webrtc_udp_relay_events_total",
						  "What happened in the UDP relay", &l, 1),
			       gw->relay_events[i]);
	}
	count(m, "moonfence_gateway_questions_total", "DNS questions over HTTP", NULL, s.questions);
	count(m, "moonfence_gateway_sessions_total", "Session tokens that were made", NULL,
	      s.sessions);
	count(m, "moonfence_gateway_moved_total",
	      "Connections that went to the first thread, for Ethernet or WebRTC", NULL, s.arrived);
	count(m, "moonfence_gateway_malformed_total", "Packets of Wisp that are none", NULL,
	      s.malformed);
	count(m, "moonfence_gateway_held_total",
	      "How often a WebSocket was not read since its bytes came too fast", NULL, s.held);
	count(m, "moonfence_gateway_cut_total", "WebSockets and sessions ended by a byte quota",
	      NULL, s.cut);
	count(m, "moonfence_gateway_expired_total", "... and when a token's time was over", NULL,
	      s.expired);
	gauge(m, "moonfence_gateway_websockets", "WebSockets that are open", s.sockets_open);
	gauge(m, "moonfence_gateway_flows", "TCP connections that are open", s.flows_open);
	mf_gw_l2_gather(gw, m);
	snprintf(seat, sizeof(seat), "%zu", gw->seat);
	mf_gauge_set(mf_metrics_gauge(m, "moonfence_gateway_thread_websockets",
				      "Those of one thread", &thread, 1),
		     (int64_t)s.sockets_open);
	if (gw->opt.gather)
		gw->opt.gather(gw->opt.gather_ctx, m);
}

/* A page of figures that goes from thread to thread, so that each writes down its own. */
struct page {
	struct mf_metrics *m;
	struct mf_http_exchange *x;
	struct mf_gw_who who;
};

static void on_thread(void *ctx, struct mf_gateway *gw)
{
	struct page *p = ctx;

	gather(gw, p->m);
}

/* @gw is NULL when all ends, and the exchange has nobody any more. */
static void on_page(void *ctx, struct mf_gateway *gw)
{
	struct mf_strbuf text = MF_STRBUF_INIT(METRICS_MAX);
	struct page *p = ctx;

	if (gw)
		gauge(p->m, "moonfence_gateway_members", "Browsers that are known",
		      mf_gw_members_count(gw->members));
	mf_metrics_write(p->m, &text);
	if (!gw || text.failed)
		mf_gw_answer_error(gw, p->x, &p->who, 503, "unavailable", "Out of memory");
	else
		mf_gw_answer(gw, p->x, &p->who,
			     &(struct mf_http_answer){
				     .status = 200,
				     .type = "text/plain; version=0.0.4; charset=utf-8",
				     .body = mf_span_of(text.str, text.len) });
	mf_metrics_free(p->m);
	mf_strbuf_done(&text);
	free(p);
}

static void on_metrics(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_gateway *gw = ctx;
	struct mf_gw_who who;
	struct page *p;

	if (!may_ask(gw, x, req, &who))
		return;
	p = calloc(1, sizeof(*p));
	if (p) {
		p->m = mf_metrics_new(0);
		p->x = x;
		p->who = who;
		if (p->m && mf_gateway_go_round(gw, on_thread, on_page, p) == 0)
			return;
		mf_metrics_free(p->m);
		free(p);
	}
	mf_gw_answer_error(gw, x, &who, 503, "unavailable", "Out of memory");
}

/* --- sessions ------------------------------------------------------------------------------------------------------------- */

/* Nothing, or a JSON object. */
static bool is_good_body(const struct mf_http_request *req)
{
	json_t *json;
	bool good;

	if (req->body.len == 0)
		return true;
	json = json_loadb((const char *)req->body.ptr, req->body.len, 0, NULL);
	good = json_is_object(json);
	json_decref(json);
	return good;
}

static bool make_sid(char sid[33])
{
	uint8_t bytes[16];

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		snprintf(sid + 2 * i, 3, "%02x", bytes[i]);
	return true;
}

static void format_time(int64_t at_s, char *buf, size_t size)
{
	time_t at = (time_t)at_s;
	struct tm tm;

	if (!gmtime_r(&at, &tm) || !strftime(buf, size, "%Y-%m-%dT%H:%M:%S.000Z", &tm))
		buf[0] = '\0';
}

static void answer_session(struct mf_gateway *gw, struct mf_http_exchange *x,
			   const struct mf_http_request *req, const struct mf_gw_who *who,
			   int status, const char *body, int64_t exp_s)
{
	char token[MF_TOKEN_MINT_ROOM], cookie[MF_TOKEN_MINT_ROOM + 128], sid[MF_TOKEN_SID_MAX];
	struct mf_http_field field = { mf_span_str("set-cookie"), { 0 } };

	memcpy(sid, who->sid, sizeof(sid));
	if ((!who->has_cookie && !make_sid(sid)) ||
	    mf_keyring_mint(gw->opt.keys, sid, exp_s, token) < 0) {
		mf_gw_answer_error(gw, x, who, 503, "unavailable", "No session can be made");
		return;
	}
	/* what it has open goes on for as long as the new token does */
	if (who->until_ms) {
		struct mf_gw_member *m = mf_gw_member_get(gw->members, sid);

		if (m)
			mf_gw_expiry_raise(m, exp_s * 1000);
		mf_gw_member_unref(m);
	}
	gw->stats.sessions++;
	snprintf(cookie, sizeof(cookie),
		 "aero_session=%s; Max-Age=%u; Path=/; HttpOnly; SameSite=%s%s", token,
		 gw->opt.session_ttl_s, gw->opt.same_site ? gw->opt.same_site : "Lax",
		 req->secure ? "; Secure" : "");
	field.value = mf_span_str(cookie);
	mf_gw_answer(gw, x, who,
		     &(struct mf_http_answer){ .status = status,
					       .type = type_json,
					       .body = mf_span_str(body),
					       .fields = &field,
					       .field_cnt = 1 });
}

static void on_get_session(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_gateway *gw = ctx;
	struct mf_gw_who who;

	if (may_ask(gw, x, req, &who))
		answer_session(gw, x, req, &who, 200, "{\"ok\":true}",
			       (int64_t)time(NULL) + gw->opt.session_ttl_s);
}

static void on_session(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_gateway *gw = ctx;
	const struct mf_gateway_options *o = &gw->opt;
	int64_t exp_s = (int64_t)time(NULL) + o->session_ttl_s;
	const char *base = o->base_path ? o->base_path : "";
	char body[8192], at[40], l2[300] = "", l2_limits[128] = "", *text;
	struct mf_gw_who who;
	json_t *relay;

	if (!may_ask(gw, x, req, &who))
		return;
	if (gw->stopping) {
		mf_gw_answer_error(gw, x, &who, 503, "unavailable", "Shutting down");
		return;
	}
	if (!is_good_body(req)) {
		mf_gw_answer_error(gw, x, &who, 400, "bad_request",
				   "Request body must be a JSON object");
		return;
	}
	if (!who.has_cookie)
		who.has_cookie = make_sid(who.sid);
	relay = mf_gw_relay_facts(gw, req, who.sid, who.origin);
	text = relay ? json_dumps(relay, JSON_COMPACT) : NULL;
	json_decref(relay);
	format_time(exp_s, at, sizeof(at));
	if (o->frames) {
		snprintf(l2, sizeof(l2), ",\"l2\":\"%s/l2\"", base);
		snprintf(l2_limits, sizeof(l2_limits),
			 ",\"l2\":{\"maxFramePayloadBytes\":%u,\"maxControlPayloadBytes\":%u}",
			 o->l2.frame_max, o->l2.control_max);
	}
	snprintf(body, sizeof(body),
		 "{\"session\":{\"expiresAt\":\"%s\"},"
		 "\"endpoints\":{\"tcp\":\"%s/tcp\",\"tcpMux\":\"%s/tcp-mux\",\"udp\":\"%s/udp\","
		 "\"dnsQuery\":\"%s/dns-query\",\"dnsJson\":\"%s/dns-json\"%s},"
		 "\"limits\":{\"tcp\":{\"maxConnections\":%u,\"maxMessageBytes\":%u,"
		 "\"connectTimeoutMs\":%u,\"idleTimeoutMs\":%u},"
		 "\"dns\":{\"maxQueryBytes\":%u}%s}%s%s}",
		 at, base, base, base, base, base, l2, o->member_flows_max, o->message_max,
		 gw->proxy->opt.dial_timeout_ms, gw->proxy->opt.tcp_idle_ms, o->dns_message_max,
		 l2_limits, text ? ",\"udpRelay\":" : "", text ? text : "");
	free(text);
	answer_session(gw, x, req, &who, 201, body, exp_s);
}

int mf_gw_session_add(struct mf_gateway *gw, struct mf_http_service *http)
{
	static const struct mf_http_route routes[] = {
		{ .method = "GET", .path = "/healthz", .fn = on_healthz },
		{ .method = "GET", .path = "/readyz", .fn = on_readyz },
		{ .method = "GET", .path = "/version", .fn = on_version },
		{ .method = "GET", .path = "/metrics", .fn = on_metrics },
		{ .method = "GET", .path = "/session", .fn = on_get_session },
		{ .method = "POST", .path = "/session", .fn = on_session },
	};

	return mf_http_service_add(http, routes, MF_ARRAY_SIZE(routes), gw);
}
