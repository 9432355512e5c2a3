/* SPDX-License-Identifier: Apache-2.0 */
/* tls_certificate.c - see tls_certificate.h */
#include "proxies/tls_certificate.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/names/canonical.h"

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
	return ok;
}

/* --- names ---------------------------------------------------------------------------------------------------------- */

static GENERAL_NAME *make_general(int type, const void *bytes, size_t len)
{
	GENERAL_NAME *general = GENERAL_NAME_new();
	ASN1_STRING *text =
		ASN1_STRING_type_new(type == GEN_DNS ? V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);

	if (!general || !text || !ASN1_STRING_set(text, bytes, (int)len)) {
		GENERAL_NAME_free(general);
		ASN1_STRING_free(text);
		return NULL;
	}
	GENERAL_NAME_set0_value(general, type, text);
	return general;
}

static size_t addr_len(const struct mf_addr *addr)
{
	return addr->family == 4 ? 4 : 16;
}

static bool add_alt_name(X509 *cert, const char *name)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *general;
	struct mf_addr addr;
	bool ok = false;

	if (mf_addr_parse(name, strlen(name), &addr) == 0)
		general = make_general(GEN_IPADD, addr.bytes, addr_len(&addr));
	else
		general = make_general(GEN_DNS, name, strlen(name));
	if (names && general && sk_GENERAL_NAME_push(names, general) > 0) {
		general = NULL;
		ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
	}
	GENERAL_NAME_free(general);
	sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
	return ok;
}

int mf_tls_permit_parse(const char *text, struct mf_tls_permit *ret, struct mf_err *err)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	struct mf_addr addr;
	unsigned bits;
	char *end;

	*ret = (struct mf_tls_permit){ .domain = "" };
	if (mf_addr_parse(text, len, &addr) < 0) {
		if (slash || mf_name_canon(text, len, ret->domain) < 0)
			return mf_err_set(err, MF_E_SYNTAX,
					  "'%s' is neither a domain nor a network.", text);
		return 0;
	}
	bits = (unsigned)addr_len(&addr) * 8;
	if (slash) {
		unsigned long n = strtoul(slash + 1, &end, 10);

		if (slash[1] < '0' || slash[1] > '9' || *end || n > bits)
			return mf_err_set(err, MF_E_SYNTAX, "'%s': no such prefix length.", text);
		bits = (unsigned)n;
	}
	for (size_t i = bits; i < addr_len(&addr) * 8; i++)
		if (addr.bytes[i / 8] & 0x80 >> i % 8)
			return mf_err_set(err, MF_E_SYNTAX,
					  "'%s' has bits behind its prefix length.", text);
	ret->network = addr;
	ret->prefix = (uint8_t)bits;
	return 0;
}

static GENERAL_NAME *make_permitted(const struct mf_tls_permit *permit)
{
	size_t len = addr_len(&permit->network);
	uint8_t pair[32] = { 0 }; // address and mask, RFC 5280 4.2.1.10

	if (permit->domain[0])
		return make_general(GEN_DNS, permit->domain, strlen(permit->domain));
	memcpy(pair, permit->network.bytes, len);
	for (size_t i = 0; i < permit->prefix; i++)
		pair[len + i / 8] |= (uint8_t)(0x80 >> i % 8);
	return make_general(GEN_IPADD, pair, 2 * len);
}

static bool add_constraints(X509 *cert, const struct mf_tls_permit *permits, size_t cnt)
{
	NAME_CONSTRAINTS *nc = NAME_CONSTRAINTS_new();
	bool ok = nc && (nc->permittedSubtrees = sk_GENERAL_SUBTREE_new_null()) != NULL;

	for (size_t i = 0; ok && i < cnt; i++) {
		GENERAL_SUBTREE *tree = GENERAL_SUBTREE_new();
		GENERAL_NAME *base = tree ? make_permitted(&permits[i]) : NULL;

		if (base) {
			GENERAL_NAME_free(tree->base);
			tree->base = base;
		}
		ok = base && sk_GENERAL_SUBTREE_push(nc->permittedSubtrees, tree) > 0;
		if (!ok)
			GENERAL_SUBTREE_free(tree);
	}
	ok = ok && X509_add1_ext_i2d(cert, NID_name_constraints, nc, 1, 0) == 1;
	NAME_CONSTRAINTS_free(nc);
	return ok;
}

