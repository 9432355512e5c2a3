/* SPDX-License-Identifier: Apache-2.0 */
/* udp_relay.c - see udp_relay.h */
#include "proxies/gateway/udp_relay.h"

#include "proxies/gateway/gateway_int.h"
#include "proxies/gateway/udp_frame.h"

static void count(struct mf_udp_relay *r, enum mf_relay_way_event e)
{
	uint64_t *events = r->ports.gw->relay_events + r->way;

	events[e]++;
	if (e > MF_RELAY_DROPPED)
		events[MF_RELAY_DROPPED]++;
}

static struct mf_gw_party party_of(const struct mf_udp_relay *r)
{
	return (struct mf_gw_party){ r->ports.member, r->address };
}

static void on_datagram(void *ctx, uint32_t guest_port, const struct mf_endpoint *from,
			struct mf_span payload)
{
	struct mf_udp_relay *r = ctx;
	struct mf_gateway *gw = r->ports.gw;
	struct mf_udp_frame f = { .guest_port = (uint16_t)guest_port, .remote = *from };
	uint8_t head[MF_UDP_FRAME_HEAD_MAX];
	size_t len;

	/* who has never sent version 2 may not know it; version 1 cannot carry IPv6, nor the port that is version 2's mark */
	f.version = from->addr.family == 6 || guest_port == 0xa202 ||
				    (gw->opt.relay.prefer_v2 && r->has_sent_2)
			    ? 2
			    : 1;
	len = mf_udp_frame_head(&f, head);
	if (!mf_rate_take(&r->bytes, gw->opt.relay.client_bps_max, len + payload.len,
			  mf_now_ms()) ||
	    mf_gw_take_bytes(gw, party_of(r), len + payload.len) != MF_GW_GO) {
		count(r, MF_RELAY_DROPPED_RATE_LIMITED);
		return;
	}
	if (r->sink->waiting(r->ctx) >= gw->opt.buffer_max ||
	    r->sink->send(r->ctx, mf_span_of(head, len), payload) < 0) {
		count(r, MF_RELAY_DROPPED_BACKPRESSURE);
		return;
	}
	gw->stats.datagrams_in++;
	count(r, MF_RELAY_OUT);
}

static const struct mf_udp_sink sink = { .datagram = on_datagram };

void mf_udp_relay_begin(struct mf_udp_relay *r, struct mf_gateway *gw, struct mf_gw_member *member,
			struct mf_gw_address *address, const struct mf_endpoint *client,
			enum mf_relay_event way, const struct mf_udp_relay_sink *to, void *ctx)
{
	r->ports.gw = gw;
	r->ports.member = member;
	r->ports.client = *client;
	r->ports.sink = &sink;
	r->ports.ctx = r;
	r->address = address;
	r->sink = to;
	r->ctx = ctx;
	r->way = way;
}

static int take(struct mf_udp_relay *r, const struct mf_udp_frame *f)
{
	struct mf_gateway *gw = r->ports.gw;

	switch (mf_udp_ports_send(&r->ports, f->guest_port, &f->remote, f->payload)) {
	case MF_UDP_SENT:
		gw->stats.datagrams_out++;
		return 0;
	case MF_UDP_LOST:
		count(r, MF_RELAY_DROPPED);
		return 0;
	case MF_UDP_DENIED:
		gw->stats.datagrams_denied++;
		count(r, MF_RELAY_DROPPED_DENIED);
		return 0;
	case MF_UDP_TOO_FAST:
		gw->relay_events[MF_RELAY_RATE_LIMITED]++;
		count(r, MF_RELAY_DROPPED_RATE_LIMITED);
		break;
	case MF_UDP_TOO_MANY:
		gw->relay_events[MF_RELAY_TOO_MANY_DESTINATIONS]++;
		gw->relay_events[MF_RELAY_QUOTA_EXCEEDED]++;
		count(r, MF_RELAY_DROPPED_QUOTA_EXCEEDED);
		break;
	}
	if (!mf_udp_ports_is_over(&r->ports))
		return 0;
	gw->relay_events[MF_RELAY_HARD_CLOSED]++;
	return MF_E_FULL;
}

int mf_udp_relay_take(struct mf_udp_relay *r, struct mf_span frame)
{
	struct mf_gateway *gw = r->ports.gw;
	struct mf_udp_frame f;
	int res;

	if (frame.len > gw->opt.udp_payload_max + MF_UDP_FRAME_HEAD_MAX) {
		gw->stats.datagrams_bad++;
		count(r, MF_RELAY_DROPPED_OVERSIZED);
		return MF_E_LIMIT;
	}
	count(r, MF_RELAY_IN);
	switch (mf_gw_take_bytes(gw, party_of(r), frame.len)) {
	case MF_GW_OVER:
		gw->stats.cut++;
		gw->relay_events[MF_RELAY_QUOTA_EXCEEDED]++;
		count(r, MF_RELAY_DROPPED_QUOTA_EXCEEDED);
		return MF_E_PERM;
	case MF_GW_WAIT:
		gw->relay_events[MF_RELAY_RATE_LIMITED]++;
		count(r, MF_RELAY_DROPPED_RATE_LIMITED);
		return 0;
	case MF_GW_GO:
		break;
	}
	res = mf_udp_frame_read(frame, gw->opt.udp_payload_max, &f);
	if (res < 0) {
		gw->stats.datagrams_bad++;
		count(r,
		      res == MF_E_LIMIT ? MF_RELAY_DROPPED_OVERSIZED : MF_RELAY_DROPPED_MALFORMED);
		return 0;
	}
	r->has_sent_2 |= f.version == 2;
	return take(r, &f);
}

