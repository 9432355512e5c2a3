/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_ports.h - UDP for one client, whatever its datagrams come in: WebSocket messages, data channels, streams
 *
 * A guest port is one socket of ours: it comes into being with the port's first datagram, and goes when nothing has moved for a while, or
 * when its session has too many (the one that was used longest ago goes). What arrives at it goes to the client from where the port has
 * sent to lately, or, where the operator wants that (filter_any), from wherever the policies allow.
 *
 * Where a datagram may go is decided once for each other end of a session, and again after a while: the floor, then connect. To port 53 it
 * is a question for the resolver, whatever its address, as in any session. To port 443 nothing goes: that is QUIC, whose names are not
 * read here, and whose clients come over TCP then.
 *
 * Nothing waits here: a datagram that nobody takes now is lost, as on any network.
 */
#ifndef MF_PROXIES_GATEWAY_UDP_PORTS_H
#define MF_PROXIES_GATEWAY_UDP_PORTS_H

#include "core/base/span.h"
#include "proxies/gateway/udp_peers.h"

struct mf_gateway;
struct mf_gw_member;

struct mf_udp_sink {
	/* What arrived for a guest port. Must not free the ports. */
	void (*datagram)(void *ctx, uint32_t guest_port, const struct mf_endpoint *from,
			 struct mf_span payload);
	/* A guest port has gone: idle, or too many; NULL: nobody asks */
	void (*gone)(void *ctx, uint32_t guest_port);
};

struct mf_udp_port;
struct mf_udp_question;

enum { MF_UDP_PORT_BUCKETS = 64 };

/* Private but for the first six, which the owner sets. */
struct mf_udp_ports {
	struct mf_gateway *gw;
	struct mf_gw_member *member; /* stays the owner's */
	struct mf_endpoint client;
	const struct mf_udp_sink *sink;
	void *ctx;
	uint32_t payload_max; /* bytes of a datagram for the client; 0: as the options say */

	struct mf_udp_port *buckets[MF_UDP_PORT_BUCKETS];
	struct mf_udp_port *oldest, *newest;
	struct mf_udp_question *questions;
	struct mf_udp_peers allowed, denied; /* other ends, as they were judged */
	struct mf_rate packets, bytes;
	uint64_t violated_ms;
	uint32_t port_cnt, question_cnt, violation_cnt;
};

enum mf_udp_sent {
	MF_UDP_SENT,
	MF_UDP_LOST,   /* no socket, no room in it, no memory */
	MF_UDP_DENIED, /* by the floor or a policy */
	MF_UDP_TOO_FAST,
	MF_UDP_TOO_MANY, /* other ends of one session */
};

/**
 * mf_udp_ports_send() - One datagram of the client's
 * @guest_port: its number, any that names a socket of its own
 * Answers of the resolver may come to the sink from inside this call. Cost: a system call; for a new other end the policies.
 */
enum mf_udp_sent mf_udp_ports_send(struct mf_udp_ports *u, uint32_t guest_port,
				   const struct mf_endpoint *to, struct mf_span payload);

/** mf_udp_ports_is_over() - It went over its limits so often that the session shall end (violations_max) */
bool mf_udp_ports_is_over(const struct mf_udp_ports *u);

/** mf_udp_ports_close() - One guest port, if it is there; the sink is not told */
void mf_udp_ports_close(struct mf_udp_ports *u, uint32_t guest_port);

/** mf_udp_ports_free() - All of it; the sink hears nothing more */
void mf_udp_ports_free(struct mf_udp_ports *u);

/** mf_udp_ports_init() - What all of a gateway share */
void mf_udp_ports_init(struct mf_gateway *gw);

#endif
