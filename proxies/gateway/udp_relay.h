/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_relay.h - a client's frames (udp_frame.h) on one side, its guest ports (udp_ports.h) on the other
 *
 * What /udp and the data channel "udp" have in common: the two framings, which of them a client gets, bounds, and counters.
 */
#ifndef MF_PROXIES_GATEWAY_UDP_RELAY_H
#define MF_PROXIES_GATEWAY_UDP_RELAY_H

#include "proxies/gateway/relay_events.h"
#include "proxies/gateway/udp_ports.h"

struct mf_udp_relay_sink {
	/* One frame for the client, in two pieces. Return: <0: it is lost. Must not free the relay. */
	int (*send)(void *ctx, struct mf_span head, struct mf_span payload);
	/* Bytes that wait for the client */
	size_t (*waiting)(void *ctx);
};

struct mf_udp_relay {
	struct mf_udp_ports ports;
	const struct mf_udp_relay_sink *sink;
	void *ctx;
	enum mf_relay_event way; /* MF_RELAY_WS, MF_RELAY_RTC */
	bool has_sent_2;	 /* the client has sent version 2: it knows it */
	struct mf_rate bytes;
	struct mf_gw_address *address; /* the client's */
};

/** mf_udp_relay_begin() - @r: zeroed; @member, @address: must outlive it */
void mf_udp_relay_begin(struct mf_udp_relay *r, struct mf_gateway *gw, struct mf_gw_member *member,
			struct mf_gw_address *address, const struct mf_endpoint *client,
			enum mf_relay_event way, const struct mf_udp_relay_sink *sink, void *ctx);

/**
 * mf_udp_relay_take() - One frame of the client's
 * Return: 0: it went, or is lost and counted; MF_E_LIMIT: longer than any frame may be; MF_E_FULL: the client went over its limits
 * too often; MF_E_PERM: its bytes are used up. In the last three cases the caller ends what the frame came in.
 */
int mf_udp_relay_take(struct mf_udp_relay *r, struct mf_span frame);

void mf_udp_relay_end(struct mf_udp_relay *r);

#endif
