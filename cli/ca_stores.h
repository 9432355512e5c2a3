/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ca_stores.h - the places where this system's programs look whom they trust, and one certificate in each of them
 *
 *   Linux    the system's own (Debian's /usr/local/share/ca-certificates, for root only), and the NSS databases of the user:
 *            Chromium's ~/.pki/nssdb and one for each profile of Firefox, those of snaps and Flatpaks too
 *   Windows  the user's store of root certificates, which Edge, Chrome and Firefox read
 *   macOS    the user's trust settings and login keychain; the system's for root; for servers only
 *
 * Each store is found, asked and changed on its own. A certificate is told by its SHA-256 hash: nothing else is ever removed.
 */
#ifndef MF_CLI_CA_STORES_H
#define MF_CLI_CA_STORES_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"
#include "proxies/tls_certificate.h"

#define MF_CA_STORES_MAX 40

enum mf_ca_store_kind { MF_CA_STORE_SYSTEM, MF_CA_STORE_NSS, MF_CA_STORE_KIND_NUM };

/* As "--store" and "show --json" name them. */
extern const char *const mf_ca_store_kinds[MF_CA_STORE_KIND_NUM];

struct mf_ca_store {
	enum mf_ca_store_kind kind;
	char path[512]; /* where it is, for people and for the store's tool; UTF-8 */
};

struct mf_ca_stores {
	struct mf_ca_store items[MF_CA_STORES_MAX];
	size_t cnt;
};

/* A certificate in the forms that stores want. */
struct mf_ca_cert {
	X509 *x509;
	char *pem;
	char hash[MF_TLS_HASH_ROOM];
	char name[80]; /* its common name */
};

/** mf_ca_cert_of() - Return: 0, MF_E_NOMEM; takes a reference on @x509; MF_E_BAD: no common name */
int mf_ca_cert_of(X509 *x509, struct mf_ca_cert *ret);
void mf_ca_cert_done(struct mf_ca_cert *cert);

/** mf_ca_stores_find() - This user's stores; those that are not there yet but would be made are among them */
void mf_ca_stores_find(struct mf_ca_stores *ret);

/**
 * mf_ca_store_has() - Whether @store trusts @cert for servers
 * Return: 1; 0; MF_E_UNSUPPORTED: a tool is missing, @err says of which package; MF_E_IO
 */
int mf_ca_store_has(const struct mf_ca_store *store, const struct mf_ca_cert *cert,
		    struct mf_err *err);

/**
 * mf_ca_store_add() - Let @store trust @cert for servers; it may be there already
 * Return: 0; MF_E_PERM: this user may not; MF_E_UNSUPPORTED; MF_E_IO
 */
int mf_ca_store_add(const struct mf_ca_store *store, const struct mf_ca_cert *cert,
		    struct mf_err *err);

/** mf_ca_store_remove() - Take @cert out of @store; it may be missing there. Return: as mf_ca_store_add() */
int mf_ca_store_remove(const struct mf_ca_store *store, const struct mf_ca_cert *cert,
		       struct mf_err *err);

#endif
