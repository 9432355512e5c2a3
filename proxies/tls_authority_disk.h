/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_authority_disk.h - the local authority's key and certificate in a private directory, and how they are replaced
 *
 * One file holds both, "authority.pem": the private key (PKCS #8, not encrypted) and the certificate. So there is never a key
 * beside somebody else's certificate, and a new file takes the place of another in one step. While an authority is replaced
 * there are two: "next.pem" has not come into force, "former.pem" is no longer in force; either one found later was left by
 * a rotation that was killed.
 *
 * Who signs reads it by mf_tls_authority_open() (tls_authority.h); this is for the command that makes and replaces it.
 */
#ifndef MF_PROXIES_TLS_AUTHORITY_DISK_H
#define MF_PROXIES_TLS_AUTHORITY_DISK_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/private_dir.h"
#include "proxies/tls_certificate.h"

enum mf_tls_slot { MF_TLS_IN_FORCE, MF_TLS_NEXT, MF_TLS_FORMER, MF_TLS_SLOT_NUM };

/* The file's name in the directory. */
extern const char *const mf_tls_slot_files[MF_TLS_SLOT_NUM];

#define MF_TLS_AUTHORITY_DAYS \
	730 /* how long a new authority is valid, if nothing else is asked for */
#define MF_TLS_AUTHORITY_DAYS_MAX 3650

/* What a new authority shall be. */
struct mf_tls_plan {
	unsigned days;
	bool any_name; /* no name constraints */
	struct mf_tls_permit permits[MF_TLS_PERMITS_MAX];
	size_t permit_cnt;
	X509 *like; /* with the name constraints of this one; NULL: as above */
};

/**
 * mf_tls_plan_permit() - Add a domain or a network
 * "localhost" and the loopback networks are always permitted. Without any other: local, test and internal.
 * Return: 0, MF_E_SYNTAX, MF_E_FULL
 */
int mf_tls_plan_permit(struct mf_tls_plan *plan, const char *text, struct mf_err *err);

struct mf_tls_stored {
	EVP_PKEY *key;
	X509 *cert;
};

void mf_tls_stored_done(struct mf_tls_stored *s);

/**
 * mf_tls_stored_make() - Write a new key and certificate to @slot, which is empty afterwards or has both
 * The caller has the lock and has looked that nothing is lost. Return: 0, MF_E_IO, MF_E_NOMEM
 */
int mf_tls_stored_make(const struct mf_private_dir *dir, enum mf_tls_slot slot,
		       const struct mf_tls_plan *plan, const struct mf_clock *clock,
		       struct mf_err *err);

/**
 * mf_tls_stored_load() - Read @slot; the dates are not looked at
 * Return: 0; MF_E_NOENT; MF_E_PERM: see private_dir.h; MF_E_BAD: no key and certificate of ours, or they do not belong together
 */
int mf_tls_stored_load(const struct mf_private_dir *dir, enum mf_tls_slot slot,
		       struct mf_tls_stored *ret, struct mf_err *err);

/** mf_tls_stored_parse() - The same of a file's text; @name: in errors; Return: 0, MF_E_BAD */
int mf_tls_stored_parse(const char *text, size_t len, const char *name, struct mf_tls_stored *ret,
			struct mf_err *err);

/** mf_tls_stored_copy() - The file of @from at @to as well, in one step; Return: 0, MF_E_NOENT, MF_E_PERM, MF_E_IO */
int mf_tls_stored_copy(const struct mf_private_dir *dir, enum mf_tls_slot from, enum mf_tls_slot to,
		       struct mf_err *err);

/**
 * mf_tls_authority_create() - Make an authority in @path, which is made where it is missing
 * Of two that are started at once one makes it, the other finds it there.
 * Return: 0; MF_E_EXIST: there is one already, which stays; MF_E_PERM; MF_E_IO; MF_E_NOMEM
 */
int mf_tls_authority_create(const char *path, const struct mf_tls_plan *plan, struct mf_err *err);

#endif
