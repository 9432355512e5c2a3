/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline_internal.h - what the files of the pipeline know of each other; pipeline.h says how it works
 *
 * A turn: receive a batch, read events, look all packets up in one go, deal with each in order, hand all back. What a
 * packet became is queued in @out and leaves with mf_pipeline_flush(); whatever it lies in must stay until then.
 */
#ifndef MF_CAPTURE_PIPELINE_INTERNAL_H
#define MF_CAPTURE_PIPELINE_INTERNAL_H

#include "capture/pipeline.h"
#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/packet/build.h"
#include "core/packet/rewrite.h"

/* ---- processes of the session (pids.c) ---- */

#define MF_PIDS_MAX 65536u
#define MF_PIDS_EXITED_S \
	300u /* longer than NAT entries linger: what comes after them is still known as the process' */

enum mf_pid_state {
	MF_PID_FOREIGN, /* not in the set */
	MF_PID_SESSION,
	MF_PID_EXITED, /* was in the set a moment ago: its last packets are still coming */
};

struct mf_pids;

struct mf_pids *mf_pids_new(void);
void mf_pids_free(struct mf_pids *pids);
/** Return: 0, MF_E_EXIST, MF_E_FULL, MF_E_NOMEM, MF_E_INVAL for 0 */
int mf_pids_add(struct mf_pids *pids, uint32_t pid);
/** The pid stays known as exited for MF_PIDS_EXITED_S seconds. Return: false if it was not of the session */
bool mf_pids_remove(struct mf_pids *pids, uint32_t pid, uint64_t now_ns);
enum mf_pid_state mf_pids_get(const struct mf_pids *pids, uint32_t pid, uint64_t now_ns);
/** Was the process already exited, in whole seconds, at @at_ns? Who used its number then is another process */
bool mf_pids_ended_before(const struct mf_pids *pids, uint32_t pid, uint64_t at_ns);

/* ---- owners of flows, and packets that wait for them (hold.c) ---- */

#define MF_HOLD_BYTES_TOTAL (16u << 20) /* of all held packets together */
#define MF_OWNER_RETRY_NS \
	MF_NS_PER_S /* until the owner of a flow that nobody knew is asked for again */

/* A packet in memory of ours. */
struct mf_held {
	struct mf_held *next;
	struct mf_packet packet; /* ptr: bytes */
	uint8_t bytes[];
};

enum mf_owner_kind {
	MF_OWNER_KNOWN,	  /* pid */
	MF_OWNER_NOBODY,  /* asked for, and not found */
	MF_OWNER_PENDING, /* its first packets are held */
};

struct mf_owner {
	uint8_t kind;  /* enum mf_owner_kind */
	bool accepted; /* came from outside */
	bool reborn; /* @pid is the number of an exited process of the session, and this one is another */
	uint32_t pid;
};

struct mf_holds;

/** Return: 0, MF_E_NOMEM */
int mf_holds_new(const struct mf_pipeline_options *options, struct mf_holds **ret);
void mf_holds_free(struct mf_holds *h);

/*
 * Flows come with their mf_nat_hash().
 *
 * mf_holds_find() - Who owns the flow of a packet
 * @begins: it begins a flow (TCP: with sequence number @isn): what is known of an older one does not count
 * Return: 0 with *ret; MF_E_NOENT
 */
int mf_holds_find(struct mf_holds *h, const struct mf_flow *flow, uint64_t hash, bool begins,
		  uint32_t isn, uint64_t now_ns, struct mf_owner *ret);
/** mf_holds_prefetch() - Fetch what mf_holds_find() will need; twice, @deep the second time, other work between */
void mf_holds_prefetch(const struct mf_holds *h, uint64_t hash, bool deep);

/** mf_holds_put() - Keep a copy of a first packet until its owner is known; Return: 0, MF_E_FULL, MF_E_NOMEM */
int mf_holds_put(struct mf_holds *h, const struct mf_flow *flow, uint64_t hash,
		 const struct mf_packet *packet, uint64_t now_ns);

/**
 * mf_holds_set() - The owner of a flow became known (or @kind NOBODY: will not)
 * Return: the packets that waited, in order; the caller owns them: mf_held_free()
 */
struct mf_held *mf_holds_set(struct mf_holds *h, const struct mf_flow *flow, uint64_t hash,
			     const struct mf_owner *owner, uint64_t now_ns);
/** mf_holds_close() - The owner closed its end: what comes later on these ports belongs to somebody else */
void mf_holds_close(struct mf_holds *h, const struct mf_flow *flow, uint64_t hash);

/** mf_holds_due() - A flow that has been held for long enough (@all: or any); Return: false if there is none */
bool mf_holds_due(struct mf_holds *h, uint64_t now_ns, bool all, struct mf_flow *ret);
uint64_t mf_holds_deadline(const struct mf_holds *h);
unsigned mf_holds_count(const struct mf_holds *h);

