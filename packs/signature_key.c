/* SPDX-License-Identifier: Apache-2.0 */
/* signature_key.c - public and secret keys of minisign and agentsh; see signature.h */
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "packs/base64.h"
#include "packs/ed25519.h"
#include "packs/manifest.h"
#include "packs/signature.h"
#include "packs/signature_int.h"

static int fail(struct mf_err *err, const char *what)
{
	return mf_err_set(err, MF_E_BAD, "no key: %s", what);
}

/* The last line: what stands before it is a comment. */
static bool last_line(const char *text, size_t len, const char **ret, size_t *ret_len)
{
	const char *at = text, *end = text + len, *line;
	unsigned lines = 0;
	size_t n;

	*ret = text;
	*ret_len = 0;
	while (mf_signature_line(&at, end, &line, &n)) {
		lines++;
		*ret = line;
		*ret_len = n;
	}
	return lines == 1 || lines == 2;
}

static int set_id(struct mf_public_key *key, struct mf_err *err)
{
	return mf_pack_hash(key->key, sizeof(key->key), key->id) < 0
		       ? mf_err_set(err, MF_E_NOMEM, "out of memory")
		       : 0;
}

static int parse_minisign(const char *text, size_t len, struct mf_public_key *key,
			  struct mf_err *err)
{
	const char *line = NULL;
	uint8_t blob[42];
	size_t n = 0;

	if (!last_line(text, len, &line, &n) || !mf_base64_take(line, n, blob, sizeof(blob)))
		return fail(err,
			    "a public key of minisign is one line of 56 letters, \"RW...\", maybe "
			    "behind a comment's line");
	if (memcmp(blob, "Ed", 2) != 0)
		return fail(err, "its algorithm is not \"Ed\"");
	memcpy(key->number, blob + 2, 8);
	memcpy(key->key, blob + 10, 32);
	key->has_number = true;
	return set_id(key, err);
}

static int parse_agentsh(const char *text, size_t len, struct mf_public_key *key,
			 struct mf_err *err)
{
	json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *alg = mf_signature_json_text(o, "algorithm"),
		   *pub = mf_signature_json_text(o, "public_key");
	const char *id = mf_signature_json_text(o, "key_id"),
		   *label = mf_signature_json_text(o, "label");
	const char *expires = mf_signature_json_text(o, "expires_at");
	int r;

	if (!json_is_object(o))
		r = fail(err, "it is no JSON object");
	else if (!alg || strcmp(alg, "ed25519") != 0)
		r = fail(err, "its algorithm is not \"ed25519\"");
	else if (!pub || !mf_base64_take(pub, strlen(pub), key->key, sizeof(key->key)))
		r = fail(err, "its public_key is not 32 bytes in base64");
	else if (expires && *expires && mf_time_parse(expires, &key->expires_s) < 0)
		r = fail(err, "its expires_at is no time of RFC 3339");
	else
		r = set_id(key, err);
	if (r == 0 && (!id || strcmp(id, key->id) != 0))
		r = fail(err, "its key_id is not the SHA-256 of its public_key");
	if (r == 0 && label)
		snprintf(key->label, sizeof(key->label), "%s", label);
	json_decref(o);
	return r;
}

int mf_public_key_parse(const char *text, size_t len, struct mf_public_key *ret, struct mf_err *err)
{
	*ret = (struct mf_public_key){ 0 };
	if (len > MF_SIGNATURE_TEXT_MAX)
		return fail(err, "it is too long");
	return len && text[0] == '{' ? parse_agentsh(text, len, ret, err)
				     : parse_minisign(text, len, ret, err);
}

void mf_public_key_text(const struct mf_public_key *key, char ret[57])
{
	uint8_t blob[42] = "Ed";

	for (unsigned i = 0; i < 8; i++) {
		unsigned byte = 0;

		(void)sscanf(key->id + 2 * i, "%2x", &byte);
		blob[2 + i] = key->has_number ? key->number[i] : (uint8_t)byte;
	}
	memcpy(blob + 10, key->key, 32);
	mf_base64_put(blob, sizeof(blob), ret);
}

void mf_public_key_number(const struct mf_public_key *key, char ret[17])
{
	ret[0] = '\0';
	/* minisign prints the eight bytes as a little-endian number. */
	for (unsigned i = 0; key->has_number && i < 8; i++)
		snprintf(ret + 2 * i, 3, "%02X", key->number[7 - i]);
}

/* "Ed", kdf, "B2", 32 bytes of salt, two numbers, then number, seed, public key and a checksum */
static int parse_secret_minisign(const char *text, size_t len, struct mf_secret_key *key,
				 struct mf_err *err)
{
	uint8_t blob[158], pub[32];
	const char *line;
	size_t n;
	int r;

	if (!last_line(text, len, &line, &n) || !mf_base64_take(line, n, blob, sizeof(blob)) ||
	    memcmp(blob, "Ed", 2) != 0 || memcmp(blob + 4, "B2", 2) != 0) {
		r = fail(err, "this is no secret key of minisign");
	} else if (blob[2] || blob[3]) {
		r = mf_err_set(
			err, MF_E_UNSUPPORTED,
			"this secret key has a password: sign with 'minisign -S' itself, or use a "
			"key without one ('minisign -G -W')");
	} else {
		memcpy(key->pub.number, blob + 54, 8);
		key->pub.has_number = true;
		memcpy(key->seed, blob + 62, 32);
		memcpy(key->pub.key, blob + 94, 32);
		r = mf_ed25519_public(key->seed, pub) < 0
			    ? mf_err_set(err, MF_E_NOMEM, "out of memory")
		    : memcmp(pub, key->pub.key, 32) != 0
			    ? fail(err, "its two halves do not belong together")
			    : set_id(&key->pub, err);
	}
	OPENSSL_cleanse(blob, sizeof(blob));
	return r;
}

static int parse_secret_agentsh(const char *text, size_t len, struct mf_secret_key *key,
				struct mf_err *err)
{
	json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *secret = mf_signature_json_text(o, "private_key");
	uint8_t both[64], pub[32];
	int r;

	if (!secret || !mf_base64_take(secret, strlen(secret), both, sizeof(both)))
		r = fail(err, "its private_key is not 64 bytes in base64");
	else if (mf_ed25519_public(both, pub) < 0)
		r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	else if (memcmp(pub, both + 32, 32) != 0)
		r = fail(err, "its two halves do not belong together");
	else
		r = 0;
	if (r == 0) {
		memcpy(key->seed, both, 32);
		memcpy(key->pub.key, pub, 32);
		r = set_id(&key->pub, err);
	}
	OPENSSL_cleanse(both, sizeof(both));
	json_decref(o);
	return r;
}

int mf_secret_key_parse(const char *text, size_t len, struct mf_secret_key *ret, struct mf_err *err)
{
	int r;

	*ret = (struct mf_secret_key){ 0 };
	if (len > MF_SIGNATURE_TEXT_MAX)
		r = fail(err, "it is too long");
	else if (len && text[0] == '{')
		r = parse_secret_agentsh(text, len, ret, err);
	else
		r = parse_secret_minisign(text, len, ret, err);
	if (r < 0)
		mf_secret_key_done(ret);
	return r;
}

void mf_secret_key_done(struct mf_secret_key *key)
{
	OPENSSL_cleanse(key, sizeof(*key));
}
