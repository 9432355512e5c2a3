/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat.h - the table of flows: where a flow was going, what policy made of it, and how its packets are rewritten
 *
 *	mf_nat_insert(nat, &(struct mf_nat_insert){ .flow = syn, .to = redirected, .isn = seq, .pid = pid }, now_ns);
 *	...
 *	if (mf_nat_lookup(nat, &ask, now_ns, &hit) == 0)        // packets of both directions
 *		mf_rewrite_flow(&view, pkt, &hit.to, MF_CSUM_FULL);
 *
 * How it works.
 *
 * Keys. An entry has two: the flow as the program sends it (protocol, local address and port, remote address and port),
 * and the flow of the answers as they arrive, which is the reverse of what the rewritten packets carry. Both stand in
 * one index, so a packet of either direction finds its entry with one look-up and gets the flow to rewrite it to. A flow
 * that is let pass unchanged is an entry that is rewritten to itself. The original destination is the key's own.
 *
 * Threads. Look-ups take no lock and write nothing but the entry's time and, rarely, its state: an index of atomic words
 * leads to entries that carry a sequence number, odd while their contents change. Everything else (insert, remove,
 * expire, statistics of entries) is serialised by one mutex that is held for a bounded number of steps at a time.
 *
 * Life. new: no answer yet. established: an answer was seen (TCP: and acknowledged). closing: FIN in both directions,
 * RST, or mf_nat_close(). Times are passed in by the caller (mf_clock_now() once per turn of its loop). An entry is gone
 * for look-ups the moment its time is over; mf_nat_expire() gives its memory back, some entries at each call, from a
 * timer wheel: no call ever walks the table.
 *	TCP new 5 min, TCP established 2 h idle, others 60 s idle, closing 2 min from the end on (not refreshed)
 * A reset may be forged; if the side that sent it goes on sending, the entry is established again.
 *
 * Re-used ports. A SYN with another initial sequence number than the entry's is not of the entry: the look-up says
 * MF_E_NOENT, policy is asked anew, and mf_nat_insert() replaces the entry. A SYN that is repeated stays with it.
 *
 * Limit. At entries_max an insertion takes the place of an entry that is over, else of the one closing for longest,
 * else of the oldest new one; an established flow never makes room for a new one: MF_E_FULL.
 *
 * Fragments that are not the first have no ports and are no question for this table.
 */
#ifndef MF_PACKET_NAT_H
#define MF_PACKET_NAT_H

#include <moonfence/moonfence.h>

#include "core/packet/flow.h"
#include "core/packet/view.h"

enum mf_nat_state { MF_NAT_NEW, MF_NAT_ESTABLISHED, MF_NAT_CLOSING, MF_NAT_STATE_NUM };
enum mf_nat_dir { MF_NAT_FORWARD, MF_NAT_REPLY };

#define MF_NAT_HOST_MAX 255 /* bytes of redirect_to's host or Unix path, without NUL */
#define MF_NAT_SNI_MAX	253 /* bytes, without NUL */
#define MF_NAT_VIAS_MAX 127 /* pairs of interface numbers in use at a time: 7 bits of an entry */

struct mf_nat_options {
	size_t size;		/* sizeof(struct mf_nat_options) */
	uint32_t entries_max;	/* 1 to 16,777,216; default 65,536 */
	uint32_t redirects_max; /* different redirects; 1 to 65,535, the default */
	uint64_t tcp_new_ns;	/* default 5 min */
	uint64_t tcp_idle_ns;	/* default 2 h */
	uint64_t udp_idle_ns;	/* UDP, ICMP and others; default 60 s */
	uint64_t linger_ns;	/* closing; default 2 min */
};

/* The outcome of policy for a flow. Flows with the same outcome share one copy in the table. */
struct mf_nat_redirect {
	char host[MF_NAT_HOST_MAX +
		  1];	  /* name, address text or Unix path to dial instead; "": not redirected */
	uint16_t port;	  /* 0 for a Unix path */
	uint8_t tls_mode; /* enum mf_tls_mode */
	uint8_t on_failure;	      /* enum mf_on_failure */
	char sni[MF_NAT_SNI_MAX + 1]; /* for MF_TLS_REWRITE_SNI; else "" */
};

