/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forwarded.h - who asks, where proxies stand in between: X-Forwarded-For and its kin, or Forwarded (RFC 7239), of trusted proxies only
 *
 * Each proxy adds, at the right, the address that it was asked from. What stands left of the last proxy that is trusted was written
 * by somebody who is not: so the client is the rightmost address that is no trusted proxy's. (The leftmost one, which others take, is
 * whatever the client likes.) A trusted proxy that does not say from whom ("unknown", "_hidden", garbage) is the client itself.
 *
 * One of the two kinds of field is believed, the one that the proxies write: they hand the other on as the client sent it.
 */
#ifndef MF_PROXIES_FORWARDED_H
#define MF_PROXIES_FORWARDED_H

#include "core/match/cidr_set.h"
#include "proxies/http_service.h"

#define MF_FORWARDED_HOPS_MAX 32 /* proxies that are looked at */

struct mf_forwarding {
	const struct mf_cidr *trusted;
	size_t trusted_cnt;
	bool rfc7239; /* Forwarded; else X-Forwarded-For, -Proto, -Host */
};

struct mf_forwarded {
	struct mf_endpoint client; /* its port is 0 where only the address was told */
	bool is_told;		   /* by a trusted proxy: else it is the connection's */
	bool has_proto, https;
	struct mf_span host; /* as the client wrote it, with its port; empty: not told */
};

/** mf_forwarding_trusts() - Whether @addr is one of the proxies */
bool mf_forwarding_trusts(const struct mf_forwarding *f, const struct mf_addr *addr);

/** mf_forwarded_read() - @peer: of the connection; *ret points into @req */
void mf_forwarded_read(const struct mf_forwarding *f, const struct mf_endpoint *peer,
		       const struct mf_http_request *req, struct mf_forwarded *ret);

#endif
