/* SPDX-License-Identifier: Apache-2.0 */
/* test_jwt_keys.c - JSON Web Tokens under several keys: the RFCs' own examples, forged ones of every kind, rotation */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#include <moonfence/moonfence.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "core/wire/dns_json.h"
#include "proxies/gateway/keyring.h"

/* RFC 8037 A.2, A.4 */
static const char ed_jwk[] = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"ed\","
			     "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
static const char ed_jws[] =
	"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
	"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
/* RFC 7515 A.2 */
static const char rsa_jwk[] =
	"{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp"
	"-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb"
	"_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxv"
	"b3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4F"
	"RWyuXpoQ\",\"e\":\"AQAB\"}";
static const char rsa_jws[] =
	"eyJhbGciOiJSUzI1NiJ9."
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cn"
	"VlfQ."
	"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2F"
	"p5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQB"
	"MHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"
	"eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI"
	"2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

static struct mf_jwt_keys *keys_of(const char *text)
{
	struct mf_jwt_keys *keys = mf_jwt_keys_new();
	struct mf_err err = { 0 };

	assert_non_null(keys);
	if (mf_jwt_keys_add_text(keys, mf_span_str(text), "keys", &err) < 0)
		fail_msg("%s", err.msg);
	return keys;
}

static bool verifies(const char *keys_text, enum mf_jwt_alg alg, const char *kid, const char *jws)
{
	struct mf_jwt_keys *keys = keys_of(keys_text);
	const char *dot = strrchr(jws, '.');
	uint8_t signature[MF_JWT_SIGNATURE_MAX];
	int len = mf_base64url_decode(mf_span_str(dot + 1), signature, sizeof(signature));
	bool good;

	assert_true(len > 0);
	good = mf_jwt_keys_verify(keys, alg, kid, mf_span_of(jws, (size_t)(dot - jws)),
				  mf_span_of(signature, (size_t)len));
	mf_jwt_keys_free(keys);
	return good;
}

static void the_rfcs_examples_are_good(void **state)
{
	(void)state;
	assert_true(verifies(ed_jwk, MF_JWT_EDDSA, NULL, ed_jws));
	assert_true(verifies(ed_jwk, MF_JWT_EDDSA, "ed", ed_jws));
	assert_false(verifies(ed_jwk, MF_JWT_EDDSA, "other", ed_jws));
	assert_false(verifies(ed_jwk, MF_JWT_RS256, NULL, ed_jws));
	assert_true(verifies(rsa_jwk, MF_JWT_RS256, NULL, rsa_jws));
	assert_true(verifies(rsa_jwk, MF_JWT_RS256, "whatever: it has no name", rsa_jws));
	assert_false(verifies(rsa_jwk, MF_JWT_EDDSA, NULL, rsa_jws));
	assert_false(verifies(rsa_jwk, MF_JWT_HS256, NULL, rsa_jws));
	assert_false(verifies(rsa_jwk, MF_JWT_RS256, NULL, ed_jws));
}

/* --- tokens of our own ---------------------------------------------------------------------------------------------------- */

static void b64url(const void *in, size_t len, char *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const uint8_t *b = in;
	size_t n = 0;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)b[i] << 16 | (i + 1 < len ? (uint32_t)b[i + 1] << 8 : 0) |
			     (i + 2 < len ? b[i + 2] : 0);

		for (size_t k = 0; k < 4 && k <= len - i; k++)
			out[n++] = digits[v >> 6 * (3 - k) & 63];
	}
	out[n] = '\0';
}

static const char claims[] = "{\"iat\":1,\"exp\":100,\"sid\":\"s\"}";

/* A token that @pkey signs, or @secret under HMAC, whatever @header says of it. */
static void make(const char *header, EVP_PKEY *pkey, struct mf_span secret, char ret[8192])
{
	uint8_t signature[MF_JWT_SIGNATURE_MAX];
	size_t len = sizeof(signature), at;
	unsigned mac_len = 0;

	b64url(header, strlen(header), ret);
	strcat(ret, ".");
	b64url(claims, strlen(claims), ret + strlen(ret));
	at = strlen(ret);
	if (pkey) {
		EVP_MD_CTX *ctx = EVP_MD_CTX_new();
		const EVP_MD *md = EVP_PKEY_is_a(pkey, "RSA") ? EVP_sha256() : NULL;

		assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, pkey), 1);
		assert_int_equal(EVP_DigestSign(ctx, signature, &len, (uint8_t *)ret, at), 1);
		EVP_MD_CTX_free(ctx);
	} else if (secret.len) {
		assert_non_null(HMAC(EVP_sha256(), secret.ptr, (int)secret.len, (uint8_t *)ret, at,
				     signature, &mac_len));
		len = mac_len;
	} else {
		len = 0;
	}
	ret[at] = '.';
	b64url(signature, len, ret + at + 1);
}

