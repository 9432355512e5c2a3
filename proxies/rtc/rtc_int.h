/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtc_int.h - what the files of this room know of each other: rtc.c sockets, ice.c addresses, session.c one peer, channel.c its channels
 *
 * What ends is taken out of all tables at once, and freed in a turn of the loop of its own (mf_rtc_later()), when nothing of it can
 * be on the stack.
 */
#ifndef MF_PROXIES_RTC_RTC_INT_H
#define MF_PROXIES_RTC_RTC_INT_H

#include <event2/event_struct.h>

#include "proxies/rtc/dtls.h"
#include "proxies/rtc/rtc.h"
#include "proxies/rtc/sctp.h"
#include "proxies/rtc/stun.h"
#include "proxies/sock.h"
#include "proxies/timeouts.h"

enum {
	MF_RTC_SOCKETS_MAX = 2,
	MF_RTC_PAIRS_MAX = 8,	     /* of a session: the least recently checked one makes room */
	MF_RTC_BATCH = 32,	     /* datagrams of one system call */
	MF_RTC_DATAGRAM_ROOM = 2048, /* longer ones are none of ours */
	MF_RTC_BUCKETS = 8192,
	MF_RTC_IP_AND_UDP = 40 + 8, /* of IPv6; of IPv4 it is 20 less */
};

/* Two addresses between which a check arrived; zero-padded, compared as bytes. */
struct mf_rtc_path {
	struct mf_endpoint remote;
	struct mf_addr local; /* the port is the socket's */
	uint32_t sock;	      /* its place in mf_rtc.socks */
};

struct mf_rtc_pair {
	struct mf_rtc_session *session; /* NULL: unused */
	struct mf_rtc_pair *next;	/* in its bucket */
	struct mf_rtc_path path;
	bool verified; /* whoever is there has shown that it receives */
	bool listed;   /* in the table: datagrams of this path are the session's */
	bool nominated;
	bool asked; /* a check of ours is out */
	uint64_t checked_ms, asked_ms;
	uint64_t in, out; /* bytes, until verified: out never exceeds in */
	uint8_t check_id[MF_STUN_ID_LEN];
};

/* What the selected path takes (pmtu.c). */
struct mf_rtc_pmtu {
	uint16_t size;	      /* of IP packets, bytes; known to arrive */
	uint16_t probe;	      /* on its way; 0: none */
	uint8_t lost;	      /* probes of this size, one after another */
	bool sending;	      /* what comes out of DTLS now is a probe */
	bool used;	      /* long messages were sent since size was last seen to arrive */
	uint64_t searched_ms; /* when the last search ended; 0: there was none */
	uint8_t token[MF_SCTP_TOKEN_LEN];
	struct mf_timeout timer;
};

struct mf_rtc_session {
	struct mf_rtc *rtc;
	struct mf_rtc_session *prev, *next;    /* all, or those that wait to be freed */
	struct mf_rtc_session *next_in_bucket; /* by ufrag */
	struct mf_rtc_session **shaking_prev, *shaking_next;

	const struct mf_rtc_handler *handler;
	void *ctx;
	struct mf_rtc_remote remote;
	char ufrag[16], pwd[32];
	bool server; /* of DTLS */

	struct mf_rtc_pair pairs[MF_RTC_PAIRS_MAX];
	struct mf_rtc_pair *selected; /* where to send; NULL: not known yet */
	struct mf_rtc_pair *current;  /* whose datagram is being read */
	uint64_t tie_breaker;

	struct mf_dtls *dtls;
	struct mf_sctp *sctp;
	bool connected, dead;
	uint64_t message_ms; /* the last one, in either direction */
	struct mf_timeout life, idle;
	struct mf_rtc_pmtu pmtu;

	struct mf_rtc_channel **channels; /* by id */
	uint32_t channel_cnt;		  /* of the handler's, not those that are being closed */
	uint32_t queue_cnt;		  /* channels with a queue */
	uint32_t turn;			  /* whose queue is sent from next */
	bool resets_wait;
};

struct mf_rtc_socket {
	struct mf_rtc *rtc;
	struct event ev;
	int fd;
	uint32_t out_cnt;
	struct mf_datagram out[MF_RTC_BATCH];
	uint8_t *out_buf; /* MF_RTC_BATCH times MF_RTC_DATAGRAM_ROOM */
};

struct mf_rtc {
	struct event_base *base;
	struct mf_rtc_options opt; /* defaults filled in; its pointers are not used */
	struct mf_rtc_candidate candidates[MF_RTC_CANDIDATES_MAX];
	size_t candidate_cnt;
	struct mf_rtc_socket socks[MF_RTC_SOCKETS_MAX];
	size_t sock_cnt;
	uint8_t *in_buf;
	struct event later, shake_tick;
	bool engine_used;

