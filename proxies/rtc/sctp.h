/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sctp.h - SCTP associations by usrsctp, packets in and out by calls (RFC 8831 6, RFC 8261)
 *
 * usrsctp has one state and one set of timers a process. It is run without its own threads, by a timer of one event loop: everything
 * here stands on that loop's thread. Its names stay inside of sctp.c.
 */
#ifndef MF_PROXIES_RTC_SCTP_H
#define MF_PROXIES_RTC_SCTP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/span.h"

struct event_base;
struct mf_sctp;

enum {
	MF_SCTP_MESSAGE_MAX = 65536, /* that can be sent */
	MF_SCTP_SEND_BUFFER =
		128 * 1024, /* bytes of one association: what is not acknowledged yet */
	MF_SCTP_DATA_OVERHEAD = 12 + 16, /* of a packet with one chunk of data */
	MF_SCTP_TOKEN_LEN = 8,
};

/**
 * mf_sctp_engine_use() - The process's SCTP on @base; as often as mf_sctp_engine_leave()
 * Return: 0; MF_E_UNSUPPORTED: it is used on another loop; MF_E_NOMEM
 */
int mf_sctp_engine_use(struct event_base *base);
/** mf_sctp_engine_leave() - The last one takes it down; all associations were freed */
void mf_sctp_engine_leave(void);

/* Called from mf_sctp_input() and the engine's timer; but output also from every other function. */
struct mf_sctp_handler {
	/* A packet for the peer; must not call into this header */
	void (*output)(void *ctx, struct mf_span packet);
	void (*up)(void *ctx);
	/* One message; valid inside */
	void (*message)(void *ctx, uint16_t stream, uint32_t ppid, struct mf_span data);
	/* A message of the peer's was longer than message_max: nothing of it is kept */
	void (*too_long)(void *ctx);
	/* The peer has closed its side of a stream */
	void (*reset_by_peer)(void *ctx, uint16_t stream);
	/* Our side of a stream is closed, as mf_sctp_reset() asked */
	void (*reset_done)(void *ctx, uint16_t stream);
	/* After mf_sctp_send() said MF_E_AGAIN */
	void (*room)(void *ctx);
	/* The peer has received what mf_sctp_probe() sent with that token; must not call mf_sctp_free(); optional */
	void (*probe_arrived)(void *ctx, const uint8_t token[MF_SCTP_TOKEN_LEN]);
	/* Not there any more; @peer: because it said so. Nothing follows */
	void (*down)(void *ctx, bool peer);
};

struct mf_sctp_options {
	uint16_t local_port, remote_port;
	uint16_t streams;    /* in each direction */
	uint16_t packet_max; /* bytes, a multiple of 4 */
	uint16_t
		packet_ceiling; /* the most that mf_sctp_set_packet_max() will say; 0: packet_max */
	uint32_t message_max;	/* of a message that is received */
	uint32_t receive_buffer; /* what the window is opened to, bytes */
};

/** mf_sctp_new() - An association that mf_sctp_connect() begins; Return: 0, MF_E_NOMEM */
int mf_sctp_new(const struct mf_sctp_options *options, const struct mf_sctp_handler *handler,
		void *ctx, struct mf_sctp **ret);
/** mf_sctp_free() - Also from handlers, but output; @tell aborts towards the peer; NULL is fine */
void mf_sctp_free(struct mf_sctp *s, bool tell);
/** mf_sctp_connect() - Both ends do, at any time (RFC 8831 6.2); Return: 0, MF_E_IO */
int mf_sctp_connect(struct mf_sctp *s);
/** mf_sctp_input() - One packet; Return: 0; MF_E_BAD: too short, or a wrong checksum. May end in calls of all handlers */
int mf_sctp_input(struct mf_sctp *s, struct mf_span packet);
/**
 * mf_sctp_set_packet_max() - The path takes other packets from now on: a multiple of 4, up to packet_ceiling
 * What was cut up for longer ones already goes out as it is.
 */
void mf_sctp_set_packet_max(struct mf_sctp *s, uint16_t bytes);
/**
 * mf_sctp_probe() - See whether a packet of @bytes (a multiple of 4, at least 64) arrives: a HEARTBEAT and padding (RFC 8899 6.2, RFC 4820)
 * The packet is handed to output() inside. Return: 0, MF_E_CLOSED: not up
 */
int mf_sctp_probe(struct mf_sctp *s, uint16_t bytes, const uint8_t token[MF_SCTP_TOKEN_LEN]);
/** mf_sctp_hold() - Read no messages, so that the window closes */
void mf_sctp_hold(struct mf_sctp *s, bool hold);

/* How a message travels. */
struct mf_sctp_way {
	uint16_t stream;
	uint32_t ppid;
	bool unordered;
	int32_t max_retransmits, max_life_ms; /* -1: none; neither: reliable */
};

/** mf_sctp_send() - One message, 1 to MF_SCTP_MESSAGE_MAX bytes; Return: 0; MF_E_AGAIN: no room now; MF_E_CLOSED; MF_E_INVAL */
int mf_sctp_send(struct mf_sctp *s, const struct mf_sctp_way *way, struct mf_span data);
/** mf_sctp_reset() - Close our side of a stream, behind what was sent on it; Return: 0; MF_E_AGAIN: later; MF_E_CLOSED */
int mf_sctp_reset(struct mf_sctp *s, uint16_t stream);

#endif
