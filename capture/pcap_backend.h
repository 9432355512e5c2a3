/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcap_backend.h - a capture file as a source of packets: captured packets through the pipeline, into another file
 *
 *	mf_pcap_backend_new(out, &backend, &err);
 *	while (... a record ...) {
 *		mf_replay_record(replay, &record);
 *		mf_pcap_backend_write(backend, &record, mf_replay_last_fate(replay), now, &err);
 *	}
 *
 * What a session's packets would have become. The pipeline is the one of live sources, with the redirect method of a TUN
 * device (reflection); what it is told to decide is what the replay found out about the same packet:
 *
 *	passes		as it was captured
 *	redirected	rewritten towards the proxy's listener; the captured answers take the way back through the same entry
 *	refused		not written; in its place the answer: TCP reset, ICMP prohibited, what the session's resolver says
 *	answered	DNS that a policy answers itself: the question goes to the proxy's resolver, and its answer comes
 *	moot		not written: packets of connections that were refused before, and answers that nobody got to give
 *
 * What a client's first words redirect is redirected from its SYN on: packets wait until that is known (within bounds, see
 * below), and all behind them, so that their order stays.
 *
 * Link headers are kept (turned round on packets that change direction), and so are times. Frames lose link padding, and TCP
 * and UDP checksums that a network card was to finish are finished (not inside of what ICMP errors quote). What is no IP, of unknown links or malformed is
 * written as it is.
 */
#ifndef MF_CAPTURE_PCAP_BACKEND_H
#define MF_CAPTURE_PCAP_BACKEND_H

#include "capture/pcapng_write.h"
#include "capture/replay.h"

#define MF_PCAP_PROXY_PORT 61080 /* where redirected flows go in the written packets */
#define MF_PCAP_DNS_PORT   61053 /* and questions that are answered for the resolver */

struct mf_pcap_backend_stats {
	uint64_t written, rewritten, answers, moot, refused, dropped;
	uint64_t early; /* written before it was known what their connection becomes */
	uint64_t said;	/* packets of the session's resolver that are no refusals of a datagram */
	uint64_t finished_checksums;
};

/* Packets that wait; what is over is written as that of a connection that passes. */
#define MF_PCAP_WAIT_PACKETS 16384
#define MF_PCAP_WAIT_BYTES   (32u << 20)

struct mf_pcap_backend;

/**
 * mf_pcap_backend_new() - @out: borrowed
 * @flows_max: entries of the NAT table; 0: its default. A flow that has no entry is refused, as in a session.
 * Return: 0, MF_E_INVAL, MF_E_NOMEM
 */
int mf_pcap_backend_new(struct mf_pcapng *out, uint32_t flows_max, struct mf_pcap_backend **ret,
			struct mf_err *err);
void mf_pcap_backend_free(struct mf_pcap_backend *b);

/**
 * mf_pcap_backend_write() - One record, and what it leads to
 * @rec:    changed
 * @now_ns: the replay's clock
 * Return: 0; MF_E_IO, MF_E_LIMIT: the file could not be written
 */
int mf_pcap_backend_write(struct mf_pcap_backend *b, const struct mf_pcap_record *rec,
			  const struct mf_replay_fate *fate, uint64_t now_ns);

/** mf_pcap_backend_finish() - Write what still waits; after mf_replay_finish() */
int mf_pcap_backend_finish(struct mf_pcap_backend *b);

void mf_pcap_backend_get_stats(const struct mf_pcap_backend *b, struct mf_pcap_backend_stats *ret);

#endif