static char *pem_of(EVP_PKEY *pkey, bool private)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text, *at;
	long len;

	assert_int_equal(private ? PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL)
				 : PEM_write_bio_PUBKEY(bio, pkey),
			 1);
	len = BIO_get_mem_data(bio, &at);
	text = strndup(at, (size_t)len);
	BIO_free(bio);
	return text;
}

struct bed {
	EVP_PKEY *ed, *rsa, *other;
	char *ed_pem, *rsa_pem;
	struct mf_jwt_keys *keys; /* "one": ed; no name: rsa */
};

static int make_bed(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));
	struct mf_err err;
	char text[4096];

	assert_non_null(b);
	b->ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	b->other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	b->rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	assert_true(b->ed && b->other && b->rsa);
	b->ed_pem = pem_of(b->ed, false);
	b->rsa_pem = pem_of(b->rsa, false);
	snprintf(text, sizeof(text), "kid: one\r\n%s\nthe other\n%s", b->ed_pem, b->rsa_pem);
	b->keys = mf_jwt_keys_new();
	assert_int_equal(mf_jwt_keys_add_text(b->keys, mf_span_str(text), "pem", &err), 0);
	assert_int_equal(mf_jwt_keys_count(b->keys), 2);
	*state = b;
	return 0;
}

static int drop_bed(void **state)
{
	struct bed *b = *state;

	EVP_PKEY_free(b->ed);
	EVP_PKEY_free(b->rsa);
	EVP_PKEY_free(b->other);
	free(b->ed_pem);
	free(b->rsa_pem);
	mf_jwt_keys_free(b->keys);
	free(b);
	return 0;
}

static int reads(const struct mf_jwt_keys *keys, const char *token, int64_t now_s)
{
	static struct mf_jwt t;
	/* exactly as long as it is: who reads too far is caught */
	char *copy = malloc(strlen(token) + 1);
	int r;

	memcpy(copy, token, strlen(token));
	r = mf_jwt_read(mf_span_of(copy, strlen(token)), keys, now_s, &t);
	free(copy);
	return r;
}

