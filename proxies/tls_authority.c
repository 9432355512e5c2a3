/* SPDX-License-Identifier: Apache-2.0 */
/* tls_authority.c - see tls_authority.h */
#include "proxies/tls_authority.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxies/tls_authority_disk.h"
#include "proxies/tls_certificate.h"
#include "proxies/tls_suites.h"
#include "proxies/tls_trust.h"

#define LEAVES_MAX	256
#define SESSION_S	(90 * MF_TLS_DAY_S) /* longer than any session; the key ends with it */
#define SESSION_LEAF_S	(2 * MF_TLS_DAY_S)
#define LOCAL_LEAF_S	(30 * MF_TLS_DAY_S)
#define COMMON_NAME_MAX 64 /* X.520 ub-common-name */

struct leaf {
	char name[MF_NAME_ROOM];
	SSL_CTX *ctx;
	int64_t renew_s; /* from then on another one is made */
	uint64_t used;	 /* turn of its last use */
};

struct mf_tls_authority {
	EVP_PKEY *key, *leaf_key;
	X509 *cert;
	char *pem;
	int64_t until_s, leaf_s;
	const struct mf_clock *clock;
	struct leaf leaves[LEAVES_MAX];
	size_t leaf_cnt;
	uint64_t turn;
};

static int64_t now_s(const struct mf_tls_authority *ca)
{
	return (int64_t)(mf_clock_wall(ca->clock) / MF_NS_PER_S);
}

/* Complete @ca, which has its key and certificate. */
static bool finish(struct mf_tls_authority *ca, int64_t leaf_s)
{
	int64_t from;

	ca->leaf_key = EVP_EC_gen("P-256");
	ca->pem = mf_tls_certificate_pem(ca->cert);
	ca->leaf_s = leaf_s;
	return ca->leaf_key && ca->pem && mf_tls_certificate_times(ca->cert, &from, &ca->until_s);
}

static struct mf_tls_authority *make(void)
{
	struct mf_tls_authority *ca = calloc(1, sizeof(*ca));

	mf_tls_trust_start();
	if (ca)
		ca->clock = &mf_clock_system;
	return ca;
}

int mf_tls_authority_new(const char *session_id, struct mf_tls_authority **ret_ca,
			 struct mf_err *err)
{
	struct mf_tls_authority *ca = make();
	char cn[COMMON_NAME_MAX + 1];

	snprintf(cn, sizeof(cn), "Moonfence session %s", session_id);
	if (ca)
		ca->key = EVP_EC_gen("P-256");
	if (ca && ca->key)
		ca->cert = mf_tls_certificate_root(
			ca->key, &(struct mf_tls_root){ .common_name = cn,
							.from = now_s(ca) - MF_TLS_DAY_S,
							.until = now_s(ca) + SESSION_S });
	if (!ca || !ca->cert || !finish(ca, SESSION_LEAF_S)) {
		mf_tls_authority_free(ca);
		return mf_err_set(err, MF_E_NOMEM,
				  "cannot make the session's certificate authority");
	}
	*ret_ca = ca;
	return 0;
}

static int check_dates(const char *path, const struct mf_tls_authority *ca, struct mf_err *err)
{
	int64_t from, until;

	if (!mf_tls_certificate_times(ca->cert, &from, &until))
		return mf_err_set(err, MF_E_BAD, "The authority in %s has no valid dates.", path);
	if (now_s(ca) >= until)
		return mf_err_set(err, MF_E_PERM,
				  "The authority in %s has expired: 'moonfence ca rotate' makes "
				  "another.",
				  path);
	if (now_s(ca) < from)
		return mf_err_set(
			err, MF_E_PERM,
			"The authority in %s is not valid yet: is this host's clock right?", path);
	return 0;
}

/* The authority of a stored one, which is consumed; @path: in errors */
static int take_stored(struct mf_tls_stored *stored, const char *path,
		       struct mf_tls_authority **ret_ca, struct mf_err *err)
{
	struct mf_tls_authority *ca = make();
	int r;

	if (!ca) {
		mf_tls_stored_done(stored);
		return mf_err_set(err, MF_E_NOMEM, "Out of memory.");
	}
	ca->key = stored->key;
	ca->cert = stored->cert;
	r = check_dates(path, ca, err);
	if (r == 0 && !finish(ca, LOCAL_LEAF_S))
		r = mf_err_set(err, MF_E_NOMEM, "Out of memory.");
	if (r < 0)
		mf_tls_authority_free(ca);
	else
		*ret_ca = ca;
	return r;
}

int mf_tls_authority_open(const char *path, struct mf_tls_authority **ret_ca, struct mf_err *err)
{
	struct mf_tls_stored stored = { 0 };
	struct mf_private_dir *dir;
	int r = mf_private_dir_open(path, false, &dir, err);

	if (r == 0) {
		r = mf_tls_stored_load(dir, MF_TLS_IN_FORCE, &stored, err);
		mf_private_dir_close(dir);
	}
	if (r == MF_E_NOENT)
		return mf_err_set(err, r,
				  "There is no authority in %s: 'moonfence ca create' makes one.",
				  path);
	return r < 0 ? r : take_stored(&stored, path, ret_ca, err);
}

