/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - whom a flow belongs to: the one interface between packet sources (capture/), connections (proxies/) and
 * the program that puts them together (cli/)
 *
 * A capture backend makes a session's traffic arrive at listeners and fills mf_session_ops; the proxies take listeners
 * and session and ask the policies. Neither knows the other.
 */
#ifndef MF_POLICY_SESSION_H
#define MF_POLICY_SESSION_H

#include <moonfence/moonfence.h>

#include "core/base/addr.h"
#include "core/base/log.h"

struct mf_approvals; /* core/approve/approve.h */
struct mf_events;    /* core/observe/events.h */
struct mf_metrics;   /* core/observe/metrics.h */
struct mf_names;     /* core/names/correlation.h */

enum mf_proto {
	MF_TCP,
	MF_UDP,
	MF_ICMP, /* echo requests of either family: the client's port is their identifier, the server's 0 */
	MF_PROTO_NUM
};
/** mf_proto_name() - As policies and events say it: "tcp", "udp", "icmp" */
const char *mf_proto_name(enum mf_proto proto);

struct mf_session_label {
	const char *key, *value;
};

/*
 * One of several whom a session serves at the same time, as the browsers of a gateway: what is its own in place of the
 * session's. It outlives every flow that names it.
 */
struct mf_session_member {
	const char *id;			       /* session.id */
	const struct mf_session_label *labels; /* beside the session's */
	size_t label_cnt;
	struct mf_names *
		names; /* NULL: its answers tie nothing, yet: another thread of its may set it, with release */
};

/* One flow as the session's program sees it. */
struct mf_session_flow {
	enum mf_proto proto;
	struct mf_endpoint client; /* the program's end */
	struct mf_endpoint server; /* where it meant to go: the original destination */
	bool https; /* a DNS question that came in HTTP (RFC 8484); @proto is MF_TCP */
	const struct mf_session_member *member; /* whose it is; NULL: the session's own */
};

/* What is known of the process behind a flow; strings owned by the callee until its next call. */
struct mf_process {
	int64_t pid, parent;
	const char *name, *exe, *user;
	const char *const *args; /* NULL-terminated */
};

/* An echo request, or the answer to one. */
struct mf_session_echo {
	uint16_t sequence;
	uint8_t hops; /* of a request: how many it may still make, this one included */
	const uint8_t *payload;
	size_t len;
};

/* Why an echo request was not answered: an ICMP or ICMPv6 error, by the family of its flow. */
struct mf_session_echo_error {
	uint8_t type, code;
	uint32_t info;	     /* the MTU, where the error says one */
	struct mf_addr from; /* who says so; family 0: the router */
};

/* What a capture backend does for the proxies. Each may be NULL: then the thing cannot be done and is reported so. */
struct mf_session_ops {
	/* The process that owns the client end of @flow. Return: 0, MF_E_NOENT */
	int (*find_process)(void *ctx, const struct mf_session_flow *flow, struct mf_process *ret);
	/*
	 * A UDP socket on the session's side, bound to @flow's server and connected to its client, so that what is sent
	 * on it comes from the address that the program expects. Non-blocking. Return: fd or MF_E_*
	 */
	int (*open_udp)(void *ctx, const struct mf_session_flow *flow);
	/*
	 * Send a datagram to the client of @flow, from its server: of sources that hand datagrams to mf_proxy_take_datagram(),
	 * which have no sockets on the session's side. Return: 0 or MF_E_*: lost
	 */
	int (*send_udp)(void *ctx, const struct mf_session_flow *flow, const uint8_t *payload,
			size_t len);
	/* Tell the client of a UDP flow "administratively prohibited" (ICMP type 3 code 13, ICMPv6 type 1 code 1);
	 * @packet is the payload that was refused (its beginning is enough). Return: 0 or MF_E_* */
	int (*refuse_udp)(void *ctx, const struct mf_session_flow *flow, const uint8_t *packet,
			  size_t len);
	void *ctx;
	/* Of sources that hand echo requests to mf_proxy_take_echo(), whatever their other flows are: their own context */
	struct {
		/* Answer @flow's client, from its server */
		void (*reply)(void *ctx, const struct mf_session_flow *flow,
			      const struct mf_session_echo *reply);
		/* @request: what was asked, or its beginning */
		void (*error)(void *ctx, const struct mf_session_flow *flow,
			      const struct mf_session_echo *request,
			      const struct mf_session_echo_error *error);
		void *ctx;
	} echo;
};

struct mf_session {
	const char *id;
	const char *source; /* "session", "gateway", ... */
	const struct mf_session_label *labels;
	size_t label_cnt;
	struct mf_vm *vm;		/* of the thread that serves the session */
	struct mf_names *names;		/* host name <-> address of this session only */
	struct mf_events *events;	/* may be NULL */
	struct mf_metrics *metrics;	/* may be NULL */
	const struct mf_log *log;	/* may be NULL */
	struct mf_approvals *approvals; /* NULL: nobody can be asked */
	struct mf_session_ops ops;
	/* Of the request begun last, written by session.c: its flow, and its process once somebody asked for it (else 0). */
	const struct mf_session_flow *asked;
	int64_t asked_pid, asked_parent;
};

/* Whose a flow is, by name; and the names that its answers tied. @flow may be NULL. */
static inline const char *mf_session_id(const struct mf_session *s,
					const struct mf_session_flow *flow)
{
	return flow && flow->member ? flow->member->id : s->id;
}

static inline struct mf_names *mf_session_names(const struct mf_session *s,
						const struct mf_session_flow *flow)
{
	return flow && flow->member ? __atomic_load_n(&flow->member->names, __ATOMIC_ACQUIRE)
				    : s->names;
}

/**
 * mf_session_begin_request() - Reset @req and fill what every request of the session has: source, session.id, labels,
 * and a lazy process.* through ops.find_process
 * @flow: borrowed until @req is reset or freed
 */
void mf_session_begin_request(struct mf_session *s, struct mf_request *req, enum mf_kind kind,
			      const struct mf_session_flow *flow);

/** mf_session_fetch_process() - Look up the process behind @flow and set the process.* fields of @req
 * For callers that install a fetch callback of their own over mf_session_begin_request()'s. Return: 0, MF_E_NOENT */
int mf_session_fetch_process(struct mf_session *s, struct mf_request *req,
			     const struct mf_session_flow *flow);

/* The fields that mf_session_fetch_process() can give, for mf_request_set_fetch(). */
#define MF_SESSION_PROCESS_FIELDS                                               \
	(UINT64_C(1) << MF_F_PROCESS_PID | UINT64_C(1) << MF_F_PROCESS_PARENT | \
	 UINT64_C(1) << MF_F_PROCESS_NAME | UINT64_C(1) << MF_F_PROCESS_EXE |   \
	 UINT64_C(1) << MF_F_PROCESS_ARGS | UINT64_C(1) << MF_F_PROCESS_USER)

#endif
