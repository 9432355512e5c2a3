/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtc.c - the sockets of WebRTC: datagrams in, told apart by their first byte (RFC 7983), and out, in batches
 */
#include "proxies/rtc/rtc.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "proxies/rtc/rtc_int.h"

enum {
	ROUNDS = 4, /* batches of a turn: the loop has others to serve */
	MTU_MIN = 576,
	MTU_MAX = 1500,
	PROBE_MS = 1000,
	CONFIRM_MS = 15000,
	MESSAGE_MAX = 1 << 20,
	RECEIVE_MIN = 1500,
	RECEIVE_MAX = 64 << 20,
	STREAMS_MIN = 64,
	STREAMS_MAX = 1024,
	HOST_PREFERENCE = 126, /* RFC 8445 5.1.2.2 */
	SRFLX_PREFERENCE = 100,
};

const char *const mf_rtc_hash_names[MF_RTC_HASH_NUM] = { "sha-256", "sha-384", "sha-512" };
const char *const mf_rtc_end_names[MF_RTC_END_NUM] = {
	[MF_RTC_END_PEER] = "peer",
	[MF_RTC_END_CONNECT_TIMEOUT] = "connect_timeout",
	[MF_RTC_END_CONSENT] = "consent",
	[MF_RTC_END_IDLE] = "idle",
	[MF_RTC_END_MESSAGE_TOO_LONG] = "message_too_long",
	[MF_RTC_END_DTLS] = "dtls",
	[MF_RTC_END_IDENTITY] = "identity",
	[MF_RTC_END_SCTP] = "sctp",
	[MF_RTC_END_MEMORY] = "memory",
};
_Static_assert(MF_ARRAY_SIZE(mf_rtc_end_names) == MF_RTC_END_NUM, "a name each");

static void flush(struct mf_rtc_socket *sock)
{
	mf_sock_send_many(sock->fd, sock->out, sock->out_cnt);
	sock->out_cnt = 0;
}

static void flush_all(struct mf_rtc *rtc)
{
	for (size_t i = 0; i < rtc->sock_cnt; i++) {
		if (rtc->socks[i].out_cnt)
			flush(&rtc->socks[i]);
	}
}

bool mf_rtc_output(struct mf_rtc *rtc, struct mf_rtc_pair *pair, struct mf_span datagram)
{
	struct mf_rtc_socket *sock = &rtc->socks[pair->path.sock];
	struct mf_datagram *d;

	if (!pair->verified) {
		if (pair->out + datagram.len > pair->in) {
			rtc->stats.held_back++;
			return false;
		}
		pair->out += datagram.len;
	}
	rtc->stats.datagrams_out++;
	rtc->stats.bytes_out += datagram.len;
	if (rtc->tap) {
		rtc->tap(rtc->tap_ctx, &pair->path, datagram);
		return true;
	}
	if (mf_bug(datagram.len > MF_RTC_DATAGRAM_ROOM))
		return false;
	if (sock->out_cnt == MF_RTC_BATCH)
		flush(sock);
	d = &sock->out[sock->out_cnt++];
	d->client = pair->path.remote;
	d->server.addr = pair->path.local;
	d->len = datagram.len;
	memcpy(d->buf, datagram.ptr, datagram.len);
	if (sock->out_cnt == 1)
		mf_rtc_later(rtc);
	return true;
}

bool mf_rtc_output_alone(struct mf_rtc *rtc, struct mf_rtc_pair *pair, struct mf_span datagram,
			 enum mf_sock_fragments how)
{
	struct mf_rtc_socket *sock = &rtc->socks[pair->path.sock];
	bool sent;

	if (rtc->tap) {
		rtc->tap_how = how;
		sent = mf_rtc_output(rtc, pair, datagram);
		rtc->tap_how = MF_SOCK_FRAGMENTS_DEFAULT;
		return sent;
	}
	if (sock->out_cnt)
		flush(sock);
	if (!mf_sock_set_fragments(sock->fd, how) && how == MF_SOCK_FRAGMENTS_NEVER)
		return false;
	sent = mf_rtc_output(rtc, pair, datagram);
	flush(sock);
	(void)mf_sock_set_fragments(sock->fd, MF_SOCK_FRAGMENTS_DEFAULT);
	return sent;
}

void mf_rtc_later(struct mf_rtc *rtc)
{
	event_active(&rtc->later, EV_TIMEOUT, 0);
}

static void on_later(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_rtc *rtc = ctx;

	(void)fd;
	(void)what;
	mf_rtc_reap(rtc);
	flush_all(rtc);
}

static void on_shake_tick(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	mf_rtc_shake_all(ctx);
}