static void headers_choose_keys_and_no_more(void **state)
{
	static const struct mf_span none = { 0 };
	struct bed *b = *state;
	const struct {
		int want;
		const char *header;
		EVP_PKEY *pkey;
		struct mf_span secret;
	} cases[] = {
		{ 0, "{\"alg\":\"EdDSA\"}", b->ed, none },
		{ 0, "{\"alg\":\"EdDSA\",\"kid\":\"one\",\"typ\":\"JWT\"}", b->ed, none },
		{ 0, "{\"alg\":\"RS256\"}", b->rsa, none },
		{ 0, "{\"alg\":\"RS256\",\"kid\":\"of nobody\"}", b->rsa, none },
		/* another name, another key, another algorithm */
		{ MF_E_BAD, "{\"alg\":\"EdDSA\",\"kid\":\"two\"}", b->ed, none },
		{ MF_E_BAD, "{\"alg\":\"EdDSA\",\"kid\":\"one\"}", b->other, none },
		{ MF_E_BAD, "{\"alg\":\"EdDSA\",\"kid\":1}", b->ed, none },
		{ MF_E_BAD, "{\"alg\":\"EdDSA\",\"kid\":null}", b->ed, none },
		{ MF_E_BAD, "{\"alg\":\"EdDSA\"}", b->rsa, none },
		{ MF_E_BAD, "{\"alg\":\"RS256\"}", b->ed, none },
		{ MF_E_BAD, "{\"alg\":\"RS512\"}", b->rsa, none },
		{ MF_E_BAD, "{\"alg\":\"PS256\"}", b->rsa, none },
		{ MF_E_BAD, "{\"alg\":\"eddsa\"}", b->ed, none },
		{ MF_E_BAD, "{\"alg\":[\"EdDSA\"]}", b->ed, none },
		{ MF_E_BAD, "{\"alg\":\"none\",\"alg\":\"EdDSA\"}", b->ed, none },
		/* a public key is no secret: not its file, not its text without the last line end */
		{ MF_E_BAD, "{\"alg\":\"HS256\"}", NULL, mf_span_str(b->rsa_pem) },
		{ MF_E_BAD, "{\"alg\":\"HS256\"}", NULL,
		  mf_span_of(b->rsa_pem, strlen(b->rsa_pem) - 1) },
		{ MF_E_BAD, "{\"alg\":\"RS256\"}", NULL, mf_span_str(b->rsa_pem) },
		{ MF_E_BAD, "{\"alg\":\"HS256\",\"kid\":\"one\"}", NULL, mf_span_str(b->ed_pem) },
		/* nothing at all */
		{ MF_E_BAD, "{\"alg\":\"none\"}", NULL, none },
		{ MF_E_BAD, "{\"alg\":\"None\"}", b->ed, none },
		{ MF_E_BAD, "{\"alg\":\"\"}", b->ed, none },
		{ MF_E_BAD, "{}", b->ed, none },
		{ MF_E_BAD, "[\"EdDSA\"]", b->ed, none },
		/* what must be understood is not; and a key that comes along is nobody's */
		{ MF_E_BAD, "{\"alg\":\"EdDSA\",\"crit\":[\"b64\"],\"b64\":false}", b->ed, none },
		{ MF_E_BAD,
		  "{\"alg\":\"EdDSA\",\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
		  "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}}",
		  b->other, none },
	};
	char token[8192];

	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		make(cases[i].header, cases[i].pkey, cases[i].secret, token);
		if (reads(b->keys, token, 50) != cases[i].want)
			fail_msg("%s (%zu)", cases[i].header, i);
		if (cases[i].want == 0)
			assert_int_equal(reads(b->keys, token, 100), MF_E_BAD); /* over */
	}
}

