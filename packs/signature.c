/* SPDX-License-Identifier: Apache-2.0 */
/* signature.c - see signature.h: reading and making signatures; keys are read in signature_key.c */
#include "packs/signature.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packs/base64.h"
#include "packs/ed25519.h"
#include "packs/signature_int.h"

#define UNTRUSTED "untrusted comment: "
#define TRUSTED	  "trusted comment: "

static int fail(struct mf_err *err, const char *what)
{
	return mf_err_set(err, MF_E_BAD, "no signature: %s", what);
}

/* --- minisign ----------------------------------------------------------------------------------------------------- */

bool mf_signature_line(const char **at, const char *end, const char **ret, size_t *ret_len)
{
	const char *nl;
	size_t len;

	if (*at == end)
		return false;
	nl = memchr(*at, '\n', (size_t)(end - *at));
	len = (size_t)((nl ? nl : end) - *at);
	*ret = *at;
	*at = nl ? nl + 1 : end;
	if (len && (*ret)[len - 1] == '\r')
		len--;
	*ret_len = len;
	return true;
}

static int parse_minisign(const char *text, size_t len, struct mf_signature *s, struct mf_err *err)
{
	const char *at = text, *end = text + len, *line;
	uint8_t blob[74];
	size_t n;

	s->format = MF_SIGNATURE_MINISIGN;
	if (!mf_signature_line(&at, end, &line, &n))
		return fail(err, "it is empty");
	if (!mf_signature_line(&at, end, &line, &n) || !mf_base64_take(line, n, blob, sizeof(blob)))
		return fail(err, "its second line is not 74 bytes in base64");
	if (memcmp(blob, "ED", 2) != 0 && memcmp(blob, "Ed", 2) != 0)
		return fail(err, "its algorithm is neither \"ED\" nor \"Ed\"");
	s->prehashed = blob[1] == 'D';
	memcpy(s->number, blob + 2, 8);
	memcpy(s->bytes, blob + 10, 64);
	if (!mf_signature_line(&at, end, &line, &n) || n < strlen(TRUSTED) ||
	    memcmp(line, TRUSTED, strlen(TRUSTED)) != 0)
		return fail(err, "its third line does not begin with \"" TRUSTED "\"");
	n -= strlen(TRUSTED);
	if (n > MF_SIGNATURE_COMMENT_MAX || memchr(line, '\0', n + strlen(TRUSTED)))
		return fail(err, "its trusted comment is too long or no text");
	memcpy(s->comment, line + strlen(TRUSTED), n);
	s->comment[n] = '\0';
	if (!mf_signature_line(&at, end, &line, &n) ||
	    !mf_base64_take(line, n, s->comment_bytes, sizeof(s->comment_bytes)))
		return fail(err, "its fourth line is not 64 bytes in base64");
	return at == end ? 0 : fail(err, "there is more behind its fourth line");
}

/* --- agentsh ------------------------------------------------------------------------------------------------------ */