/* What mf_nat_insert() is told. */
struct mf_nat_insert {
	struct mf_flow flow; /* from local to remote, as the program sends it */
	struct mf_flow to;   /* what its packets become; family 0: the same as @flow */
	/* mf_nat_hash() of @flow and of the reverse of @to where they are known, else 0 */
	uint64_t hash, back_hash;
	const struct mf_nat_redirect *redirect; /* copied; NULL for none */
	uint32_t pid;				/* 0 = unknown */
	uint32_t isn;				/* TCP: the SYN's sequence number */
	uint32_t via
		[2]; /* e.g. interface and sub-interface of the first packet; comes back with hits */
};

/* One packet's question. */
struct mf_nat_ask {
	struct mf_flow flow;
	uint64_t hash;	   /* mf_nat_hash() of @flow where it is known, else 0 */
	uint32_t seq;	   /* TCP */
	uint8_t tcp_flags; /* MF_TCP_...; 0 for other protocols */
};

/* What a packet is told. */
struct mf_nat_hit {
	struct mf_flow to; /* the flow that the packet is rewritten to */
	uint32_t pid;
	uint32_t via[2]; /* as inserted */
	uint8_t dir;	 /* enum mf_nat_dir */
	uint8_t state;	 /* enum mf_nat_state, this packet counted in */
	bool rewrites;	 /* false: @to is the packet's own flow */
	bool redirected; /* has a redirect (mf_nat_get()) */
};

/* Everything about one entry, copied. */
struct mf_nat_entry {
	struct mf_flow flow, to;
	struct mf_nat_redirect redirect;
	uint32_t pid, isn;
	uint32_t via[2];
	enum mf_nat_state state;
	uint64_t created_ns, seen_ns; /* seen: the last packet, or when closing began */
	uint64_t expires_ns;
};

struct mf_nat_stats {
	uint64_t entries;		   /* now, those not yet swept included */
	uint64_t states[MF_NAT_STATE_NUM]; /* the same by state */
	uint64_t redirects;		   /* different ones, now */
	uint64_t inserted, replaced,
		repeated; /* new keys; re-used ports; repeated SYNs and second inserts */
	uint64_t hits, misses;
	uint64_t reused;  /* misses by a SYN with a new sequence number on a known key */
	uint64_t stale;	  /* misses on entries whose time was over */
	uint64_t revived; /* resets that the sender did not mean */
	uint64_t expired, removed, removed_pid;
	uint64_t closed_pid; /* by mf_nat_close_pid(); they linger and count as expired later */
	uint64_t evicted_closing, evicted_new;
	uint64_t full;	   /* insertions refused with MF_E_FULL */
	uint64_t collided; /* insertions refused because the answers' key is another flow's */
};

struct mf_nat;

/**
 * mf_nat_new() - An empty table
 * @options: copied; NULL for defaults; times from 1 s to 7 days
 * Memory: address space for entries_max at once (about 170 bytes each), touched as entries come.
 * Return: 0, MF_E_INVAL (option out of range), MF_E_NOMEM
 */
int mf_nat_new(const struct mf_nat_options *options, struct mf_nat **ret_nat, struct mf_err *err);

/** mf_nat_free() - End a table that no thread uses any more; NULL is fine */
void mf_nat_free(struct mf_nat *nat);

/**
 * mf_nat_insert() - Remember a flow
 * Return: 0;
 *	MF_E_EXIST  the flow is there already: TCP with the same initial sequence number, others until they expire.
 *		    Nothing is changed. (TCP with another sequence number: replaced, 0)
 *	MF_E_AGAIN  the key of the answers belongs to another live flow: choose another port in @to
 *	MF_E_FULL   every entry is established, or there are redirects_max different redirects, or MF_NAT_VIAS_MAX
 *		    different @via other than { 0, 0 }
 *	MF_E_INVAL  families or protocols of @flow and @to differ, or a text is not terminated
 *	MF_E_NOMEM
 */
int mf_nat_insert(struct mf_nat *nat, const struct mf_nat_insert *in, uint64_t now_ns);

/**
 * mf_nat_lookup() - Find the entry of a packet, in either direction, and count the packet in
 * Cost: no lock; about three cache lines
 * Return: 0; MF_E_NOENT: no such flow, over, or a SYN of a new connection on its ports
 */
int mf_nat_lookup(struct mf_nat *nat, const struct mf_nat_ask *ask, uint64_t now_ns,
		  struct mf_nat_hit *ret);

/**
 * mf_nat_hash() - What the table's hash of a flow is, to be computed once and carried along
 * @seed: mf_nat_seed(), which never changes
 */
