// SPDX-License-Identifier: Apache-2.0
// Any bytes as a browser's session description, and as a message of signalling. An offer that is understood has what ICE and DTLS want,
// within the lengths that RFC 8839 gives, and its answer is a session description with as many sections.
#include <moonfence/moonfence.h>
#include <string.h>

#include "core/base/err.h"
#include "proxies/gateway/sdp.h"
#include "proxies/gateway/signal_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_sections(const struct mf_strbuf *b)
{
	size_t cnt = 0;

	for (const char *at = b->str; (at = strstr(at, "\r\nm=")); at += 4)
		cnt++;
	return cnt;
}

static void answer(const struct mf_sdp_offer *o)
{
	static const struct mf_rtc_candidate at = {
		.at = { .addr = { .family = 4, .bytes = { 192, 0, 2, 1 } }, .port = 3478 },
		.srflx = true,
		.base = { .addr = { .family = 6 }, .port = 1 },
	};
	struct mf_rtc_local local = { .ufrag = "abcd",
				      .pwd = "abcdefghijklmnopqrstuvwx",
				      .fingerprint = { .hash = MF_RTC_SHA256, .len = 32 },
				      .setup = MF_RTC_SETUP_PASSIVE,
				      .sctp_port = 5000,
				      .candidates = &at,
				      .candidate_cnt = 1 };
	struct mf_strbuf b = MF_STRBUF_INIT(MF_SDP_ANSWER_MAX);

	mf_sdp_answer_write(o, &local, UINT64_MAX, &b);
	MF_MUST(!b.failed);
	MF_MUST(count_sections(&b) == o->section_cnt);
	mf_strbuf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mf_sdp_offer offer;
	struct mf_span in = mf_span_of(data, size);
	struct mf_err err = { 0 };
	struct mf_signal s;

	if (mf_sdp_offer_read(in, &offer, &err) == 0) {
		MF_MUST(offer.data < offer.section_cnt);
		MF_MUST(strlen(offer.remote.ufrag) >= 4 && strlen(offer.remote.pwd) >= 22);
		MF_MUST(offer.remote.fingerprint.len >= 32);
		answer(&offer);
	} else {
		MF_MUST(err.msg[0]);
	}
	mf_signal_read(in, &s);
	MF_MUST(s.type != MF_SIGNAL_OFFER || s.sdp.len);
	MF_MUST(s.type != MF_SIGNAL_AUTH || s.auth != MF_SIGNAL_AUTH_GOOD || s.credential);
	mf_signal_done(&s);
	mf_signal_read_auth(in, &s);
	mf_signal_done(&s);
	for (unsigned form = MF_SIGNAL_BODY_OFFER; form <= MF_SIGNAL_BODY_LEGACY; form++) {
		mf_signal_read_body(in, form, &s);
		MF_MUST(s.type == MF_SIGNAL_OFFER ? s.sdp.len > 0 : s.type == MF_SIGNAL_BAD);
		mf_signal_done(&s);
	}
	return 0;
}
