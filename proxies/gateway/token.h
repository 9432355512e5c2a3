/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.h - who a browser is, in words that need no store: session tokens and JSON Web Tokens
 *
 * A session token is B64URL({"v":1,"sid":"...","exp":N}) "." B64URL(HMAC of the first part). A JWT is RFC 7519's with a claim "sid",
 * signed by HS256, RS256 or EdDSA (jwt_keys.h). Several gateways that have a secret in common accept each other's.
 *
 * Nothing of a token is read before its signature is found good, but a JWT's header, which says what key to look for: bounded, and never
 * with a key of its own. Header fields that have to be understood ("crit", RFC 7515 4.1.11) are not.
 */
#ifndef MF_PROXIES_GATEWAY_TOKEN_H
#define MF_PROXIES_GATEWAY_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/span.h"

#define MF_TOKEN_SID_MAX   256 /* bytes of UTF-8, with the NUL; of ours 32 digits */
#define MF_TOKEN_CLAIM_MAX 1024
#define MF_TOKEN_MAX	   (16384 + 1 + 43)
#define MF_TOKEN_MINT_ROOM 2048 /* for any sid that a token may have, escaped */

struct mf_token {
	char sid[MF_TOKEN_SID_MAX];
	double exp_s; /* seconds since 1970 */
};

/** mf_token_read() - Return: 0; MF_E_BAD: no good token, or its time is over (@now_ms since 1970) */
int mf_token_read(struct mf_span text, struct mf_span secret, int64_t now_ms, struct mf_token *ret);

/** mf_token_mint() - @sid: UTF-8; Return: length of @buf, MF_E_LIMIT, MF_E_BAD (no UTF-8), MF_E_NOMEM */
int mf_token_mint(const char *sid, int64_t exp_s, struct mf_span secret,
		  char buf[MF_TOKEN_MINT_ROOM]);

struct mf_jwt_keys; /* jwt_keys.h */

struct mf_jwt {
	char sid[MF_TOKEN_SID_MAX];
	int64_t iat_s, exp_s;
	bool has_origin, has_aud, has_iss;
	char origin[MF_TOKEN_CLAIM_MAX], aud[MF_TOKEN_CLAIM_MAX], iss[MF_TOKEN_CLAIM_MAX];
};

/* What is said in one of ours. */
struct mf_jwt_claims {
	int64_t iat_s, exp_s;
	const char *sid;
	const char *origin, *aud, *iss; /* NULL: not said */
};

/** mf_jwt_mint() - HS256. Return: free() it; NULL: no memory, or a text that is no UTF-8 */
char *mf_jwt_mint(const struct mf_jwt_claims *claims, struct mf_span secret);

/** mf_jwt_read() - Return: 0; MF_E_BAD, also where "exp" is over or "nbf" is not yet (@now_s since 1970) */
int mf_jwt_read(struct mf_span text, const struct mf_jwt_keys *keys, int64_t now_s,
		struct mf_jwt *ret);

#endif