/* What @from is limited to, for @cert as well. */
static bool copy_constraints(X509 *cert, X509 *from)
{
	int at = X509_get_ext_by_NID(from, NID_name_constraints, -1);

	return at < 0 || X509_add_ext(cert, X509_get_ext(from, at), -1);
}

/* --- certificates --------------------------------------------------------------------------------------------------- */

static bool set_serial(X509 *cert)
{
	unsigned char bytes[16];
	BIGNUM *n;
	bool ok;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	bytes[0] &= 0x7f; // positive
	bytes[0] |= 0x40; // and of full length
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
	BN_free(n);
	return ok;
}

static bool set_time(ASN1_TIME *t, int64_t when)
{
	time_t base = (time_t)when;

	return X509_time_adj_ex(t, 0, 0, &base);
}

static bool add_to_name(X509_NAME *name, const char *field, const char *text)
{
	return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)text,
					  -1, -1, 0) == 1;
}

/* A certificate without extensions and signature; @issuer NULL: self-issued; @cn NULL: the organisation only. */
static X509 *begin_certificate(const char *cn, EVP_PKEY *key, X509 *issuer, int64_t from,
			       int64_t until)
{
	X509 *cert = X509_new();
	X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;

	if (cert && X509_set_version(cert, X509_VERSION_3) && set_serial(cert) &&
	    set_time(X509_getm_notBefore(cert), from) &&
	    set_time(X509_getm_notAfter(cert), until) && X509_set_pubkey(cert, key) &&
	    add_to_name(subject, "O", "Moonfence") && (!cn || add_to_name(subject, "CN", cn)) &&
	    X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)))
		return cert;
	X509_free(cert);
	return NULL;
}

X509 *mf_tls_certificate_root(EVP_PKEY *key, const struct mf_tls_root *r)
{
	X509 *cert = begin_certificate(r->common_name, key, NULL, r->from, r->until);

	if (cert &&
	    add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	    add_extension(cert, cert, NID_key_usage, "critical,keyCertSign") &&
	    (!r->servers_only || add_extension(cert, cert, NID_ext_key_usage, "serverAuth")) &&
	    add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
	    (r->like	     ? copy_constraints(cert, r->like)
	     : r->permit_cnt ? add_constraints(cert, r->permits, r->permit_cnt)
			     : true) &&
	    X509_sign(cert, key, EVP_sha256()))
		return cert;
	X509_free(cert);
	return NULL;
}

/* As a client would see it: OpenSSL's own check of a certificate below @root. */
static bool is_permitted(X509 *root, X509 *leaf)
{
	int critical;
	NAME_CONSTRAINTS *nc = X509_get_ext_d2i(root, NID_name_constraints, &critical, NULL);
	bool is = nc ? NAME_CONSTRAINTS_check(leaf, nc) == X509_V_OK
		     : critical == -1; // no such extension; what cannot be read permits nothing

	NAME_CONSTRAINTS_free(nc);
	return is;
}

