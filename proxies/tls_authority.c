/* SPDX-License-Identifier: Apache-2.0 */
/* tls_authority.c - see tls_authority.h */
#include "proxies/tls_authority.h"
#include "proxies/tls_trust.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAVES_MAX   256
#define NAME_MAX_LEN 253
#define DAY_S	     86400
#define LIFE_S	     (2 * DAY_S)
/* X.520 ub-common-name: longer names stand in the subjectAltName only. */
#define CN_MAX 64

struct leaf {
	char name[NAME_MAX_LEN + 1];
	SSL_CTX *ctx;
	uint64_t used; /* turn of its last use */
};

struct mf_tls_authority {
	EVP_PKEY *key, *leaf_key;
	X509 *cert;
	char *pem;
	struct leaf leaves[LEAVES_MAX];
	size_t leaf_cnt;
	uint64_t turn;
};

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

/* The subject alternative name, made from the parts: a name never passes through OpenSSL's configuration syntax. */
static bool add_alt_name(X509 *cert, const char *name)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *general = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	bool ok = names && general && text && ASN1_STRING_set(text, name, (int)strlen(name));

	if (ok) {
		GENERAL_NAME_set0_value(general, GEN_DNS, text);
		text = NULL;
		ok = sk_GENERAL_NAME_push(names, general) > 0;
	}
	if (ok) {
		general = NULL;
		// RFC 5280 4.2.1.6: critical where the subject is empty.
		ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, strlen(name) > CN_MAX,
				       0) == 1;
	}
	ASN1_IA5STRING_free(text);
	GENERAL_NAME_free(general);
	sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
	return ok;
}

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

static bool set_common_name(X509_NAME *subject, const char *cn)
{
	return strlen(cn) > CN_MAX ||
	       X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)cn,
					  -1, -1, 0) == 1;
}

/* A certificate without extensions and signature; @issuer NULL: self-issued. */
static X509 *begin_certificate(const char *cn, EVP_PKEY *key, X509 *issuer)
{
	X509 *cert = X509_new();

	if (!cert)
		return NULL;
	if (X509_set_version(cert, X509_VERSION_3) && set_serial(cert) &&
	    X509_gmtime_adj(X509_getm_notBefore(cert), -DAY_S) &&
	    X509_gmtime_adj(X509_getm_notAfter(cert), LIFE_S) && X509_set_pubkey(cert, key) &&
	    set_common_name(X509_get_subject_name(cert), cn) &&
	    X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)))
		return cert;
	X509_free(cert);
	return NULL;
}

static bool make_authority(struct mf_tls_authority *ca, const char *session_id)
{
	char cn[CN_MAX + 1];
	BIO *out;
	char *text;
	long len;

	snprintf(cn, sizeof(cn), "Moonfence session %s", session_id);
	ca->key = EVP_EC_gen("P-256");
	ca->leaf_key = EVP_EC_gen("P-256");
	ca->cert = ca->key ? begin_certificate(cn, ca->key, NULL) : NULL;
	if (!ca->leaf_key || !ca->cert ||
	    !add_extension(ca->cert, ca->cert, NID_basic_constraints,
			   "critical,CA:TRUE,pathlen:0") ||
	    !add_extension(ca->cert, ca->cert, NID_key_usage, "critical,keyCertSign") ||
	    !add_extension(ca->cert, ca->cert, NID_subject_key_identifier, "hash") ||
	    !X509_sign(ca->cert, ca->key, EVP_sha256()))
		return false;
	out = BIO_new(BIO_s_mem());
	if (out && PEM_write_bio_X509(out, ca->cert)) {
		len = BIO_get_mem_data(out, &text);
		ca->pem = strndup(text, (size_t)len);
	}
	BIO_free(out);
	return ca->pem;
}

int mf_tls_authority_new(const char *session_id, struct mf_tls_authority **ret_ca,
			 struct mf_err *err)
{
	struct mf_tls_authority *ca = calloc(1, sizeof(*ca));

	mf_tls_trust_start();
	if (!ca || !make_authority(ca, session_id)) {
		mf_tls_authority_free(ca);
		return mf_err_set(err, MF_E_NOMEM,
				  "cannot make the session's certificate authority");
	}
	*ret_ca = ca;
	return 0;
}

void mf_tls_authority_free(struct mf_tls_authority *ca)
{
	if (!ca)
		return;
	for (size_t i = 0; i < ca->leaf_cnt; i++)
		SSL_CTX_free(ca->leaves[i].ctx);
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	EVP_PKEY_free(ca->leaf_key);
	free(ca->pem);
	free(ca);
}

const char *mf_tls_authority_pem(const struct mf_tls_authority *ca)
{
	return ca->pem;
}

static X509 *make_leaf(const struct mf_tls_authority *ca, const char *name)
{
	X509 *cert = begin_certificate(name, ca->leaf_key, ca->cert);

	if (!cert)
		return NULL;
	if (add_extension(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
	    add_extension(cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
	    add_extension(cert, ca->cert, NID_ext_key_usage, "serverAuth") &&
	    add_extension(cert, ca->cert, NID_authority_key_identifier, "keyid") &&
	    add_alt_name(cert, name) && X509_sign(cert, ca->key, EVP_sha256()))
		return cert;
	X509_free(cert);
	return NULL;
}

static SSL_CTX *make_context(const struct mf_tls_authority *ca, const char *name)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	X509 *cert = make_leaf(ca, name);
	bool ok = ctx && cert && SSL_CTX_use_certificate(ctx, cert) == 1 &&
		  SSL_CTX_use_PrivateKey(ctx, ca->leaf_key) == 1 &&
		  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1;

	X509_free(cert);
	if (!ok) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	// A resumed session could outlive a change of policy; a handshake with us is cheap.
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_num_tickets(ctx, 0);
	return ctx;
}

SSL_CTX *mf_tls_authority_context(struct mf_tls_authority *ca, const char *name)
{
	struct leaf *oldest = NULL, *slot;
	SSL_CTX *ctx;

	ca->turn++;
	for (size_t i = 0; i < ca->leaf_cnt; i++) {
		struct leaf *l = &ca->leaves[i];

		if (strcmp(l->name, name) == 0) {
			l->used = ca->turn;
			return l->ctx;
		}
		if (!oldest || l->used < oldest->used)
			oldest = l;
	}
	if (strlen(name) > NAME_MAX_LEN)
		return NULL;
	ctx = make_context(ca, name);
	if (!ctx)
		return NULL;
	if (ca->leaf_cnt < LEAVES_MAX) {
		slot = &ca->leaves[ca->leaf_cnt++];
	} else {
		slot = oldest;
		SSL_CTX_free(slot->ctx);
	}
	*slot = (struct leaf){ .ctx = ctx, .used = ca->turn };
	memcpy(slot->name, name, strlen(name) + 1);
	return ctx;
}
