/* SPDX-License-Identifier: Apache-2.0 */
/* tls_authority_disk.c - see tls_authority_disk.h */
#include "proxies/tls_authority_disk.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "proxies/tls_trust.h"

#define FILE_MAX 16384
#define NEW_FILE "new"

const char *const mf_tls_slot_files[] = {
	[MF_TLS_IN_FORCE] = "authority.pem",
	[MF_TLS_NEXT] = "next.pem",
	[MF_TLS_FORMER] = "former.pem",
};
_Static_assert(MF_ARRAY_SIZE(mf_tls_slot_files) == MF_TLS_SLOT_NUM, "a file for each slot");

int mf_tls_plan_permit(struct mf_tls_plan *plan, const char *text, struct mf_err *err)
{
	if (plan->permit_cnt == MF_TLS_PERMITS_MAX)
		return mf_err_set(err, MF_E_FULL, "More than %d domains and networks.",
				  MF_TLS_PERMITS_MAX);
	return mf_tls_permit_parse(text, &plan->permits[plan->permit_cnt++], err);
}

/* @plan's permits with those that are always there, in @all; Return: their number. */
static size_t complete_permits(const struct mf_tls_plan *plan,
			       struct mf_tls_permit all[MF_TLS_PERMITS_MAX + 8])
{
	static const char *const always[] = { "localhost", "127.0.0.0/8", "::1" };
	static const char *const otherwise[] = { "local", "test", "internal" };
	size_t cnt = 0;

	for (size_t i = 0; i < MF_ARRAY_SIZE(always); i++)
		(void)mf_tls_permit_parse(always[i], &all[cnt++], NULL);
	for (size_t i = 0; plan->permit_cnt == 0 && i < MF_ARRAY_SIZE(otherwise); i++)
		(void)mf_tls_permit_parse(otherwise[i], &all[cnt++], NULL);
	for (size_t i = 0; i < plan->permit_cnt; i++)
		all[cnt++] = plan->permits[i];
	return cnt;
}

static X509 *make_root(EVP_PKEY *key, const struct mf_tls_plan *plan, const struct mf_clock *clock)
{
	struct mf_tls_permit all[MF_TLS_PERMITS_MAX + 8];
	int64_t now = (int64_t)(mf_clock_wall(clock) / MF_NS_PER_S);
	unsigned char id[4];
	char cn[40];

	if (RAND_bytes(id, sizeof(id)) != 1)
		return NULL;
	// Two authorities never share a name: clients look for issuers by it.
	snprintf(cn, sizeof(cn), "Moonfence local CA %02x%02x%02x%02x", id[0], id[1], id[2], id[3]);
	return mf_tls_certificate_root(
		key, &(struct mf_tls_root){
			     .common_name = cn,
			     .from = now - MF_TLS_DAY_S,
			     .until = now + (int64_t)plan->days * MF_TLS_DAY_S,
			     .servers_only = true,
			     .permits = all,
			     .permit_cnt = plan->any_name ? 0 : complete_permits(plan, all),
			     .like = plan->like });
}

int mf_tls_stored_make(const struct mf_private_dir *dir, enum mf_tls_slot slot,
		       const struct mf_tls_plan *plan, const struct mf_clock *clock,
		       struct mf_err *err)
{
	EVP_PKEY *key;
	X509 *cert;
	BIO *out;
	char *text;
	long len;
	int r;

	mf_tls_trust_start();
	key = EVP_EC_gen("P-256");
	cert = key ? make_root(key, plan, clock) : NULL;
	out = BIO_new(BIO_s_secmem());
	if (!cert || !out || !PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) ||
	    !PEM_write_bio_X509(out, cert)) {
		r = mf_err_set(err, MF_E_NOMEM, "Cannot make the authority's key.");
	} else {
		len = BIO_get_mem_data(out, &text);
		r = mf_private_dir_write(dir, NEW_FILE, text, (size_t)len, err);
		OPENSSL_cleanse(text, (size_t)len);
		if (r == 0)
			r = mf_private_dir_rename(dir, NEW_FILE, mf_tls_slot_files[slot], err);
	}
	BIO_free(out);
	X509_free(cert);
	EVP_PKEY_free(key);
	return r;
}

