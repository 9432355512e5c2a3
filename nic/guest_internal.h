/* SPDX-License-Identifier: Apache-2.0 */
/* guest_internal.h - what guest_net.c, guest_in.c and guest_services.c share */
#ifndef MF_NIC_GUEST_INTERNAL_H
#define MF_NIC_GUEST_INTERNAL_H

#include "core/packet/reassemble.h"
#include "nic/guest_net.h"

#define MF_GUEST_HEAD  14u /* Ethernet header */
#define MF_GUEST_LEAST 60u /* the least length of a frame, without FCS */

#define MF_VLAN_TAG    4u /* after the addresses: what it is, priority and VLAN */

enum {
	MF_ETHER_IP4 = 0x0800,
	MF_ETHER_ARP = 0x0806,
	MF_ETHER_VLAN = 0x8100,		/* 802.1Q */
	MF_ETHER_SERVICE_VLAN = 0x88a8, /* 802.1ad */
	MF_ETHER_IP6 = 0x86dd,
};

enum { MF_GUEST_HOST_ROUTER = 2, MF_GUEST_HOST_DNS = 3, MF_GUEST_HOST_FIRST = 15 };

struct mf_guest {
	struct mf_guest_net *net;
	struct mf_frame_source *source;
	void *data;
	unsigned number; /* in order of arrival */
	unsigned slot;	 /* 1 to MF_GUESTS_MAX once the MAC is known; 0 */
	uint8_t mac[6], address4[4], prefix6[8];
	uint64_t advert_due_ns; /* UINT64_MAX: not before the MAC is known */
	uint64_t tokens, tokens_ns;
	struct mf_reassembler *fragments; /* of echo requests; made when the first one comes */
	struct mf_guest_stats stats;
};

struct mf_guest_net {
	struct mf_guest_net_options options;
	struct mf_guest_net_ops ops;
	uint8_t mac[6]; /* of the router */
	uint8_t router4[4], dns4[4], router6[16], dns6[16], link6[16];
	uint8_t search[256]; /* options.domain in wire form */
	size_t search_len;
	unsigned number; /* of the guest that came last */
	unsigned cnt;
	uint32_t ident; /* of fragments */
	struct mf_guest *guests[MF_GUESTS_MAX];
	struct {
		struct mf_guest *guest; /* NULL: nobody now */
		uint8_t mac[6];		/* who was here last */
		bool used;
	} slots[MF_GUESTS_MAX + 1];
};

static inline void mf_guest_dropped(struct mf_guest *g, enum mf_guest_drop why)
{
	g->stats.dropped[why]++;
}

/* guest_net.c */
/* A frame to the guest; @body without an Ethernet header, padded to the least length of a frame */
void mf_guest_emit(struct mf_guest *g, const uint8_t dst[6], uint16_t type, const uint8_t *body,
		   size_t len);
/* Who has the packet's destination; *@ret_type: of its frame. Return: NULL: nobody */
struct mf_guest *mf_guest_find(struct mf_guest_net *net, const uint8_t *pkt, size_t len,
			       uint16_t *ret_type);
/* A whole frame of two pieces, at least as long as the least one. Return: 0, MF_E_AGAIN (counted) */
int mf_guest_put(struct mf_guest *g, const uint8_t *head, size_t head_len, const uint8_t *body,
		 size_t len);
/* It has another MAC from now on, and keeps its addresses */
void mf_guest_rename(struct mf_guest *g, const uint8_t mac[6]);
/* The MAC is known: give it addresses. Return: false if there are none left */
bool mf_guest_settle(struct mf_guest *g, const uint8_t mac[6]);

/* guest_in.c */
void mf_guest_on_frame(void *guest, uint8_t *frame, size_t len);

/* guest_services.c: packets that are for us. Headers have been read, lengths hold */
void mf_guest_serve_arp(struct mf_guest *g, const uint8_t *pkt, size_t len);
void mf_guest_serve_dhcp4(struct mf_guest *g, const uint8_t *msg, size_t len);
void mf_guest_serve_dhcp6(struct mf_guest *g, const uint8_t *from, const uint8_t *msg, size_t len);
/* Neighbour and router messages: @from is the packet's source. Return: false if it is none */
bool mf_guest_serve_nd(struct mf_guest *g, const uint8_t *pkt, const uint8_t *msg, size_t len);
void mf_guest_advertise(struct mf_guest *g, bool unsolicited);

/* guest_echo.c: a packet of ICMP, or a fragment of one, to the router or beyond. Return: true: it was taken care of */
bool mf_guest_take_icmp(struct mf_guest *g, uint8_t *pkt, size_t len);

#endif
