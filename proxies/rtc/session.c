/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c - one peer connection: DTLS over its selected address, SCTP over DTLS, and when it ends
 *
 *	offer -> [checks] -> first DTLS datagram -> handshake -> association -> connected
 *
 * Neither OpenSSL nor usrsctp is asked for anything before an authenticated check has come.
 */
#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "proxies/rtc/rtc_int.h"

enum {
	UFRAG_LEN = 12, /* 72 bits; 24 would do (RFC 8445 5.3) */
	PWD_LEN = 24,	/* 144 bits; 128 would do */
	SCTP_PORT = 5000,
};

static void shaking_add(struct mf_rtc_session *s)
{
	struct mf_rtc *rtc = s->rtc;

	s->shaking_next = rtc->shaking;
	if (rtc->shaking)
		rtc->shaking->shaking_prev = &s->shaking_next;
	s->shaking_prev = &rtc->shaking;
	rtc->shaking = s;
	if (!event_pending(&rtc->shake_tick, EV_TIMEOUT, NULL))
		(void)event_add(&rtc->shake_tick, &(struct timeval){ .tv_usec = 50000 });
}

static void shaking_remove(struct mf_rtc_session *s)
{
	if (!s->shaking_prev)
		return;
	*s->shaking_prev = s->shaking_next;
	if (s->shaking_next)
		s->shaking_next->shaking_prev = s->shaking_prev;
	s->shaking_prev = NULL;
}

static void on_sctp_output(void *ctx, struct mf_span packet)
{
	struct mf_rtc_session *s = ctx;

	if (mf_dtls_send(s->dtls, packet) == MF_E_LIMIT)
		s->rtc->stats.lost_out++;
}

static void on_up(void *ctx)
{
	struct mf_rtc_session *s = ctx;
	struct mf_endpoint peer = { 0 };

	if (s->dead)
		return;
	s->connected = true;
	s->rtc->stats.connected++;
	s->message_ms = mf_now_ms();
	shaking_remove(s);
	mf_timeout_arm(&s->life, &s->rtc->consent_queue);
	if (s->rtc->opt.idle_timeout_ms)
		mf_timeout_arm(&s->idle, &s->rtc->idle_queue);
	(void)mf_rtc_session_peer(s, &peer);
	if (s->handler->connected)
		s->handler->connected(s->ctx, s, &peer);
}

static void on_message(void *ctx, uint16_t stream, uint32_t ppid, struct mf_span data)
{
	struct mf_rtc_session *s = ctx;

	/* of one that has ended SCTP may still have something */
	if (!s->dead)
		mf_rtc_channels_message(s, stream, ppid, data);
}

static void on_too_long(void *ctx)
{
	mf_rtc_session_end(ctx, MF_RTC_END_MESSAGE_TOO_LONG);
}

static void on_reset_by_peer(void *ctx, uint16_t stream)
{
	struct mf_rtc_session *s = ctx;

	if (!s->dead)
		mf_rtc_channels_reset_by_peer(s, stream);
}

static void on_reset_done(void *ctx, uint16_t stream)
{
	struct mf_rtc_session *s = ctx;

	if (!s->dead)
		mf_rtc_channels_reset_done(s, stream);
}

static void on_room(void *ctx)
{
	struct mf_rtc_session *s = ctx;

	if (!s->dead)
		mf_rtc_channels_flush(s);
}

static void on_down(void *ctx, bool peer)
{
	struct mf_rtc_session *s = ctx;

	/* browsers abort an association to close it: the same as an orderly end */
	mf_rtc_session_end(s, peer ? MF_RTC_END_PEER : MF_RTC_END_SCTP);
}

static void on_probe_arrived(void *ctx, const uint8_t token[MF_SCTP_TOKEN_LEN])
{
	mf_rtc_pmtu_arrived(ctx, token);
}

static const struct mf_sctp_handler sctp_handler = {
	.output = on_sctp_output,
	.up = on_up,
	.message = on_message,
	.too_long = on_too_long,
	.reset_by_peer = on_reset_by_peer,
	.reset_done = on_reset_done,
	.room = on_room,
	.probe_arrived = on_probe_arrived,
	.down = on_down,
};

static void on_dtls_output(void *ctx, struct mf_span datagram)
{
	struct mf_rtc_session *s = ctx;
	struct mf_rtc_pair *to = s->selected ? s->selected : s->current;

	if (!to)
		return;
	if (s->pmtu.sending)
		(void)mf_rtc_output_alone(s->rtc, to, datagram, MF_SOCK_FRAGMENTS_NEVER);
	else if (datagram.len > mf_rtc_datagram_max(s))
		/* cut up for a path that took more */
		(void)mf_rtc_output_alone(s->rtc, to, datagram, MF_SOCK_FRAGMENTS_ALWAYS);
	else
		(void)mf_rtc_output(s->rtc, to, datagram);
}

