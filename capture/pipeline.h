/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline.h - the one way of packets from any source: whose are they, where do they go, what do they become
 *
 *	mf_pipeline_new(&options, &backend, &ops, &pipeline, &err);
 *	...                                         // whenever the backend has something, or the deadline is over:
 *	while (mf_pipeline_run(pipeline, now) > 0)
 *		;
 *	next = mf_pipeline_deadline(pipeline);
 *
 * How it works
 *
 *	view -> session? -> NAT hit: rewrite, send
 *	                -> miss that begins a flow: decide -> insert into the NAT table -> rewrite, send
 *	                                                 -> denied: reset, ICMP error or DNS refusal at once
 *	                -> miss that begins none: an ICMP error, or a connection older than we are: the fail mode
 *	     not of the session: back as it came
 *
 * Redirected flows end at local listeners (the proxies). How their packets reach them is a row of the rewrite table, one
 * for each family (enum mf_redirect_method); the listener learns the original flow from mf_pipeline_find_flow(), which is
 * one look-up in the NAT table by the addresses that it sees. A connection that it knows nothing of must be dropped before
 * a byte is read (W9).
 *
 * Processes. Where the backend tells of processes by events (WinDivert), the first packets of a flow may arrive before the
 * event: they are held, at most hold_packets_max packets and hold_bytes_max bytes a flow, hold_flows_max flows, for
 * hold_ns; then the system's tables are asked (mf_backend.find_pid), and if they do not know either, unknown_pid says what
 * happens. Nothing but first packets is ever held.
 *
 * Failures. fail_threshold failures in a row of the backend or of decide() switch the fail mode on: closed drops the
 * session's packets (open passes them), what is not of the session passes in any case. fail_recovery good packets in a row
 * switch it off. Both are told by events and counted.
 *
 * Fragments. The first fragment decides; later ones follow its rewriting of addresses, those that come before it wait for
 * it. All of that is bounded in datagrams, bytes and time.
 *
 * Threads: a pipeline belongs to one thread. Several may share a NAT table (lanes of a multi-queue device).
 */
#ifndef MF_CAPTURE_PIPELINE_H
#define MF_CAPTURE_PIPELINE_H

#include "capture/backend.h"
#include "core/packet/nat.h"

/* How the packets of a redirected flow reach a local listener (docs/internals/pipeline.md). */
enum mf_redirect_method {
	/*
	 * R: the two ends change places. source := the server; destination := the client's own address and the listener's
	 * port; goes in as inbound. The listener is bound to the wildcard or to that address.
	 */
	MF_METHOD_REFLECT,
	/*
	 * L: both ends become loopback. source := 127.0.0.1 and a port of our own choice; destination := 127.0.0.1 and the
	 * listener's port; stays outbound.
	 */
	MF_METHOD_LOOPBACK,
	MF_METHOD_NUM
};

/* Whose packets are looked at. */
enum mf_pipeline_scope {
	MF_SCOPE_ALL, /* all that the backend delivers (a session's own device) */
	MF_SCOPE_PIDS, /* flows of processes that mf_pipeline_add_pid() named, and of their children */
	MF_SCOPE_NUM
};

/* MF_SCOPE_PIDS: what happens to flows whose process nobody knows. */
enum mf_unknown_pid {
	MF_UNKNOWN_PASS,  /* as flows of others: the default */
	MF_UNKNOWN_PROXY, /* as flows of the session */
	MF_UNKNOWN_DENY,
	MF_UNKNOWN_DROP,
	MF_UNKNOWN_NUM
};

/* What shall become of a flow that begins. */
enum mf_flow_answer {
	MF_FLOW_UNSET, /* a verdict that was never filled in: a denial */
	MF_FLOW_PROXY, /* to the listener of its protocol (DNS: dns listener) */
	MF_FLOW_PASS,  /* unchanged, and so all that follows */
	MF_FLOW_DENY, /* refused with an answer: TCP reset, ICMP administratively prohibited, DNS REFUSED */
	MF_FLOW_DROP, /* refused in silence */
	MF_FLOW_ANSWER_NUM
};

struct mf_flow_verdict {
	enum mf_flow_answer answer;
	const struct mf_nat_redirect
		*redirect; /* kept with the entry; NULL for none; borrowed during the call */
};