const char *mf_signature_json_text(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static int parse_agentsh(const char *text, size_t len, struct mf_signature *s, struct mf_err *err)
{
	json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *id = mf_signature_json_text(o, "key_id"),
		   *sig = mf_signature_json_text(o, "signature");
	const char *alg = mf_signature_json_text(o, "algorithm"),
		   *signer = mf_signature_json_text(o, "signer");
	const json_t *chain = json_object_get(o, "cert_chain");
	int r = 0;

	s->format = MF_SIGNATURE_AGENTSH;
	if (!json_is_object(o))
		r = fail(err, "it is no JSON object");
	else if (json_integer_value(json_object_get(o, "version")) != 1)
		r = fail(err, "its version is not 1");
	else if (!alg || strcmp(alg, "ed25519") != 0)
		r = fail(err, "its algorithm is not \"ed25519\"");
	else if (!id || strlen(id) != 64 || strspn(id, "0123456789abcdef") != 64)
		r = fail(err, "its key_id is not 64 hexadecimal digits");
	else if (!sig || !mf_base64_take(sig, strlen(sig), s->bytes, sizeof(s->bytes)))
		r = fail(err, "its signature is not 64 bytes in base64");
	else if (json_array_size(chain) || json_object_size(chain) ||
		 (json_is_string(chain) && *json_string_value(chain)))
		r = fail(err, "it has a cert_chain, which is not supported");
	if (r == 0) {
		memcpy(s->id, id, sizeof(s->id));
		snprintf(s->comment, sizeof(s->comment), "%s", signer ? signer : "");
	}
	json_decref(o);
	return r;
}

int mf_signature_parse(const char *text, size_t len, struct mf_signature *ret, struct mf_err *err)
{
	*ret = (struct mf_signature){ 0 };
	if (len > MF_SIGNATURE_TEXT_MAX)
		return fail(err, "it is too long");
	return len && text[0] == '{' ? parse_agentsh(text, len, ret, err)
				     : parse_minisign(text, len, ret, err);
}

/* --- checking and making ------------------------------------------------------------------------------------------ */

bool mf_signature_is_by(const struct mf_signature *sig, const struct mf_public_key *key)
{
	if (sig->format == MF_SIGNATURE_AGENTSH)
		return strcmp(sig->id, key->id) == 0;
	return key->has_number && memcmp(sig->number, key->number, 8) == 0;
}

/* What minisign's second signature is made of: the first one and the comment. */
static size_t comment_message(const uint8_t sig[64], const char *comment,
			      uint8_t ret[64 + MF_SIGNATURE_COMMENT_MAX])
{
	size_t len = strlen(comment);

	memcpy(ret, sig, 64);
	memcpy(ret + 64, comment, len);
	return 64 + len;
}

int mf_signature_check(const struct mf_signature *sig, const struct mf_public_key *key,
		       const void *data, size_t len, struct mf_err *err)
{
	uint8_t hash[64], message[64 + MF_SIGNATURE_COMMENT_MAX];
	int r = sig->prehashed ? mf_blake2b_512(data, len, hash) : 0;

	if (r == 0)
		r = sig->prehashed ? mf_ed25519_verify(key->key, sig->bytes, hash, sizeof(hash))
				   : mf_ed25519_verify(key->key, sig->bytes, data, len);
	if (r == MF_E_PERM)
		return mf_err_set(err, r, "the signature does not belong to these bytes");
	if (r == 0 && sig->format == MF_SIGNATURE_MINISIGN)
		r = mf_ed25519_verify(key->key, sig->comment_bytes, message,
				      comment_message(sig->bytes, sig->comment, message));
	if (r == MF_E_PERM)
		return mf_err_set(err, r, "the signature's trusted comment was changed");
	return r < 0 ? mf_err_set(err, r, "out of memory") : 0;
}

static int make_minisign(const struct mf_secret_key *key, const char *comment, const void *data,
			 size_t len, struct mf_strbuf *out)
{
	char line[MF_BASE64_LEN(74) + 1], second[MF_BASE64_LEN(64) + 1], number[17];
	uint8_t hash[64], blob[74] = "ED", message[64 + MF_SIGNATURE_COMMENT_MAX], sig[64];
	int r;

	if (!key->pub.has_number)
		return MF_E_INVAL;
	memcpy(blob + 2, key->pub.number, 8);
	r = mf_blake2b_512(data, len, hash);
	if (r == 0)
		r = mf_ed25519_sign(key->seed, hash, sizeof(hash), blob + 10);
	if (r == 0)
		r = mf_ed25519_sign(key->seed, message,
				    comment_message(blob + 10, comment, message), sig);
	if (r < 0)
		return r;
	mf_base64_put(blob, sizeof(blob), line);
	mf_base64_put(sig, sizeof(sig), second);
	mf_public_key_number(&key->pub, number);
	mf_strbuf_addf(out, UNTRUSTED "signature of key %s\n%s\n" TRUSTED "%s\n%s\n", number, line,
		       comment, second);
	return 0;
}

static int make_agentsh(const struct mf_secret_key *key, const char *signer, uint64_t now_s,
			const void *data, size_t len, struct mf_strbuf *out)
{
	char text[MF_BASE64_LEN(64) + 1], when[32], *json;
	uint8_t sig[64];
	json_t *o;
	int r = mf_ed25519_sign(key->seed, data, len, sig);

	if (r < 0)
		return r;
	mf_base64_put(sig, sizeof(sig), text);
	mf_time_text(now_s, when);
	o = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "version", 1, "algorithm", "ed25519",
		      "key_id", key->pub.id, "signer", signer, "signed_at", when, "signature",
		      text);
	json = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
	json_decref(o);
	if (!json)
		return MF_E_NOMEM;
	mf_strbuf_addf(out, "%s\n", json);
	free(json);
	return 0;
}

int mf_signature_make(enum mf_signature_format format, const struct mf_secret_key *key,
		      const char *comment, uint64_t now_s, const void *data, size_t len,
		      struct mf_strbuf *out, struct mf_err *err)
{
	int r;

	if (strlen(comment) > MF_SIGNATURE_COMMENT_MAX || strpbrk(comment, "\r\n"))
		return mf_err_set(err, MF_E_INVAL,
				  "a signature's comment is one line of at most %d bytes",
				  MF_SIGNATURE_COMMENT_MAX);
	r = format == MF_SIGNATURE_MINISIGN ? make_minisign(key, comment, data, len, out)
					    : make_agentsh(key, comment, now_s, data, len, out);
	if (r == MF_E_INVAL)
		return mf_err_set(err, r, "a key of agentsh makes no minisign signatures");
	if (r == 0 && out->failed)
		r = MF_E_NOMEM;
	return r < 0 ? mf_err_set(err, r, "out of memory, or a comment that is not UTF-8") : 0;
}
