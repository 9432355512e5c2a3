/* SPDX-License-Identifier: Apache-2.0 */
/* peer.c - see peer.h */
#include "proxies/gateway/peer.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/hash.h"
#include "proxies/gateway/udp_frame.h"
#include "proxies/gateway/udp_relay.h"

enum {
	L2_MESSAGE_MAX = 4096,
	L2_FRAME = 0, /* type of a tunnel's message, its third byte */
	MESSAGE_MORE =
		256, /* what a message of the browser's may be longer than the longest that is good for something */
	PAYLOAD_MAX = 65507,
};

struct mf_gw_peer {
	struct mf_gateway *gw;
	struct mf_gw_peer *prev, *next;
	struct mf_gw_member *member;
	struct mf_gw_address *address; /* NULL: no room for one more */
	struct mf_gw_relay_session session;
	struct mf_gw_peer_owner owner;
	struct mf_endpoint client;
	struct mf_gw_expiry expiry;
	struct mf_rtc_session *rtc;
	struct mf_rtc_channel *udp, *l2;
	struct mf_udp_relay relay;    /* of udp */
	struct mf_gateway_wire *wire; /* of l2; NULL: not (yet) */
};

static void count(struct mf_gw_peer *p, enum mf_relay_event e)
{
	p->gw->relay_events[e]++;
}

static struct mf_gw_party party_of(const struct mf_gw_peer *p)
{
	return (struct mf_gw_party){ p->member, p->address };
}

/* It has ended by itself, or we end it: who owns it hears of it. */
static void end(struct mf_gw_peer *p)
{
	struct mf_gw_peer_owner owner = p->owner;

	mf_gw_peer_close(p);
	if (owner.ended)
		owner.ended(owner.ctx);
}

/* --- the channel udp ------------------------------------------------------------------------------------------------------ */

static int send_frame(void *ctx, struct mf_span head, struct mf_span payload)
{
	uint8_t frame[MF_UDP_FRAME_HEAD_MAX + PAYLOAD_MAX];
	struct mf_gw_peer *p = ctx;

	if (payload.len > PAYLOAD_MAX)
		return MF_E_LIMIT;
	memcpy(frame, head.ptr, head.len);
	if (payload.len)
		memcpy(frame + head.len, payload.ptr, payload.len);
	return mf_rtc_send(p->udp, false, mf_span_of(frame, head.len + payload.len));
}

static size_t waiting(void *ctx)
{
	struct mf_gw_peer *p = ctx;

	return mf_rtc_waiting(p->udp);
}

static const struct mf_udp_relay_sink sink = { .send = send_frame, .waiting = waiting };

static bool open_udp(struct mf_gw_peer *p, struct mf_rtc_channel *c,
		     const struct mf_rtc_channel_info *info)
{
	if (p->udp) {
		count(p, MF_RELAY_REJECTED_SECOND_UDP);
		return false;
	}
	if (info->ordered || info->max_retransmits != 0 || info->max_life_ms >= 0)
		return false;
	p->udp = c;
	p->relay = (struct mf_udp_relay){ 0 };
	mf_udp_relay_begin(&p->relay, p->gw, p->member, p->address, &p->client, MF_RELAY_RTC, &sink,
			   p);
	return true;
}

static void close_udp(struct mf_gw_peer *p)
{
	if (p->udp)
		mf_udp_relay_end(&p->relay);
	p->udp = NULL;
}

/* --- the channel l2 ------------------------------------------------------------------------------------------------------- */