static inline uint64_t mf_nat_hash(uint64_t seed, const struct mf_flow *flow)
{
	return mf_flow_hash(flow, seed);
}
uint64_t mf_nat_seed(const struct mf_nat *nat);

/** mf_nat_prefetch() - Fetch the memory in which a flow of this hash will be looked for; worth it some 100 ns before */
void mf_nat_prefetch(const struct mf_nat *nat, uint64_t hash);

#define MF_NAT_BURST_MAX 64

/**
 * mf_nat_lookup_burst() - The same for up to MF_NAT_BURST_MAX packets, with the memory of all fetched together
 * @ret: a bit is set in the result for each @rets that was filled; the others had no entry
 */
uint64_t mf_nat_lookup_burst(struct mf_nat *nat, const struct mf_nat_ask *asks, unsigned cnt,
			     uint64_t now_ns, struct mf_nat_hit *rets);

/** mf_nat_get() - Copy the entry that @flow (either direction) belongs to, without counting a packet
 * Return: 0, MF_E_NOENT */
int mf_nat_get(struct mf_nat *nat, const struct mf_flow *flow, uint64_t now_ns,
	       struct mf_nat_entry *ret);

/** mf_nat_set_redirect() - Change what policy said, e.g. after the TLS server name was read; NULL for none
 * Return: 0, MF_E_NOENT, MF_E_FULL, MF_E_INVAL, MF_E_NOMEM */
int mf_nat_set_redirect(struct mf_nat *nat, const struct mf_flow *flow,
			const struct mf_nat_redirect *redirect, uint64_t now_ns);

/** mf_nat_close() - The owner's socket was closed: the entry lingers and goes. Return: 0, MF_E_NOENT */
int mf_nat_close(struct mf_nat *nat, const struct mf_flow *flow, uint64_t now_ns);

/** mf_nat_remove() - Forget the entry at once. Return: 0, MF_E_NOENT */
int mf_nat_remove(struct mf_nat *nat, const struct mf_flow *flow);

/** mf_nat_remove_pid() - Forget all entries of a process (not 0); cost: that many entries, in slices
 * Return: how many */
unsigned mf_nat_remove_pid(struct mf_nat *nat, uint32_t pid);

/** mf_nat_close_pid() - A process (not 0) has ended: mf_nat_close() of all of its entries, which are nobody's from now on
 * What it sent last is still on its way, and the kernel sends on for it: the entries linger, and go. Cost: as above
 * Return: how many */
unsigned mf_nat_close_pid(struct mf_nat *nat, uint32_t pid, uint64_t now_ns);

/**
 * mf_nat_expire() - Give back entries whose time is over (an insertion into a full table does so as well)
 * @budget: most steps of this call; 1,000 take some 300 us, in slices of 64 between which others get in. Call it every
 *          second or so, and again as long as it uses its budget up.
 * Return: steps used; less than @budget: nothing is left to do now
 */
unsigned mf_nat_expire(struct mf_nat *nat, uint64_t now_ns, unsigned budget);

void mf_nat_get_stats(struct mf_nat *nat, struct mf_nat_stats *ret);

/** mf_nat_count() - Entries, those not yet swept included; no lock */
uint32_t mf_nat_count(const struct mf_nat *nat);

/** mf_nat_bytes() - Memory that entries and index use once all entries were in use */
size_t mf_nat_bytes(const struct mf_nat *nat);

/** mf_nat_target() - Where the proxy dials: "host:port" of the redirect, else the original destination, IPv6 in brackets
 * A Unix path stands alone. Return: @buf of at least MF_NAT_TARGET_MAX bytes */
const char *mf_nat_target(const struct mf_nat_entry *e, char *buf, size_t size);
#define MF_NAT_TARGET_MAX (MF_NAT_HOST_MAX + 9)

const char *mf_nat_state_name(enum mf_nat_state state);

/** mf_nat_ask_view() - The question of a packet read to MF_VIEW_TRANSPORT, without its hash */
static inline struct mf_nat_ask mf_nat_ask_view(const struct mf_view *v)
{
	struct mf_nat_ask ask = { .flow = v->flow, .tcp_flags = v->tcp_flags };

	if (v->flow.proto == MF_PROTO_TCP && v->flags & MF_VIEW_F_HAS_PORTS)
		ask.seq = mf_view_tcp_seq(v);
	return ask;
}

#endif
