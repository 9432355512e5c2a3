/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_guests_int.h - guests of moonfence gateway, between its own files; see gateway_guests.h
 *
 *	gateway_guests_linux.c		networks, wires, all of it: how they begin and end, what they count
 *	gateway_guests_frames_linux.c	between a wire's channel and its guest: messages, frames, rooms, captures
 *	gateway_guests_flows_linux.c	between guests and the stack: packets, whose a connection is, the floor
 *	gateway_guests_alias_linux.c	the addresses that the stack knows guests by
 */
#ifndef MF_CLI_GATEWAY_GUESTS_INT_H
#define MF_CLI_GATEWAY_GUESTS_INT_H

#include <event2/event.h>

#include "capture/pcapng_write.h"
#include "cli/gateway_guests.h"
#include "cli/vm_echo.h"
#include "cli/vm_stack.h"
#include "nic/frame_l2.h"
#include "nic/guest_net.h"
#include "proxies/gateway/gateway.h"
#include "proxies/gateway/member.h"
#include "proxies/proxy.h"

enum {
	MF_GUESTS_WIRES_MAX = 65535,
	MF_GUESTS_RAW_MAX = 16384, /* bytes of a raw frame: what is longer is dropped */
	MF_GUESTS_MESSAGE_MAX = MF_FRAME_MAX + MF_L2_HEAD,
	MF_GUESTS_PACKET_MAX = 65535,
};

/* The networks of guests, which are all the same: a /24, a /48, and the router in them. */
#define MF_GUESTS_NET4 10, 0, 2
#define MF_GUESTS_NET6 0xfd, 0x6d, 0x6f, 0x6f, 0x6e, 0x67
#define MF_GUESTS_ROUTER4         \
	{                         \
		MF_GUESTS_NET4, 2 \
	}
#define MF_GUESTS_ROUTER6                \
	{                                \
		MF_GUESTS_NET6, [15] = 2 \
	}

/* Guests that are on one network. */
struct mf_gateway_segment {
	struct mf_gateway_segment *prev, *next;
	struct mf_gateway_guests *all;
	struct mf_guest_net *net;
	struct mf_gateway_wire *wires;
	char *room; /* NULL: of one guest alone */
};

struct mf_gateway_wire {
	struct mf_gateway_guests *all;
	struct mf_gateway_segment *segment;
	struct mf_gateway_wire *next; /* of the segment; once closed, of those that linger */
	struct mf_gateway_wire *ended_next;
	const struct mf_gateway_sink *sink;
	void *sink_ctx;
	enum mf_gateway_wire_kind kind;
	struct mf_gw_member *member;
	struct mf_guest *guest;
	struct mf_stack_peer *peer;
	struct event *timer; /* of a tunnel */
	struct mf_pcapng *pcap;
	uint64_t pcap_bytes, closed_ns;
	uint32_t number; /* in its alias */
	unsigned status; /* != 0: it is to be ended */
	char reason[MF_L2_REASON_MAX + 1];
};

struct mf_gateway_guests {
	struct mf_gateway_guests_options options;
	struct mf_gateway_frames frames;
	struct mf_vm_stack *stack;
	struct mf_vm_echo *echo;
	struct event_base *base;
	struct mf_proxy *proxy;
	struct mf_gateway *gateway;
	struct event *accepts, *later, *linger;
	struct event *tick;
	struct mf_gateway_segment *segments;
	struct mf_gateway_wire **wires; /* by number */
	uint32_t room, last;
	struct mf_gateway_wire *ended;			/* to be told so */
	struct mf_gateway_wire *lingers, **lingers_end; /* closed ones, oldest first */
	uint64_t opened;
	struct mf_gateway_frames_stats gone; /* of wires that were closed */
	uint64_t gone_dropped[MF_GUEST_DROP_NUM];
	uint8_t message[MF_GUESTS_MESSAGE_MAX], packet[MF_GUESTS_PACKET_MAX];
};

uint64_t mf_guests_now(void *ctx); /* nanoseconds, monotonic; @ctx: not used */

/* What was given to the stack is looked at once a turn. */
static inline void mf_guests_soon(struct mf_gateway_guests *all)
{
	event_active(all->later, EV_TIMEOUT, 0);
}

/* ---- gateway_guests_alias_linux.c -------------------------------------------------------------------------------- */

/** mf_guests_take_number() - The next that is free, so that one is not somebody else's at once. Return: 0: none */
uint32_t mf_guests_take_number(struct mf_gateway_guests *all);
/** mf_guests_alias() - @family 6: the first address of its prefix */
struct mf_addr mf_guests_alias(const struct mf_gateway_wire *w, uint8_t family);
/** mf_guests_find() - Whose alias an address is. Return: NULL: nobody's */
struct mf_gateway_wire *mf_guests_find(const struct mf_gateway_guests *all,
				       const struct mf_addr *alias);
/** mf_guests_find_for() - Whose alias a packet's destination is. Return: NULL: nobody's */
struct mf_gateway_wire *mf_guests_find_for(const struct mf_gateway_guests *all, const uint8_t *pkt,
					   size_t len);
/** mf_guests_to_alias() - A packet of a guest: its source becomes the alias. Return: false: it is nothing that can be sent on */
bool mf_guests_to_alias(const struct mf_gateway_wire *w, uint8_t *pkt, size_t len);
/** mf_guests_from_alias() - A packet for a guest: the same the other way round, also in what an error quotes */
bool mf_guests_from_alias(const struct mf_gateway_wire *w, uint8_t *pkt, size_t len);

/* ---- gateway_guests_frames_linux.c ------------------------------------------------------------------------------- */

/** mf_guests_new_source() - The wire's channel as a source of frames. Return: 0, MF_E_NOMEM, MF_E_INVAL */
int mf_guests_new_source(struct mf_gateway_wire *w, struct mf_frame_source **ret);
/** mf_guests_arm() - A tunnel's timer, by what it waits for next */
void mf_guests_arm(struct mf_gateway_wire *w);
/** mf_guests_message() - mf_gateway_frames.message */
void mf_guests_message(struct mf_gateway_wire *w, bool text, struct mf_span bytes);
/** mf_guests_open_capture() - Where there is a directory for it; without one, and on failure, there is none */
void mf_guests_open_capture(struct mf_gateway_wire *w);
/** mf_guests_observe() - mf_guest_net_ops.observe */
void mf_guests_observe(void *ctx, struct mf_guest *guest, bool from_guest, const uint8_t *head,
		       size_t head_len, const uint8_t *body, size_t body_len);

/* ---- gateway_guests_flows_linux.c -------------------------------------------------------------------------------- */

/** mf_guests_packet() - mf_guest_net_ops.packet */
void mf_guests_packet(void *ctx, struct mf_guest *guest, uint8_t *pkt, size_t len);
/** mf_guests_echo() - mf_guest_net_ops.echo */
void mf_guests_echo(void *ctx, struct mf_guest *guest, const struct mf_view *request);
/** mf_guests_make_echo() - Who takes pings beyond the router. Return: 0, MF_E_NOMEM */
int mf_guests_make_echo(struct mf_gateway_guests *all);
/** mf_guests_own() - mf_vm_stack_options.own: whose a flow is, and whether the floor lets it through */
int mf_guests_own(void *ctx, struct mf_session_flow *flow);
/** mf_guests_begin_flows() - Return: 0, MF_E_NOMEM */
int mf_guests_begin_flows(struct mf_gateway_guests *all);

#endif
