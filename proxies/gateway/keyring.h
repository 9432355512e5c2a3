/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyring.h - what tells friend from stranger: secrets of session tokens, keys of JWTs, API keys; each may be several, for rotation
 *
 * New tokens are signed with the first secret; all of them are good. So a secret is rotated by putting a new one in front, and taking the old
 * one away when the last token that it signed is over. A ring is filled once and then given as a whole: mf_keyring_replace() changes what all
 * gateways that share one believe, at once.
 *
 * Threads: any, from mf_keyring_replace() too.
 */
#ifndef MF_PROXIES_GATEWAY_KEYRING_H
#define MF_PROXIES_GATEWAY_KEYRING_H

#include "core/base/err.h"
#include "proxies/gateway/jwt_keys.h"
#include "proxies/gateway/token.h"

enum { MF_KEYRING_SECRETS_MAX = 16 };

struct mf_keyring;

/** mf_keyring_new() - Return: NULL without memory */
struct mf_keyring *mf_keyring_new(void);
void mf_keyring_free(struct mf_keyring *k); /* NULL is fine */

/* Copied. Return: 0; MF_E_INVAL (empty), MF_E_FULL, MF_E_NOMEM */
int mf_keyring_add_secret(struct mf_keyring *k, struct mf_span secret);
int mf_keyring_add_api_key(struct mf_keyring *k, struct mf_span key);
/** mf_keyring_add_random() - A secret of 32 random bytes, good as long as the ring is. Return: 0; MF_E_IO, as above */
int mf_keyring_add_random(struct mf_keyring *k);
/** mf_keyring_jwt() - Keys of JWTs, to be filled before the ring is used */
struct mf_jwt_keys *mf_keyring_jwt(struct mf_keyring *k);

/** mf_keyring_has() - Whether a session token, JWT, API key can be good at all */
bool mf_keyring_has_secret(const struct mf_keyring *k);
bool mf_keyring_has_jwt(const struct mf_keyring *k);
bool mf_keyring_has_api_key(const struct mf_keyring *k);

/** mf_keyring_replace() - @k has from now on what @by had (its secrets only if there are any); @by is freed */
void mf_keyring_replace(struct mf_keyring *k, struct mf_keyring *by);

/* As mf_token_read(), mf_token_mint(), mf_jwt_read(), with all that the ring has */
int mf_keyring_read_token(struct mf_keyring *k, struct mf_span text, int64_t now_ms,
			  struct mf_token *ret);
int mf_keyring_mint(struct mf_keyring *k, const char *sid, int64_t exp_s,
		    char buf[MF_TOKEN_MINT_ROOM]);
char *mf_keyring_mint_jwt(struct mf_keyring *k, const struct mf_jwt_claims *claims);
int mf_keyring_read_jwt(struct mf_keyring *k, struct mf_span text, int64_t now_s,
			struct mf_jwt *ret);
/** mf_keyring_is_api_key() - In constant time for its length */
bool mf_keyring_is_api_key(struct mf_keyring *k, struct mf_span text);

#endif