static void on_dtls_connected(void *ctx)
{
	struct mf_rtc_session *s = ctx;
	const struct mf_rtc *rtc = s->rtc;
	struct mf_sctp_options o = {
		.local_port = SCTP_PORT,
		.remote_port = s->remote.sctp_port ? s->remote.sctp_port : SCTP_PORT,
		.streams = rtc->streams,
		.packet_max = mf_rtc_packet_max(rtc->opt.mtu),
		.packet_ceiling = mf_rtc_packet_max(rtc->opt.mtu_max),
		.message_max = rtc->opt.message_max,
		.receive_buffer = rtc->opt.receive_buffer_max,
	};

	/* its Finished covers what was sent to it, so that it was received where it was sent to */
	if (s->current && (!s->selected || s->selected == s->current))
		mf_rtc_pair_shown(s->current);
	if (s->dead)
		return;
	if (mf_sctp_new(&o, &sctp_handler, s, &s->sctp) < 0)
		mf_rtc_session_end(s, MF_RTC_END_MEMORY);
	else if (mf_sctp_connect(s->sctp) < 0)
		mf_rtc_session_end(s, MF_RTC_END_SCTP);
}

static void on_plain(void *ctx, struct mf_span data)
{
	struct mf_rtc_session *s = ctx;

	if (s->dead || !s->sctp)
		return;
	if (mf_sctp_input(s->sctp, data) < 0)
		s->rtc->stats.sctp_bad++;
}

static size_t on_whereabouts(void *ctx, uint8_t buf[64])
{
	struct mf_rtc_session *s = ctx;

	_Static_assert(sizeof(struct mf_rtc_path) <= 64, "a cookie is bound to all of a path");
	memcpy(buf, &s->current->path, sizeof(struct mf_rtc_path));
	return sizeof(struct mf_rtc_path);
}

static void on_shown(void *ctx)
{
	struct mf_rtc_session *s = ctx;

	mf_rtc_pair_shown(s->current);
}

static const struct mf_dtls_handler dtls_handler = {
	.output = on_dtls_output,
	.connected = on_dtls_connected,
	.plain = on_plain,
	.whereabouts = on_whereabouts,
	.shown = on_shown,
};

static bool begin_dtls(struct mf_rtc_session *s, bool cookies)
{
	struct mf_dtls_options o = {
		.server = s->server,
		.cookies = cookies,
		.mtu = s->rtc->dtls_mtu,
		.data_mtu = (uint16_t)(s->rtc->dtls_mtu + s->rtc->opt.mtu_max - s->rtc->opt.mtu),
		.peer = s->remote.fingerprint,
	};

	s->dtls = mf_dtls_new(s->rtc->identity, &o, &dtls_handler, s);
	if (!s->dtls)
		return false;
	shaking_add(s);
	return true;
}

static void dtls_result(struct mf_rtc_session *s, int result)
{
	switch (result) {
	case 0:
		break;
	case MF_E_CLOSED:
		mf_rtc_session_end(s, MF_RTC_END_PEER);
		break;
	case MF_E_PERM:
		mf_rtc_session_end(s, MF_RTC_END_IDENTITY);
		break;
	default:
		s->rtc->stats.dtls_bad++;
		mf_rtc_session_end(s, MF_RTC_END_DTLS);
	}
}

void mf_rtc_session_dtls(struct mf_rtc_pair *pair, struct mf_span datagram)
{
	struct mf_rtc_session *s = pair->session;
	int result;

	if (!pair->verified)
		pair->in += datagram.len;
	if (!s->dtls) {
		/* a client of DTLS speaks first */
		if (!s->server)
			return;
		if (!begin_dtls(s, !pair->verified)) {
			mf_rtc_session_end(s, MF_RTC_END_MEMORY);
			return;
		}
	}
	s->current = pair;
	result = mf_dtls_input(s->dtls, datagram);
	s->current = NULL;
	if (!s->dead)
		dtls_result(s, result);
}

void mf_rtc_session_reachable(struct mf_rtc_session *s)
{
	if (s->server || s->dtls || s->dead)
		return;
	if (!begin_dtls(s, false))
		mf_rtc_session_end(s, MF_RTC_END_MEMORY);
	else
		dtls_result(s, mf_dtls_start(s->dtls));
}

void mf_rtc_shake_all(struct mf_rtc *rtc)
{
	for (struct mf_rtc_session *s = rtc->shaking, *next; s; s = next) {
		next = s->shaking_next;
		dtls_result(s, mf_dtls_tick(s->dtls));
	}
	if (rtc->shaking)
		(void)event_add(&rtc->shake_tick, &(struct timeval){ .tv_usec = 50000 });
}