static int send_l2(void *ctx, const struct mf_span *parts, unsigned cnt)
{
	struct mf_gw_peer *p = ctx;
	struct mf_gateway_l2_stats *stats = &p->gw->stats.l2;
	uint8_t message[L2_MESSAGE_MAX];
	size_t len = 0;
	int res;

	for (unsigned i = 0; i < cnt; i++) {
		if (parts[i].len > sizeof(message) - len) {
			count(p, MF_RELAY_L2_OVERSIZED);
			return MF_E_AGAIN;
		}
		if (parts[i].len)
			memcpy(message + len, parts[i].ptr, parts[i].len);
		len += parts[i].len;
	}
	if (!p->l2)
		return MF_E_CLOSED;
	/* as on any wire that is too slow; what keeps the tunnel alive passes */
	if (len > 2 && message[2] == L2_FRAME &&
	    mf_gw_take_bytes(p->gw, party_of(p), len) != MF_GW_GO) {
		stats->messages_lost++;
		return 0;
	}
	res = mf_rtc_send(p->l2, false, mf_span_of(message, len));
	if (res == MF_E_FULL || res == MF_E_LIMIT) {
		stats->messages_lost++;
		return MF_E_AGAIN;
	}
	if (res < 0)
		return MF_E_CLOSED;
	stats->messages_out++;
	stats->bytes_out += len;
	count(p, MF_RELAY_L2_MESSAGES_OUT);
	p->gw->relay_events[MF_RELAY_L2_BYTES_OUT] += len;
	return 0;
}

static void close_l2(struct mf_gw_peer *p)
{
	if (!p->l2)
		return;
	p->l2 = NULL;
	p->member->wires--;
	p->gw->stats.l2.wires_open--;
	if (p->wire)
		p->gw->opt.frames->close(p->wire);
	p->wire = NULL;
}

/* The network ends it, from the loop. */
static void on_wire_ended(void *ctx, unsigned status, const char *reason)
{
	struct mf_gw_peer *p = ctx;
	struct mf_rtc_channel *c = p->l2;

	(void)status;
	(void)reason;
	close_l2(p);
	if (c)
		mf_rtc_channel_close(c);
}

static const struct mf_gateway_sink l2_sink = { .send = send_l2, .ended = on_wire_ended };

static bool open_l2(struct mf_gw_peer *p, struct mf_rtc_channel *c,
		    const struct mf_rtc_channel_info *info)
{
	const struct mf_gateway_frames *frames = p->gw->opt.frames;
	const struct mf_gateway_l2_options *o = &p->gw->opt.l2;
	struct mf_gateway_l2_stats *stats = &p->gw->stats.l2;
	const struct mf_gateway_wire_facts facts = { .kind = MF_GATEWAY_TUNNEL,
						     .member = p->member,
						     .client = p->client };

	if (p->l2) {
		count(p, MF_RELAY_REJECTED_SECOND_L2);
		return false;
	}
	if (!frames || !info->ordered || info->max_retransmits >= 0 || info->max_life_ms >= 0)
		return false;
	count(p, MF_RELAY_L2_DIALS);
	if (stats->wires_open >= o->wires_max ||
	    (o->member_max && p->member->wires >= o->member_max)) {
		stats->refused++;
		count(p, MF_RELAY_L2_DIAL_ERRORS);
		return false;
	}
	p->l2 = c;
	p->member->wires++;
	stats->wires_open++;
	if (frames->open(frames->ctx, &facts, &l2_sink, p, &p->wire) < 0) {
		p->wire = NULL;
		close_l2(p);
		count(p, MF_RELAY_L2_DIAL_ERRORS);
		return false;
	}
	stats->wires++;
	return true;
}

static void take_l2(struct mf_gw_peer *p, struct mf_span data)
{
	struct mf_rtc_channel *c = p->l2;

	if (data.len > L2_MESSAGE_MAX) {
		count(p, MF_RELAY_L2_TOO_LARGE);
		count(p, MF_RELAY_L2_OVERSIZED);
		close_l2(p);
		mf_rtc_channel_close(c);
		return;
	}
	switch (mf_gw_take_bytes(p->gw, party_of(p), data.len)) {
	case MF_GW_OVER:
		p->gw->stats.cut++;
		end(p);
		return;
	case MF_GW_WAIT: /* what keeps the tunnel alive passes */
		if (data.len > 2 && data.ptr[2] != L2_FRAME)
			break;
		count(p, MF_RELAY_L2_RATE_LIMITED);
		return;
	case MF_GW_GO:
		break;
	}
	p->gw->stats.l2.messages_in++;
	p->gw->stats.l2.bytes_in += data.len;
	count(p, MF_RELAY_L2_MESSAGES_IN);
	p->gw->relay_events[MF_RELAY_L2_BYTES_IN] += data.len;
	p->gw->opt.frames->message(p->wire, false, data);
}