static void every_bit_counts(void **state)
{
	struct bed *b = *state;
	char token[8192];
	size_t len;

	make("{\"alg\":\"EdDSA\"}", b->ed, (struct mf_span){ 0 }, token);
	len = strlen(token);
	for (size_t i = 0; i < len; i++) {
		char was = token[i];

		token[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(reads(b->keys, token, 50), MF_E_BAD);
		token[i] = was;
	}
	for (size_t i = 0; i < len; i++) {
		char was = token[i];

		token[i] = '\0';
		assert_int_equal(reads(b->keys, token, 50), MF_E_BAD);
		token[i] = was;
	}
	strcpy(token + len, "A");
	assert_int_equal(reads(b->keys, token, 50), MF_E_BAD);
	strcpy(token + len, ".A");
	assert_int_equal(reads(b->keys, token, 50), MF_E_BAD);
}

static void a_token_costs_few_tries(void **state)
{
	struct bed *b = *state;
	struct mf_jwt_keys *keys = mf_jwt_keys_new();
	char secret[32], token[8192];

	for (unsigned i = 0; i < MF_JWT_KEYS_MAX; i++) {
		snprintf(secret, sizeof(secret), "secret %u", i);
		assert_int_equal(mf_jwt_keys_add_secret(keys, mf_span_str(secret)), 0);
	}
	assert_int_equal(mf_jwt_keys_add_secret(keys, mf_span_str("more")), MF_E_FULL);
	assert_int_equal(mf_jwt_keys_add_text(keys, mf_span_str(b->ed_pem), "pem", NULL),
			 MF_E_FULL);
	for (unsigned i = 0; i < MF_JWT_KEYS_MAX; i++) {
		snprintf(secret, sizeof(secret), "secret %u", i);
		make("{\"alg\":\"HS256\"}", NULL, mf_span_str(secret), token);
		assert_int_equal(reads(keys, token, 50), i < MF_JWT_TRIES_MAX ? 0 : MF_E_BAD);
	}
	mf_jwt_keys_free(keys);
}

static void sets_are_read_as_rfc_7517_says(void **state)
{
	struct bed *b = *state;
	char set[4096], *private = pem_of(b->rsa, true);
	struct mf_err err;
	struct mf_jwt_keys *keys = mf_jwt_keys_new();
	const char *const bad[] = {
		"",
		"nothing",
		"{}",
		"{\"keys\":{}}",
		"{\"keys\":[]}",
		"{\"keys\":[1]}",
		"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}]}",
		"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}",
		"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}]}",
		"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}",
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":2,\"x\":"
		"\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
		/* RFC 8037 A.1: its private part */
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"nWGxne_"
		"9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\","
		"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"enc\",\"x\":"
		"\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
		"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		private,
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++)
		if (mf_jwt_keys_add_text(keys, mf_span_str(bad[i]), "keys.json", &err) !=
		    MF_E_SYNTAX)
			fail_msg("%s", bad[i]);
	assert_int_equal(mf_jwt_keys_count(keys), 0);
	snprintf(set, sizeof(set),
		 "{\"keys\":[%s,%s,{\"kty\":\"EC\"},{\"kty\":\"new\"},{\"kty\":\"RSA\",\"alg\":"
		 "\"RSA-"
		 "OAEP\"}]}",
		 ed_jwk, rsa_jwk);
	assert_int_equal(mf_jwt_keys_add_text(keys, mf_span_str(set), "set", &err), 0);
	assert_int_equal(mf_jwt_keys_count(keys), 2);
	assert_int_equal(mf_jwt_keys_add_text(keys, mf_span_str(ed_jwk), "again", &err),
			 MF_E_EXIST);
	mf_jwt_keys_free(keys);
	free(private);
}

static void secrets_rotate(void **state)
{
	struct mf_keyring *ring = mf_keyring_new(), *next;
	char old[MF_TOKEN_MINT_ROOM], new[MF_TOKEN_MINT_ROOM];
	struct mf_token t;

	(void)state;
	assert_int_equal(mf_keyring_mint(ring, "s", 100, old), MF_E_NOENT);
	assert_int_equal(mf_keyring_add_secret(ring, mf_span_str("")), MF_E_INVAL);
	assert_int_equal(mf_keyring_add_secret(ring, mf_span_str("old")), 0);
	assert_true(mf_keyring_mint(ring, "s", 100, old) > 0);

	next = mf_keyring_new();
	assert_int_equal(mf_keyring_add_secret(next, mf_span_str("new")), 0);
	assert_int_equal(mf_keyring_add_secret(next, mf_span_str("old")), 0);
	assert_int_equal(mf_keyring_add_api_key(next, mf_span_str("k")), 0);
	mf_keyring_replace(ring, next);
	assert_true(mf_keyring_mint(ring, "s", 100, new) > 0);
	assert_string_not_equal(old, new);
	assert_int_equal(mf_keyring_read_token(ring, mf_span_str(old), 0, &t), 0);
	assert_int_equal(mf_keyring_read_token(ring, mf_span_str(new), 0, &t), 0);
	assert_true(mf_keyring_is_api_key(ring, mf_span_str("k")));
	assert_false(mf_keyring_is_api_key(ring, mf_span_str("kk")));
	assert_false(mf_keyring_is_api_key(ring, mf_span_of(NULL, 0)));

	next = mf_keyring_new();
	assert_int_equal(mf_keyring_add_secret(next, mf_span_str("new")), 0);
	mf_keyring_replace(ring, next);
	assert_int_equal(mf_keyring_read_token(ring, mf_span_str(old), 0, &t), MF_E_BAD);
	assert_int_equal(mf_keyring_read_token(ring, mf_span_str(new), 0, &t), 0);
	assert_false(mf_keyring_is_api_key(ring, mf_span_str("k")));

	mf_keyring_replace(ring, mf_keyring_new()); /* no secrets: those that are there stay */
	assert_int_equal(mf_keyring_read_token(ring, mf_span_str(new), 0, &t), 0);
	mf_keyring_free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rfcs_examples_are_good),
		cmocka_unit_test_setup_teardown(headers_choose_keys_and_no_more, make_bed,
						drop_bed),
		cmocka_unit_test_setup_teardown(every_bit_counts, make_bed, drop_bed),
		cmocka_unit_test_setup_teardown(a_token_costs_few_tries, make_bed, drop_bed),
		cmocka_unit_test_setup_teardown(sets_are_read_as_rfc_7517_says, make_bed, drop_bed),
		cmocka_unit_test(secrets_rotate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
