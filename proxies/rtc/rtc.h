/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtc.h - WebRTC data channels: ICE-lite, DTLS and SCTP for many browsers on one UDP port (docs/internals/webrtc.md)
 *
 *	struct mf_rtc		the sockets and all sessions, on one event loop and one thread
 *	struct mf_rtc_session	one peer connection: made from an offer, answered with what struct mf_rtc_local says
 *	struct mf_rtc_channel	one data channel of it (RFC 8831, RFC 8832)
 *
 * Whoever speaks HTTP reads the offer's SDP into struct mf_rtc_remote, makes a session, and writes the answer from struct
 * mf_rtc_local. Nothing here parses SDP. This end is always ICE-lite, and therefore controlled (RFC 8445 2.5).
 *
 * All handlers are called from the loop, never from inside a function of this header. Every function may be called from
 * every handler; what ends there is freed once the handler has returned.
 *
 * An address that has not shown that it receives what is sent to it is never sent more bytes than came from it.
 */
#ifndef MF_PROXIES_RTC_RTC_H
#define MF_PROXIES_RTC_RTC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/addr.h"
#include "core/base/err.h"
#include "core/base/span.h"

struct event_base;
struct mf_rtc;
struct mf_rtc_session;
struct mf_rtc_channel;

enum {
	MF_RTC_UFRAG_ROOM = 257, /* RFC 8839 5.4: 4 to 256 characters, and a NUL */
	MF_RTC_PWD_ROOM = 257,	 /* 22 to 256 */
	MF_RTC_FINGERPRINT_MAX = 64,
	MF_RTC_LABEL_MAX =
		256, /* bytes of a channel's label, and of its protocol: longer ones are refused */
	MF_RTC_CANDIDATES_MAX = 16,
};

enum mf_rtc_hash { MF_RTC_SHA256, MF_RTC_SHA384, MF_RTC_SHA512, MF_RTC_HASH_NUM };

/* The "sha-256" of a=fingerprint (RFC 8122), lower case, by enum mf_rtc_hash; compare without regard to case. */
extern const char *const mf_rtc_hash_names[MF_RTC_HASH_NUM];

struct mf_rtc_fingerprint {
	enum mf_rtc_hash hash;
	uint8_t len; /* 32, 48, 64 */
	uint8_t bytes[MF_RTC_FINGERPRINT_MAX];
};

/* a=setup (RFC 4145) */
enum mf_rtc_setup {
	MF_RTC_SETUP_ACTPASS, /* offers only */
	MF_RTC_SETUP_ACTIVE,  /* begins the DTLS handshake */
	MF_RTC_SETUP_PASSIVE,
};

/* An address that browsers are told of. */
struct mf_rtc_candidate {
	struct mf_endpoint at;
	bool srflx; /* behind a 1:1 NAT: typ srflx with @base as raddr and rport; otherwise typ host */
	struct mf_endpoint base; /* srflx only */
	uint32_t priority; /* filled in by mf_rtc_new(); foundation: its place in the list + 1 */
};

/* Zero means the default everywhere. All of it is copied. */
struct mf_rtc_options {
	size_t size;
	/*
	 * Bound UDP sockets (mf_sock_listen()), one or two: borrowed, and open until mf_rtc_free(). Non-blocking; nobody else reads
	 * them. "::" of mf_sock_listen() takes both families, so that one suffices.
	 */
	const int *fds;
	size_t fd_cnt;
	const struct mf_rtc_candidate *candidates; /* to announce; at most MF_RTC_CANDIDATES_MAX */
	size_t candidate_cnt;

	uint32_t
		message_max; /* bytes of a message from a peer, a longer one ends its session: 4,352 */
	uint32_t
		receive_buffer_max; /* what a peer may have on its way, bytes a session: max(1 MiB, 2 x message_max); >= 1,500 */
	uint32_t send_queue_max; /* bytes that wait for a peer, of one channel: 1 MiB */
	uint32_t
		channels_max; /* of a session: 16, at most 256; SCTP has four streams for each, and at least 64 */
	uint32_t sessions_max;	     /* 16,384 */
	uint32_t connect_timeout_ms; /* until DTLS and SCTP stand: 30,000 */
	uint32_t
		consent_timeout_ms; /* without an authenticated check of the peer's (RFC 7675): 30,000 */
	uint32_t idle_timeout_ms; /* without a message in either direction: 0, for ever */
	uint16_t mtu;		  /* of IP packets, that every path takes: 1,280 */
	uint16_t
		mtu_max; /* what is looked for by probes where longer messages are sent, at least mtu: 1,500 */
	uint32_t probe_ms; /* after which a probe is lost: 1,000 */
	uint32_t
		confirm_ms; /* after which it is seen whether a path still takes what it took: 15,000 */
};

