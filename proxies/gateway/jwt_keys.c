/* SPDX-License-Identifier: Apache-2.0 */
/* jwt_keys.c - see jwt_keys.h */
#include "proxies/gateway/jwt_keys.h"

#include <jansson.h>
#include <moonfence/moonfence.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <strings.h>

#include "core/wire/dns_json.h" /* base64url */

enum {
	ED25519_LEN = 32,
	MAC_LEN = 32,
	RSA_BITS_MIN = 2048,
	RSA_BITS_MAX = 8192,
	EXPONENT_MAX = 8, /* bytes */
};

struct key {
	enum mf_jwt_alg alg;
	EVP_PKEY *pkey; /* NULL: a secret */
	uint8_t *secret;
	size_t secret_len;
	char *kid; /* NULL: any */
};

struct mf_jwt_keys {
	struct key all[MF_JWT_KEYS_MAX];
	size_t cnt;
};

struct mf_jwt_keys *mf_jwt_keys_new(void)
{
	return calloc(1, sizeof(struct mf_jwt_keys));
}

static void free_key(struct key *k)
{
	EVP_PKEY_free(k->pkey);
	if (k->secret)
		OPENSSL_cleanse(k->secret, k->secret_len);
	free(k->secret);
	free(k->kid);
}

void mf_jwt_keys_free(struct mf_jwt_keys *keys)
{
	for (size_t i = 0; keys && i < keys->cnt; i++)
		free_key(&keys->all[i]);
	free(keys);
}

size_t mf_jwt_keys_count(const struct mf_jwt_keys *keys)
{
	return keys->cnt;
}

/* @k is the set's, or freed. */
static int add(struct mf_jwt_keys *keys, struct key *k)
{
	int r = keys->cnt == MF_JWT_KEYS_MAX ? MF_E_FULL : 0;

	for (size_t i = 0; i < keys->cnt && k->kid && r == 0; i++)
		if (keys->all[i].kid && keys->all[i].alg == k->alg &&
		    strcmp(keys->all[i].kid, k->kid) == 0)
			r = MF_E_EXIST;
	if (r < 0)
		free_key(k);
	else
		keys->all[keys->cnt++] = *k;
	return r;
}

int mf_jwt_keys_add_secret(struct mf_jwt_keys *keys, struct mf_span secret)
{
	struct key k = { .alg = MF_JWT_HS256, .secret_len = secret.len };

	if (secret.len == 0)
		return MF_E_INVAL;
	k.secret = malloc(secret.len);
	if (!k.secret)
		return MF_E_NOMEM;
	memcpy(k.secret, secret.ptr, secret.len);
	return add(keys, &k);
}

/* --- public keys -------------------------------------------------------------------------------------------------------- */

/* The algorithm of a public key. Return: false: none of ours, or too weak */
static bool classify(EVP_PKEY *pkey, enum mf_jwt_alg *ret)
{
	int bits = EVP_PKEY_get_bits(pkey);

	if (EVP_PKEY_is_a(pkey, "ED25519"))
		*ret = MF_JWT_EDDSA;
	else if (EVP_PKEY_is_a(pkey, "RSA") && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX)
		*ret = MF_JWT_RS256;
	else
		return false;
	return true;
}

static EVP_PKEY *make_rsa(struct mf_span n, struct mf_span e)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *bn = BN_bin2bn(n.ptr, (int)n.len, NULL), *be = BN_bin2bn(e.ptr, (int)e.len, NULL);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pkey = NULL;

	if (build && bn && be && ctx && BN_is_odd(be) && !BN_is_one(be) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn) == 1 &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, be) == 1)
		params = OSSL_PARAM_BLD_to_param(build);
	if (params && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	BN_free(bn);
	BN_free(be);
	return pkey;
}

/* --- JWK (RFC 7517) ------------------------------------------------------------------------------------------------------- */

static bool is_text(const json_t *v, const char *text)
{
	return json_is_string(v) && strcmp(json_string_value(v), text) == 0;
}

/* Base64url. Return: length; negative */
static int read_bytes(const json_t *jwk, const char *name, uint8_t *buf, size_t size)
{
	const json_t *v = json_object_get(jwk, name);

	if (!json_is_string(v))
		return MF_E_SYNTAX;
	return mf_base64url_decode(mf_span_of(json_string_value(v), json_string_length(v)), buf,
				   size);
}

static bool is_for_signatures(const json_t *jwk)
{
	const json_t *use = json_object_get(jwk, "use"), *ops = json_object_get(jwk, "key_ops");
	const json_t *op;
	size_t i;

	if (use && !is_text(use, "sig"))
		return false;
	if (!ops)
		return true;
	json_array_foreach(ops, i, op)
	{
		if (is_text(op, "verify"))
			return true;
	}
	return false;
}