void mf_tls_stored_done(struct mf_tls_stored *s)
{
	EVP_PKEY_free(s->key);
	X509_free(s->cert);
	*s = (struct mf_tls_stored){ 0 };
}

/* OpenSSL would ask on the terminal. */
static int no_password(char *buf, int size, int writing, void *ctx)
{
	(void)buf, (void)size, (void)writing, (void)ctx;
	return -1;
}

static bool is_p256(EVP_PKEY *key)
{
	char group[40];
	size_t len;

	return EVP_PKEY_is_a(key, "EC") &&
	       EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1 &&
	       strcmp(group, "prime256v1") == 0;
}

/* Why @s cannot sign, or NULL. */
static const char *find_fault(const struct mf_tls_stored *s)
{
	if (!s->key)
		return "holds no private key that can be read";
	if (!s->cert)
		return "holds no certificate that can be read";
	if (!is_p256(s->key))
		return "holds another kind of key than ECDSA P-256";
	if (X509_check_private_key(s->cert, s->key) != 1)
		return "holds a key that does not belong to its certificate";
	if (X509_check_ca(s->cert) != 1 || X509_verify(s->cert, s->key) != 1)
		return "holds a certificate that is no authority's own";
	return NULL;
}

int mf_tls_stored_parse(const char *text, size_t len, const char *name, struct mf_tls_stored *ret,
			struct mf_err *err)
{
	BIO *in = BIO_new_mem_buf(text, (int)len);
	const char *fault;

	*ret = (struct mf_tls_stored){ 0 };
	if (in) {
		ret->key = PEM_read_bio_PrivateKey(in, NULL, no_password, NULL);
		(void)BIO_reset(in); // each reader passes over what is of another kind
		ret->cert = PEM_read_bio_X509(in, NULL, no_password, NULL);
	}
	BIO_free(in);
	fault = find_fault(ret);
	ERR_clear_error();
	if (!fault)
		return 0;
	mf_tls_stored_done(ret);
	return mf_err_set(err, MF_E_BAD, "%s %s.", name, fault);
}

int mf_tls_stored_load(const struct mf_private_dir *dir, enum mf_tls_slot slot,
		       struct mf_tls_stored *ret, struct mf_err *err)
{
	char text[FILE_MAX];
	size_t len;
	int r;

	mf_tls_trust_start();
	r = mf_private_dir_read(dir, mf_tls_slot_files[slot], text, sizeof(text), &len, err);
	if (r < 0)
		return r;
	r = mf_tls_stored_parse(text, len, mf_tls_slot_files[slot], ret, err);
	OPENSSL_cleanse(text, len);
	return r;
}

int mf_tls_stored_copy(const struct mf_private_dir *dir, enum mf_tls_slot from, enum mf_tls_slot to,
		       struct mf_err *err)
{
	char text[FILE_MAX];
	size_t len;
	int r = mf_private_dir_read(dir, mf_tls_slot_files[from], text, sizeof(text), &len, err);

	if (r < 0)
		return r;
	r = mf_private_dir_write(dir, NEW_FILE, text, len, err);
	OPENSSL_cleanse(text, len);
	return r < 0 ? r : mf_private_dir_rename(dir, NEW_FILE, mf_tls_slot_files[to], err);
}

int mf_tls_authority_create(const char *path, const struct mf_tls_plan *plan, struct mf_err *err)
{
	struct mf_tls_stored there;
	struct mf_private_dir *dir;
	int r = mf_private_dir_open(path, true, &dir, err);

	if (r < 0)
		return r;
	r = mf_private_dir_lock(dir, err);
	if (r == 0) {
		r = mf_tls_stored_load(dir, MF_TLS_IN_FORCE, &there, err);
		if (r == MF_E_NOENT)
			r = mf_tls_stored_make(dir, MF_TLS_IN_FORCE, plan, &mf_clock_system, err);
		else if (r == 0) {
			mf_tls_stored_done(&there);
			r = mf_err_set(err, MF_E_EXIST,
				       "%s has an authority already; 'moonfence ca rotate' "
				       "replaces it.",
				       path);
		}
	}
	mf_private_dir_close(dir);
	return r;
}
