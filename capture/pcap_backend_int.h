/* SPDX-License-Identifier: Apache-2.0 */
/* pcap_backend_int.h - what pcap_backend.c and pcap_speech.c share; not for anybody else */
#ifndef MF_CAPTURE_PCAP_BACKEND_INT_H
#define MF_CAPTURE_PCAP_BACKEND_INT_H

#include "capture/pcap_backend.h"
#include "capture/pipeline.h"

enum {
	MF_PCAP_LINK_ROOM = 40,		/* Linux cooked v2 with four tags has 36 bytes */
	MF_PCAP_BUILT_MAX = 65535 + 48, /* the longest packet that is made here */
};

/* What a packet keeps of its record, in its own memory: it may be held longer than the record. */
struct mf_pcap_own {
	uint64_t number, time_ns;
	uint32_t interface, missing, udp_at;
	uint16_t link, ip_length, udp_length;
	uint8_t link_len, direction;
	bool from_client, ip_mended, udp_mended;
	uint8_t head[MF_PCAP_LINK_ROOM];
};

_Static_assert(sizeof(struct mf_pcap_own) <= MF_PACKET_OWN_MAX, "a packet has room for it");

struct mf_pcap_backend {
	struct mf_pcapng *out;
	struct mf_nat *nat;
	struct mf_pipeline *pipeline;
	struct mf_pcap_backend_stats stats;
	int error;
	/* the record that is being written */
	struct mf_packet packet;
	bool pending; /* not yet received by the pipeline */
	const struct mf_replay_fate *fate;
	struct mf_pcap_own own;
	uint8_t built[MF_PCAP_BUILT_MAX];
	/* records that wait for what becomes of a connection, and those behind them */
	struct mf_pcap_waiting *first, **last;
	uint32_t waiting_cnt;
	uint64_t waiting_bytes;
};

struct mf_pcap_waiting {
	struct mf_pcap_waiting *next;
	struct mf_pcap_record rec;
	struct mf_replay_fate fate;
	uint64_t now_ns;
	size_t size;
	uint8_t bytes[]; /* of the record, and of what the fate says */
};

/* pcap_backend.c */
/** mf_pcap_turn_round() - The link header of a packet that goes the other way than the one that it was captured with */
void mf_pcap_turn_round(struct mf_pcap_own *o);
/** mf_pcap_run() - b->packet through the pipeline */
int mf_pcap_run(struct mf_pcap_backend *b, uint64_t now_ns);

/* pcap_speech.c: what the session's resolver says */
/** mf_pcap_write_answer() - The answer to a datagram of DNS, or what comes in place of one; @packet: its flow */
int mf_pcap_write_answer(struct mf_pcap_backend *b, const struct mf_flow *packet);
/** mf_pcap_write_in_speech() - A packet (b->packet) of a connection in which the session's resolver speaks for the server */
int mf_pcap_write_in_speech(struct mf_pcap_backend *b, struct mf_pcap_ip *ip, uint64_t now_ns);

#endif
