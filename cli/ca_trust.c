/* SPDX-License-Identifier: Apache-2.0 */
/* ca_trust.c - moonfence ca trust, moonfence ca untrust: every store's result on a line of its own */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "cli/ca.h"
#include "cli/ca_rotate.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "core/base/files.h"

#define FILE_MAX 65536

enum { OPT_DIR = 1, OPT_STORE };

static const struct mf_option options[] = {
	{ OPT_DIR, 0, "dir", "DIR", "directory of the authority" },
	{ OPT_STORE, 0, "store", "KIND",
	  "only these stores: system, nss; may be given several times" },
};

static const struct mf_usage trust_usage = {
	.name = "ca trust",
	.synopsis = "[--dir DIR] [--store KIND]... [CERTIFICATE]",
	.text = "Let the programs of this user (and, as root, of this host) trust the "
		"certificate authority that\n"
		"'moonfence ca create' made, or the one in the PEM file CERTIFICATE "
		"('moonfence ca show --pem').\n"
		"Stores: on Linux the system's own (root only) and the NSS databases of Chromium "
		"and Firefox; on\n"
		"Windows and macOS the user's. Each says its result; what is there already "
		"stays.\n"
		"Exit status: 0 trusted, 1 a store failed or there was none, 2 wrong usage.\n",
	.example = "  moonfence ca trust\n"
		   "  moonfence ca show --pem > ca.pem && sudo moonfence ca trust --store system "
		   "ca.pem\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

static const struct mf_usage untrust_usage = {
	.name = "ca untrust",
	.synopsis = "[--dir DIR] [--store KIND]... [CERTIFICATE]",
	.text = "Take the certificate authority out of the stores that 'moonfence ca trust' put "
		"it into: exactly this\n"
		"certificate, told by its SHA-256. The authority itself stays.\n"
		"Exit status: 0 nobody trusts it any longer, 1 a store failed, 2 wrong usage.\n",
	.example = "  moonfence ca untrust\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct request {
	const char *dir, *file;
	bool kinds[MF_CA_STORE_KIND_NUM], chosen;
};

static bool choose(struct request *request, const char *kind)
{
	for (size_t i = 0; i < MF_CA_STORE_KIND_NUM; i++) {
		if (strcmp(kind, mf_ca_store_kinds[i]) != 0)
			continue;
		request->kinds[i] = true;
		return request->chosen = true;
	}
	return false;
}

static int read_options(const struct mf_usage *usage, int argc, char **argv, struct request *ret,
			int *ret_status)
{
	struct mf_options o = mf_options_of(usage, argc, argv);
	const char *value;
	int opt;

	*ret = (struct request){ .dir = NULL };
	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_DIR)
			ret->dir = value;
		else if (!choose(ret, value)) {
			*ret_status = mf_options_wrong(
				usage, "--store: '%s' is neither system nor nss", value);
			return -1;
		}
	}
	*ret_status = o.status;
	if (opt < 0)
		return -1;
	if (o.operand_cnt > 1 || (o.operand_cnt > 0 && ret->dir)) {
		*ret_status = mf_options_wrong(usage, "one CERTIFICATE, or --dir");
		return -1;
	}
	ret->file = o.operand_cnt ? o.operands[0] : NULL;
	return 0;
}

/* An authority of ours out of a file: whatever else is in a file is not made a root of this host by mistake. */
static int load_file(const char *path, struct mf_ca_cert *ret, struct mf_err *err)
{
	FILE *f = mf_fopen(path, "rb");
	char text[FILE_MAX];
	size_t len = f ? fread(text, 1, sizeof(text), f) : 0;
	BIO *in = f && !ferror(f) && len < sizeof(text) ? BIO_new_mem_buf(text, (int)len) : NULL;
	X509 *x509 = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
	int r = MF_E_BAD;

	if (x509 && X509_check_ca(x509) == 1 && X509_self_signed(x509, 1) == 1 &&
	    mf_ca_cert_of(x509, ret) == 0) {
		r = strncmp(ret->name, "Moonfence local CA ", 19) == 0 ? 0 : MF_E_BAD;
		if (r < 0)
			mf_ca_cert_done(ret);
	}
	if (r < 0)
		mf_err_set(err, r, "%s is no certificate that 'moonfence ca show --pem' wrote.",
			   path);
	X509_free(x509);
	BIO_free(in);
	ERR_clear_error();
	if (f)
		fclose(f);
	return r;
}

/* What happened to one store, in words, in @buf. Return: as mf_ca_store_add() */
static int change(const struct mf_ca_store *store, const struct mf_ca_cert *cert, bool trust,
		  const char **ret_text, struct mf_err *err)
{
	int had = mf_ca_store_has(store, cert, err), r;

	/* to remove is tried in any case: it may be there without being trusted */
	if (had > 0 && trust) {
		*ret_text = "trusted already";
		return 0;
	}
	r = trust ? mf_ca_store_add(store, cert, err) : mf_ca_store_remove(store, cert, err);
	*ret_text = r < 0     ? err->msg
		    : trust   ? "trusted now"
		    : had > 0 ? "no longer trusted"
			      : "not trusted";
	return r;
}

/* Return: an exit status. */
static int change_stores(const struct request *request, const struct mf_ca_stores *stores,
			 const struct mf_ca_cert *cert, bool trust)
{
	int status = MF_EXIT_GOOD;
	struct mf_table table;
	size_t good = 0;

	mf_table_init(&table, "lll");
	for (size_t i = 0; i < stores->cnt; i++) {
		const struct mf_ca_store *store = &stores->items[i];
		struct mf_err err = { 0 };
		const char *text;
		int r;

		if (request->chosen && !request->kinds[store->kind])
			continue;
		r = change(store, cert, trust, &text, &err);
		mf_table_add(&table, "%s", mf_ca_store_kinds[store->kind]);
		mf_table_add(&table, "%s", store->path);
		good += r == 0;
		if (r == MF_E_PERM && trust && !request->chosen) {
			mf_table_add(&table, "skipped: %s", text);
			continue;
		}
		mf_table_add(&table, "%s", text);
		if (r < 0)
			status = MF_EXIT_FAULT;
	}
	mf_table_print(&table, stdout, false);
	mf_table_done(&table);
	if (trust && good == 0)
		status = MF_EXIT_FAULT;
	return status;
}

static int run(const struct mf_usage *usage, int argc, char **argv, bool trust)
{
	struct mf_private_dir *dir = NULL;
	struct mf_ca_cert cert = { 0 };
	struct mf_ca_stores stores;
	struct request request;
	char buf[MF_PATH_MAX];
	const char *path;
	struct mf_err err;
	int status, r;

	if (read_options(usage, argc, argv, &request, &status) < 0)
		return status;
	mf_ca_stores_find(&stores);
	if (request.file) {
		r = load_file(request.file, &cert, &err);
	} else {
		path = mf_ca_path(request.dir, buf);
		if (!path)
			return MF_EXIT_FAULT;
		r = mf_ca_load(path, &dir, &cert, &err);
		if (r == 0)
			r = mf_ca_recover(dir, &stores, &err);
	}
	if (r == 0)
		status = change_stores(&request, &stores, &cert, trust);
	else
		status = mf_ca_fail(&err);
	mf_ca_cert_done(&cert);
	mf_private_dir_close(dir);
	return status;
}

int mf_cmd_ca_trust(int argc, char **argv)
{
	return run(&trust_usage, argc, argv, true);
}

int mf_cmd_ca_untrust(int argc, char **argv)
{
	return run(&untrust_usage, argc, argv, false);
}
