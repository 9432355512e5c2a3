/* SPDX-License-Identifier: Apache-2.0 */
/* front_wisp_int.h - what the parts of Wisp share: front_wisp.c has the streams and TCP, front_wisp_udp.c UDP, front_wisp_hello.c the versions */
#ifndef MF_PROXIES_GATEWAY_FRONT_WISP_INT_H
#define MF_PROXIES_GATEWAY_FRONT_WISP_INT_H

#include "proxies/gateway/front_wisp.h"
#include "proxies/gateway/udp_ports.h"

enum { MF_WISP_BUCKETS = 64, MF_WISP_MARKS = 32 };

enum mf_wisp_version {
	MF_WISP_UNKNOWN,
	MF_WISP_V1,
	MF_WISP_V2
}; /* UNKNOWN: its INFO is waited for */

struct mf_wisp_front;
struct mf_wisp_udp;

/* Packets that wait for a server, by where they end in what was written to it. Many in one mark when there are too many. */
struct mf_wisp_marks {
	struct {
		uint64_t end;
		uint32_t packets;
	} at[MF_WISP_MARKS];
	unsigned first, cnt;
};

struct mf_wisp_stream {
	struct mf_wisp_front *wisp;
	struct mf_wisp_stream *hash_next, *prev, *next; /* of all */
	struct mf_wisp_stream *turn_prev,
		*turn_next;	 /* of those that have something for the browser */
	struct mf_gw_flow *flow; /* of TCP */
	struct mf_wisp_udp *udp;
	struct mf_timeout answer;    /* armed: its client has closed it */
	struct mf_wisp_marks *marks; /* NULL: nothing waits */
	uint64_t written;	     /* bytes, since it was opened */
	size_t waits;		     /* of them, for the server */
	uint32_t id;
	uint32_t queued; /* packets that wait */
	uint32_t sent;	 /* packets that have gone since the last CONTINUE */
	uint32_t answered;
	bool closed, mute; /* by its client; and it wants no answer */
	bool full;	   /* counted in full_cnt */
	bool has_turn;	   /* it is queued for one */
};

struct mf_wisp_front {
	struct mf_gw_front front; /* first */
	struct mf_wisp_reader reader;
	struct mf_timeout timeout; /* for INFO; then while it is not read */
	struct mf_wisp_stream *buckets[MF_WISP_BUCKETS];
	struct mf_wisp_stream all; /* a ring, the oldest first */
	struct mf_wisp_stream *turn_first, *turn_last;
	struct mf_wisp_stream *reading; /* whose turn it is; NULL: nobody's, or it has ended */
	struct event turn;
	bool *gone;		    /* of on_turn() */
	struct mf_udp_ports *ports; /* NULL: there was no UDP yet; a guest port is a stream */
	uint8_t *gram;		    /* a datagram that comes in pieces; NULL: none does */
	size_t gram_len;
	char *protocol; /* until it has been told */
	size_t waits;	/* bytes of all streams */
	uint32_t cnt, full_cnt, bad;
	enum mf_wisp_version version;
	bool udp, confirm;  /* extensions that both sides have */
	bool paused;	    /* it is not read */
	bool asks;	    /* who it is, before anything else */
	uint8_t *challenge; /* MF_WISP_CHALLENGE bytes that a key is to sign; NULL: none */
};

static inline struct mf_gateway *mf_wisp_gw(const struct mf_wisp_front *w)
{
	return w->front.gw;
}

/* --- front_wisp.c: all that return bool return false when the WebSocket is gone --------------------------------------------- */

bool mf_wisp_send(struct mf_wisp_front *w, uint8_t type, uint32_t id, struct mf_span payload);
bool mf_wisp_send_close(struct mf_wisp_front *w, uint32_t id, enum mf_wisp_reason reason);
bool mf_wisp_send_continue(struct mf_wisp_front *w, uint32_t id, uint32_t packets);
/* Where the stream is, or would be */
struct mf_wisp_stream **mf_wisp_find(struct mf_wisp_front *w, uint32_t id);
/* The end of a stream that its client may still know: it is told. */
bool mf_wisp_end_stream(struct mf_wisp_stream *s, enum mf_wisp_reason reason, bool reset);
/* A packet that is none: dropped and counted; who does nothing else is sent away */
bool mf_wisp_drop_bad(struct mf_wisp_front *w);
void mf_wisp_on_answer_over(struct mf_timeout *t, void *ctx);
void mf_wisp_on_stall(struct mf_timeout *t, void *ctx);

/* --- front_wisp_udp.c ----------------------------------------------------------------------------------------------------- */

/* @s, which is in its WebSocket's table already, is to be UDP from now on. Return: 0; MF_E_NOMEM */
int mf_wisp_udp_open(struct mf_wisp_stream *s, const struct mf_gw_host *host, uint16_t port);
bool mf_wisp_udp_take(struct mf_wisp_stream *s, const struct mf_wisp_packet *p);
/* One that has not said or heard anything for long, and may give way to another */
bool mf_wisp_udp_is_idle(const struct mf_wisp_stream *s);
/* Of a stream that goes */
void mf_wisp_udp_free(struct mf_wisp_stream *s);
/* Of a WebSocket that goes; its streams have */
void mf_wisp_udp_done(struct mf_wisp_front *w);

/* --- front_wisp_auth.c ---------------------------------------------------------------------------------------------------- */

int mf_gw_wisp_auth_new(struct mf_gateway *gw);
void mf_gw_wisp_auth_free(struct mf_gw_wisp *all);
/* The payload of an extension of its INFO. Return: 0: it is a member now; MF_E_BAD; MF_E_FULL: too many WebSockets of that name */
int mf_wisp_check_password(struct mf_wisp_front *w, struct mf_span payload);
int mf_wisp_check_key(struct mf_wisp_front *w, struct mf_span payload);

/* --- front_wisp_hello.c --------------------------------------------------------------------------------------------------- */

/* What is said first */
bool mf_wisp_greet(struct mf_wisp_front *w);
/* Its first packets: INFO, or something in its place. Return: as the others; *ret_go_on: its version is known now, and @p is still to be looked at */
bool mf_wisp_hello(struct mf_wisp_front *w, const struct mf_wisp_packet *p, bool *ret_go_on);

#endif
