/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_net.h - the network that guests see on their wires: one router, which is also their DHCP and name server
 *
 *	mf_guest_net_new(&options, &ops, now, &net, &err);
 *	mf_guest_attach(net, source, now, &guest, &err);    // frames of @source are this guest's from now on
 *	mf_guest_net_packet(net, packet, len);              // from the stack, to whom it is for
 *	mf_guest_net_flush(net);                            // at the end of each turn
 *
 * What is answered here: ARP and neighbour solicitations for the router's addresses, DHCPv4, router solicitations, stateless
 * DHCPv6, echo requests to the router, in fragments, too. Echo requests to others go to ops.echo; all other IP packets to the
 * stack (ops.packet), whatever their destination.
 *
 * Isolation (any_mac apart). Each guest has a wire, an IPv4 address and an IPv6 /64 of its own; there is no switch. A frame counts only with
 * the source MAC that the guest came with and a source address that is its own; ARP and neighbour messages that say
 * something else, advertisements of routers and redirects are dropped and counted. Rate and queue have limits for each guest.
 *
 * Threads: one. Cost of a packet: constant, nothing is allocated.
 */
#ifndef MF_NIC_GUEST_NET_H
#define MF_NIC_GUEST_NET_H

#include "core/base/err.h"
#include "core/packet/view.h"
#include "nic/dhcp4.h"
#include "nic/frame_source.h"

struct mf_guest;
struct mf_guest_net;

#define MF_GUESTS_MAX 200u /* hosts 15 to 214 of the /24 */

/* Why frames of a guest, or to it, went nowhere. */
enum mf_guest_drop {
	MF_GUEST_DROP_MALFORMED,
	MF_GUEST_DROP_TYPE, /* neither ARP nor IP */
	MF_GUEST_DROP_VLAN, /* with a tag: there is one network here. A priority alone (VLAN 0) is no VLAN */
	MF_GUEST_DROP_NOT_OURS,	   /* to another station */
	MF_GUEST_DROP_GROUP,	   /* multicast and broadcast that nobody here listens to */
	MF_GUEST_DROP_SPOOFED_MAC, /* from another station than the guest */
	MF_GUEST_DROP_SPOOFED_IP,  /* from an address that is not the guest's, or about one */
	MF_GUEST_DROP_RATE,
	MF_GUEST_DROP_FRAGMENT, /* of an echo request: overlapping, too many, late */
	MF_GUEST_DROP_QUEUE,	/* to the guest: it does not take them */
	MF_GUEST_DROP_NUM
};
const char *mf_guest_drop_name(enum mf_guest_drop reason);

/* Zero means the default everywhere. */
struct mf_guest_net_options {
	size_t size;	 /* of this struct */
	uint8_t net4[4]; /* of a /24: 10.0.2.0. Router .2, name server .3, guests from .15 on */
	uint8_t net6
		[6]; /* a /48: fd6d:6f6f:6e67::. Router ::2, name server ::3; guest N gets its /64 number N */
	bool no6;	      /* nothing of IPv6 is answered or passed */
	uint8_t mac[6];	      /* the router's; 52:6d:6f:6f:6e:02 */
	bool names_at_router; /* there is no name server .3: guests ask the router */
	/*
	 * A guest may change its MAC, as an emulator's does that goes on from a saved state, and speak to the router by any: its wire
	 * says whose its frames are.
	 */
	bool any_mac;
	uint16_t mtu;	    /* 1,500 */
	uint32_t lease_s;   /* 86,400 */
	const char *domain; /* borrowed: option 15, and the search list; NULL: none */
	const char *
		boot_file; /* borrowed: what firmware loads, a path or an URL of up to 255 bytes; NULL: nothing */
	uint8_t boot_server[4]; /* where it loads a path from by TFTP; zero: not said */
	uint8_t ntp[MF_DHCP4_LIST_MAX][4];
	uint8_t ntp_cnt;
	uint64_t
		rate; /* bytes a second that one guest may send; no limit. Bursts: 1/8 of it, at least 128 KiB */
};

