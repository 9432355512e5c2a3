/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.h - a backend in memory: packets and events that a test puts in, packets that the pipeline sent
 *
 *	struct ring r;
 *
 *	ring_init(&r, options, caps);
 *	ring_tcp(&r, &flow, MF_TCP_SYN, seq, 0, "");     // comes in with the next turn
 *	ring_turn(&r);
 *	sent = ring_next(&r);                            // fails the test if nothing was sent
 *
 * Every packet that is sent is looked at: it must be readable and its checksums right (unless a test says otherwise), and
 * of outbound packets none or both ends are loopback, of inbound none (what Windows' stack would refuse or lose).
 */
#ifndef MF_TESTS_CAPTURE_RING_H
#define MF_TESTS_CAPTURE_RING_H

#include "capture/pipeline.h"
#include "core/base/clock.h"
#include "core/packet/build.h"
#include "tests/unit/test.h"

#define RING_PACKETS 512
#define RING_ROOM    2048

struct ring_packet {
	struct mf_packet packet;
	uint8_t *bytes;
	uint32_t room;
};

struct ring {
	struct mf_pipeline *pipeline;
	struct mf_nat *nat; /* given by the options or the pipeline's own */
	uint64_t now;

	struct ring_packet in[RING_PACKETS], out[RING_PACKETS];
	unsigned in_cnt, in_at, out_cnt, out_at;
	struct mf_flow_event events[RING_PACKETS];
	unsigned event_cnt, event_at;
	bool closed, unchecked;

	/* what comes next by itself */
	struct mf_packet like; /* interface, flags, csum, segment_len of what is put in */
	int receive_code;      /* != 0: receive() fails with it */
	int send_code;	       /* != 0: send() fails with it */
	unsigned send_most;    /* != 0: send() takes so many at once */
	int decide_code;       /* != 0: decide() fails with it */
	struct mf_flow_verdict verdict;
	uint32_t table_pid; /* what find_pid() says; 0: MF_E_NOENT */

	unsigned decisions, lookups, told[MF_PIPELINE_EVENT_NUM];
	struct mf_pipeline_event last_event;
	struct mf_flow last_flow; /* of decide() */
	uint32_t last_pid;
};

/** ring_init() - @options: NULL for R, all packets, ports 9080 (TCP), 9081 (UDP), 5353 (DNS); the verdict is PROXY */
void ring_init(struct ring *r, const struct mf_pipeline_options *options, unsigned caps);
struct mf_pipeline_options ring_options(void);
void ring_done(struct ring *r);

/** ring_put() - Bytes as a packet of the next turn */
void ring_put(struct ring *r, const void *bytes, size_t len);
void ring_tcp(struct ring *r, const struct mf_flow *f, uint8_t flags, uint32_t seq, uint32_t ack,
	      const char *payload);
void ring_udp(struct ring *r, const struct mf_flow *f, const void *payload, size_t len);
void ring_event(struct ring *r, enum mf_flow_event_kind kind, const struct mf_flow *f,
		uint32_t pid);

/** ring_turn() - Turns until nothing comes any more */
void ring_turn(struct ring *r);
/** ring_next() - The next packet that was sent; fails the test if there is none */
struct mf_packet *ring_next(struct ring *r);
/** ring_is_empty() - Was everything that was sent looked at? */
bool ring_is_empty(const struct ring *r);
struct mf_pipeline_stats ring_stats(const struct ring *r);

struct mf_view ring_view(const struct mf_packet *p);
/** ring_expect() - The next packet is of this flow and goes this way (MF_PACKET_OUTBOUND and LOOPBACK of @flags) */
struct mf_packet *ring_expect(struct ring *r, const struct mf_flow *f, uint8_t flags);

/** flow_of() - From text: "10.0.0.2:1000", "198.51.100.7:443" */
struct mf_flow flow_of(uint8_t proto, const char *src, const char *dst);

#endif