/* Return: 1: *ret is filled in, but for its name; 0: none that is of use here; MF_E_SYNTAX, MF_E_NOMEM */
static int read_jwk(const json_t *jwk, struct key *ret, const char **why)
{
	const json_t *kty = json_object_get(jwk, "kty"), *alg = json_object_get(jwk, "alg");
	uint8_t n[RSA_BITS_MAX / 8 + 1], e[EXPONENT_MAX];
	int n_len, e_len;

	*why = "a key is malformed";
	if (!json_is_object(jwk) || !json_is_string(kty))
		return MF_E_SYNTAX;
	if (!is_for_signatures(jwk))
		return 0;
	if (is_text(kty, "OKP") && is_text(json_object_get(jwk, "crv"), "Ed25519")) {
		ret->alg = MF_JWT_EDDSA;
		if (alg && !is_text(alg, "EdDSA") && !is_text(alg, "Ed25519"))
			return 0;
		n_len = read_bytes(jwk, "x", n, sizeof(n));
		if (n_len != ED25519_LEN)
			return MF_E_SYNTAX;
		ret->pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, n, ED25519_LEN);
	} else if (is_text(kty, "RSA")) {
		ret->alg = MF_JWT_RS256;
		if (alg && !is_text(alg, "RS256"))
			return 0;
		n_len = read_bytes(jwk, "n", n, sizeof(n));
		e_len = read_bytes(jwk, "e", e, sizeof(e));
		if (n_len <= 0 || e_len <= 0)
			return MF_E_SYNTAX;
		ret->pkey = make_rsa(mf_span_of(n, (size_t)n_len), mf_span_of(e, (size_t)e_len));
	} else {
		return 0;
	}
	if (json_object_get(jwk, "d")) {
		*why = "it has a private key: only the public part belongs here";
		return MF_E_SYNTAX;
	}
	if (ret->pkey && !classify(ret->pkey, &ret->alg)) {
		*why = "an RSA key has 2048 to 8192 bits";
		return MF_E_SYNTAX;
	}
	return ret->pkey ? 1 : MF_E_SYNTAX;
}

static int add_jwk(struct mf_jwt_keys *keys, const json_t *jwk, const char *name,
		   struct mf_err *err)
{
	const json_t *kid = json_object_get(jwk, "kid");
	struct key k = { 0 };
	const char *why;
	int r = read_jwk(jwk, &k, &why);

	if (r > 0 && kid) {
		r = json_is_string(kid) && json_string_length(kid) < MF_JWT_KID_MAX ? 1
										    : MF_E_SYNTAX;
		why = "a \"kid\" is a string of at most 255 bytes";
		k.kid = r > 0 ? strdup(json_string_value(kid)) : NULL;
		if (r > 0 && !k.kid)
			r = MF_E_NOMEM;
	}
	if (r <= 0) {
		free_key(&k);
		return r == MF_E_SYNTAX ? mf_err_set(err, r, "%s: %s", name, why) : r;
	}
	return add(keys, &k);
}

static int add_jwks(struct mf_jwt_keys *keys, const json_t *json, const char *name,
		    struct mf_err *err)
{
	const json_t *list = json_object_get(json, "keys"), *jwk;
	size_t i;
	int r = 0;

	if (!list)
		return add_jwk(keys, json, name, err);
	if (!json_is_array(list))
		return mf_err_set(err, MF_E_SYNTAX, "%s: \"keys\" is no list", name);
	json_array_foreach(list, i, jwk)
	{
		r = add_jwk(keys, jwk, name, err);
		if (r < 0)
			break;
	}
	return r;
}

/* --- PEM ------------------------------------------------------------------------------------------------------------------ */

static struct mf_span next_line(struct mf_span *rest)
{
	const uint8_t *end = memchr(rest->ptr, '\n', rest->len);
	struct mf_span line = mf_span_of(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);

	*rest = mf_span_sub(*rest, line.len + 1, rest->len);
	while (line.len && (line.ptr[line.len - 1] == '\r' || line.ptr[line.len - 1] == ' '))
		line.len--;
	return line;
}

static bool begins(struct mf_span line, const char *text)
{
	size_t len = strlen(text);

	return line.len >= len && strncasecmp((const char *)line.ptr, text, len) == 0;
}

/* @pem begins at its "-----BEGIN". */
static int add_pem_key(struct mf_jwt_keys *keys, struct mf_span pem, struct mf_span kid,
		       const char *name, struct mf_err *err)
{
	BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
	struct key k = { 0 };
	int r = 0;

	if (!bio)
		return MF_E_NOMEM;
	k.pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (!k.pkey || !classify(k.pkey, &k.alg))
		r = mf_err_set(err, MF_E_SYNTAX,
			       "%s: a key is neither Ed25519 nor RSA of 2048 to 8192 bits", name);
	else if (kid.len >= MF_JWT_KID_MAX)
		r = mf_err_set(err, MF_E_SYNTAX, "%s: a kid has at most 255 bytes", name);
	else if (kid.len && !(k.kid = strndup((const char *)kid.ptr, kid.len)))
		r = MF_E_NOMEM;
	if (r < 0) {
		free_key(&k);
		return r;
	}
	return add(keys, &k);
}