/* --- life ----------------------------------------------------------------------------------------------------------------- */

static void free_peer(struct mf_gw_peer *p)
{
	struct mf_gateway *gw = p->gw;

	close_udp(p);
	close_l2(p);
	mf_gw_expiry_stop(&p->expiry);
	mf_gw_relay_session_end(gw, &p->session);
	*(p->prev ? &p->prev->next : &gw->peers) = p->next;
	if (p->next)
		p->next->prev = p->prev;
	mf_gw_address_unref(gw->house->addresses, p->address);
	mf_gw_member_unref(p->member);
	free(p);
}

void mf_gw_peer_close(struct mf_gw_peer *p)
{
	if (!p)
		return;
	if (p->rtc)
		mf_rtc_session_close(p->rtc);
	free_peer(p);
}

static bool on_channel(void *ctx, struct mf_rtc_channel *c, const struct mf_rtc_channel_info *info)
{
	struct mf_gw_peer *p = ctx;

	if (mf_span_eq(info->label, mf_span_str("udp")))
		return open_udp(p, c, info);
	if (mf_span_eq(info->label, mf_span_str("l2")))
		return open_l2(p, c, info);
	count(p, MF_RELAY_REJECTED_UNKNOWN_LABEL);
	return false;
}

static void on_message(void *ctx, struct mf_rtc_channel *c, bool text, struct mf_span data)
{
	struct mf_gw_peer *p = ctx;

	if (!text && c == p->l2)
		take_l2(p, data);
	if (text || c != p->udp)
		return;
	switch (mf_udp_relay_take(&p->relay, data)) {
	case MF_E_LIMIT:
		count(p, MF_RELAY_UDP_TOO_LARGE);
		close_udp(p);
		mf_rtc_channel_close(c);
		break;
	case MF_E_FULL:
	case MF_E_PERM:
		end(p);
		break;
	}
}

static void on_channel_closed(void *ctx, struct mf_rtc_channel *c)
{
	struct mf_gw_peer *p = ctx;

	if (c == p->udp)
		close_udp(p);
	else if (c == p->l2)
		close_l2(p);
}

static void on_ended(void *ctx, struct mf_rtc_session *session, enum mf_rtc_end why)
{
	struct mf_gw_peer *p = ctx;

	(void)session;
	p->rtc = NULL;
	if (why == MF_RTC_END_CONNECT_TIMEOUT)
		count(p, MF_RELAY_CONNECT_TIMEOUT);
	end(p);
}

static const struct mf_rtc_handler handler = {
	.channel = on_channel,
	.message = on_message,
	.channel_closed = on_channel_closed,
	.ended = on_ended,
};

int mf_gw_peer_new(struct mf_gateway *gw, struct mf_gw_member *member, bool by_jwt,
		   const struct mf_endpoint *client, struct mf_span sdp,
		   const struct mf_gw_peer_owner *owner, struct mf_gw_peer_answer *answer,
		   struct mf_gw_peer **ret, struct mf_err *err)
{
	struct mf_sdp_offer *offer = malloc(sizeof(*offer));
	struct mf_gw_peer *p = calloc(1, sizeof(*p));
	int res = offer && p ? mf_sdp_offer_read(sdp, offer, err) : MF_E_NOMEM;