/* Out of all tables; what it is made of is freed in mf_rtc_reap() */
static void detach(struct mf_rtc_session *s)
{
	struct mf_rtc *rtc = s->rtc;
	struct mf_rtc_session **at =
		&rtc->by_ufrag[mf_hash_bytes(s->ufrag, UFRAG_LEN, rtc->seed) % MF_RTC_BUCKETS];

	s->dead = true;
	while (*at != s)
		at = &(*at)->next_in_bucket;
	*at = s->next_in_bucket;
	mf_rtc_pairs_drop(s);
	shaking_remove(s);
	mf_timeout_disarm(&s->life);
	mf_timeout_disarm(&s->idle);
	mf_timeout_disarm(&s->pmtu.timer);
	if (s->prev)
		s->prev->next = s->next;
	else
		rtc->all = s->next;
	if (s->next)
		s->next->prev = s->prev;
	s->prev = NULL;
	s->next = rtc->dying;
	rtc->dying = s;
	rtc->session_cnt--;
	mf_rtc_later(rtc);
}

void mf_rtc_session_end(struct mf_rtc_session *s, enum mf_rtc_end why)
{
	if (s->dead)
		return;
	detach(s);
	s->rtc->stats.ended[why]++;
	mf_rtc_channels_end(s, true);
	if (s->handler->ended)
		s->handler->ended(s->ctx, s, why);
}

void mf_rtc_session_close(struct mf_rtc_session *s)
{
	if (s->dead)
		return;
	detach(s);
	mf_rtc_channels_end(s, false);
}

void mf_rtc_session_release(struct mf_rtc_session *s)
{
	mf_sctp_free(s->sctp, true);
	mf_dtls_free(s->dtls, true);
	OPENSSL_cleanse(s->pwd, sizeof(s->pwd));
	free(s);
}

void mf_rtc_reap(struct mf_rtc *rtc)
{
	struct mf_rtc_session *s;

	while ((s = rtc->dying)) {
		rtc->dying = s->next;
		mf_rtc_session_release(s);
	}
}

static void on_connect_timeout(struct mf_timeout *t, void *ctx)
{
	struct mf_rtc_session *s = (void *)((char *)t - offsetof(struct mf_rtc_session, life));

	(void)ctx;
	mf_rtc_session_end(s, MF_RTC_END_CONNECT_TIMEOUT);
}

/* Armed again from what was last heard: the queue's entries all wait equally long, so this may be up to twice too late */
static void on_consent_timeout(struct mf_timeout *t, void *ctx)
{
	struct mf_rtc_session *s = (void *)((char *)t - offsetof(struct mf_rtc_session, life));
	struct mf_rtc *rtc = ctx;
	uint64_t now = mf_now_ms(), last = 0;

	for (size_t i = 0; i < MF_RTC_PAIRS_MAX; i++) {
		if (s->pairs[i].session && s->pairs[i].checked_ms > last)
			last = s->pairs[i].checked_ms;
	}
	if (now - last >= rtc->opt.consent_timeout_ms)
		mf_rtc_session_end(s, MF_RTC_END_CONSENT);
	else
		mf_timeout_arm(t, &rtc->consent_queue);
}

static void on_idle_timeout(struct mf_timeout *t, void *ctx)
{
	struct mf_rtc_session *s = (void *)((char *)t - offsetof(struct mf_rtc_session, idle));
	struct mf_rtc *rtc = ctx;

	if (mf_now_ms() - s->message_ms >= rtc->opt.idle_timeout_ms)
		mf_rtc_session_end(s, MF_RTC_END_IDLE);
	else
		mf_timeout_arm(t, &rtc->idle_queue);
}

void mf_rtc_session_queues(struct mf_rtc *rtc)
{
	mf_timeout_queue_init(&rtc->connect_queue, rtc->timeouts, rtc->opt.connect_timeout_ms,
			      on_connect_timeout, rtc);
	/* a third each time, so that it is never late by more than that */
	mf_timeout_queue_init(&rtc->consent_queue, rtc->timeouts,
			      rtc->opt.consent_timeout_ms / 3 + 1, on_consent_timeout, rtc);
	mf_rtc_pmtu_queues(rtc);
	mf_timeout_queue_init(&rtc->idle_queue, rtc->timeouts, rtc->opt.idle_timeout_ms / 3 + 1,
			      on_idle_timeout, rtc);
}

/* ice-char (RFC 8839 5.4): letters, digits, '+' and '/' */
static bool is_ice_text(const char *text, size_t min)
{
	size_t len = strnlen(text, 257);

	if (len < min || len > 256)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '+' || c == '/'))
			return false;
	}
	return true;
}

