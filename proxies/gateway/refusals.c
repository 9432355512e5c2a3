/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusals.c - what was refused: counted by reason, and told as events
 *
 * Whoever is refused can ask again at once, so events of refusals are bounded, for each address and for all: nobody fills a disk with them, and
 * one address does not keep those of others from being told. The next one that is told says how many were not.
 *
 * What an attacker sends is told only as far as it is one of our words: a path has tokens in it.
 */
#include "proxies/ask.h"
#include "proxies/gateway/gateway_int.h"

enum { BURST = 20, ADDRESS_SHARE = 4 };

const char *mf_gw_refusal_name(enum mf_gateway_refusal why)
{
	static const char *const names[MF_GW_REFUSED_NUM] = {
		[MF_GW_REFUSED_STOPPING] = "stopping",
		[MF_GW_REFUSED_HANDSHAKE] = "handshake",
		[MF_GW_REFUSED_CREDENTIALS] = "credentials",
		[MF_GW_REFUSED_ORIGIN] = "origin",
		[MF_GW_REFUSED_HOST] = "host",
		[MF_GW_REFUSED_CLIENT] = "client_address",
		[MF_GW_REFUSED_REQUEST_RATE] = "request_rate",
		[MF_GW_REFUSED_QUESTION_RATE] = "question_rate",
		[MF_GW_REFUSED_SOCKETS] = "connections",
		[MF_GW_REFUSED_ADDRESS_SOCKETS] = "address_connections",
		[MF_GW_REFUSED_MEMBER_SOCKETS] = "session_connections",
		[MF_GW_REFUSED_MEMBER_FLOWS] = "session_flows",
		[MF_GW_REFUSED_FLOW_RATE] = "flow_rate",
		[MF_GW_REFUSED_BYTE_RATE] = "byte_rate",
		[MF_GW_REFUSED_MEMBER_BYTES] = "session_bytes",
		[MF_GW_REFUSED_ADDRESS_BYTES] = "address_bytes",
		[MF_GW_REFUSED_ALL_BYTES] = "bytes",
	};

	return names[why];
}

/* What was asked for, in a word of ours. */
static const char *name_path(const struct mf_gateway *gw, struct mf_span path)
{
	static const char *const names[] = {
		"tcp",	     "tcp-mux",	 "udp",	    "l2",	 "eth",	  "webrtc",
		"dns-query", "dns-json", "session", "udp-relay", "offer", "websockify",
		"metrics",   "healthz",	 "readyz",  "version",
	};
	struct mf_span raw = mf_span_str(gw->raw_route.path ? gw->raw_route.path : "/raw");
	struct mf_span wisp = mf_span_str(gw->opt.wisp_path);
	const uint8_t *slash;
	size_t len;

	if (mf_span_eq(path, raw))
		return "raw";
	if (wisp.len && path.len >= wisp.len && memcmp(path.ptr, wisp.ptr, wisp.len) == 0)
		return "wisp";
	if (path.len < 2)
		return "other";
	path = mf_span_sub(path, 1, path.len);
	slash = memchr(path.ptr, '/', path.len);
	len = slash ? (size_t)(slash - path.ptr) : path.len;
	for (size_t i = 0; i < MF_ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == len && memcmp(names[i], path.ptr, len) == 0)
			return names[i];
	return "other";
}

static bool may_tell(struct mf_gateway *gw, const struct mf_addr *addr)
{
	uint32_t rate = gw->opt.refusal_events, of_address;

	if (rate == MF_GW_NO_EVENTS)
		return false;
	of_address = rate < ADDRESS_SHARE ? 1 : rate / ADDRESS_SHARE;
	/* a minute's rate: each costs sixty of a second's. What one address has used up costs the others nothing. */
	return mf_gw_address_take(gw->house->addresses, addr, MF_GW_RATE_REFUSALS, of_address,
				  rate < BURST ? rate : BURST / 2) &&
	       mf_pace_take(&gw->house->refusals, rate,
			    UINT64_C(60) * (rate < BURST ? rate : BURST), 60,
			    mf_now_ms() * 1000000);
}

void mf_gw_refused_as(struct mf_gateway *gw, const struct mf_endpoint *client, const char *session,
		      const char *kind, enum mf_gateway_refusal why, int status)
{
	struct mf_event *ev = &gw->proxy->event;
	char text[MF_ENDPOINT_TEXT_MAX];
	uint64_t untold;

	gw->stats.refusals[why]++;
	if (!gw->proxy->session->events)
		return;
	if (!may_tell(gw, &client->addr)) {
		atomic_fetch_add(&gw->house->refusals_untold, 1);
		return;
	}
	untold = atomic_exchange(&gw->house->refusals_untold, 0);
	mf_event_begin(ev, &(struct mf_event_head){
				   .type = MF_EV_GATEWAY_REFUSED,
				   .session_id = session ? session : gw->proxy->session->id,
				   .source = gw->proxy->session->source,
			   });
	mf_event_add_cstr(ev, MF_EVF_KIND, kind);
	mf_event_add_cstr(ev, MF_EVF_CLIENT, mf_endpoint_format(client, text, sizeof(text)));
	mf_event_add_cstr(ev, MF_EVF_REASON, mf_gw_refusal_name(why));
	if (status)
		mf_event_add_int(ev, MF_EVF_CODE, status);
	if (untold)
		mf_event_add_int(ev, MF_EVF_UNTOLD, (int64_t)untold);
	mf_ask_send(gw->proxy, ev);
}

void mf_gw_refused(struct mf_gateway *gw, const struct mf_http_request *req,
		   enum mf_gateway_refusal why, int status)
{
	mf_gw_refused_as(gw, &req->peer, NULL, name_path(gw, req->path), why, status);
}
