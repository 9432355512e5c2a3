/* SPDX-License-Identifier: Apache-2.0 */
/* dns_proxy_int.h - shared by dns_proxy.c (questions), dns_forward.c (resolvers' answers) and dns_tcp.c */
#ifndef MF_PROXIES_DNS_PROXY_INT_H
#define MF_PROXIES_DNS_PROXY_INT_H

#include "core/ask/dns.h"
#include "proxies/ask.h"
#include "proxies/dns_cache.h"
#include "proxies/dns_proxy.h"
#include "proxies/timeouts.h"

struct mf_dns_held;
struct mf_dns_job;
struct mf_dns_tcp;

struct mf_dns_proxy {
	struct mf_proxy *proxy;
	struct mf_dns_job *jobs;
	struct mf_dns_held *held;		/* dns_held.c: questions that wait for a person */
	struct mf_dns_chain *chain;		/* of the answer being read: too big for a stack */
	struct mf_dns_cache *cache, *own_cache; /* own_cache: ours to free */
	struct mf_timeout_queue patience;
	uint8_t *kept; /* a response out of the cache */
	struct mf_dns_tcp *conns;
	unsigned conn_cnt;
	struct mf_timeout_queue idle;
	/* our half of clients' cookies; never checked, as nobody but the session reaches its resolver */
	uint8_t cookie[MF_DNS_COOKIE_HALF];
	uint8_t out[MF_DNS_MESSAGE_MAX];
};

#define MF_DNS_EDE_ROOM 256

/* One question while it is being judged. */
struct mf_dns_turn {
	struct mf_dns_proxy *dns;
	struct mf_proxy *p;
	const struct mf_session_flow *flow;
	struct mf_dns_query q;
	char name[MF_DNS_TEXT_MAX], type[16], class[16];
	mf_dns_reply_fn reply;
	void *ctx;
	const struct mf_approve_grants
		*grants; /* what it was given while it waited; NULL: nothing */
};

/* --- dns_proxy.c ---------------------------------------------------------------------------------------------------- */

/* The most bytes of an answer that @flow can take. */
size_t mf_dns_answer_limit(const struct mf_dns_query *q, const struct mf_session_flow *flow);
void mf_dns_reply_answer(struct mf_dns_proxy *dns, const struct mf_dns_query *q,
			 const struct mf_session_flow *flow, const struct mf_dns_answer *a,
			 mf_dns_reply_fn reply, void *ctx);
void mf_dns_reply_error(struct mf_dns_proxy *dns, const struct mf_dns_query *q,
			const struct mf_session_flow *flow, enum mf_dns_rcode rcode,
			enum mf_dns_ede ede, const char *text, mf_dns_reply_fn reply, void *ctx);
void mf_dns_begin_event(struct mf_proxy *p, enum mf_event_type type,
			const struct mf_session_flow *flow, const struct mf_dns_query *q,
			const char *name, const char *action, const struct mf_decision *d);
void mf_dns_send_query_event(struct mf_proxy *p, const struct mf_session_flow *flow,
			     const struct mf_dns_query *q, const char *name, const char *action,
			     const struct mf_decision *d, unsigned rcode, const char *error);
/* Answer with the decision's response code and @why. */
void mf_dns_refuse(struct mf_dns_turn *t, const struct mf_decision *d, const char *why);
/* Tie addresses to names for the session. Return: 0, MF_E_* (then nothing may be answered) */
int mf_dns_learn(struct mf_proxy *p, const struct mf_session_flow *flow, const char *question,
		 const char *const *aliases, size_t alias_cnt, const struct mf_addr *addrs,
		 size_t cnt, uint32_t ttl_s);

/* Judge and answer a question that was read. */
void mf_dns_serve(struct mf_dns_turn *t);

/* --- dns_held.c ----------------------------------------------------------------------------------------------------- */

/* Wait for an answer to what was asked last; @d becomes a denial where that cannot be. Return: whether it waits */
bool mf_dns_hold(struct mf_dns_turn *t, struct mf_decision *d);
/* Questions of @ctx; NULL: all */
void mf_dns_held_cancel(struct mf_dns_proxy *dns, const void *ctx);

/* --- dns_forward.c -------------------------------------------------------------------------------------------------- */

int mf_dns_forward_init(struct mf_dns_proxy *dns, struct mf_err *err);
void mf_dns_forward_done(struct mf_dns_proxy *dns);
/*
 * Answer from the cache or the real resolvers, for @target in place of the question's name if it is not NULL.
 * Return: false when too many questions are open
 */
bool mf_dns_forward(struct mf_dns_turn *t, const struct mf_decision *d,
		    const struct mf_dns_name *target);

/* --- dns_tcp.c ------------------------------------------------------------------------------------------------------ */

void mf_dns_tcp_init(struct mf_dns_proxy *dns);
void mf_dns_tcp_done(struct mf_dns_proxy *dns);

#endif