	if (res == 0)
		res = mf_gw_relay_session_begin(gw, member, by_jwt, &p->session);
	if (res < 0) {
		free(offer);
		free(p);
		return res;
	}
	p->gw = gw;
	p->member = mf_gw_member_ref(member);
	p->client = *client;
	if (gw->metered)
		p->address = mf_gw_address_ref(gw->house->addresses, &client->addr);
	p->owner = *owner;
	p->next = gw->peers;
	if (p->next)
		p->next->prev = p;
	gw->peers = p;
	res = mf_rtc_session_new(gw->rtc, &offer->remote, &handler, p, &p->rtc, &answer->local,
				 err);
	if (res == 0) {
		const struct mf_sdp_section *s = &offer->sections[offer->data];

		mf_sdp_answer_write(offer, &answer->local, mf_hash_seed(), &answer->sdp);
		res = answer->sdp.failed ? MF_E_NOMEM : 0;
		snprintf(answer->mid, sizeof(answer->mid), "%.*s", (int)s->mid.len,
			 s->mid.len ? (const char *)s->mid.ptr : "");
		answer->section = (unsigned)offer->data;
	} else if (res == MF_E_FULL) {
		count(p, MF_RELAY_TOO_MANY_SESSIONS);
	} else if (res == MF_E_INVAL) {
		res = MF_E_BAD;
	}
	free(offer);
	if (res < 0) {
		mf_gw_peer_close(p);
		return res;
	}
	*ret = p;
	return 0;
}

static void on_expired(void *ctx)
{
	struct mf_gw_peer *p = ctx;

	p->gw->stats.expired++;
	end(p);
}

int mf_gw_peer_expire(struct mf_gw_peer *p)
{
	return mf_gw_expiry_start(&p->expiry, p->gw->base, p->member, on_expired, p);
}

const char *mf_gw_peer_id(const struct mf_gw_peer *p)
{
	return p->session.id;
}

void mf_gw_peer_candidate(struct mf_gw_peer *p, struct mf_span candidate)
{
	if (candidate.len)
		mf_rtc_add_remote_candidate(p->rtc, candidate);
}

/* --- all of them ---------------------------------------------------------------------------------------------------------- */

int mf_gw_rtc_start(struct mf_gateway *gw, struct mf_err *err)
{
	const struct mf_gateway_webrtc *o = &gw->opt.webrtc;
	uint32_t longest = gw->opt.udp_payload_max + MF_UDP_FRAME_HEAD_MAX;
	struct mf_rtc_candidate candidates[MF_RTC_CANDIDATES_MAX];
	struct mf_rtc_options rtc = { .size = sizeof(rtc),
				      .fds = &o->fd,
				      .fd_cnt = 1,
				      .candidates = candidates,
				      .message_max = o->message_max,
				      .receive_buffer_max = o->receive_buffer_max,
				      .send_queue_max = o->send_queue_max,
				      .sessions_max = o->sessions_max,
				      .connect_timeout_ms = o->connect_ms };

	if (!o->wanted)
		return 0;
	if (!rtc.message_max)
		rtc.message_max =
			(longest > L2_MESSAGE_MAX ? longest : L2_MESSAGE_MAX) + MESSAGE_MORE;
	if (o->ice_servers.len && mf_gw_ice_read(o->ice_servers, &gw->ice_servers, err) < 0)
		return MF_E_INVAL;
	if (!mf_gw_is_home(gw))
		return 0;
	rtc.candidate_cnt = mf_gw_candidates(o, candidates, MF_RTC_CANDIDATES_MAX);
	if (!rtc.candidate_cnt)
		return mf_err_set(err, MF_E_INVAL,
				  "no address that WebRTC could be reached at: --external-ip");
	return mf_rtc_new(gw->base, &rtc, &gw->rtc, err);
}

void mf_gw_rtc_stop(struct mf_gateway *gw)
{
	for (struct mf_gw_peer *p = gw->peers, *next; p; p = next) {
		next = p->next;
		if (!p->owner.ended)
			mf_gw_peer_close(p);
	}
}

void mf_gw_rtc_free(struct mf_gateway *gw)
{
	while (gw->peers)
		mf_gw_peer_close(gw->peers);
	mf_rtc_free(gw->rtc);
	gw->rtc = NULL;
	json_decref(gw->ice_servers);
	gw->ice_servers = NULL;
}
