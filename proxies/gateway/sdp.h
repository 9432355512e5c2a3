/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sdp.h - session descriptions of data channels: a browser's offer read, the answer written (RFC 8866, 8839, 8841, 8842, 9143)
 *
 * One m= section is wanted, of data channels, in today's form (UDP/DTLS/SCTP webrtc-datachannel, a=sctp-port) or that of older
 * browsers (DTLS/SCTP 5000, a=sctpmap). All others are refused with port 0. What is not known is passed over; candidates are: who is
 * ICE-lite learns of its peer by the peer's checks, so names of .local need no resolving.
 *
 * No sockets, no clock. Cost: one pass over at most MF_SDP_MAX bytes, MF_SDP_SECTIONS_MAX sections.
 */
#ifndef MF_PROXIES_GATEWAY_SDP_H
#define MF_PROXIES_GATEWAY_SDP_H

#include "core/base/strbuf.h"
#include "proxies/rtc/rtc.h"

enum {
	MF_SDP_MAX = 65536,
	MF_SDP_SECTIONS_MAX = 32,
	MF_SDP_ANSWER_MAX = 16384,
};

/* An m= line; spans of the offer's text. */
struct mf_sdp_section {
	struct mf_span media, proto, format; /* the first format */
	struct mf_span mid;		     /* of length 0: none */
};

struct mf_sdp_offer {
	struct mf_sdp_section sections[MF_SDP_SECTIONS_MAX];
	size_t section_cnt;
	size_t data;   /* which of them is answered */
	bool old_form; /* DTLS/SCTP */
	bool bundled;  /* its mid is in a=group:BUNDLE */
	struct mf_rtc_remote remote;
};

/**
 * mf_sdp_offer_read() - @ret: points into @sdp
 * Return: 0; MF_E_BAD: no session description, or one without what ICE and DTLS want; MF_E_UNSUPPORTED: without data channels, or with
 * fingerprints of unknown hashes only; MF_E_LIMIT
 */
int mf_sdp_offer_read(struct mf_span sdp, struct mf_sdp_offer *ret, struct mf_err *err);

/** mf_sdp_answer_write() - @session_id: any number of the session's; check @buf->failed */
void mf_sdp_answer_write(const struct mf_sdp_offer *offer, const struct mf_rtc_local *local,
			 uint64_t session_id, struct mf_strbuf *buf);

/** mf_sdp_candidate_write() - "candidate:1 1 udp 2130706431 192.0.2.1 3478 typ host", without a= */
void mf_sdp_candidate_write(const struct mf_rtc_local *local, size_t i, struct mf_strbuf *buf);

#endif