/* What an offer says of its author. */
struct mf_rtc_remote {
	char ufrag[MF_RTC_UFRAG_ROOM], pwd[MF_RTC_PWD_ROOM];
	struct mf_rtc_fingerprint fingerprint;
	enum mf_rtc_setup setup;
	uint16_t sctp_port; /* a=sctp-port; 0: 5000 */
	uint32_t
		max_message_size; /* a=max-message-size; 0: no limit (RFC 8841 6.1). The reader puts 65,536 where there is none */
};

/* What the answer says. */
struct mf_rtc_local {
	char ufrag[MF_RTC_UFRAG_ROOM], pwd[MF_RTC_PWD_ROOM];
	struct mf_rtc_fingerprint fingerprint; /* SHA-256 */
	enum mf_rtc_setup setup;	       /* passive, or active where the offer is passive */
	uint16_t sctp_port;
	uint32_t max_message_size;
	const struct mf_rtc_candidate *candidates; /* until mf_rtc_free() */
	size_t candidate_cnt;
};

/* What a channel is, as its opener said. */
struct mf_rtc_channel_info {
	struct mf_span label,
		protocol; /* UTF-8 by the RFC, not checked; from a peer: valid inside the handler only */
	bool ordered;
	int32_t max_retransmits; /* -1: none given */
	int32_t max_life_ms;	 /* maxPacketLifeTime, -1: none given. Neither: reliable */
	uint16_t priority;
};

enum mf_rtc_end {
	MF_RTC_END_PEER,	    /* it closed the connection */
	MF_RTC_END_CONNECT_TIMEOUT, /* not connected in time */
	MF_RTC_END_CONSENT,	    /* no checks any more: it is gone */
	MF_RTC_END_IDLE,
	MF_RTC_END_MESSAGE_TOO_LONG,
	MF_RTC_END_DTLS,     /* handshake failed, or an alert */
	MF_RTC_END_IDENTITY, /* its certificate is not the offer's */
	MF_RTC_END_SCTP,     /* association refused, lost, aborted */
	MF_RTC_END_MEMORY,
	MF_RTC_END_NUM
};

/* In lower case with underscores, for events and logs: "peer", "connect_timeout" ... */
extern const char *const mf_rtc_end_names[MF_RTC_END_NUM];

/* All optional but channel and message. @ctx is the session's. */
struct mf_rtc_handler {
	/* DTLS and SCTP stand. @peer: where it is now; it may move */
	void (*connected)(void *ctx, struct mf_rtc_session *session,
			  const struct mf_endpoint *peer);
	/* The peer opened a channel. Return: false to refuse, which closes it; channel_closed() is not called then */
	bool (*channel)(void *ctx, struct mf_rtc_channel *channel,
			const struct mf_rtc_channel_info *info);
	/* One whole message; @data is valid inside. An empty one has length 0 */
	void (*message)(void *ctx, struct mf_rtc_channel *channel, bool text, struct mf_span data);
	/* Once mf_rtc_waiting() was over half of send_queue_max (or mf_rtc_send() said MF_E_FULL): it is below a quarter again */
	void (*room)(void *ctx, struct mf_rtc_channel *channel);
	/* By the peer, or with the session; not after mf_rtc_channel_close(). The channel ends with the call */
	void (*channel_closed)(void *ctx, struct mf_rtc_channel *channel);
	/* Once, after channel_closed() of all; not after mf_rtc_session_close(). The session ends with the call */
	void (*ended)(void *ctx, struct mf_rtc_session *session, enum mf_rtc_end why);
};

/**
 * mf_rtc_new() - Take up the sockets; makes the certificate (ECDSA P-256, self-signed, ten years by its dates)
 * The SCTP library has one set of timers a process: all struct mf_rtc of a process stand on one loop and thread.
 * Return: 0; MF_E_UNSUPPORTED: built without it, or another thread has one; MF_E_INVAL; MF_E_NOMEM; MF_E_IO
 */
int mf_rtc_new(struct event_base *base, const struct mf_rtc_options *options, struct mf_rtc **ret,
	       struct mf_err *err);
/** mf_rtc_free() - Ends all sessions without a word to their handlers; NULL is fine */
void mf_rtc_free(struct mf_rtc *rtc);

