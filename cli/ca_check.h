/* SPDX-License-Identifier: Apache-2.0 */
/* ca_check.h - whether certificates of the local authority will be believed, and if not, where it fails */
#ifndef MF_CLI_CA_CHECK_H
#define MF_CLI_CA_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/* One thing that was looked at. @what: "key", "dates", "store", "name", "chain". */
struct mf_ca_finding {
	const char *what;
	const char *about; /* which store or name; "" for none */
	bool ok;
	const char *detail; /* a sentence */
};

/**
 * mf_ca_check() - Look at the authority in @path, and at the certificates that it makes for @names
 * key: the file is private, whole, and key and certificate belong together. dates: it is valid, and for a month more.
 * store: each of this user's stores trusts it. name: it may vouch for this name. chain: what it signs for it is good for a
 * program that trusts the system's store, at this moment. After a key that cannot be used nothing else is looked at.
 * Return: how many findings are not ok
 */
size_t mf_ca_check(const char *path, const char *const *names, size_t name_cnt,
		   void (*found)(void *ctx, const struct mf_ca_finding *f), void *ctx);

#endif
