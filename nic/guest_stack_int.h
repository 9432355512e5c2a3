/* SPDX-License-Identifier: Apache-2.0 */
/* guest_stack_int.h - the parts of the stack for guests (guest_stack.h): lwIP's interface, connections, datagrams */
#ifndef MF_NIC_GUEST_STACK_INT_H
#define MF_NIC_GUEST_STACK_INT_H

#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/tcp.h>

#include "core/packet/nat.h"
#include "core/packet/reassemble.h"
#include "nic/guest_stack.h"

#define MF_STACK_PACKET_MAX 65535u
#define MF_STACK_OPTION_MSS 2 /* RFC 9293 3.1 */

/* A segment on its way through lwIP, counted as its guest's until it is freed. */
struct mf_stack_pbuf {
	struct pbuf_custom custom;
	struct mf_stack_peer *peer;
	uint32_t size;
	uint8_t bytes[];
};

struct mf_stack_peer {
	struct mf_guest_stack *stack;
	struct mf_stack_conn *conns;
	void *owner;
	uint32_t conn_cnt, half_open;
	uint32_t bytes;			  /* of segments in lwIP and in connections */
	uint32_t refs;			  /* those segments, and one for being there */
	struct mf_reassembler *fragments; /* made when the first one comes */
	bool left, stopped;
};

/* From SYN to the end of its control block in lwIP. */
struct mf_stack_conn {
	struct mf_stack_peer *peer;
	struct mf_stack_conn *prev, *next; /* of its guest */
	struct mf_stack_conn *dirty_next;
	struct tcp_pcb *pcb;
	struct pbuf *in, *in_last; /* came, and was not taken yet */
	void *data;
	struct mf_flow flow;
	uint32_t number;   /* in the stack's table, from 1 on: what the NAT keeps with its entry */
	uint16_t segment;  /* payload of a packet that the guest takes */
	uint32_t send_max; /* bytes that lwIP keeps for it */
	uint32_t isn_add;  /* lwIP's sequence numbers, to be what the guest sees */
	bool accepted, owned; /* handshake ended; the owner still wants to hear of it */
	bool fin_seen, fin_sent, fin_told;
	bool dirty, has_news, wants_room, has_room;
	bool joined;  /* came as one, and was more: to be acknowledged with the next flush */
	bool refused; /* to be reset with the next flush */
};

struct mf_guest_stack {
	struct mf_guest_stack_options options;
	struct mf_guest_stack_ops ops;
	struct netif netif;
	struct tcp_pcb *listener;
	struct mf_nat *nat;
	struct mf_stack_conn **conns; /* conns_max + 1 */
	uint32_t *free_numbers;
	uint32_t free_cnt;
	uint64_t bytes; /* of all peers */
	struct mf_stack_conn *dirty;
	struct mf_guest_stack_stats stats;
	uint64_t now_ns, expire_ns;
	struct mf_stack_conn *current; /* whose segment lwIP handles right now */
	uint32_t ident;		       /* of fragments */
	bool timers;		       /* lwIP's are running */
	uint8_t packet[MF_STACK_PACKET_MAX + 64];
};

/* guest_stack_tcp_linux.c */
int mf_stack_tcp_start(struct mf_guest_stack *s, struct mf_err *err);
void mf_stack_tcp_input(struct mf_guest_stack *s, struct mf_stack_peer *peer, struct mf_view *v,
			uint8_t *pkt);
void mf_stack_tcp_flush(struct mf_guest_stack *s);
void mf_stack_tcp_forget(struct mf_stack_conn *c, bool tell_guest);

/* guest_stack_udp_linux.c */
void mf_stack_refuse(struct mf_guest_stack *s, const struct mf_view *v);

/* guest_stack_linux.c */
void mf_stack_to_lwip(struct mf_guest_stack *s, struct mf_stack_peer *peer, const uint8_t *pkt,
		      size_t len);

static inline void mf_stack_dropped(struct mf_guest_stack *s, enum mf_stack_drop reason)
{
	s->stats.dropped[reason]++;
}

#endif