/** mf_held_new() - A copy of a packet; NULL without memory */
struct mf_held *mf_held_new(const struct mf_packet *packet);
void mf_held_free(struct mf_held *list);

/* ---- fragments (fragments.c) ---- */

/* What became of a first fragment, and so becomes of all that follow. */
enum mf_fate_kind { MF_FATE_WAIT, MF_FATE_REWRITE, MF_FATE_PASS, MF_FATE_DROP };

struct mf_fate {
	uint8_t kind;	    /* enum mf_fate_kind */
	uint8_t reason;	    /* enum mf_pipeline_drop */
	uint8_t set, clear; /* MF_PACKET_... of the packet */
	bool foreign, has_via;
	uint32_t via[2];
	uint8_t src[16], dst[16];
};

struct mf_fragments;

int mf_fragments_new(const struct mf_pipeline_options *options, struct mf_fragments **ret);
void mf_fragments_free(struct mf_fragments *f);

/**
 * mf_fragments_check() - A fragment came: is it a new piece of its datagram?
 * Return: 0 with *ret_fate, WAIT if the first one has not been dealt with; MF_E_EXIST: a piece that was there already;
 *	MF_E_BAD: overlaps with another piece (RFC 5722), the whole datagram is refused
 */
int mf_fragments_check(struct mf_fragments *f, const struct mf_view *v, uint64_t now_ns,
		       struct mf_fate *ret_fate);
/** mf_fragments_put() - Keep a copy until the first one comes; Return: 0, MF_E_FULL, MF_E_NOMEM */
int mf_fragments_put(struct mf_fragments *f, const struct mf_view *v,
		     const struct mf_packet *packet);
/** mf_fragments_decide() - The first fragment's fate
 * @v: as it came. Return: those that waited, in order; the caller owns them */
struct mf_held *mf_fragments_decide(struct mf_fragments *f, const struct mf_view *v,
				    const struct mf_fate *fate);
/** mf_fragments_expire() - Forget datagrams whose time is over (@all: all); Return: how many fragments were waiting in them */
unsigned mf_fragments_expire(struct mf_fragments *f, uint64_t now_ns, bool all);
/** mf_fragments_evicted() - Fragments that made room for others since the last call */
unsigned mf_fragments_evicted(struct mf_fragments *f);
uint64_t mf_fragments_deadline(const struct mf_fragments *f);
unsigned mf_fragments_count(const struct mf_fragments *f);

/* ---- failures (failmode.c) ---- */

enum mf_fail_kind { MF_FAIL_RECEIVE, MF_FAIL_SEND, MF_FAIL_DECIDE, MF_FAIL_NUM };

#define MF_FAIL_BACKOFF_NS \
	(10 * MF_NS_PER_S) /* failing again within this time makes recovery longer */
#define MF_FAIL_BACKOFF_MAX 64u

struct mf_failmode {
	unsigned row[MF_FAIL_NUM];
	bool failing;
	bool failed_now; /* in this turn */
	uint8_t probes;	 /* session packets that this turn may still try */
	uint64_t good, factor, left_ns;
};

/* ---- the pipeline ---- */

struct mf_answer {
	struct mf_packet packet;
	uint8_t bytes[MF_BUILD_ANSWER_MAX];
};

/* An event that is told at most once a second. */
struct mf_told {
	uint64_t last_ns, count;
	bool once;
};

struct mf_pipeline {
	struct mf_pipeline_options o;
	struct mf_backend backend;
	struct mf_pipeline_ops ops;
	struct mf_nat *nat, *own_nat;
	uint64_t seed; /* of @nat: flows are hashed once, for it and for @holds */
	struct mf_pids *pids;
	struct mf_holds *holds;
	struct mf_fragments *fragments;
	struct mf_failmode fail;
	struct mf_pipeline_stats stats, gathered; /* gathered: told by mf_pipeline_gather() */
	struct mf_view_stats view_stats;
	struct mf_told told[MF_PIPELINE_EVENT_NUM];
	uint64_t now_ns, expire_ns;
	uint64_t
		inserted; /* of this batch: which flows were inserted, by a hash of their ports, one bit each */
	uint32_t next_port;
	bool expire_more, in_turn, flushing;
	struct mf_fate *fate; /* of the first fragment that is being dealt with; else NULL */

	unsigned out_cnt, answer_cnt;
	struct mf_held *done; /* memory of packets in @out */
	struct mf_packet *out[MF_BACKEND_BATCH_MAX];
	struct mf_answer answers[MF_BACKEND_BATCH_MAX];

	struct mf_packet packets[MF_BACKEND_BATCH_MAX];
	struct mf_view views[MF_BACKEND_BATCH_MAX];
	struct mf_nat_ask asks[MF_BACKEND_BATCH_MAX];
	struct mf_nat_hit hits[MF_BACKEND_BATCH_MAX];
	struct mf_flow_event events[MF_BACKEND_BATCH_MAX];
};