/* @ca becomes @from, which is consumed; its place stays, for all who borrow it. Return: whether it is another one */
static int become(struct mf_tls_authority *ca, struct mf_tls_authority *from)
{
	struct mf_tls_authority was;

	if (X509_cmp(ca->cert, from->cert) == 0) {
		mf_tls_authority_free(from);
		return 0;
	}
	from->clock = ca->clock;
	was = *ca;
	*ca = *from;
	*from = was;
	mf_tls_authority_free(from);
	return 1;
}

int mf_tls_authority_reopen(struct mf_tls_authority *ca, const char *path, struct mf_err *err)
{
	struct mf_tls_authority *now;
	int r = mf_tls_authority_open(path, &now, err);

	return r < 0 ? r : become(ca, now);
}

int mf_tls_authority_export(const struct mf_tls_authority *ca, char **ret_text)
{
	BIO *out = BIO_new(BIO_s_secmem());
	char *text;
	long len = 0;

	*ret_text = NULL;
	if (out && PEM_write_bio_PKCS8PrivateKey(out, ca->key, NULL, NULL, 0, NULL, NULL) &&
	    PEM_write_bio_X509(out, ca->cert)) {
		len = BIO_get_mem_data(out, &text);
		*ret_text = OPENSSL_memdup(text, (size_t)len);
		OPENSSL_cleanse(text, (size_t)len);
	}
	BIO_free(out);
	return *ret_text ? (int)len : MF_E_NOMEM;
}

int mf_tls_authority_import(struct mf_tls_authority *ca, const char *text, size_t len,
			    struct mf_err *err)
{
	struct mf_tls_authority *now;
	struct mf_tls_stored stored;
	int r = mf_tls_stored_parse(text, len, "The authority", &stored, err);

	if (r == 0)
		r = take_stored(&stored, "the directory", &now, err);
	return r < 0 ? r : become(ca, now);
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

X509 *mf_tls_authority_certificate(const struct mf_tls_authority *ca)
{
	return ca->cert;
}

int64_t mf_tls_authority_until(const struct mf_tls_authority *ca)
{
	return ca->until_s;
}

void mf_tls_authority_use_clock(struct mf_tls_authority *ca, const struct mf_clock *clock)
{
	ca->clock = clock;
}

static SSL_CTX *make_context(const struct mf_tls_authority *ca, X509 *cert)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx || SSL_CTX_use_certificate(ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, ca->leaf_key) != 1 ||
	    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	// A resumed session could outlive a change of policy; a handshake with us is cheap.
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_ciphersuites(ctx, MF_TLS_SUITES);
	SSL_CTX_set_num_tickets(ctx, 0);
	return ctx;
}

/* The leaf of @name; without one: the place for it, a free one or the one not used for longest. */
static struct leaf *find_leaf(struct mf_tls_authority *ca, const char *name)
{
	struct leaf *oldest = NULL;

	for (size_t i = 0; i < ca->leaf_cnt; i++) {
		struct leaf *l = &ca->leaves[i];

		if (strcmp(l->name, name) == 0)
			return l;
		if (!oldest || l->used < oldest->used)
			oldest = l;
	}
	return ca->leaf_cnt < LEAVES_MAX ? &ca->leaves[ca->leaf_cnt] : oldest;
}

int mf_tls_authority_certify(struct mf_tls_authority *ca, const char *name, SSL_CTX **ret_ctx,
			     struct mf_err *err)
{
	struct leaf *leaf = find_leaf(ca, name);
	int64_t now = now_s(ca), until = now + ca->leaf_s;
	bool have = leaf->ctx && strcmp(leaf->name, name) == 0;
	SSL_CTX *ctx;
	X509 *cert;
	int r;

	if (now >= ca->until_s)
		return mf_err_set(err, MF_E_PERM, "The certificate authority has expired.");
	if (!have || now >= leaf->renew_s) {
		if (!*name || strlen(name) >= sizeof(leaf->name))
			return mf_err_set(err, MF_E_SYNTAX,
					  "No certificate for a name of %zu bytes.", strlen(name));
		if (until > ca->until_s)
			until = ca->until_s;
		r = mf_tls_certificate_leaf(ca->cert, ca->key, ca->leaf_key, name,
					    now - MF_TLS_DAY_S, until, &cert);
		if (r == MF_E_PERM)
			return mf_err_set(err, r,
					  "The certificate authority may not vouch for '%s': it is "
					  "outside of its name constraints.",
					  name);
		ctx = r == 0 ? make_context(ca, cert) : NULL;
		if (r == 0)
			X509_free(cert);
		if (!ctx)
			return mf_err_set(err, MF_E_NOMEM, "Cannot make a certificate for '%s'.",
					  name);
		if (!leaf->ctx)
			ca->leaf_cnt++;
		SSL_CTX_free(leaf->ctx);
		*leaf = (struct leaf){ .ctx = ctx, .renew_s = now + (until - now) / 2 };
		memcpy(leaf->name, name, strlen(name) + 1);
	}
	leaf->used = ++ca->turn;
	*ret_ctx = leaf->ctx;
	return 0;
}

SSL_CTX *mf_tls_authority_context(struct mf_tls_authority *ca, const char *name)
{
	SSL_CTX *ctx;

	return mf_tls_authority_certify(ca, name, &ctx, NULL) == 0 ? ctx : NULL;
}
