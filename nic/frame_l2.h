/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame_l2.h - frames in messages of Aero's L2 tunnel (l2_tunnel.h), over a channel of messages that the host has: a WebSocket,
 * a data channel
 *
 *	mf_frame_l2_new(&options, &ops, &source, &err);
 *	mf_frame_l2_message(source, msg, len);       // a message has come: its frame goes to the receiver, a PING is answered
 *	mf_frame_source_send(source, ...);           // becomes a message at once: ops.send
 *	mf_frame_l2_tick(source);                    // not later than mf_frame_l2_deadline()
 *
 * The channel is the host's, and so are its queues: ops.send says MF_E_AGAIN where they are full. After ops.close nothing is
 * sent or taken any more and run() says MF_E_CLOSED. Nothing is allocated per message; the work for one is constant.
 * mf_frame_source_run() has nothing to take: messages are handed over one by one, and the host bounds how many at a time.
 */
#ifndef MF_NIC_FRAME_L2_H
#define MF_NIC_FRAME_L2_H

#include "nic/frame_source.h"
#include "nic/l2_tunnel.h"

/* Status codes of ops.close, as a WebSocket has them (RFC 6455, 7.4.1). */
enum { MF_L2_CLOSE_AWAY = 1001, MF_L2_CLOSE_POLICY = 1008, MF_L2_CLOSE_TOO_BIG = 1009 };

#define MF_L2_REASON_MAX 123u /* bytes of a reason */

struct mf_frame_l2_options {
	size_t size; /* of this struct */
	struct mf_l2_limits limits;
	/* Zero: none. */
	uint64_t bytes_max;   /* of messages, in both directions together */
	uint32_t rate_max;    /* messages from the peer in each second, of whatever kind */
	uint64_t ping_ns;     /* how often the peer is asked whether it is there */
	uint64_t idle_ns;     /* without any message from the peer the tunnel ends */
	uint64_t full_ns;     /* the channel may be full for so long; 0: 1 s */
	bool keep_on_garbage; /* what is no message is counted and dropped, not the end */
};

struct mf_frame_l2_ops {
	/* One binary message, @parts one behind the other. Return: 0; MF_E_AGAIN: no room; anything else: gone */
	int (*send)(void *ctx, const struct mf_span *parts, unsigned cnt);
	/* The end: to be told the peer behind what was sent. @reason: UTF-8, may be empty. Called once, or never */
	void (*close)(void *ctx, unsigned status, struct mf_span reason);
	uint64_t (*now)(void *ctx); /* nanoseconds, monotonic */
	void *ctx;
};

/* Beside those of the source. */
struct mf_frame_l2_stats {
	uint64_t bytes;		      /* of messages, both directions */
	uint64_t garbage;	      /* what was no message, or too long a one */
	uint64_t pings_in, pings_out; /* each of the first was answered */
	uint64_t pongs;		      /* that answered our last PING */
	uint64_t rtt_ns;	      /* of the last one; 0: none yet */
	uint64_t errors_in, ignored;  /* ERRORs of the peer; text, reserved types */
	uint16_t error_code;	      /* of the peer's last structured ERROR */
};

/** mf_frame_l2_new() - Return: 0, MF_E_INVAL (a limit above MF_FRAME_MAX), MF_E_NOMEM */
int mf_frame_l2_new(const struct mf_frame_l2_options *options, const struct mf_frame_l2_ops *ops,
		    struct mf_frame_source **ret, struct mf_err *err);

/**
 * mf_frame_l2_message() - A binary message has come
 * @msg: a frame's receiver may write to it until this returns
 * Return: 0; MF_E_CLOSED: the tunnel has ended, before or by it
 */
int mf_frame_l2_message(struct mf_frame_source *source, uint8_t *msg, size_t len);

/** mf_frame_l2_text() - A text message has come: it is counted, and of no other use. Return: as above */
int mf_frame_l2_text(struct mf_frame_source *source, size_t len);

/** mf_frame_l2_deadline() - Return: when mf_frame_l2_tick() is due, UINT64_MAX: never */
uint64_t mf_frame_l2_deadline(const struct mf_frame_source *source);

/** mf_frame_l2_tick() - Ask the peer whether it is there, end what has been idle or full for too long. Return: 0, MF_E_CLOSED */
int mf_frame_l2_tick(struct mf_frame_source *source);

/** mf_frame_l2_shutdown() - End the tunnel because we go: 1001, "shutting down" */
void mf_frame_l2_shutdown(struct mf_frame_source *source);

void mf_frame_l2_get_stats(const struct mf_frame_source *source, struct mf_frame_l2_stats *ret);

#endif