static bool random_text(char *ret, size_t len)
{
	static const char chars[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t bytes[64];

	if (RAND_bytes(bytes, (int)len) != 1)
		return false;
	for (size_t i = 0; i < len; i++)
		ret[i] = chars[bytes[i] & 63];
	ret[len] = 0;
	return true;
}

static int check_remote(const struct mf_rtc_remote *r, struct mf_err *err)
{
	static const uint8_t lens[MF_RTC_HASH_NUM] = { 32, 48, 64 };

	if (!is_ice_text(r->ufrag, 4))
		return mf_err_set(err, MF_E_INVAL,
				  "the offer's ice-ufrag is not 4 to 256 ice-chars");
	if (!is_ice_text(r->pwd, 22))
		return mf_err_set(err, MF_E_INVAL,
				  "the offer's ice-pwd is not 22 to 256 ice-chars");
	if ((unsigned)r->fingerprint.hash >= MF_RTC_HASH_NUM ||
	    r->fingerprint.len != lens[r->fingerprint.hash])
		return mf_err_set(err, MF_E_INVAL,
				  "the offer's fingerprint is no SHA-256, SHA-384 or SHA-512");
	return 0;
}

static void fill_local(const struct mf_rtc_session *s, struct mf_rtc_local *ret)
{
	*ret = (struct mf_rtc_local){
		.setup = s->server ? MF_RTC_SETUP_PASSIVE : MF_RTC_SETUP_ACTIVE,
		.sctp_port = SCTP_PORT,
		.max_message_size = s->rtc->opt.message_max,
		.candidates = s->rtc->candidates,
		.candidate_cnt = s->rtc->candidate_cnt,
	};
	memcpy(ret->ufrag, s->ufrag, sizeof(s->ufrag));
	memcpy(ret->pwd, s->pwd, sizeof(s->pwd));
	mf_dtls_identity_fingerprint(s->rtc->identity, &ret->fingerprint);
}

int mf_rtc_session_new(struct mf_rtc *rtc, const struct mf_rtc_remote *remote,
		       const struct mf_rtc_handler *handler, void *ctx, struct mf_rtc_session **ret,
		       struct mf_rtc_local *ret_local, struct mf_err *err)
{
	struct mf_rtc_session *s, **bucket;
	int r = check_remote(remote, err);

	if (r < 0)
		return r;
	if (rtc->session_cnt >= rtc->opt.sessions_max) {
		rtc->stats.sessions_refused++;
		return mf_err_set(err, MF_E_FULL, "there are %u WebRTC sessions already",
				  rtc->session_cnt);
	}
	s = calloc(1, sizeof(*s));
	if (!s || !random_text(s->ufrag, UFRAG_LEN) || !random_text(s->pwd, PWD_LEN) ||
	    RAND_bytes((uint8_t *)&s->tie_breaker, sizeof(s->tie_breaker)) != 1) {
		free(s);
		return mf_err_set(err, MF_E_NOMEM, "out of memory for a WebRTC session");
	}
	s->rtc = rtc;
	s->handler = handler;
	s->ctx = ctx;
	s->remote = *remote;
	s->server = remote->setup != MF_RTC_SETUP_PASSIVE;
	mf_rtc_pmtu_forget(s);
	bucket = &rtc->by_ufrag[mf_hash_bytes(s->ufrag, UFRAG_LEN, rtc->seed) % MF_RTC_BUCKETS];
	s->next_in_bucket = *bucket;
	*bucket = s;
	s->next = rtc->all;
	if (rtc->all)
		rtc->all->prev = s;
	rtc->all = s;
	rtc->session_cnt++;
	rtc->stats.sessions++;
	mf_timeout_arm(&s->life, &rtc->connect_queue);
	fill_local(s, ret_local);
	*ret = s;
	return 0;
}

struct mf_rtc_session *mf_rtc_find_ufrag(const struct mf_rtc *rtc, struct mf_span ufrag)
{
	struct mf_rtc_session *s;

	if (ufrag.len != UFRAG_LEN)
		return NULL;
	s = rtc->by_ufrag[mf_hash_bytes(ufrag.ptr, UFRAG_LEN, rtc->seed) % MF_RTC_BUCKETS];
	while (s && memcmp(s->ufrag, ufrag.ptr, UFRAG_LEN) != 0)
		s = s->next_in_bucket;
	return s;
}

void mf_rtc_session_hold(struct mf_rtc_session *s, bool hold)
{
	if (s->sctp && !s->dead)
		mf_sctp_hold(s->sctp, hold);
}

bool mf_rtc_session_peer(const struct mf_rtc_session *s, struct mf_endpoint *ret)
{
	const struct mf_rtc_pair *pair = s->selected ? s->selected : s->current;

	if (!pair)
		return false;
	*ret = pair->path.remote;
	return true;
}

void mf_rtc_add_remote_candidate(struct mf_rtc_session *session, struct mf_span candidate)
{
	(void)session;
	(void)candidate;
}
