/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_gateway.h - the way to the servers that policies declare in http_services
 *
 *	http://192.0.0.8/svc/NAME/path?query	is	UPSTREAM/path?query of the service NAME
 *
 * Connections to MF_SERVICE_GATEWAY_ADDR, which is nobody's (RFC 7600), end here. One request each, HTTP/1: its method and path are
 * judged by the service's rules (core/policy/api_services.h) before anything is dialled, then it goes to the service's server with the
 * server's name in Host, over TLS where the URL says so, whose certificate is verified. What comes back passes as it is, but for
 * "Connection: close".
 *
 * The server is what the policy's author named: connect is not asked about it.
 *
 * A body passes as it comes, of any length; where the request ends is followed (http_watch.h), and nothing behind it goes on: a
 * server never sees a second request that nobody judged. Upgrades are not taken.
 *
 * Threads: the loop's.
 */
#ifndef MF_PROXIES_SERVICE_GATEWAY_H
#define MF_PROXIES_SERVICE_GATEWAY_H

#include "core/base/err.h"
#include "core/policy/session.h"

#define MF_SERVICE_GATEWAY_ADDR "192.0.0.8"
#define MF_SERVICE_GATEWAY_URL	"http://" MF_SERVICE_GATEWAY_ADDR "/svc/" /* and a service's name */

struct mf_proxy;
struct mf_service_gateway;

/** mf_service_gateway_new() - Of a proxy whose options have services; Return: 0, MF_E_NOMEM */
int mf_service_gateway_new(struct mf_proxy *p, struct mf_service_gateway **ret, struct mf_err *err);
void mf_service_gateway_free(struct mf_service_gateway *g); /* ends what is open; NULL is fine */
/** mf_service_gateway_cut() - End what is open */
void mf_service_gateway_cut(struct mf_service_gateway *g);

/** mf_service_gateway_is() - Whether a flow goes to the gateway; @g NULL: none does */
bool mf_service_gateway_is(const struct mf_service_gateway *g, const struct mf_session_flow *flow);

/** mf_service_gateway_take() - A connection that was accepted; owns @fd */
void mf_service_gateway_take(struct mf_service_gateway *g, int fd,
			     const struct mf_session_flow *flow);

#endif