void mf_rtc_input(struct mf_rtc *rtc, const struct mf_rtc_path *path, struct mf_span datagram)
{
	uint8_t first = datagram.len ? datagram.ptr[0] : 0xff;
	struct mf_rtc_pair *pair;
	struct mf_stun msg;

	rtc->stats.datagrams_in++;
	rtc->stats.bytes_in += datagram.len;
	if (first <= 3) {
		switch (mf_stun_read(datagram, &msg)) {
		case 0:
			mf_rtc_stun(rtc, path, &msg);
			return;
		case MF_E_BAD:
			rtc->stats.stun_bad++;
			return;
		}
	} else if (first >= 20 && first <= 63) {
		pair = mf_rtc_find_pair(rtc, path);
		if (pair) {
			mf_rtc_session_dtls(pair, datagram);
			return;
		}
	}
	rtc->stats.unknown++;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_rtc_socket *sock = ctx;
	struct mf_rtc *rtc = sock->rtc;
	struct mf_datagram in[MF_RTC_BATCH];
	size_t n = MF_RTC_BATCH;

	(void)what;
	for (int round = 0; round < ROUNDS && n == MF_RTC_BATCH; round++) {
		for (size_t i = 0; i < MF_RTC_BATCH; i++)
			in[i] = (struct mf_datagram){ .buf = rtc->in_buf + i * MF_RTC_DATAGRAM_ROOM,
						      .room = MF_RTC_DATAGRAM_ROOM };
		n = mf_sock_recv_from((int)fd, in, MF_RTC_BATCH);
		for (size_t i = 0; i < n; i++) {
			struct mf_rtc_path path = { .remote = in[i].client,
						    .local = in[i].server.addr,
						    .sock = (uint32_t)(sock - rtc->socks) };

			if (in[i].cut || !path.remote.addr.family) {
				rtc->stats.unknown++;
				continue;
			}
			mf_rtc_input(rtc, &path, mf_span_of(in[i].buf, in[i].len));
		}
		mf_rtc_reap(rtc);
		flush_all(rtc);
	}
}

static uint32_t or_else(uint32_t value, uint32_t otherwise)
{
	return value ? value : otherwise;
}

static int fill_options(struct mf_rtc *rtc, const struct mf_rtc_options *given, struct mf_err *err)
{
	struct mf_rtc_options *o = &rtc->opt;

	memcpy(o, given, given->size < sizeof(*o) ? given->size : sizeof(*o));
	o->message_max = or_else(o->message_max, 4352);
	if (!o->receive_buffer_max)
		o->receive_buffer_max = o->message_max > 512 * 1024 ? 2 * o->message_max : 1 << 20;
	o->send_queue_max = or_else(o->send_queue_max, 1 << 20);
	o->channels_max = or_else(o->channels_max, 16);
	o->sessions_max = or_else(o->sessions_max, 16384);
	o->connect_timeout_ms = or_else(o->connect_timeout_ms, 30000);
	o->consent_timeout_ms = or_else(o->consent_timeout_ms, 30000);
	o->mtu = o->mtu ? o->mtu : 1280;
	o->mtu_max = o->mtu_max ? o->mtu_max : MTU_MAX;
	o->probe_ms = or_else(o->probe_ms, PROBE_MS);
	o->confirm_ms = or_else(o->confirm_ms, CONFIRM_MS);
	if (o->fd_cnt < 1 || o->fd_cnt > MF_RTC_SOCKETS_MAX)
		return mf_err_set(err, MF_E_INVAL, "WebRTC needs one or two sockets");
	if (o->candidate_cnt > MF_RTC_CANDIDATES_MAX)
		return mf_err_set(err, MF_E_INVAL, "more than %d addresses for WebRTC",
				  MF_RTC_CANDIDATES_MAX);
	if (o->mtu < MTU_MIN || o->mtu > o->mtu_max || o->mtu_max > MTU_MAX)
		return mf_err_set(err, MF_E_INVAL, "WebRTC's MTU is not %d to %d", MTU_MIN,
				  MTU_MAX);
	if (o->message_max > MESSAGE_MAX)
		return mf_err_set(err, MF_E_INVAL, "WebRTC's messages are at most %d bytes",
				  MESSAGE_MAX);
	if (o->receive_buffer_max < RECEIVE_MIN || o->receive_buffer_max > RECEIVE_MAX)
		return mf_err_set(err, MF_E_INVAL, "WebRTC's receive buffer is not %d to %d bytes",
				  RECEIVE_MIN, RECEIVE_MAX);
	rtc->dtls_mtu = (uint16_t)(o->mtu - MF_RTC_IP_AND_UDP);
	rtc->streams =
		(uint16_t)(o->channels_max * 4 > STREAMS_MIN ? o->channels_max * 4 : STREAMS_MIN);
	if (o->channels_max > STREAMS_MAX / 4)
		return mf_err_set(err, MF_E_INVAL, "more than %d data channels a session",
				  STREAMS_MAX / 4);
	return 0;
}