/* What is asked about a flow that begins. */
struct mf_flow_question {
	const struct mf_flow *flow; /* src: the program's end */
	uint32_t pid;		    /* 0: not known */
	const struct mf_packet *packet;
	uint64_t now_ns;
};

enum mf_pipeline_event_kind {
	MF_PIPELINE_FAIL_ENTERED, /* @text says what failed, @count how often in a row */
	MF_PIPELINE_FAIL_LEFT,
	MF_PIPELINE_BAD_SEND, /* the system refused a packet; at most one a second is told, @count since the last */
	MF_PIPELINE_HOLD_OVER, /* a held flow's process stayed unknown; at most one a second is told, @count */
	MF_PIPELINE_NAT_FULL, /* a flow was refused because the table is full; at most one a second is told, @count */
	MF_PIPELINE_EVENT_NUM
};

struct mf_pipeline_event {
	enum mf_pipeline_event_kind kind;
	int code; /* MF_E_... */
	uint64_t count;
	bool fail_closed;
	char text[160];
};

/** mf_pipeline_event_format() - A sentence about an event, for people; Return: @buf */
const char *mf_pipeline_event_format(const struct mf_pipeline_event *ev, char *buf, size_t size);

struct mf_pipeline_ops {
	/* Judge a flow that begins. Return: 0 with *ret; MF_E_*: could not be judged, a failure that counts */
	int (*decide)(void *ctx, const struct mf_flow_question *q, struct mf_flow_verdict *ret);
	void (*event)(void *ctx, const struct mf_pipeline_event *ev); /* may be NULL */
	void *ctx;
};

/* Zero means the default everywhere. */
struct mf_pipeline_options {
	size_t size; /* of this struct */
	enum mf_pipeline_scope scope;
	enum mf_redirect_method method4, method6;
	/* Where the listeners are; ports only, for the addresses follow from the method. 0: no such listener, its flows are denied */
	uint16_t tcp_port, udp_port, dns_port; /* dns_port 0: DNS goes to udp_port */
	uint16_t loopback_port_first,
		loopback_port_last; /* L: client ports when the client's own is taken; 20000-29999 */
	struct mf_nat *nat;	    /* shared, borrowed; NULL: one of its own with defaults */
	uint32_t own_pid;	    /* MF_SCOPE_PIDS: flows of this process always pass (P52) */
	enum mf_unknown_pid unknown_pid;
	bool fail_open;				   /* default: closed */
	unsigned fail_threshold;		   /* 10 */
	unsigned fail_recovery;			   /* 32 packets */
	uint64_t hold_ns;			   /* 20 ms */
	unsigned hold_packets_max, hold_flows_max; /* 4; 4,096 */
	uint32_t hold_bytes_max;		   /* 65,536 */
	unsigned owners_max;	     /* MF_SCOPE_PIDS: flows whose process is remembered: 65,536 */
	unsigned fragments_max;	     /* datagrams whose fragments are followed: 256 */
	uint32_t fragment_bytes_max; /* of those that wait for their first: 1 MiB */
	uint64_t fragment_ns;	     /* 15 s (RFC 791: 15 s is the initial setting) */
};

/* Why packets went where. Belongs to the pipeline's thread. */
enum mf_pipeline_drop {
	MF_DROP_MALFORMED,
	MF_DROP_DENIED,
	MF_DROP_FAIL_CLOSED,
	MF_DROP_NO_ENTRY,    /* begins no flow, is of none */
	MF_DROP_UNSUPPORTED, /* neither TCP, UDP nor ICMP, source-routed, signed */
	MF_DROP_HOLD,	     /* bounds of holding */
	MF_DROP_FRAGMENT,    /* bounds of fragments */
	MF_DROP_NAT_FULL,
	MF_DROP_SEND, /* the backend did not take it */
	MF_DROP_NUM
};

struct mf_pipeline_stats {
	uint64_t captured, captured_bytes;
	uint64_t redirected; /* flows to a listener */
	uint64_t passed;     /* packets sent back unchanged, of the session or not */
	uint64_t foreign;    /* those of them that were not of the session */
	uint64_t rewritten, rewritten_bytes;
	uint64_t replies; /* those of them that came from a listener */
	uint64_t held, held_now, hold_released, hold_expired;
	uint64_t fragments_followed, fragments_now;
	uint64_t answered_reset, answered_icmp, answered_dns;
	uint64_t icmp_translated;
	uint64_t flows_decided, flows_denied;
	uint64_t receive_failures, send_failures, decide_failures;
	uint64_t fail_entered, fail_left;
	bool failing;
	uint64_t dropped[MF_DROP_NUM];
};

