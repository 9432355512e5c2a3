/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_upstream.h - asking the real resolvers
 *
 * By UDP each question goes out alone: a fresh socket, so a fresh random port, connected to its server, so that nobody
 * else is heard; a random id, and a cookie (RFC 7873); only an answer with that id and that very question counts, anything
 * else is waited past. A truncated answer is asked for again by TCP. TCP, TLS and HTTPS have one connection to each server,
 * kept for a while, on which questions do not wait for each other's answers.
 *
 * Which server: the first of the list that is well. One that failed three times in a row, or kept being late, rests: one
 * second, then twice that, up to a minute, and is asked only when no other is left. Where the answer takes longer than this
 * server's usually do (at most 400 ms), the next is asked as well, and whoever answers first counts. A server that fails or
 * refuses gives way to the next at once; the list is gone through twice.
 */
#ifndef MF_PROXIES_DNS_UPSTREAM_H
#define MF_PROXIES_DNS_UPSTREAM_H

#include "core/base/err.h"
#include "core/wire/dns_wire.h"
#include "proxies/dns_server.h"

struct mf_proxy;
struct mf_dns_upstream;
struct mf_dns_ask;

int mf_dns_upstream_new(struct mf_proxy *p, struct mf_dns_upstream **ret, struct mf_err *err);
/** mf_dns_upstream_free() - Questions still open end without a call */
void mf_dns_upstream_free(struct mf_dns_upstream *up);

/*
 * The end of a question, exactly once. @result: 0, or MF_E_TIME (nobody answered), MF_E_IO (no server can be reached);
 * @msg and @walk (standing at the first record) live for the call. @server: who answered or failed last, as
 * mf_dns_server_format() has it; @why: what was wrong with it, where @result is not 0.
 */
struct mf_dns_result {
	int result;
	struct mf_span msg;
	const struct mf_dns_walk *walk;
	const char *server, *why;
};
typedef void (*mf_dns_done_fn)(void *ctx, const struct mf_dns_result *result);

/**
 * mf_dns_upstream_ask() - @q: copied; @fn is never called before this returns
 * Return: 0; MF_E_FULL (dns_inflight_max), MF_E_NOMEM
 */
int mf_dns_upstream_ask(struct mf_dns_upstream *up, const struct mf_dns_query *q, mf_dns_done_fn fn,
			void *ctx, struct mf_dns_ask **ret);
/** mf_dns_upstream_cancel() - @fn will not be called */
void mf_dns_upstream_cancel(struct mf_dns_ask *ask);

/* --- addresses of names that policies redirect to ------------------------------------------------------------------ */

#define MF_RESOLVE_ADDRS_MAX 8

struct mf_resolve;
typedef void (*mf_resolve_fn)(void *ctx, int result, const struct mf_addr *addrs, size_t cnt);

/**
 * mf_resolve_start() - The addresses of a host: a literal, hosts file, or the real resolvers (A and AAAA)
 * @fn: called once, maybe before this returns; @result 0, MF_E_NOENT, MF_E_TIME, MF_E_IO, MF_E_SYNTAX, MF_E_NOMEM
 * Results are kept for their TTL (5 to 300 s), for a few dozen names.
 * Return: a handle to cancel with, NULL when @fn has been called
 */
struct mf_resolve *mf_resolve_start(struct mf_dns_upstream *up, const char *host, mf_resolve_fn fn,
				    void *ctx);
void mf_resolve_cancel(struct mf_resolve *r);

#endif