static int add_pem(struct mf_jwt_keys *keys, struct mf_span text, const char *name,
		   struct mf_err *err)
{
	struct mf_span kid = { 0 };
	int r = 0;

	while (text.len && r == 0) {
		struct mf_span all = text, line = next_line(&text);

		if (begins(line, "kid:")) {
			kid = mf_span_sub(line, 4, line.len);
			while (kid.len && kid.ptr[0] == ' ')
				kid = mf_span_sub(kid, 1, kid.len);
		} else if (begins(line, "-----BEGIN PUBLIC KEY-----")) {
			r = add_pem_key(keys, all, kid, name, err);
			kid.len = 0;
		} else if (begins(line, "-----BEGIN ")) {
			r = mf_err_set(err, MF_E_SYNTAX,
				       "%s: only public keys (BEGIN PUBLIC KEY) belong here", name);
		}
	}
	return r;
}

int mf_jwt_keys_add_text(struct mf_jwt_keys *keys, struct mf_span text, const char *name,
			 struct mf_err *err)
{
	size_t had = keys->cnt;
	json_error_t where;
	json_t *json;
	int r;

	if (text.len > MF_JWT_KEY_TEXT_MAX)
		return mf_err_set(err, MF_E_LIMIT, "%s: more than a megabyte of keys", name);
	while (text.len && strchr(" \t\r\n", text.ptr[0]) && text.ptr[0])
		text = mf_span_sub(text, 1, text.len);
	if (text.len && text.ptr[0] == '{') {
		json = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &where);
		if (!json)
			return mf_err_set(err, MF_E_SYNTAX, "%s:%d: %s", name, where.line,
					  where.text);
		r = add_jwks(keys, json, name, err);
		json_decref(json);
	} else {
		r = add_pem(keys, text, name, err);
	}
	if (r == MF_E_EXIST)
		return mf_err_set(err, r, "%s: a kid is there twice", name);
	if (r == MF_E_FULL)
		return mf_err_set(err, r, "%s: more than %d keys", name, MF_JWT_KEYS_MAX);
	if (r == MF_E_NOMEM)
		return mf_err_set(err, r, "%s: no memory", name);
	if (r == 0 && keys->cnt == had)
		return mf_err_set(err, MF_E_SYNTAX, "%s: no key for EdDSA or RS256 in it", name);
	return r;
}

/* --- signatures ----------------------------------------------------------------------------------------------------------- */

int mf_jwt_alg_read(struct mf_span name)
{
	static const char *const names[MF_JWT_ALG_NUM] = { "HS256", "RS256", "EdDSA" };

	for (int i = 0; i < MF_JWT_ALG_NUM; i++)
		if (mf_span_eq(name, mf_span_str(names[i])))
			return i;
	return -1;
}

static bool is_mac(const struct key *k, struct mf_span text, struct mf_span signature)
{
	uint8_t mac[MAC_LEN];
	unsigned len = 0;

	return signature.len == MAC_LEN &&
	       HMAC(EVP_sha256(), k->secret, (int)k->secret_len, text.ptr, text.len, mac, &len) &&
	       len == MAC_LEN && CRYPTO_memcmp(mac, signature.ptr, MAC_LEN) == 0;
}

/* RSASSA-PKCS1-v1_5 with SHA-256 is what EVP does for RSA unless it is told otherwise; Ed25519 hashes by itself. */
static bool is_signed(const struct key *k, struct mf_span text, struct mf_span signature)
{
	const EVP_MD *md = k->alg == MF_JWT_RS256 ? EVP_sha256() : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, md, NULL, k->pkey) == 1 &&
		    EVP_DigestVerify(ctx, signature.ptr, signature.len, text.ptr, text.len) == 1;

	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

bool mf_jwt_keys_verify(const struct mf_jwt_keys *keys, enum mf_jwt_alg alg, const char *kid,
			struct mf_span text, struct mf_span signature)
{
	unsigned tries = 0;

	for (size_t i = 0; i < keys->cnt && tries < MF_JWT_TRIES_MAX; i++) {
		const struct key *k = &keys->all[i];

		if (k->alg != alg || (kid && k->kid && strcmp(kid, k->kid) != 0))
			continue;
		tries++;
		if (k->pkey ? is_signed(k, text, signature) : is_mac(k, text, signature))
			return true;
	}
	return false;
}

bool mf_jwt_keys_secret(const struct mf_jwt_keys *keys, struct mf_span *ret)
{
	for (size_t i = 0; i < keys->cnt; i++)
		if (keys->all[i].alg == MF_JWT_HS256) {
			*ret = mf_span_of(keys->all[i].secret, keys->all[i].secret_len);
			return true;
		}
	return false;
}
