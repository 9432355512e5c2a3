/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_wisp_auth.c - who may use Wisp: passwords (extension 2) and keys (extension 3)
 *
 * A password is one of the operator's, whose name then is the member, or what else lets anybody in (--auth): a session token, a JWT, the key.
 * Names and passwords are compared as hashes, all of them, so that time tells nothing.
 *
 * A key signs a challenge of 64 random bytes, which is the WebSocket's own and good once (Ed25519, RFC 8032). Which key it is stands there as a
 * hash of its 32 bytes: SHA-256 in draft 6, SHA-512 before. One that nobody has is answered after a signature was looked at all the same.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxies/gateway/front_wisp_int.h"

enum { PASSWORD_MAX = 4096 };

/* --- passwords ------------------------------------------------------------------------------------------------------------ */

static void hash_login(struct mf_span name, struct mf_span password, uint8_t out[64])
{
	SHA256(name.len ? name.ptr : (const uint8_t *)"", name.len, out);
	SHA256(password.len ? password.ptr : (const uint8_t *)"", password.len, out + 32);
}

/* A name of its own: no sid, and no address, is that. */
static int become(struct mf_wisp_front *w, const char *name)
{
	char text[MF_TOKEN_SID_MAX];

	snprintf(text, sizeof(text), "user:%s", name);
	return mf_gw_front_become(&w->front, text);
}

int mf_wisp_check_password(struct mf_wisp_front *w, struct mf_span payload)
{
	struct mf_gateway *gw = mf_wisp_gw(w);
	struct mf_span name, password;
	char text[PASSWORD_MAX + 1];
	const char *found = NULL;
	uint8_t hash[64];
	int r;

	if (mf_wisp_password_read(payload, &name, &password) < 0)
		return MF_E_BAD;
	hash_login(name, password, hash);
	for (size_t i = 0; i < gw->wisp->login_cnt; i++)
		if (CRYPTO_memcmp(hash, gw->wisp->logins[i].hash, sizeof(hash)) == 0)
			found = gw->wisp->logins[i].name;
	if (found)
		return become(w, found);
	if (!gw->opt.auth || password.len > PASSWORD_MAX ||
	    memchr(password.ptr, '\0', password.len))
		return MF_E_BAD;
	memcpy(text, password.ptr, password.len);
	text[password.len] = '\0';
	r = mf_gw_front_authenticate(&w->front, text);
	OPENSSL_cleanse(text, sizeof(text));
	return r;
}

/* --- keys ----------------------------------------------------------------------------------------------------------------- */

static bool is_signed(EVP_PKEY *pkey, const uint8_t *challenge, struct mf_span signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
		    EVP_DigestVerify(ctx, signature.ptr, signature.len, challenge,
				     MF_WISP_CHALLENGE) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

int mf_wisp_check_key(struct mf_wisp_front *w, struct mf_span payload)
{
	const struct mf_gw_wisp *all = mf_wisp_gw(w)->wisp;
	const struct mf_gw_wisp_key *found = NULL;
	struct mf_wisp_key_proof proof;
	bool good;

	if (mf_wisp_key_read(payload, &proof) < 0)
		return MF_E_BAD;
	for (size_t i = 0; i < all->key_cnt; i++) {
		const struct mf_gw_wisp_key *k = &all->keys[i];

		if (CRYPTO_memcmp(proof.hash.ptr,
				  proof.hash.len == SHA256_DIGEST_LENGTH ? k->sha256 : k->sha512,
				  proof.hash.len) == 0)
			found = k;
	}
	good = is_signed(found ? found->pkey : all->keys[0].pkey, w->challenge, proof.signature);
	return found && good ? become(w, found->name) : MF_E_BAD;
}

/* --- set-up --------------------------------------------------------------------------------------------------------------- */

int mf_gw_wisp_auth_new(struct mf_gateway *gw)
{
	const struct mf_gateway_options *o = &gw->opt;
	struct mf_gw_wisp *all = gw->wisp;

	all->logins = calloc(o->wisp_login_cnt + 1, sizeof(*all->logins));
	all->keys = calloc(o->wisp_key_cnt + 1, sizeof(*all->keys));
	if (!all->logins || !all->keys)
		return MF_E_NOMEM;
	for (size_t i = 0; i < o->wisp_login_cnt; i++) {
		const struct mf_gateway_login *l = &o->wisp_logins[i];

		all->logins[i].name = l->name;
		hash_login(mf_span_str(l->name), mf_span_str(l->password), all->logins[i].hash);
		all->login_cnt++;
	}
	for (size_t i = 0; i < o->wisp_key_cnt; i++) {
		const struct mf_gateway_wisp_key *from = &o->wisp_keys[i];
		struct mf_gw_wisp_key *k = &all->keys[i];

		k->name = from->name;
		SHA256(from->key, sizeof(from->key), k->sha256);
		SHA512(from->key, sizeof(from->key), k->sha512);
		k->pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, from->key,
						      sizeof(from->key));
		if (!k->pkey)
			return MF_E_NOMEM;
		all->key_cnt++;
	}
	return 0;
}

void mf_gw_wisp_auth_free(struct mf_gw_wisp *all)
{
	for (size_t i = 0; i < all->key_cnt; i++)
		EVP_PKEY_free(all->keys[i].pkey);
	free(all->keys);
	free(all->logins);
}