static void fill_candidates(struct mf_rtc *rtc, const struct mf_rtc_options *given)
{
	rtc->candidate_cnt = given->candidate_cnt;
	for (size_t i = 0; i < rtc->candidate_cnt; i++) {
		struct mf_rtc_candidate *c = &rtc->candidates[i];

		*c = given->candidates[i];
		/* RFC 8445 5.1.2.1; of component 1, and the list's order is the preference */
		c->priority = (uint32_t)(c->srflx ? SRFLX_PREFERENCE : HOST_PREFERENCE) << 24 |
			      (uint32_t)(65535 - i) << 8 | 255;
	}
}

static bool open_socket(struct mf_rtc *rtc, size_t i, int fd)
{
	struct mf_rtc_socket *sock = &rtc->socks[i];

	sock->rtc = rtc;
	sock->fd = fd;
	sock->out_buf = malloc((size_t)MF_RTC_BATCH * MF_RTC_DATAGRAM_ROOM);
	if (!sock->out_buf)
		return false;
	for (size_t k = 0; k < MF_RTC_BATCH; k++)
		sock->out[k].buf = sock->out_buf + k * MF_RTC_DATAGRAM_ROOM;
	if (event_assign(&sock->ev, rtc->base, fd, EV_READ | EV_PERSIST, on_readable, sock) < 0) {
		free(sock->out_buf);
		return false;
	}
	mf_sock_prepare_udp(fd);
	(void)mf_sock_set_fragments(fd, MF_SOCK_FRAGMENTS_DEFAULT);
	rtc->sock_cnt++;
	return event_add(&sock->ev, NULL) == 0;
}

int mf_rtc_new(struct event_base *base, const struct mf_rtc_options *options, struct mf_rtc **ret,
	       struct mf_err *err)
{
	struct mf_rtc *rtc = calloc(1, sizeof(*rtc));
	int r;

	if (!rtc)
		return mf_err_set(err, MF_E_NOMEM, "out of memory for WebRTC");
	rtc->base = base;
	r = fill_options(rtc, options, err);
	if (r < 0) {
		free(rtc);
		return r;
	}
	fill_candidates(rtc, options);
	rtc->seed = mf_hash_seed();
	event_assign(&rtc->later, base, -1, 0, on_later, rtc);
	event_assign(&rtc->shake_tick, base, -1, 0, on_shake_tick, rtc);
	rtc->identity = mf_dtls_identity_new();
	rtc->timeouts = mf_timeouts_new(base);
	rtc->in_buf = malloc((size_t)MF_RTC_BATCH * MF_RTC_DATAGRAM_ROOM);
	rtc->by_ufrag = calloc(MF_RTC_BUCKETS, sizeof(*rtc->by_ufrag));
	rtc->by_path = calloc(MF_RTC_BUCKETS, sizeof(*rtc->by_path));
	if (!rtc->identity || !rtc->timeouts || !rtc->in_buf || !rtc->by_ufrag || !rtc->by_path)
		r = mf_err_set(err, MF_E_NOMEM, "out of memory for WebRTC");
	if (r == 0) {
		r = mf_sctp_engine_use(base);
		rtc->engine_used = r == 0;
		if (r < 0)
			(void)mf_err_set(err, r, "WebRTC is at work on another thread already");
	}
	if (r == 0)
		mf_rtc_session_queues(rtc);
	for (size_t i = 0; r == 0 && i < options->fd_cnt; i++) {
		if (!open_socket(rtc, i, options->fds[i]))
			r = mf_err_set(err, MF_E_NOMEM, "out of memory for WebRTC");
	}
	if (r < 0)
		mf_rtc_free(rtc);
	else
		*ret = rtc;
	return r;
}

void mf_rtc_free(struct mf_rtc *rtc)
{
	if (!rtc)
		return;
	while (rtc->all)
		mf_rtc_session_close(rtc->all);
	mf_rtc_reap(rtc);
	flush_all(rtc);
	for (size_t i = 0; i < rtc->sock_cnt; i++) {
		event_del(&rtc->socks[i].ev);
		free(rtc->socks[i].out_buf);
	}
	event_del(&rtc->later);
	event_del(&rtc->shake_tick);
	if (rtc->engine_used)
		mf_sctp_engine_leave();
	mf_timeouts_free(rtc->timeouts);
	mf_dtls_identity_free(rtc->identity);
	free(rtc->in_buf);
	free(rtc->by_ufrag);
	free(rtc->by_path);
	free(rtc);
}

void mf_rtc_get_stats(const struct mf_rtc *rtc, struct mf_rtc_stats *ret)
{
	*ret = rtc->stats;
	ret->sessions_now = rtc->session_cnt;
}
