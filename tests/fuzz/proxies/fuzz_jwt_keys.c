// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file of keys (JWK Set, PEM), and behind a NUL byte a token: what is read is bounded, and no key is good for such a token.
#include <moonfence/moonfence.h>

#include "core/base/err.h"
#include "proxies/gateway/jwt_keys.h"
#include "proxies/gateway/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
	struct mf_span in = mf_span_of(data, size);
	struct mf_span text = mf_span_sub(in, 0, nul ? (size_t)(nul - data) : size);
	struct mf_jwt_keys *keys = mf_jwt_keys_new();
	static struct mf_jwt t;
	struct mf_err err;
	int r;

	MF_MUST(keys != NULL);
	r = mf_jwt_keys_add_text(keys, text, "keys", &err);
	MF_MUST(mf_jwt_keys_count(keys) <= MF_JWT_KEYS_MAX);
	MF_MUST(r < 0 || mf_jwt_keys_count(keys) > 0);
	if (mf_jwt_read(mf_span_sub(in, text.len + 1, size), keys, 0, &t) == 0)
		MF_MUST(t.sid[0] && t.exp_s > 0);
	mf_jwt_keys_free(keys);
	return 0;
}
