/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtc_agent.h - the browser's side of WebRTC for tests and benchmarks: a full, controlling agent with one address, DTLS's client (or
 * server), SCTP. Datagrams come and go by calls. Of our own DTLS and SCTP, so it says little about others': browser.mjs does.
 */
#ifndef MF_TESTS_RTC_AGENT_H
#define MF_TESTS_RTC_AGENT_H

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "proxies/rtc/dcep.h"
#include "proxies/rtc/dtls.h"
#include "proxies/rtc/sctp.h"
#include "proxies/rtc/stun.h"

struct agent {
	struct mf_rtc_remote offer; /* what we say of ourselves */
	struct mf_rtc_local answer; /* what we were told */
	struct mf_dtls_identity *id;
	struct mf_dtls *dtls;
	struct mf_sctp *sctp;
	uint16_t mtu;
	bool server; /* of DTLS */
	bool mute;   /* does not answer checks */
	void (*send)(struct agent *a, struct mf_span datagram);
	void (*message)(struct agent *a, uint16_t stream, uint32_t ppid, struct mf_span data);
	void (*up)(struct agent *a);
	void (*room)(struct agent *a);
	void *user;
	/* what happened */
	bool checked, connected, is_up, down;
	unsigned errors, asked, acks, resets, resets_done;
	uint8_t sctp_head[8]; /* ports and tag of what was sent last */
	bool closed[64];      /* streams that were closed from here */
	int ended;	      /* of DTLS: MF_E_*, 0 */
};

static inline void agent_dtls_output(void *ctx, struct mf_span datagram)
{
	struct agent *a = ctx;

	a->send(a, datagram);
}

static inline void agent_sctp_output(void *ctx, struct mf_span packet)
{
	struct agent *a = ctx;

	memcpy(a->sctp_head, packet.ptr, sizeof(a->sctp_head));
	(void)mf_dtls_send(a->dtls, packet);
}

static inline void agent_on_up(void *ctx)
{
	struct agent *a = ctx;

	a->is_up = true;
	if (a->up)
		a->up(a);
}

static inline void agent_on_message(void *ctx, uint16_t stream, uint32_t ppid, struct mf_span data)
{
	struct agent *a = ctx;

	if (ppid == MF_DCEP_CONTROL)
		a->acks++;
	else if (a->message)
		a->message(a, stream, ppid, data);
}

static inline void agent_on_too_long(void *ctx)
{
	(void)ctx;
}

static inline void agent_on_reset(void *ctx, uint16_t stream)
{
	struct agent *a = ctx;

	a->resets++;
	if (!a->closed[stream])
		(void)mf_sctp_reset(a->sctp, stream);
	a->closed[stream] = false;
}

static inline void agent_on_reset_done(void *ctx, uint16_t stream)
{
	struct agent *a = ctx;

	(void)stream;
	a->resets_done++;
}

static inline void agent_on_room(void *ctx)
{
	struct agent *a = ctx;

	if (a->room)
		a->room(a);
}

static inline void agent_on_down(void *ctx, bool peer)
{
	struct agent *a = ctx;

	(void)peer;
	a->down = true;
}

static const struct mf_sctp_handler agent_sctp_handler = {
	.output = agent_sctp_output,
	.up = agent_on_up,
	.message = agent_on_message,
	.too_long = agent_on_too_long,
	.reset_by_peer = agent_on_reset,
	.reset_done = agent_on_reset_done,
	.room = agent_on_room,
	.down = agent_on_down,
};

static inline void agent_dtls_connected(void *ctx)
{
	struct agent *a = ctx;
	struct mf_sctp_options o = {
		.local_port = 5000,
		.remote_port = a->answer.sctp_port,
		.streams = 64,
		.packet_max = (uint16_t)((a->mtu - 48 - MF_DTLS_OVERHEAD) & ~3),
		.message_max = 262144,
		.receive_buffer = 1 << 20,
	};

	a->connected = true;
	if (mf_sctp_new(&o, &agent_sctp_handler, a, &a->sctp) == 0)
		(void)mf_sctp_connect(a->sctp);
}

static inline void agent_dtls_plain(void *ctx, struct mf_span data)
{
	struct agent *a = ctx;

	if (a->sctp)
		(void)mf_sctp_input(a->sctp, data);
}

static inline size_t agent_whereabouts(void *ctx, uint8_t buf[64])
{
	(void)ctx;
	(void)buf;
	return 0;
}

static inline void agent_shown(void *ctx)
{
	(void)ctx;
}