struct mf_pipeline;

/**
 * mf_pipeline_new() - A pipeline over a backend
 * @options: copied; @backend, @ops: copied, what they point to is borrowed until mf_pipeline_free()
 * Return: 0, MF_E_INVAL (names the option), MF_E_NOMEM
 */
int mf_pipeline_new(const struct mf_pipeline_options *options, const struct mf_backend *backend,
		    const struct mf_pipeline_ops *ops, struct mf_pipeline **ret,
		    struct mf_err *err);

/**
 * mf_pipeline_run() - One turn: events, then one batch of packets, then what time asks for
 * @now_ns: the caller's clock, read once a turn
 * Cost:   bounded by MF_BACKEND_BATCH_MAX packets and as many events
 * Return: packets and events handled; 0: nothing there now; MF_E_CLOSED: the backend has ended, nothing is held any more
 */
int mf_pipeline_run(struct mf_pipeline *p, uint64_t now_ns);

/** mf_pipeline_deadline() - When mf_pipeline_run() has to be called even if nothing arrives; UINT64_MAX: never */
uint64_t mf_pipeline_deadline(const struct mf_pipeline *p);

/** mf_pipeline_drain() - Release (open) or drop (closed) all that is held, before the backend is closed */
void mf_pipeline_drain(struct mf_pipeline *p, uint64_t now_ns);

void mf_pipeline_free(struct mf_pipeline *p);

/* Processes of the session (MF_SCOPE_PIDS); at most 65,536. */
/** mf_pipeline_add_pid() - Return: 0, MF_E_EXIST, MF_E_FULL, MF_E_NOMEM, MF_E_INVAL for 0 */
int mf_pipeline_add_pid(struct mf_pipeline *p, uint32_t pid);
/** mf_pipeline_on_created() - A process was created: of the session if its parent is; Return: whether it is */
bool mf_pipeline_on_created(struct mf_pipeline *p, uint32_t pid, uint32_t parent);
/**
 * mf_pipeline_on_exited() - A process ended: it is no longer of the session, and begins nothing any more
 * Its flows linger (mf_nat_close_pid()): what it sent last is on its way, and its kernel says goodbye for it. They go where
 * they went; then they are forgotten, and what still comes is dropped. Return: how many flows
 */
unsigned mf_pipeline_on_exited(struct mf_pipeline *p, uint32_t pid, uint64_t now_ns);

/**
 * mf_pipeline_find_flow() - The flow behind what a listener sees
 * @proto: MF_PROTO_TCP or MF_PROTO_UDP
 * @peer:  where the connection or datagram comes from, as the listener's socket says
 * @local: the listener's own end
 * @ret:   src: the program's end, dst: where it meant to go
 * Return: 0; MF_E_NOENT: nobody that we redirected: drop it unread (W9)
 */
int mf_pipeline_find_flow(struct mf_pipeline *p, uint8_t proto, const struct mf_endpoint *peer,
			  const struct mf_endpoint *local, uint64_t now_ns, struct mf_flow *ret);

/**
 * mf_pipeline_refuse_udp() - Tell the program behind a UDP flow that a datagram was refused (ICMP administratively
 * prohibited, quoting it)
 * @payload: of the datagram; its beginning is enough
 */
int mf_pipeline_refuse_udp(struct mf_pipeline *p, const struct mf_flow *flow,
			   struct mf_span payload, uint64_t now_ns);

void mf_pipeline_get_stats(const struct mf_pipeline *p, struct mf_pipeline_stats *ret);

/**
 * mf_pipeline_gather() - Counters and gauges into Prometheus metrics, labelled backend and reason
 * Adds what was counted since its last call, so that lanes share their series. Called by the pipeline's thread, and once
 * more before its end.
 */
void mf_pipeline_gather(struct mf_pipeline *p, struct mf_metrics *metrics);

const char *mf_pipeline_drop_name(enum mf_pipeline_drop reason);
const char *mf_redirect_method_name(enum mf_redirect_method method);

#endif