void mf_udp_relay_end(struct mf_udp_relay *r)
{
	mf_udp_ports_free(&r->ports);
}

const char *mf_relay_event_name(enum mf_relay_event e)
{
	static const char *const names[MF_RELAY_EVENT_CNT] = {
		[MF_RELAY_WS + MF_RELAY_IN] = "udp_ws_datagrams_in",
		[MF_RELAY_WS + MF_RELAY_OUT] = "udp_ws_datagrams_out",
		[MF_RELAY_WS + MF_RELAY_DROPPED] = "udp_ws_dropped",
		[MF_RELAY_WS + MF_RELAY_DROPPED_BACKPRESSURE] = "udp_ws_dropped_backpressure",
		[MF_RELAY_WS + MF_RELAY_DROPPED_MALFORMED] = "udp_ws_dropped_malformed",
		[MF_RELAY_WS + MF_RELAY_DROPPED_OVERSIZED] = "udp_ws_dropped_oversized",
		[MF_RELAY_WS + MF_RELAY_DROPPED_RATE_LIMITED] = "udp_ws_dropped_rate_limited",
		[MF_RELAY_WS + MF_RELAY_DROPPED_QUOTA_EXCEEDED] = "udp_ws_dropped_quota_exceeded",
		[MF_RELAY_WS + MF_RELAY_DROPPED_DENIED] = "udp_ws_dropped_denied_by_policy",
		[MF_RELAY_RTC + MF_RELAY_IN] = "webrtc_udp_datagrams_in",
		[MF_RELAY_RTC + MF_RELAY_OUT] = "webrtc_udp_datagrams_out",
		[MF_RELAY_RTC + MF_RELAY_DROPPED] = "webrtc_udp_dropped",
		[MF_RELAY_RTC + MF_RELAY_DROPPED_BACKPRESSURE] = "webrtc_udp_dropped_backpressure",
		[MF_RELAY_RTC + MF_RELAY_DROPPED_MALFORMED] = "webrtc_udp_dropped_malformed",
		[MF_RELAY_RTC + MF_RELAY_DROPPED_OVERSIZED] = "webrtc_udp_dropped_oversized",
		[MF_RELAY_RTC + MF_RELAY_DROPPED_RATE_LIMITED] = "webrtc_udp_dropped_rate_limited",
		[MF_RELAY_RTC + MF_RELAY_DROPPED_QUOTA_EXCEEDED] =
			"webrtc_udp_dropped_quota_exceeded",
		[MF_RELAY_RTC + MF_RELAY_DROPPED_DENIED] = "webrtc_udp_dropped_denied_by_policy",
		[MF_RELAY_TOO_MANY_BINDINGS] = "webrtc_udp_dropped_too_many_bindings",
		[MF_RELAY_WS_CONNECTIONS] = "udp_ws_connections",
		[MF_RELAY_RATE_LIMITED] = "rate_limited",
		[MF_RELAY_QUOTA_EXCEEDED] = "quota_exceeded",
		[MF_RELAY_TOO_MANY_SESSIONS] = "too_many_sessions",
		[MF_RELAY_TOO_MANY_DESTINATIONS] = "too_many_destinations",
		[MF_RELAY_AUTH_FAILURE] = "auth_failure",
		[MF_RELAY_HARD_CLOSED] = "session_hard_closed",
		[MF_RELAY_CONNECT_TIMEOUT] = "webrtc_session_connect_timeout",
		[MF_RELAY_GATHERING_TIMEOUT] = "ice_gathering_timeout",
		[MF_RELAY_REJECTED_UNKNOWN_LABEL] = "webrtc_datachannel_rejected_unknown_label",
		[MF_RELAY_REJECTED_SECOND_UDP] = "webrtc_datachannel_rejected_duplicate_udp",
		[MF_RELAY_REJECTED_SECOND_L2] = "webrtc_datachannel_rejected_duplicate_l2",
		[MF_RELAY_UDP_TOO_LARGE] = "webrtc_datachannel_udp_message_too_large",
		[MF_RELAY_L2_TOO_LARGE] = "webrtc_datachannel_l2_message_too_large",
		[MF_RELAY_L2_DIALS] = "l2_bridge_dials_total",
		[MF_RELAY_L2_DIAL_ERRORS] = "l2_bridge_dial_errors_total",
		[MF_RELAY_L2_MESSAGES_IN] = "l2_bridge_messages_from_client_total",
		[MF_RELAY_L2_MESSAGES_OUT] = "l2_bridge_messages_to_client_total",
		[MF_RELAY_L2_BYTES_IN] = "l2_bridge_bytes_from_client_total",
		[MF_RELAY_L2_BYTES_OUT] = "l2_bridge_bytes_to_client_total",
		[MF_RELAY_L2_OVERSIZED] = "l2_bridge_dropped_oversized_total",
		[MF_RELAY_L2_RATE_LIMITED] = "l2_bridge_dropped_rate_limited_total",
		[MF_RELAY_REMOTE_EVICTIONS] = "udp_remote_allowlist_evictions_total",
		[MF_RELAY_REMOTE_DROPS] = "udp_remote_allowlist_overflow_drops_total",
		[MF_RELAY_BUCKET_EVICTIONS] = "udp_per_dest_bucket_evictions",
	};

	return names[e];
}