/* pipeline.c */
void mf_pipeline_queue(struct mf_pipeline *p, struct mf_packet *pkt);
void mf_pipeline_flush(struct mf_pipeline *p);
/** mf_pipeline_pass() - Back as it came, or dropped where the backend cannot do that */
void mf_pipeline_pass(struct mf_pipeline *p, struct mf_packet *pkt, bool foreign);
void mf_pipeline_drop(struct mf_pipeline *p, enum mf_pipeline_drop reason);
/** mf_pipeline_again() - Packets that were held: their owner is known now; takes them */
void mf_pipeline_again(struct mf_pipeline *p, struct mf_held *list);
/** mf_pipeline_done() - Takes held memory, to be freed when what is queued has left */
void mf_pipeline_done(struct mf_pipeline *p, struct mf_held *h);
/** mf_pipeline_mark() - The bit of a flow in @inserted */
uint64_t mf_pipeline_mark(const struct mf_flow *f);
/** mf_pipeline_tell() - An event at most once a second; all are counted */
void mf_pipeline_tell(struct mf_pipeline *p, enum mf_pipeline_event_kind kind, int code,
		      const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* flows.c: packets of the session that have no entry yet */
/** mf_flow_begins() - Does a packet without an entry begin a flow? */
bool mf_flow_begins(const struct mf_view *v);
/* @ask: what the NAT table was asked about this packet */
void mf_flow_on_miss(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
		     const struct mf_nat_ask *ask);
void mf_flow_on_hit(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
		    const struct mf_nat_hit *hit);
/** mf_flow_on_event() - @hash: mf_nat_hash() of its flow */
void mf_flow_on_event(struct mf_pipeline *p, const struct mf_flow_event *ev, uint64_t hash);
/** mf_flow_on_time() - Held flows whose time is over; @all: of all, at the end */
void mf_flow_on_time(struct mf_pipeline *p, bool all);

/* redirect.c: the rewrite table */
/** mf_redirect_port() - The listener of a flow; 0 for none */
uint16_t mf_redirect_port(const struct mf_pipeline *p, const struct mf_flow *flow);
/** mf_redirect_insert() - Remember a redirected flow. Return: as mf_nat_insert(); MF_E_UNSUPPORTED for ends that the method cannot carry */
int mf_redirect_insert(struct mf_pipeline *p, struct mf_nat_insert *in);
/** mf_redirect_prepare() - What @in->flow would become, for mf_redirect_insert(), whose memory is fetched meanwhile */
void mf_redirect_prepare(const struct mf_pipeline *p, struct mf_nat_insert *in);
/** mf_redirect_packet() - Rewrite a packet by its entry and queue it */
void mf_redirect_packet(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
			const struct mf_nat_hit *hit);
/** mf_redirect_error() - An ICMP error, translated if it is about a flow of ours. Return: false: it is not */
bool mf_redirect_error(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v);
/** mf_redirect_fragment() - Rewrite a later fragment as its first one was */
void mf_redirect_fragment(struct mf_pipeline *p, struct mf_packet *pkt, struct mf_view *v,
			  const struct mf_fate *fate);
/** mf_redirect_has_loopback() - Is an end a loopback address? Nobody takes such a packet as inbound */
bool mf_redirect_has_loopback(const struct mf_flow *flow);
/** mf_redirect_is_to_listener() - Does a packet go to one of them that takes reflected packets? */
bool mf_redirect_is_to_listener(const struct mf_pipeline *p, const struct mf_flow *flow);
/** mf_redirect_is_listener() - Does a packet come from one of our listeners? */
bool mf_redirect_is_listener(const struct mf_pipeline *p, const struct mf_flow *flow);

/* answers.c */
enum mf_answer_kind {
	MF_ANSWER_DENIED,      /* TCP reset, DNS refusal, else ICMP */
	MF_ANSWER_UNREACHABLE, /* ICMP in any case */
};
/** mf_answer_packet() - Tell the program that its packet was refused, with what its protocol understands
 * Return: 0; MF_E_NOT_MINE where nothing may be answered */
int mf_answer_packet(struct mf_pipeline *p, const struct mf_packet *pkt, const struct mf_view *v,
		     enum mf_answer_kind kind);

/* failmode.c */
void mf_fail_begin_turn(struct mf_pipeline *p);
void mf_fail_end_turn(struct mf_pipeline *p, unsigned packets);
void mf_fail_bad(struct mf_pipeline *p, enum mf_fail_kind kind, int code);
static inline void mf_fail_good(struct mf_pipeline *p, enum mf_fail_kind kind)
{
	p->fail.row[kind] = 0;
}
/** mf_fail_blocks() - Is this session packet for the fail mode to deal with? */
bool mf_fail_blocks(struct mf_pipeline *p);

#endif
