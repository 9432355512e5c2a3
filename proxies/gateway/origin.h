/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin.h - which web pages may ask: Origin fields (RFC 6454), compared in one normal form
 *
 * The normal form is "scheme://host[:port]" with what the URL standard makes of the host, or "null". Whatever has more than one
 * reading is none.
 */
#ifndef MF_PROXIES_GATEWAY_ORIGIN_H
#define MF_PROXIES_GATEWAY_ORIGIN_H

#include <stdbool.h>

#include "core/base/span.h"

#define MF_ORIGIN_MAX  4096		   /* bytes of a field */
#define MF_ORIGIN_ROOM (MF_ORIGIN_MAX + 8) /* of a normal form, with its NUL */

/** mf_origin_normalize() - Return: length of @buf, or MF_E_SYNTAX */
int mf_origin_normalize(struct mf_span text, char buf[MF_ORIGIN_ROOM]);

/** mf_origin_host() - "host[:port]" of a Host field in its normal form, without its scheme's own port; Return: length, MF_E_SYNTAX */
int mf_origin_host(struct mf_span text, bool https, char buf[MF_ORIGIN_ROOM]);

/**
 * mf_origin_is_allowed() - Whether an origin in its normal form is on the list
 * @allowed: normal forms, or "*", which is every origin; an empty list allows the same host only
 * @host: of the request's Host field, as sent, with its port
 */
bool mf_origin_is_allowed(const char *origin, const char *const *allowed, size_t allowed_cnt,
			  struct mf_span host);

#endif
