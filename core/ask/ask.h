/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask.h - the questions that a session's flows are to the policies
 *
 * The same for every source: proxies ask when a connection comes, the packet pipeline when a flow begins, a replay for
 * each flow of a capture. An asker belongs to one thread and asks one question at a time.
 *
 * How names count (specs P38, P39): a connection to an address has as many candidate names as this session's DNS answers
 * tied to it. connect is asked for each; where all agree, that is the verdict. Where they differ, what the client says
 * itself (server_name, Host) chooses among the candidates; a name that is none of them is unverified: it is asked about
 * as well and the strictest of all answers counts. A client that says nothing gets the strictest.
 * A candidate that was reached over aliases (CNAME) is denied when a policy denies one of the aliases by name: by a rule
 * or line that would not have denied just any name.
 */
#ifndef MF_ASK_ASK_H
#define MF_ASK_ASK_H

#include "core/approve/approve.h"
#include "core/names/correlation.h"
#include "core/policy/session.h"
#include "core/wire/tls_hello.h"

#define MF_ASK_NAMES_MAX 16
#define MF_ASK_QUIC_PORT 443 /* of UDP, where QUIC is expected */

struct mf_asker {
	struct mf_session *session;		/* its vm is asked */
	struct mf_request *request;		/* the asker's own, reused for every question */
	const struct mf_tls_hello *asked_hello; /* of the sni question being decided */
	const struct mf_approve_grants *grants; /* of the flow that is asked about; NULL: none */
	/*
	 * Whoever asks can wait: an ask that nobody has answered stays one, and counts as a denial wherever answers are compared.
	 * The last question is then the one that it is about. Else it becomes a denial.
	 */
	bool may_hold;
};

/* A decision that outlives the next question: strings are copies. */
struct mf_kept {
	struct mf_decision d;
	char text[];
};
/** mf_kept_new() - Return: NULL without memory; free() ends it */
struct mf_kept *mf_kept_new(const struct mf_decision *d);

/** mf_verdict_rank() - How strict: deny 4, redirect 3, terminate 2, audit 1, allow 0 (specs §1.3); what a connection cannot
 * carry out counts as deny */
int mf_verdict_rank(const struct mf_decision *d);

/** mf_decision_reason() - What to tell a person: message, reason, or rule; never NULL */
const char *mf_decision_reason(const struct mf_decision *d);

/*
 * The parts of a question of our own making: begin it for a kind with the fields of dns, fill in what else there is, ask.
 * Return: 0, MF_E_SYNTAX for a name that no policy can be asked about
 */
int mf_ask_fill_dns(struct mf_asker *a, enum mf_kind kind, const struct mf_session_flow *flow,
		    const char *name, const char *type, const char *class);
void mf_ask_decide(struct mf_asker *a, struct mf_decision *d);
/** mf_ask_dns_transport() - How a question came: "udp", "tcp", "doh" */
const char *mf_ask_dns_transport(const struct mf_session_flow *flow);

/** mf_ask_dns() - @name: text; @type: "A"; Return: 0 with *d filled, MF_E_SYNTAX for a name that no policy can be asked about */
int mf_ask_dns(struct mf_asker *a, const struct mf_session_flow *flow, const char *name,
	       const char *type, const char *class, struct mf_decision *d);
/** mf_ask_dns_dry() - The same, only to see what would be decided: no counter counts it */
int mf_ask_dns_dry(struct mf_asker *a, const struct mf_session_flow *flow, const char *name,
		   const char *type, const char *class, struct mf_decision *d);

/**
 * mf_ask_name_known() - Could a connect rule allow this name (P13, resolve_known)?
 * connect is asked about the name on some well-known ports, without an address.
 */
bool mf_ask_name_known(struct mf_asker *a, const struct mf_session_flow *flow, const char *name,
		       struct mf_decision *d);

/** mf_ask_name_redirected() - Does connect send this name's TLS port elsewhere (then no HTTPS records, P74)? */
bool mf_ask_name_redirected(struct mf_asker *a, const struct mf_session_flow *flow,
			    const char *name);

/** mf_ask_alias_denied() - Is a CNAME target denied by a dns rule that means it? */
bool mf_ask_alias_denied(struct mf_asker *a, const struct mf_session_flow *flow, const char *alias,
			 struct mf_decision *d);

/**
 * mf_ask_addr_denied() - Does connect deny this address of an answer, on all well-known ports, by a rule that means it?
 * A rule that denies the name whatever its address is none: then the connection is refused for its name.
 */
bool mf_ask_addr_denied(struct mf_asker *a, const struct mf_session_flow *flow, const char *name,
			const struct mf_addr *addr, struct mf_decision *d);

/** mf_ask_fill_connect() - The request of such a question, for who decides by other means and may have to ask a person */
void mf_ask_fill_connect(struct mf_asker *a, const struct mf_session_flow *flow, const char *host);

