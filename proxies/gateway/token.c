/* SPDX-License-Identifier: Apache-2.0 */
/* token.c - see token.h */
#include "proxies/gateway/token.h"

#include <jansson.h>
#include <math.h>
#include <moonfence/moonfence.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/wire/dns_json.h" /* base64url */
#include "proxies/gateway/jwt_keys.h"

enum {
	HEADER_MAX = 4096,
	PAYLOAD_MAX = 16384,
	SIGNATURE_LEN = 43,
	MAC_LEN = 32,
	JWT_SIGNATURE_TEXT_MAX = (MF_JWT_SIGNATURE_MAX * 4 + 2) / 3,
};

static size_t encode(const uint8_t *in, size_t len, char *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t n = 0;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)in[i] << 16;
		size_t left = len - i;

		if (left > 1)
			v |= (uint32_t)in[i + 1] << 8;
		if (left > 2)
			v |= in[i + 2];
		for (size_t k = 0; k < (left > 2 ? 4 : left + 1); k++)
			out[n++] = digits[v >> 6 * (3 - k) & 63];
	}
	return n;
}

static bool sign(struct mf_span text, struct mf_span secret, char ret[SIGNATURE_LEN])
{
	uint8_t mac[MAC_LEN];
	unsigned len = 0;

	if (!HMAC(EVP_sha256(), secret.len ? (const void *)secret.ptr : "", (int)secret.len,
		  text.ptr, text.len, mac, &len) ||
	    len != MAC_LEN)
		return false;
	return encode(mac, MAC_LEN, ret) == SIGNATURE_LEN;
}

/* Whether @signature is the one of @text, in the one form that it has. */
static bool is_signed(struct mf_span text, struct mf_span signature, struct mf_span secret)
{
	char good[SIGNATURE_LEN];

	return signature.len == SIGNATURE_LEN && sign(text, secret, good) &&
	       CRYPTO_memcmp(good, signature.ptr, SIGNATURE_LEN) == 0;
}

/* A part as a JSON object; NULL: it is none */
static json_t *read_object(struct mf_span part, size_t flags)
{
	json_error_t err;
	json_t *json = NULL;
	uint8_t *bytes = malloc(part.len);
	int len = bytes ? mf_base64url_decode(part, bytes, part.len) : MF_E_NOMEM;

	if (len >= 0)
		json = json_loadb((const char *)bytes, (size_t)len, flags, &err);
	free(bytes);
	if (json && !json_is_object(json)) {
		json_decref(json);
		json = NULL;
	}
	return json;
}

static bool copy_text(const json_t *value, char *buf, size_t size)
{
	size_t len = json_is_string(value) ? json_string_length(value) : size;

	if (len >= size)
		return false;
	memcpy(buf, json_string_value(value), len);
	buf[len] = '\0';
	return true;
}

static bool copy_sid(const json_t *object, char buf[MF_TOKEN_SID_MAX])
{
	return copy_text(json_object_get(object, "sid"), buf, MF_TOKEN_SID_MAX) && buf[0];
}

/* --- session tokens --------------------------------------------------------------------------------------------------- */

int mf_token_read(struct mf_span text, struct mf_span secret, int64_t now_ms, struct mf_token *ret)
{
	const uint8_t *dot = text.len <= MF_TOKEN_MAX ? memchr(text.ptr, '.', text.len) : NULL;
	struct mf_span payload, signature;
	const json_t *v, *exp;
	json_t *json;
	bool good;

	if (!dot)
		return MF_E_BAD;
	payload = mf_span_of(text.ptr, (size_t)(dot - text.ptr));
	signature = mf_span_sub(text, payload.len + 1, text.len);
	if (payload.len == 0 || payload.len > PAYLOAD_MAX || !is_signed(payload, signature, secret))
		return MF_E_BAD;
	json = read_object(payload, JSON_DECODE_INT_AS_REAL);
	v = json_object_get(json, "v");
	exp = json_object_get(json, "exp");
	good = json_is_number(v) && json_number_value(v) == 1 && copy_sid(json, ret->sid) &&
	       json_is_number(exp) && isfinite(json_number_value(exp)) &&
	       json_number_value(exp) * 1000 > (double)now_ms;
	if (good)
		ret->exp_s = json_number_value(exp);
	json_decref(json);
	return good ? 0 : MF_E_BAD;
}

int mf_token_mint(const char *sid, int64_t exp_s, struct mf_span secret,
		  char buf[MF_TOKEN_MINT_ROOM])
{
	json_t *text = json_string(sid);
	char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL, payload[1536];
	size_t len;
	int n;

	json_decref(text);
	if (!quoted)
		return MF_E_BAD;
	n = snprintf(payload, sizeof(payload), "{\"v\":1,\"sid\":%s,\"exp\":%lld}", quoted,
		     (long long)exp_s);
	free(quoted);
	if (n < 0 || (size_t)n > (MF_TOKEN_MINT_ROOM - SIGNATURE_LEN - 2) / 4 * 3)
		return MF_E_LIMIT;
	len = encode((const uint8_t *)payload, (size_t)n, buf);
	if (!sign(mf_span_of(buf, len), secret, buf + len + 1))
		return MF_E_NOMEM;
	buf[len] = '.';
	len += 1 + SIGNATURE_LEN;
	buf[len] = '\0';
	return (int)len;
}

/* --- JWT ---------------------------------------------------------------------------------------------------------------- */

