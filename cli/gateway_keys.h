/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_keys.h - the files (and variables) with what a gateway knows its friends by, read into a key ring, and again when they change */
#ifndef MF_CLI_GATEWAY_KEYS_H
#define MF_CLI_GATEWAY_KEYS_H

#include <stdint.h>

#include "proxies/gateway/keyring.h"

/* One source: a file; or, where there is none, a text. */
struct mf_gateway_key_source {
	const char *path, *text;
};

struct mf_gateway_keys {
	struct mf_gateway_key_source secret, jwt_secret, api_key; /* a line each; the first signs */
	const char *jwt_keys_path;				  /* JWK Set or PEM */
	uint64_t seen; /* of the files, when they were last read */
};

/** mf_gateway_keys_load() - A new ring; without a secret for session tokens it has none. Return: 0; MF_E_IO, MF_E_SYNTAX, MF_E_LIMIT, MF_E_NOMEM */
int mf_gateway_keys_load(struct mf_gateway_keys *k, struct mf_keyring **ret, struct mf_err *err);

/** mf_gateway_keys_changed() - Whether a file is another, or has another date, than when it was read */
bool mf_gateway_keys_changed(const struct mf_gateway_keys *k);

#endif