/** mf_ask_connect() - One question about flow->server under one name (NULL: none) */
void mf_ask_connect(struct mf_asker *a, const struct mf_session_flow *flow, const char *host,
		    struct mf_decision *d);

/* What came of asking under all names of an address. */
struct mf_ask_result {
	bool differ; /* candidates disagree: what the client says chooses; *d is the strictest */
	size_t name_cnt;	 /* candidates */
	char host[MF_NAME_ROOM]; /* the name that *d belongs to; "" for none */
};

/** mf_ask_connect_names() - connect under all candidate names of flow->server */
void mf_ask_connect_names(struct mf_asker *a, const struct mf_session_flow *flow,
			  struct mf_decision *d, struct mf_ask_result *ret);

/**
 * mf_ask_connect_said() - The same once the client has said a name (SNI or Host)
 * @ret_verified: the name is one of the candidates
 */
void mf_ask_connect_said(struct mf_asker *a, const struct mf_session_flow *flow, const char *said,
			 size_t said_len, struct mf_decision *d, struct mf_ask_result *ret,
			 bool *ret_verified);

/**
 * mf_ask_sni() - sni about a hello on a flow whose connect was not denied; `quic` is true on a UDP flow
 * Where no policy has an opinion (mf_ask_is_silent()), what connect said stands.
 */
void mf_ask_sni(struct mf_asker *a, const struct mf_session_flow *flow,
		const struct mf_tls_hello *hello, bool verified, struct mf_decision *d);

/** mf_ask_is_silent() - Whether no policy had an opinion */
static inline bool mf_ask_is_silent(const struct mf_decision *d)
{
	return !d->matched && d->origin != MF_FROM_FAIL_MODE;
}

/* A name that a client said in a cleartext HTTP connection (core/wire/http_watch.h). */
struct mf_ask_said {
	struct mf_span name; /* empty: none */
	const char *alpn;    /* "http/1.1", "h2c"; NULL: unknown */
	bool connect;	     /* to be dialled by the server, a proxy, on @port */
	uint16_t port;
};

/**
 * mf_ask_host() - sni about a request of a cleartext HTTP connection: the name stands in sni, versions have no value
 * Only about a request that says a name: an address literal is none.
 */
void mf_ask_host(struct mf_asker *a, const struct mf_session_flow *flow,
		 const struct mf_ask_said *said, struct mf_decision *d);

/**
 * mf_ask_target() - connect about what a proxy is asked to dial, or about the address that a client names
 * Where a literal stands in place of a name, the address is asked about: rules on addresses hold for it.
 * Return: false: nothing to ask (no literal, and no proxy)
 */
bool mf_ask_target(struct mf_asker *a, const struct mf_session_flow *flow,
		   const struct mf_ask_said *said, struct mf_decision *d);

/**
 * mf_ask_unnameable() - Whether a client said in place of a name what is neither a host name nor an address (nor empty)
 * No rule can be asked about it, and a server may read it in its own way: *@ret_d is the denial.
 */
bool mf_ask_unnameable(struct mf_span said, struct mf_decision *ret_d);

/** mf_decision_way() - Two decisions with one way send a connection to the same place; 0: where it wanted to go */
uint64_t mf_decision_way(const struct mf_decision *d);

/**
 * mf_ask_udp() - connect about a UDP flow other than DNS, under all candidate names
 * Denied as well, with a reason, is a redirect that UDP cannot carry out (mf_ask_udp_limit()), unless the hello chooses.
 */
void mf_ask_udp(struct mf_asker *a, const struct mf_session_flow *flow, struct mf_decision *d,
		struct mf_ask_result *ret);

/**
 * mf_ask_udp_limit() - Deny what UDP cannot carry out: terminate, any redirect of QUIC (its client falls back to TCP, which can be
 * redirected), and other redirects to anything but an address
 */
void mf_ask_udp_limit(const struct mf_session_flow *flow, struct mf_decision *d);

/** mf_ask_quic_limit() - The same for what sni said about a hello in QUIC, whatever its port */
void mf_ask_quic_limit(struct mf_decision *d);

/**
 * mf_ask_echo() - connect about pings, proto "icmp", under all candidate names; the port is 0
 * Denied is what they cannot carry out: terminate, to wait for an answer, a redirect to anything but an address (its port does not
 * matter). Names that disagree get the strictest: a ping says none.
 */
void mf_ask_echo(struct mf_asker *a, const struct mf_session_flow *flow, struct mf_decision *d,
		 struct mf_ask_result *ret);

/**
 * mf_ask_hello_chooses() - Whether *res waits for what the client says: names disagree, and it may say one
 * A client that turns out to say none gets the strictest, which is what was answered (for UDP: mf_ask_udp_limit() of it).
 */
bool mf_ask_hello_chooses(const struct mf_session_flow *flow, const struct mf_ask_result *res);

/** mf_ask_own_denial() - A denial that no policy spoke: malformed input and limits; @why: borrowed */
struct mf_decision mf_ask_own_denial(const char *why);

#endif
