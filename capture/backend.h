/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend.h - what the pipeline wants of a source of packets: TUN, WinDivert, a capture file, a ring in memory
 *
 * A backend moves batches of IP packets and tells what it knows of flows. It judges and rewrites nothing. All functions
 * are called by the thread that runs the pipeline, none may block.
 *
 * Memory. A received packet lies in memory of the backend, is writable, and stays valid until the next receive() call;
 * the pipeline rewrites it in place and usually sends the same struct mf_packet back. What the pipeline holds for longer
 * (a first packet whose process is not known yet) and what it builds itself (a reset) lies in its own memory. Of what is held,
 * @own is a copy of the received packet's @own, so that everything that the system said of a packet comes back with it; what
 * is built has MF_PACKET_BUILT, and the interface of the packet that it answers.
 */
#ifndef MF_CAPTURE_BACKEND_H
#define MF_CAPTURE_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/addr.h"
#include "core/base/err.h"
#include "core/packet/checksum.h"
#include "core/packet/flow.h"

struct mf_metrics;

/* Most packets of one receive() or send(). */
#define MF_BACKEND_BATCH_MAX 64
/* Bytes of a backend's own about a packet: a WINDIVERT_ADDRESS has 80, a virtio_net_hdr 12. */
#define MF_PACKET_OWN_MAX 80
/* An IP packet cannot be longer; coalesced ones may come up to this as well. */
#define MF_PACKET_LEN_MAX 65575

/* struct mf_packet flags */
#define MF_PACKET_OUTBOUND \
	0x01 /* from a program of this machine (or session) towards the network; else inbound */
#define MF_PACKET_LOOPBACK 0x02 /* from this machine to this machine */
#define MF_PACKET_IMPOSTOR 0x04 /* injected by somebody else */
#define MF_PACKET_BUILT	   0x08 /* made by the pipeline: no backend has filled @own in, it is zero */

/* One IP packet (no link header). The pipeline may change @ptr's bytes, @len, @csum, @flags and @interface. */
struct mf_packet {
	uint8_t *ptr;
	uint32_t len; /* bytes */
	uint32_t
		segment_len; /* TCP payload bytes of one segment where the packet is many in one (TSO, GRO); 0: just one */
	/* Whose numbers mean something to the backend alone; replies are sent with those of the flow's first packet. */
	uint32_t interface, sub_interface;
	uint64_t time_ns; /* of the capture, on the clock that the pipeline is given; 0: now */
	uint8_t csum;	  /* enum mf_csum_kind: what the transport checksum field holds */
	uint8_t flags;	  /* MF_PACKET_... */
	uint8_t own[MF_PACKET_OWN_MAX] __attribute__((aligned(8)));
};

/* What a backend can tell about a flow beside its packets. */
enum mf_flow_event_kind {
	MF_FLOW_EVENT_CONNECT, /* a socket connects; for UDP the first send to a peer */
	MF_FLOW_EVENT_ACCEPT,
	MF_FLOW_EVENT_LISTEN, /* @flow has a local end only */
	MF_FLOW_EVENT_CLOSE,  /* comes before the last packets */
	MF_FLOW_EVENT_NUM
};

struct mf_flow_event {
	enum mf_flow_event_kind kind;
	struct mf_flow flow; /* src: the local end */
	uint32_t pid;
	uint64_t
		time_ns; /* when it happened, on the pipeline's clock; a pid may be another process by now */
};

/* struct mf_backend caps */
#define MF_BACKEND_CAN_PASS 0x01 /* a packet that is sent unchanged goes where it was going */
#define MF_BACKEND_HAS_EVENTS \
	0x02 /* next_event() works: processes of flows become known by events */
#define MF_BACKEND_FILLS_CSUMS \
	0x04 /* MF_CSUM_ABSENT may be sent: the system computes transport checksums */
#define MF_BACKEND_TAKES_PARTIAL 0x08 /* MF_CSUM_PARTIAL may be sent */
#define MF_BACKEND_TAKES_LARGE	 0x10 /* packets with segment_len may be sent */

struct mf_backend {
	const char *name; /* as in events: "tun", "windivert", "pcap" */
	unsigned caps;	  /* MF_BACKEND_... */
	void *ctx;

	/**
	 * receive() - Up to @max packets that are there now
	 * Return: how many, 0 for none now; MF_E_CLOSED: there will never be another; other MF_E_*: a failure that counts
	 * towards the fail mode (P53)
	 */
	int (*receive)(void *ctx, struct mf_packet *packets, unsigned max);
	/**
	 * send() - Hand packets back to the system, in order
	 * Return: how many of the first ones were taken (the others are offered once more, so that a failure can be told
	 * about the first of them); MF_E_AGAIN: the system has no room now, all are dropped and counted; other MF_E_*: a
	 * failure that counts, about the first packet, which is dropped; the others are offered again
	 */
	int (*send)(void *ctx, struct mf_packet *const *packets, unsigned cnt);
	/** next_event() - NULL without MF_BACKEND_HAS_EVENTS; Return: 1 with an event, 0 for none now, MF_E_* as receive() */
	int (*next_event)(void *ctx, struct mf_flow_event *ret);
	/**
	 * find_pid() - Who owns the local end of @flow now, by the system's tables; slower than events. May be NULL.
	 * Return: 0 with *ret_pid, MF_E_NOENT
	 */
	int (*find_pid)(void *ctx, const struct mf_flow *flow, uint32_t *ret_pid);
};

#endif