int mf_tls_certificate_leaf(X509 *root, EVP_PKEY *root_key, EVP_PKEY *leaf_key, const char *name,
			    int64_t from, int64_t until, X509 **ret)
{
	X509 *cert = begin_certificate(NULL, leaf_key, root, from, until);
	int r = MF_E_NOMEM;

	// Signed before it is looked at: OpenSSL reads the extensions of whole certificates only.
	if (cert && add_alt_name(cert, name) &&
	    add_extension(cert, root, NID_basic_constraints, "critical,CA:FALSE") &&
	    add_extension(cert, root, NID_key_usage, "critical,digitalSignature") &&
	    add_extension(cert, root, NID_ext_key_usage, "serverAuth") &&
	    add_extension(cert, root, NID_authority_key_identifier, "keyid") &&
	    X509_sign(cert, root_key, EVP_sha256()) && X509_check_purpose(cert, -1, 0) == 1)
		r = is_permitted(root, cert) ? 0 : MF_E_PERM;
	if (r == 0)
		*ret = cert;
	else
		X509_free(cert);
	return r;
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

static bool get_time(const ASN1_TIME *t, int64_t *ret)
{
	ASN1_TIME *zero = ASN1_TIME_set(NULL, 0);
	int days, seconds;
	bool ok = zero && ASN1_TIME_diff(&days, &seconds, zero, t) == 1;

	if (ok)
		*ret = days * MF_TLS_DAY_S + seconds;
	ASN1_TIME_free(zero);
	return ok;
}

bool mf_tls_certificate_times(const X509 *cert, int64_t *ret_from, int64_t *ret_until)
{
	return get_time(X509_get0_notBefore(cert), ret_from) &&
	       get_time(X509_get0_notAfter(cert), ret_until);
}

void mf_tls_time_left(const ASN1_TIME *until, uint64_t *left_ms)
{
	int days, seconds;
	uint64_t left = 0;

	if (ASN1_TIME_diff(&days, &seconds, NULL, until) == 1 && (days > 0 || seconds > 0))
		left = ((uint64_t)days * 86400 + (uint64_t)seconds) * 1000;
	if (left < *left_ms)
		*left_ms = left;
}

/* The text of a subtree in @buf; what is of another kind than those that we make is "?". */
static void format_subtree(const GENERAL_NAME *name, char *buf, size_t size)
{
	const ASN1_STRING *s =
		name->type == GEN_DNS || name->type == GEN_IPADD ? name->d.ia5 : NULL;
	const uint8_t *bytes = s ? ASN1_STRING_get0_data(s) : NULL;
	size_t len = s ? (size_t)ASN1_STRING_length(s) : 0;
	char text[MF_ADDR_TEXT_MAX];
	struct mf_addr addr;
	unsigned bits = 0;

	snprintf(buf, size, "?");
	if (name->type == GEN_DNS) {
		snprintf(buf, size, "%.*s", (int)len, (const char *)bytes);
	} else if (s && (len == 8 || len == 32) && mf_addr_from_bytes(&addr, bytes, len / 2)) {
		for (size_t i = len / 2; i < len; i++)
			bits += (unsigned)__builtin_popcount(bytes[i]);
		snprintf(buf, size, "%s/%u", mf_addr_format(&addr, text, sizeof(text)), bits);
	}
}

size_t mf_tls_certificate_permits(const X509 *root, void (*each)(void *ctx, const char *text),
				  void *ctx)
{
	NAME_CONSTRAINTS *nc = X509_get_ext_d2i(root, NID_name_constraints, NULL, NULL);
	int cnt = nc && nc->permittedSubtrees ? sk_GENERAL_SUBTREE_num(nc->permittedSubtrees) : 0;
	char text[300];

	for (int i = 0; i < cnt; i++) {
		format_subtree(sk_GENERAL_SUBTREE_value(nc->permittedSubtrees, i)->base, text,
			       sizeof(text));
		if (each)
			each(ctx, text);
	}
	NAME_CONSTRAINTS_free(nc);
	return (size_t)cnt;
}

const char *mf_tls_certificate_hash(const X509 *cert, char buf[MF_TLS_HASH_ROOM])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	buf[0] = '\0';
	if (X509_digest(cert, EVP_sha256(), hash, &len) == 1 && len == 32)
		for (unsigned i = 0; i < len; i++)
			snprintf(buf + 2 * (size_t)i, 3, "%02x", hash[i]);
	return buf;
}

char *mf_tls_certificate_pem(X509 *cert)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *text, *pem = NULL;
	long len;

	if (out && PEM_write_bio_X509(out, cert)) {
		len = BIO_get_mem_data(out, &text);
		pem = malloc((size_t)len + 1);
		if (pem) {
			memcpy(pem, text, (size_t)len);
			pem[len] = '\0';
		}
	}
	BIO_free(out);
	return pem;
}
