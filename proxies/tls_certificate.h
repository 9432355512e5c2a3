/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_certificate.h - the X.509 that our authorities are made of: a root, what it is limited to, and leaves below it
 *
 * Keys are ECDSA P-256, signatures SHA-256, serial numbers 127 random bits. Names pass as parts, never through OpenSSL's
 * configuration syntax. Times are seconds since 1970-01-01T00:00:00Z.
 */
#ifndef MF_PROXIES_TLS_CERTIFICATE_H
#define MF_PROXIES_TLS_CERTIFICATE_H

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/addr.h"
#include "core/base/err.h"
#include "core/match/domain_set.h" /* MF_NAME_ROOM */

#define MF_TLS_DAY_S	   INT64_C(86400)
#define MF_TLS_PERMITS_MAX 64

/* What a root may vouch for: a domain with all below it, or a network. */
struct mf_tls_permit {
	char domain[MF_NAME_ROOM]; /* canonical; "": a network */
	struct mf_addr network;
	uint8_t prefix; /* bits of @network that count */
};

/**
 * mf_tls_permit_parse() - "dev.example", "192.0.2.0/24", "2001:db8::1"
 * Return: 0, MF_E_SYNTAX: neither a name nor an address, or bits behind the prefix
 */
int mf_tls_permit_parse(const char *text, struct mf_tls_permit *ret, struct mf_err *err);

struct mf_tls_root {
	const char *common_name; /* at most 64 bytes */
	int64_t from, until;
	bool servers_only; /* extendedKeyUsage serverAuth: no mail, no code, no clients */
	const struct mf_tls_permit *permits;
	size_t permit_cnt;
	X509 *like; /* the name constraints of this one in place of @permits; NULL: none */
};

/**
 * mf_tls_certificate_root() - A self-signed authority for @key with pathLen 0
 * With permits it has a critical name constraint (RFC 5280 4.2.1.10) that lists them. A kind of name (domain, address) that no
 * permit is of would not be limited at all: the caller gives at least one of each.
 * Return: NULL without memory
 */
X509 *mf_tls_certificate_root(EVP_PKEY *key, const struct mf_tls_root *root);

/**
 * mf_tls_certificate_leaf() - A server's certificate below @root
 * @name: a canonical host name or the text of an address; stands in the subjectAltName only
 * Return: 0; MF_E_PERM: outside of what @root may vouch for; MF_E_NOMEM
 */
int mf_tls_certificate_leaf(X509 *root, EVP_PKEY *root_key, EVP_PKEY *leaf_key, const char *name,
			    int64_t from, int64_t until, X509 **ret);

/** mf_tls_certificate_times() - Return: false for dates that are none */
bool mf_tls_certificate_times(const X509 *cert, int64_t *ret_from, int64_t *ret_until);

/** mf_tls_time_left() - Lower @left_ms, if @until comes before that by the system's clock; to 0 for a time that is none */
void mf_tls_time_left(const ASN1_TIME *until, uint64_t *left_ms);

/** mf_tls_certificate_permits() - Call @each for what @root is limited to; Return: their number, 0: not limited */
size_t mf_tls_certificate_permits(const X509 *root, void (*each)(void *ctx, const char *text),
				  void *ctx);

#define MF_TLS_HASH_ROOM 65 /* SHA-256 in lower-case hex, and its NUL */
/** mf_tls_certificate_hash() - SHA-256 of the whole certificate; Return: @buf */
const char *mf_tls_certificate_hash(const X509 *cert, char buf[MF_TLS_HASH_ROOM]);

/** mf_tls_certificate_pem() - PEM text in malloc()ed memory; NULL without memory */
char *mf_tls_certificate_pem(X509 *cert);

#endif
