/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames.h - Ethernet frames of browsers: between a channel of messages (a WebSocket, a data channel) and whoever has a network for them
 *
 *	frames->open(frames->ctx, &facts, &sink, sink_ctx, &wire);	// a channel is there
 *	frames->message(wire, text, bytes);				// for each of its messages
 *	sink.send(sink_ctx, parts, cnt);				// at any time: a message for it
 *	sink.ended(sink_ctx, 1008, reason);				// at most once, from the loop: the channel is to be closed
 *	frames->close(wire);						// once, in any case
 *
 * Who has the channel neither reads messages nor makes them: pings, errors, quotas and time-outs are the network's. Who has the network
 * does not know what carries messages: whether one more may be sent it learns by trying. One thread.
 */
#ifndef MF_PROXIES_GATEWAY_FRAMES_H
#define MF_PROXIES_GATEWAY_FRAMES_H

#include "core/base/addr.h"
#include "core/base/span.h"

struct mf_gateway_wire; /* the network's end of a channel */
struct mf_gw_member;	/* member.h */

#define MF_GATEWAY_L2_PROTOCOL "aero-l2-tunnel-v1"

enum mf_gateway_wire_kind {
	MF_GATEWAY_TUNNEL, /* messages of Aero's L2 tunnel */
	MF_GATEWAY_RAW,	   /* a message is a frame */
};

/* What is borrowed is for the call only. */
struct mf_gateway_wire_facts {
	enum mf_gateway_wire_kind kind;
	struct mf_gw_member *member; /* who: the network takes references of its own */
	struct mf_endpoint client;   /* the browser */
	const char *
		room; /* guests of one room see each other's frames; NULL: it is alone on its network */
};

struct mf_gateway_sink {
	/* One binary message, copied. Return: 0; MF_E_AGAIN: there is no room now, it is lost; MF_E_CLOSED, MF_E_NOMEM */
	int (*send)(void *ctx, const struct mf_span *parts, unsigned cnt);
	/* The channel is to be closed behind what was sent; @status: of a WebSocket's Close. close() is still wanted */
	void (*ended)(void *ctx, unsigned status, const char *reason);
};

#define MF_GATEWAY_DROPS_MAX 24u

struct mf_gateway_frames_stats {
	uint64_t frames_in, frames_out; /* Ethernet, of wires that have been closed as well */
	uint64_t dropped;		/* in either direction */
	uint64_t tcp_open, tcp,
		udp; /* connections now; connections and datagrams since the beginning */
	uint64_t udp_open, udp_limit; /* flows now; those that ended for there were too many */
	/* Why frames and packets of guests went nowhere, as far as there is a word for it. */
	struct {
		const char *reason;
		uint64_t n;
	} drops[MF_GATEWAY_DROPS_MAX];
	unsigned drop_cnt;
};

struct mf_gateway_frames {
	/* Return: 0, MF_E_FULL, MF_E_NOMEM; @sink is valid as long as the wire */
	int (*open)(void *ctx, const struct mf_gateway_wire_facts *facts,
		    const struct mf_gateway_sink *sink, void *sink_ctx,
		    struct mf_gateway_wire **ret);
	void (*message)(struct mf_gateway_wire *wire, bool text, struct mf_span bytes);
	/* Not from inside sink.send(). Nothing is sent any more */
	void (*close)(struct mf_gateway_wire *wire);
	/* All wires are closed, and members are about to go: no reference is to be kept */
	void (*let_go)(void *ctx);
	void (*get_stats)(void *ctx, struct mf_gateway_frames_stats *ret);
	void *ctx;
};

enum mf_gateway_rooms {
	MF_GATEWAY_ROOMS_NONE,	  /* each guest is alone */
	MF_GATEWAY_ROOMS_SESSION, /* guests of one session that name the same room */
	MF_GATEWAY_ROOMS_ALL,	  /* whoever names the same room */
};

/* Zero means the default. */
struct mf_gateway_l2_options {
	uint32_t wires_max;   /* open ones: 4,096, at most 65,535 */
	uint32_t member_max;  /* of one session; 0: any */
	uint32_t address_max; /* of one client address; 0: any */
	uint64_t bytes_max;   /* of messages of a tunnel, both directions; 0: any */
	uint32_t rate_max;    /* messages of a client in each second; 0: any */
	uint32_t frame_max;   /* bytes of a frame in a tunnel: 2,048 */
	uint32_t control_max; /* payload of its other messages: 256 */
	uint32_t ping_ms;     /* a tunnel is asked so often; 0: not */
	uint32_t idle_ms;     /* a tunnel that says nothing for so long ends; 0: does not */
	uint32_t queue_max;   /* bytes that wait for a channel: 1,048,576 */
	uint32_t tcp_max;     /* connections of a guest: 1,024 */
	bool ipv6;	      /* guests have IPv6, too */
	bool origin_required; /* upgrades of tunnels without an Origin are refused */
	const char *raw_path; /* NULL: /raw */
	enum mf_gateway_rooms rooms;
};

struct mf_gateway_l2_stats {
	uint64_t wires, wires_open;
	uint64_t refused, refused_auth, refused_origin, refused_address, refused_all,
		refused_member;
	uint64_t messages_in, messages_out, bytes_in, bytes_out, messages_lost;
	uint64_t ended_bytes, ended_rate, ended_full, ended_idle, ended_garbage;
};

#endif
