/* SPDX-License-Identifier: Apache-2.0 */
/* ed25519.c - see ed25519.h */
#include "packs/ed25519.h"

#include <openssl/evp.h>

int mf_ed25519_verify(const uint8_t key[32], const uint8_t sig[64], const void *data, size_t len)
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int r = MF_E_NOMEM;

	if (pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1)
		r = EVP_DigestVerify(ctx, sig, 64, data, len) == 1 ? 0 : MF_E_PERM;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return r;
}

int mf_ed25519_sign(const uint8_t seed[32], const void *data, size_t len, uint8_t ret[64])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = 64;
	int r = MF_E_NOMEM;

	if (pkey && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
	    EVP_DigestSign(ctx, ret, &n, data, len) == 1)
		r = 0;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return r;
}

int mf_ed25519_public(const uint8_t seed[32], uint8_t ret[32])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	size_t n = 32;
	int r = pkey && EVP_PKEY_get_raw_public_key(pkey, ret, &n) == 1 ? 0 : MF_E_NOMEM;

	EVP_PKEY_free(pkey);
	return r;
}

int mf_blake2b_512(const void *data, size_t len, uint8_t ret[64])
{
	return EVP_Digest(data, len, ret, NULL, EVP_blake2b512(), NULL) == 1 ? 0 : MF_E_NOMEM;
}
