/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_https.h - the resolver over HTTPS: RFC 8484, and the JSON of public resolvers
 *
 *	GET /dns-query?dns=BASE64URL, POST /dns-query		messages
 *	GET /dns-query?name=NAME&type=TYPE, also at /resolve and /dns-json
 *		do, cd: 1, 0, true, false; ct: application/dns-json or application/dns-message; edns_client_subnet: not used, which
 *		the answer says; random_padding: whatever it is
 *
 * Questions go where those by UDP and TCP go (dns_proxy.h): same policies, caches, events; policies see transport "doh".
 * Answers say in Cache-Control for how long they hold (RFC 8484 5.1), privately: another client's may be another one.
 *
 * HTTP status: 200 with whatever DNS answer, refusals too; 400 for what is no DNS question, with FORMERR where at least its
 * header could be read; 413, 415 for bodies.
 */
#ifndef MF_PROXIES_DNS_HTTPS_H
#define MF_PROXIES_DNS_HTTPS_H

#include "core/base/err.h"

struct mf_dns_https;
struct mf_http_service;
struct mf_proxy;

/** mf_dns_https_new() - Add the paths to @http; both are borrowed until mf_dns_https_free(); Return: 0, MF_E_NOMEM, MF_E_FULL */
int mf_dns_https_new(struct mf_proxy *proxy, struct mf_http_service *http,
		     struct mf_dns_https **ret, struct mf_err *err);

/**
 * mf_dns_https_free() - Before proxy and service; questions on their way are answered by 503
 * The service must not serve afterwards: its routes lead here. NULL is fine.
 */
void mf_dns_https_free(struct mf_dns_https *h);

#endif