/**
 * mf_rtc_session_new() - A session that waits for the author of an offer; costs some KB until the first check comes
 * Calls no handler before it returns.
 * @handler: borrowed until the session's end
 * @ret_local: what to answer; its strings are copies
 * Return: 0; MF_E_FULL: sessions_max; MF_E_INVAL: a remote that no answer fits (ufrag, pwd, fingerprint out of RFC's lengths);
 *         MF_E_NOMEM
 */
int mf_rtc_session_new(struct mf_rtc *rtc, const struct mf_rtc_remote *remote,
		       const struct mf_rtc_handler *handler, void *ctx, struct mf_rtc_session **ret,
		       struct mf_rtc_local *ret_local, struct mf_err *err);
/** mf_rtc_session_close() - Tell the peer and forget it; its handlers are called no more, not even ended() */
void mf_rtc_session_close(struct mf_rtc_session *session);
/** mf_rtc_session_hold() - Read no more messages: the peer's window closes behind receive_buffer_max; false: go on */
void mf_rtc_session_hold(struct mf_rtc_session *session, bool hold);
/** mf_rtc_session_peer() - Where it is now; Return: false before the first check */
bool mf_rtc_session_peer(const struct mf_rtc_session *session, struct mf_endpoint *ret);

/**
 * mf_rtc_add_remote_candidate() - A candidate that the peer trickles: not needed, since its checks say where it is
 * Names of .local, relays, TCP: all fine, all ignored. There so that callers need not know.
 */
void mf_rtc_add_remote_candidate(struct mf_rtc_session *session, struct mf_span candidate);

/**
 * mf_rtc_channel_open() - A channel of our own (DATA_CHANNEL_OPEN); may be sent on at once
 * Return: 0; MF_E_AGAIN: not connected; MF_E_FULL: channels_max; MF_E_LIMIT: label or protocol too long; MF_E_NOMEM
 */
int mf_rtc_channel_open(struct mf_rtc_session *session, const struct mf_rtc_channel_info *info,
			struct mf_rtc_channel **ret);
/** mf_rtc_channel_close() - By a stream reset, behind what waits; the pointer is invalid afterwards */
void mf_rtc_channel_close(struct mf_rtc_channel *channel);
void mf_rtc_channel_set_user(struct mf_rtc_channel *channel, void *user);
void *mf_rtc_channel_user(const struct mf_rtc_channel *channel);
struct mf_rtc_session *mf_rtc_channel_session(const struct mf_rtc_channel *channel);
uint16_t mf_rtc_channel_id(const struct mf_rtc_channel *channel);

/**
 * mf_rtc_send() - One message, copied
 * Return: 0; MF_E_FULL: would exceed send_queue_max, nothing was taken; MF_E_LIMIT: longer than the peer takes;
 *         MF_E_CLOSED: channel or session is ending
 */
int mf_rtc_send(struct mf_rtc_channel *channel, bool text, struct mf_span data);
/** mf_rtc_waiting() - Bytes of the channel that are not with SCTP yet (which holds at most 128 KiB of a session's) */
size_t mf_rtc_waiting(const struct mf_rtc_channel *channel);

struct mf_rtc_stats {
	uint64_t sessions, sessions_now, sessions_refused; /* refused: sessions_max */
	uint64_t connected;
	uint64_t ended[MF_RTC_END_NUM];
	uint64_t datagrams_in, datagrams_out, bytes_in, bytes_out;
	uint64_t checks,
		checks_refused; /* STUN: well-formed ones that no session owns or whose integrity is wrong */
	uint64_t unknown;   /* datagrams of no protocol, or of no address we know */
	uint64_t held_back; /* not sent, since the address had not shown itself */
	uint64_t stun_bad, dtls_bad, sctp_bad, dcep_bad;
	uint64_t moved; /* sessions whose peer's address changed */
	uint64_t messages_in, messages_out, message_bytes_in, message_bytes_out;
	uint64_t channels, channels_refused;
	uint64_t send_full; /* mf_rtc_send() said MF_E_FULL */
	uint64_t probes;    /* packets that were sent to see whether they arrive */
	uint64_t widened;   /* paths that were found to take more than mtu */
	uint64_t narrowed;  /* of those, that did not any more */
	uint64_t lost_out;  /* packets that were not sent, longer than the MTU: none */
};

void mf_rtc_get_stats(const struct mf_rtc *rtc, struct mf_rtc_stats *ret);

#endif
