/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_proxy.h - the session's resolver: every question is put to the policies first
 *
 * dns is asked; its verdict becomes a synthetic answer, a refusal with an Extended DNS Error that carries the reason, or
 * a clean question to the real resolvers. Whatever answer has addresses is released only after session and names
 * agree that these addresses belong to these names (pinned names): the program cannot connect before the tie is in force.
 *
 * Answers by type for a name that dns resolves to addresses of ours (specs P73): the family of each address gets it,
 * every other type an empty answer with an SOA, so that no AAAA, HTTPS or SVCB record leads around an A redirect. For a
 * name whose TLS port connect sends elsewhere, HTTPS and SVCB are empty too. In answers that are passed on, these
 * records lose ech and address hints (P74). Addresses that connect denies are left out;
 * other private ones stay in: connect judges what is really dialled. All this is done for answers of the cache, too.
 */
#ifndef MF_PROXIES_DNS_PROXY_H
#define MF_PROXIES_DNS_PROXY_H

#include "core/policy/session.h"
#include "proxies/dns_upstream.h"

struct mf_dns_proxy;

int mf_dns_proxy_new(struct mf_proxy *p, struct mf_dns_proxy **ret, struct mf_err *err);
void mf_dns_proxy_free(struct mf_dns_proxy *dns);

/* An answer, or len 0: none is given (not a question at all). Called once per question, maybe at once. */
typedef void (*mf_dns_reply_fn)(void *ctx, const uint8_t *msg, size_t len);

/** mf_dns_proxy_ask() - Serve one message; @flow says who and by which transport */
void mf_dns_proxy_ask(struct mf_dns_proxy *dns, const struct mf_session_flow *flow,
		      struct mf_span msg, mf_dns_reply_fn reply, void *ctx);
/** mf_dns_proxy_cancel() - @ctx has gone: none of its questions is answered any more */
void mf_dns_proxy_cancel(struct mf_dns_proxy *dns, void *ctx);

/** mf_dns_proxy_waits() - Whether a question of @ctx waits until a person has answered */
bool mf_dns_proxy_waits(const struct mf_dns_proxy *dns, const void *ctx);

/** mf_dns_tcp_serve() - Take over an accepted connection to port 53; owns @fd */
void mf_dns_tcp_serve(struct mf_dns_proxy *dns, int fd, const struct mf_session_flow *flow);

#endif
