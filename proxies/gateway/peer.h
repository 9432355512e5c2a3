/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.h - a browser that came by WebRTC: its session, and what its data channels lead to
 *
 * The channel "udp" (unordered, no retransmits) is the UDP relay, "l2" (reliable, ordered) the network for Ethernet frames, if there is
 * one. All others are closed. Whoever spoke SDP with the browser owns the peer, and is told when it is over.
 */
#ifndef MF_PROXIES_GATEWAY_PEER_H
#define MF_PROXIES_GATEWAY_PEER_H

#include "core/base/strbuf.h"
#include "proxies/gateway/gateway_int.h"
#include "proxies/gateway/sdp.h"

struct mf_gw_peer;

struct mf_gw_peer_owner {
	void (*ended)(void *ctx); /* its peer is gone with the call; not after mf_gw_peer_close() */
	void *ctx;		  /* NULL: nobody is told */
};

/* .sdp wants its bound at first, and mf_strbuf_done(). */
struct mf_gw_peer_answer {
	struct mf_strbuf sdp;
	struct mf_rtc_local local; /* what it is made of */
	char mid[33];		   /* of its section; "": it has none */
	unsigned section;
};

/**
 * mf_gw_peer_new() - A session for an offer
 * Return: 0; MF_E_BAD, MF_E_UNSUPPORTED, MF_E_LIMIT: the offer is none that can be answered; MF_E_EXIST: the JWT's "sid" has a session;
 * MF_E_FULL: too many; anything else: of ours
 */
int mf_gw_peer_new(struct mf_gateway *gw, struct mf_gw_member *member, bool by_jwt,
		   const struct mf_endpoint *client, struct mf_span sdp,
		   const struct mf_gw_peer_owner *owner, struct mf_gw_peer_answer *answer,
		   struct mf_gw_peer **ret, struct mf_err *err);
/** mf_gw_peer_expire() - It ends with its member's time. Return: 0, MF_E_NOMEM */
int mf_gw_peer_expire(struct mf_gw_peer *peer);
const char *mf_gw_peer_id(const struct mf_gw_peer *peer);
void mf_gw_peer_candidate(struct mf_gw_peer *peer, struct mf_span candidate);
void mf_gw_peer_close(struct mf_gw_peer *peer); /* NULL is fine */

/** mf_gw_rtc_start() - Take up the socket of the options, if there is one. Return: 0, MF_E_* */
int mf_gw_rtc_start(struct mf_gateway *gw, struct mf_err *err);
/** mf_gw_rtc_stop() - Close all peers that no WebSocket belongs to */
void mf_gw_rtc_stop(struct mf_gateway *gw);
void mf_gw_rtc_free(struct mf_gateway *gw);

/* --- ice.c -------------------------------------------------------------------------------------------------------------- */

/** mf_gw_candidates() - Where browsers are told to reach us. Return: how many */
size_t mf_gw_candidates(const struct mf_gateway_webrtc *o, struct mf_rtc_candidate *ret,
			size_t max);
/** mf_gw_ice_read() - Servers of the operator: an array, or an object with it as "iceServers". Return: 0, MF_E_BAD */
int mf_gw_ice_read(struct mf_span text, json_t **ret, struct mf_err *err);
/** mf_gw_ice_text() - {"iceServers":[...]} for one browser, with credentials of its own. Return: free() it; NULL: no memory */
char *mf_gw_ice_text(const struct mf_gateway *gw);

#endif