	struct mf_dtls_identity *identity;
	uint16_t dtls_mtu, streams;

	uint64_t seed;
	struct mf_rtc_session **by_ufrag; /* MF_RTC_BUCKETS */
	struct mf_rtc_pair **by_path;
	struct mf_rtc_session *all, *dying, *shaking;
	uint32_t session_cnt;

	struct mf_timeouts *timeouts;
	struct mf_timeout_queue connect_queue, consent_queue, idle_queue, probe_queue,
		confirm_queue;
	struct mf_rtc_stats stats;

	/* Tests: gets what would be sent, instead of the socket */
	void (*tap)(void *ctx, const struct mf_rtc_path *path, struct mf_span datagram);
	void *tap_ctx;
	enum mf_sock_fragments tap_how; /* of the datagram that it is given */
};

/* rtc.c */
/** mf_rtc_input() - One datagram that arrived on a path */
void mf_rtc_input(struct mf_rtc *rtc, const struct mf_rtc_path *path, struct mf_span datagram);
/** mf_rtc_output() - To a pair's address, within what an unverified one may get; Return: false: held back */
bool mf_rtc_output(struct mf_rtc *rtc, struct mf_rtc_pair *pair, struct mf_span datagram);
/** mf_rtc_output_alone() - The same for one datagram that is longer than others; Return: false: held back, or not on this system */
bool mf_rtc_output_alone(struct mf_rtc *rtc, struct mf_rtc_pair *pair, struct mf_span datagram,
			 enum mf_sock_fragments how);
/** mf_rtc_later() - In the next turn what is to be sent is sent, and what has ended is freed */
void mf_rtc_later(struct mf_rtc *rtc);
struct mf_rtc_session *mf_rtc_find_ufrag(const struct mf_rtc *rtc, struct mf_span ufrag);

/* ice.c */
struct mf_rtc_pair *mf_rtc_find_pair(const struct mf_rtc *rtc, const struct mf_rtc_path *path);
/** mf_rtc_stun() - A STUN message that was read */
void mf_rtc_stun(struct mf_rtc *rtc, const struct mf_rtc_path *path, const struct mf_stun *msg);
/** mf_rtc_pair_shown() - Whoever is there has received what we sent there */
void mf_rtc_pair_shown(struct mf_rtc_pair *pair);
/** mf_rtc_pairs_drop() - All of a session's, with its end */
void mf_rtc_pairs_drop(struct mf_rtc_session *s);

/* session.c */
void mf_rtc_session_dtls(struct mf_rtc_pair *pair, struct mf_span datagram);
/** mf_rtc_session_reachable() - There is an address to send to now, or another one */
void mf_rtc_session_reachable(struct mf_rtc_session *s);
void mf_rtc_session_end(struct mf_rtc_session *s, enum mf_rtc_end why);
void mf_rtc_session_queues(struct mf_rtc *rtc);
void mf_rtc_session_release(struct mf_rtc_session *s);
void mf_rtc_reap(struct mf_rtc *rtc);
void mf_rtc_shake_all(struct mf_rtc *rtc);

/* pmtu.c */
/** mf_rtc_packet_max() - Of SCTP, in IP packets of @mtu bytes */
uint16_t mf_rtc_packet_max(uint16_t mtu);
/** mf_rtc_datagram_max() - Bytes of UDP that are known to arrive */
size_t mf_rtc_datagram_max(const struct mf_rtc_session *s);
void mf_rtc_pmtu_queues(struct mf_rtc *rtc);
/** mf_rtc_pmtu_want() - A message of @len bytes is sent; costs a comparison, unless it takes more than one packet */
void mf_rtc_pmtu_want(struct mf_rtc_session *s, size_t len);
void mf_rtc_pmtu_arrived(struct mf_rtc_session *s, const uint8_t token[MF_SCTP_TOKEN_LEN]);
/** mf_rtc_pmtu_forget() - Another path, of which nothing is known */
void mf_rtc_pmtu_forget(struct mf_rtc_session *s);

/* channel.c */
void mf_rtc_channels_message(struct mf_rtc_session *s, uint16_t id, uint32_t ppid,
			     struct mf_span data);
void mf_rtc_channels_reset_by_peer(struct mf_rtc_session *s, uint16_t id);
void mf_rtc_channels_reset_done(struct mf_rtc_session *s, uint16_t id);
void mf_rtc_channels_flush(struct mf_rtc_session *s);
/** mf_rtc_channels_end() - All of them; @tell the handler */
void mf_rtc_channels_end(struct mf_rtc_session *s, bool tell);

#endif