static const struct mf_dtls_handler agent_dtls_handler = {
	.output = agent_dtls_output,
	.connected = agent_dtls_connected,
	.plain = agent_dtls_plain,
	.whereabouts = agent_whereabouts,
	.shown = agent_shown,
};

/* Fills what we say of ourselves; send() and the others are the caller's to fill */
static inline bool agent_init(struct agent *a, struct mf_dtls_identity *id)
{
	a->id = id;
	a->mtu = a->mtu ? a->mtu : 1280;
	strcpy(a->offer.ufrag, "abcd");
	strcpy(a->offer.pwd, "abcdefghijklmnopqrstuv");
	mf_dtls_identity_fingerprint(id, &a->offer.fingerprint);
	a->offer.setup = a->server ? MF_RTC_SETUP_PASSIVE : MF_RTC_SETUP_ACTPASS;
	a->offer.max_message_size = 262144;
	return true;
}

static inline size_t agent_write_check(const struct agent *a, struct mf_stun_out *out, bool use)
{
	uint8_t tid[MF_STUN_ID_LEN];

	RAND_bytes(tid, sizeof(tid));
	mf_stun_begin(out, MF_STUN_REQUEST, tid);
	mf_stun_put_username(out, mf_span_str(a->answer.ufrag), mf_span_str(a->offer.ufrag));
	mf_stun_put_priority(out, 0x6e001eff);
	mf_stun_put_role(out, true, 1);
	if (use)
		mf_stun_put_use_candidate(out);
	return mf_stun_end(out, mf_span_str(a->answer.pwd));
}

static inline void agent_check(struct agent *a, bool use)
{
	struct mf_stun_out out;

	if (agent_write_check(a, &out, use))
		a->send(a, mf_span_of(out.buf, out.len));
}

static inline void agent_start_dtls(struct agent *a)
{
	struct mf_dtls_options o = { .server = a->server,
				     .mtu = (uint16_t)(a->mtu - 48),
				     .peer = a->answer.fingerprint };

	a->dtls = mf_dtls_new(a->id, &o, &agent_dtls_handler, a);
	if (!a->server)
		(void)mf_dtls_start(a->dtls);
}

static inline void agent_stun(struct agent *a, const struct mf_stun *m)
{
	struct mf_stun_out out;

	if (m->type == MF_STUN_REQUEST) {
		a->asked++;
		if (a->mute || !mf_stun_is_whole(m, mf_span_str(a->offer.pwd)))
			return;
		mf_stun_begin(&out, MF_STUN_SUCCESS, m->id);
		mf_stun_put_mapped(&out, &(struct mf_endpoint){ .addr.family = 4, .port = 1 });
		if (mf_stun_end(&out, mf_span_str(a->offer.pwd)))
			a->send(a, mf_span_of(out.buf, out.len));
	} else if (m->type == MF_STUN_SUCCESS && mf_stun_is_whole(m, mf_span_str(a->answer.pwd))) {
		a->checked = true;
		if (!a->dtls)
			agent_start_dtls(a);
	} else {
		a->errors = m->error;
	}
}

static inline void agent_input(struct agent *a, struct mf_span datagram)
{
	struct mf_stun m;
	int r;

	if (mf_stun_read(datagram, &m) == 0) {
		agent_stun(a, &m);
		return;
	}
	if (!a->dtls || a->ended)
		return;
	r = mf_dtls_input(a->dtls, datagram);
	if (r < 0)
		a->ended = r;
}

static inline void agent_tick(struct agent *a)
{
	if (a->dtls && !a->ended)
		(void)mf_dtls_tick(a->dtls);
}

static inline int agent_open(struct agent *a, uint16_t stream,
			     const struct mf_rtc_channel_info *info)
{
	uint8_t buf[MF_DCEP_OPEN_MAX];
	size_t len = mf_dcep_write_open(info, buf);
	struct mf_sctp_way way = {
		.stream = stream, .ppid = MF_DCEP_CONTROL, .max_retransmits = -1, .max_life_ms = -1
	};

	return mf_sctp_send(a->sctp, &way, mf_span_of(buf, len));
}

static inline int agent_close(struct agent *a, uint16_t stream)
{
	a->closed[stream] = true;
	return mf_sctp_reset(a->sctp, stream);
}

static inline void agent_end(struct agent *a)
{
	mf_sctp_free(a->sctp, true);
	mf_dtls_free(a->dtls, true);
	a->sctp = NULL;
	a->dtls = NULL;
}

#endif