struct header {
	int alg; /* enum mf_jwt_alg */
	bool has_kid;
	char kid[MF_JWT_KID_MAX];
};

static bool read_header(struct mf_span part, struct header *ret)
{
	json_t *json = read_object(part, JSON_REJECT_DUPLICATES);
	const json_t *alg = json_object_get(json, "alg"), *typ = json_object_get(json, "typ");
	const json_t *kid = json_object_get(json, "kid");
	bool good = json_is_string(alg) && (!typ || json_is_string(typ)) &&
		    !json_object_get(json, "crit") &&
		    (!kid || copy_text(kid, ret->kid, sizeof(ret->kid)));

	ret->has_kid = kid != NULL;
	ret->alg =
		good ? mf_jwt_alg_read(mf_span_of(json_string_value(alg), json_string_length(alg)))
		     : -1;
	json_decref(json);
	return ret->alg >= 0;
}

static bool is_jwt_signed(struct mf_span text, struct mf_span signature, const struct header *h,
			  const struct mf_jwt_keys *keys)
{
	uint8_t bytes[MF_JWT_SIGNATURE_MAX];
	int len = mf_base64url_decode(signature, bytes, sizeof(bytes));

	return len > 0 &&
	       mf_jwt_keys_verify(keys, (enum mf_jwt_alg)h->alg, h->has_kid ? h->kid : NULL, text,
				  mf_span_of(bytes, (size_t)len));
}

/* A claim that may be missing, and is text otherwise. */
static bool copy_claim(const json_t *json, const char *name, bool *has, char *buf)
{
	const json_t *value = json_object_get(json, name);

	*has = value != NULL;
	buf[0] = '\0';
	return !value || copy_text(value, buf, MF_TOKEN_CLAIM_MAX);
}

static bool read_claims(const json_t *json, int64_t now_s, struct mf_jwt *ret)
{
	const json_t *iat = json_object_get(json, "iat"), *exp = json_object_get(json, "exp");
	const json_t *nbf = json_object_get(json, "nbf");

	if (!json_is_integer(iat) || !json_is_integer(exp) || (nbf && !json_is_integer(nbf)))
		return false;
	ret->iat_s = json_integer_value(iat);
	ret->exp_s = json_integer_value(exp);
	return copy_sid(json, ret->sid) && now_s < ret->exp_s &&
	       (!nbf || now_s >= json_integer_value(nbf)) &&
	       copy_claim(json, "origin", &ret->has_origin, ret->origin) &&
	       copy_claim(json, "aud", &ret->has_aud, ret->aud) &&
	       copy_claim(json, "iss", &ret->has_iss, ret->iss);
}

int mf_jwt_read(struct mf_span text, const struct mf_jwt_keys *keys, int64_t now_s,
		struct mf_jwt *ret)
{
	struct mf_span header, payload, signature, both;
	const uint8_t *dot;
	struct header h;
	json_t *json;
	bool good;

	dot = text.len && text.len <= HEADER_MAX + 1 + PAYLOAD_MAX + 1 + JWT_SIGNATURE_TEXT_MAX
		      ? memchr(text.ptr, '.', text.len)
		      : NULL;
	if (!dot)
		return MF_E_BAD;
	header = mf_span_of(text.ptr, (size_t)(dot - text.ptr));
	payload = mf_span_sub(text, header.len + 1, text.len);
	dot = payload.len ? memchr(payload.ptr, '.', payload.len) : NULL;
	if (!dot)
		return MF_E_BAD;
	payload.len = (size_t)(dot - payload.ptr);
	both = mf_span_of(text.ptr, header.len + 1 + payload.len);
	signature = mf_span_sub(text, both.len + 1, text.len);
	if (header.len == 0 || header.len > HEADER_MAX || payload.len == 0 ||
	    payload.len > PAYLOAD_MAX || !read_header(header, &h) ||
	    !is_jwt_signed(both, signature, &h, keys))
		return MF_E_BAD;
	json = read_object(payload, 0);
	good = json && read_claims(json, now_s, ret);
	json_decref(json);
	return good ? 0 : MF_E_BAD;
}

static bool add_text(json_t *json, const char *name, const char *value)
{
	return !value || json_object_set_new(json, name, json_string(value)) == 0;
}

char *mf_jwt_mint(const struct mf_jwt_claims *c, struct mf_span secret)
{
	static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
	json_t *json =
		json_pack("{s:I, s:I}", "iat", (json_int_t)c->iat_s, "exp", (json_int_t)c->exp_s);
	char *payload = NULL, *buf = NULL;
	size_t len;

	if (json && json_object_set_new(json, "sid", json_string(c->sid)) == 0 &&
	    add_text(json, "origin", c->origin) && add_text(json, "aud", c->aud) &&
	    add_text(json, "iss", c->iss))
		payload = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	if (payload && strlen(payload) <= PAYLOAD_MAX / 4 * 3)
		buf = malloc((sizeof(header) + strlen(payload)) * 2 + SIGNATURE_LEN + 3);
	if (buf) {
		len = encode((const uint8_t *)header, sizeof(header) - 1, buf);
		buf[len++] = '.';
		len += encode((const uint8_t *)payload, strlen(payload), buf + len);
		if (sign(mf_span_of(buf, len), secret, buf + len + 1)) {
			buf[len] = '.';
			buf[len + 1 + SIGNATURE_LEN] = '\0';
		} else {
			free(buf);
			buf = NULL;
		}
	}
	free(payload);
	return buf;
}
