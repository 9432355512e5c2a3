/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ca_stores_darwin.c - see ca_stores.h: security(1), for the user's login keychain, or for root the system's
 *
 * Adding a certificate puts it into a keychain and sets its trust, limited to TLS; macOS asks the user. Removing takes both
 * back. The tool wants files: the certificate stands in one for as long as it runs.
 */
#include "cli/ca_stores.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/child.h"

#define OUTPUT_MAX (1 << 20)

void mf_ca_stores_find(struct mf_ca_stores *ret)
{
	const char *home = getenv("HOME");
	struct mf_ca_store *s = &ret->items[0];

	*s = (struct mf_ca_store){ .kind = MF_CA_STORE_SYSTEM };
	ret->cnt = 1;
	if (geteuid() == 0)
		snprintf(s->path, sizeof(s->path), "/Library/Keychains/System.keychain");
	else if (home && home[0] == '/')
		snprintf(s->path, sizeof(s->path), "%s/Library/Keychains/login.keychain-db", home);
	else
		ret->cnt = 0;
}

static int run_security(const char *const *argv, struct mf_strbuf *output, struct mf_err *err)
{
	int r = mf_child_run(argv, NULL, output);

	if (r == MF_E_NOENT)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "security(1), which is part of macOS, is missing.");
	if (r != 0)
		return mf_err_set(err, MF_E_IO, "security: %.*s",
				  output->str ? (int)strcspn(output->str, "\n") : 6,
				  output->str ? output->str : "failed");
	return 0;
}

/* Whether a line of "find-certificate -Z" names the hash of @cert; it prints hex in upper case. */
static bool shows(const char *output, const struct mf_ca_cert *cert)
{
	char upper[MF_TLS_HASH_ROOM];

	for (size_t i = 0; i < sizeof(upper); i++)
		upper[i] = cert->hash[i] >= 'a' && cert->hash[i] <= 'f' ? cert->hash[i] - 'a' + 'A'
									: cert->hash[i];
	return output && strstr(output, upper);
}

int mf_ca_store_has(const struct mf_ca_store *store, const struct mf_ca_cert *cert,
		    struct mf_err *err)
{
	const char *argv[] = { "/usr/bin/security", "find-certificate", "-a", "-Z", "-c",
			       cert->name,	    store->path,	NULL };
	struct mf_strbuf output = MF_STRBUF_INIT(OUTPUT_MAX);
	int r = run_security(argv, &output, err);

	/* 44: errSecItemNotFound */
	r = r == 0 || r == MF_E_IO ? shows(output.str, cert) : r;
	mf_strbuf_done(&output);
	return r;
}

/* The certificate in a new file of the user's. Return: false with errno */
static bool write_file(const struct mf_ca_cert *cert, char path[64])
{
	size_t len = strlen(cert->pem);
	bool ok;
	int fd;

	strcpy(path, "/tmp/moonfence-ca.XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		return false;
	ok = write(fd, cert->pem, len) == (ssize_t)len;
	return close(fd) == 0 && ok;
}

int mf_ca_store_add(const struct mf_ca_store *store, const struct mf_ca_cert *cert,
		    struct mf_err *err)
{
	struct mf_strbuf output = MF_STRBUF_INIT(OUTPUT_MAX);
	const char *argv[16] = { "/usr/bin/security", "add-trusted-cert" };
	size_t n = 2;
	char path[64];
	int r;

	if (!write_file(cert, path))
		return mf_err_set(err, MF_E_IO, "Cannot write a file below /tmp: %s.",
				  strerror(errno));
	if (geteuid() == 0)
		argv[n++] = "-d"; // for all users
	argv[n++] = "-r";
	argv[n++] = "trustRoot";
	argv[n++] = "-p";
	argv[n++] = "ssl";
	argv[n++] = "-k";
	argv[n++] = store->path;
	argv[n++] = path;
	r = run_security(argv, &output, err);
	(void)unlink(path);
	mf_strbuf_done(&output);
	return r;
}

int mf_ca_store_remove(const struct mf_ca_store *store, const struct mf_ca_cert *cert,
		       struct mf_err *err)
{
	const char *delete[] = { "/usr/bin/security", "delete-certificate", "-Z",
				 cert->hash,	      store->path,	    NULL };
	struct mf_strbuf output = MF_STRBUF_INIT(OUTPUT_MAX);
	const char *untrust[6] = { "/usr/bin/security", "remove-trusted-cert" };
	size_t n = 2;
	char path[64];
	int r = mf_ca_store_has(store, cert, err);

	if (r <= 0)
		return r;
	if (!write_file(cert, path))
		return mf_err_set(err, MF_E_IO, "Cannot write a file below /tmp: %s.",
				  strerror(errno));
	if (geteuid() == 0)
		untrust[n++] = "-d";
	untrust[n++] = path;
	r = run_security(untrust, &output, err);
	(void)unlink(path);
	if (r == 0)
		r = run_security(delete, &output, err);
	mf_strbuf_done(&output);
	return r;
}