struct mf_guest_net_ops {
	/* An IP packet of a guest, with a source that is the guest's, for the stack; @pkt may be written to until it returns */
	void (*packet)(void *ctx, struct mf_guest *guest, uint8_t *pkt, size_t len);
	/*
	 * An echo request of a guest to somebody beyond the router, whole, of protocol ICMP or ICMPv6; whatever its checksum
	 * holds counts as good. NULL: they go to the stack, as they come
	 */
	void (*echo)(void *ctx, struct mf_guest *guest, const struct mf_view *request);
	/* Every frame on a wire, as it came or goes; may be NULL. @head and @body stand one behind the other */
	void (*observe)(void *ctx, struct mf_guest *guest, bool from_guest, const uint8_t *head,
			size_t head_len, const uint8_t *body, size_t body_len);
	/* The guest said its MAC (first frame), or it got its IPv4 address by DHCP (again); may be NULL */
	void (*event)(void *ctx, struct mf_guest *guest, bool leased);
	/*
	 * Another machine has come to the guest's wire: the one that was here has left. After this the guest begins anew, with another
	 * number and without addresses, until it says its MAC; may be NULL
	 */
	void (*replaced)(void *ctx, struct mf_guest *guest);
	/* Nanoseconds, monotonic */
	uint64_t (*now)(void *ctx);
	void *ctx;
};

struct mf_guest_stats {
	struct mf_frame_stats frames;
	uint64_t packets_in, packets_out;     /* to and from the stack */
	uint64_t arp, dhcp4, dhcp6, nd, echo; /* answered */
	uint64_t dropped[MF_GUEST_DROP_NUM];
};

/** mf_guest_net_new() - Return: 0, MF_E_INVAL, MF_E_NOMEM */
int mf_guest_net_new(const struct mf_guest_net_options *options, const struct mf_guest_net_ops *ops,
		     struct mf_guest_net **ret, struct mf_err *err);
void mf_guest_net_free(struct mf_guest_net *net); /* with its guests and their sources */

/**
 * mf_guest_attach() - A guest on the wire @source, the network's from now on, also on failure
 * Its addresses follow from its MAC once it says that: those that the MAC had before, unless somebody has them now.
 * Return: 0, MF_E_FULL, MF_E_NOMEM
 */
int mf_guest_attach(struct mf_guest_net *net, struct mf_frame_source *source, struct mf_guest **ret,
		    struct mf_err *err);
void mf_guest_detach(struct mf_guest *guest);

/** mf_guest_run() - Handle what the guest sent, at most @max frames. Return: as mf_frame_source_run() */
int mf_guest_run(struct mf_guest *guest, unsigned max);

/** mf_guest_net_packet() - A packet of the stack, to the guest that its destination names. Return: 0; MF_E_NOENT, MF_E_AGAIN (dropped) */
int mf_guest_net_packet(struct mf_guest_net *net, const uint8_t *pkt, size_t len);

/**
 * mf_guest_net_packet_whole() - A packet of up to 65,535 bytes that is whole, in fragments where it is larger than the MTU
 * A header's don't-fragment bit is not looked at. Return: as mf_guest_net_packet(), MF_E_AGAIN also where a part was dropped; MF_E_BAD
 */
int mf_guest_net_packet_whole(struct mf_guest_net *net, uint8_t *pkt, size_t len);

/** mf_guest_net_router() - The router's address, for errors that it makes: 4 or 16 bytes by @family */
const uint8_t *mf_guest_net_router(const struct mf_guest_net *net, uint8_t family);

/* What the stack has left open in a packet. Offsets in bytes from its first one, the IP header. */
struct mf_guest_unfinished {
	uint16_t csum_start;  /* of the transport header */
	uint16_t csum_offset; /* of the checksum in it, which holds the sum of the pseudo header */
	uint16_t
		segment; /* TCP: payload bytes of each packet that it is to be cut into; 0: it is one */
};

/**
 * mf_guest_net_packet_unfinished() - A packet whose checksum is open, or a large one; @pkt is written to
 * Cost: one pass over the payload. Return: as mf_guest_net_packet(), MF_E_AGAIN also where a part was dropped; MF_E_BAD: @how does not fit it
 */
int mf_guest_net_packet_unfinished(struct mf_guest_net *net, uint8_t *pkt, size_t len,
				   const struct mf_guest_unfinished *how);

/** mf_guest_net_flush() - Let go what waits for guests, forget late fragments, and advertise what is due. Then look at each source's wants_write */
void mf_guest_net_flush(struct mf_guest_net *net);

/* Of a guest. Addresses: zero until its MAC is known. */
struct mf_frame_source *mf_guest_source(const struct mf_guest *guest);
unsigned mf_guest_number(const struct mf_guest *guest); /* from 1 on, in order of arrival */
const uint8_t *mf_guest_mac(const struct mf_guest *guest);
const uint8_t *mf_guest_address4(const struct mf_guest *guest);
const uint8_t *mf_guest_prefix6(const struct mf_guest *guest); /* 8 bytes */
void mf_guest_get_stats(const struct mf_guest *guest, struct mf_guest_stats *ret);
/** mf_guest_set_data() - The owner's pointer, for ops */
void mf_guest_set_data(struct mf_guest *guest, void *data);
void *mf_guest_data(const struct mf_guest *guest);

#endif
