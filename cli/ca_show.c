/* SPDX-License-Identifier: Apache-2.0 */
/* ca_show.c - moonfence ca show: what the authority is, what it may vouch for, and who trusts it */
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/ca.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "core/base/clock.h"
#include "proxies/tls_authority_disk.h"

enum { OPT_DIR = 1, OPT_JSON, OPT_PEM };

static const struct mf_option options[] = {
	{ OPT_DIR, 0, "dir", "DIR", "directory of the authority" },
	{ OPT_JSON, 0, "json", NULL, "print JSON" },
	{ OPT_PEM, 0, "pem", NULL, "print the certificate, as PEM, and nothing else" },
};

static const struct mf_usage usage = {
	.name = "ca show",
	.synopsis = "[--dir DIR] [--json | --pem]",
	.text = "Show the certificate authority that 'moonfence ca create' made: subject, hash, "
		"dates, the names that\n"
		"it may vouch for, how its key is kept, and which of this user's stores trust "
		"it.\n"
		"Exit status: 0 it is there and valid, 1 there is none, it has expired, or its "
		"key is not safe,\n"
		"2 wrong usage.\n",
	.example = "  moonfence ca show --json\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct facts {
	const char *path;
	const struct mf_ca_cert *cert;
	char subject[200], from[32], until[32], access[400];
	bool valid;
	struct mf_ca_stores stores;
	int trusted[MF_CA_STORES_MAX]; /* 1, 0, or an error with the text: */
	struct mf_err why[MF_CA_STORES_MAX];
};

static void format_time(int64_t when, char buf[32])
{
	time_t t = (time_t)when;
	struct tm *tm = gmtime(&t);

	if (!tm || strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", tm) == 0)
		buf[0] = '\0';
}

static void gather(struct facts *f, const struct mf_private_dir *dir, const char *path,
		   const struct mf_ca_cert *cert)
{
	int64_t from = 0, until = 0, now = (int64_t)(mf_clock_wall(&mf_clock_system) / MF_NS_PER_S);

	*f = (struct facts){ .path = path, .cert = cert };
	X509_NAME_oneline(X509_get_subject_name(cert->x509), f->subject, sizeof(f->subject));
	f->valid =
		mf_tls_certificate_times(cert->x509, &from, &until) && from <= now && now < until;
	format_time(from, f->from);
	format_time(until, f->until);
	mf_private_dir_access(dir, mf_tls_slot_files[MF_TLS_IN_FORCE], f->access,
			      sizeof(f->access));
	mf_ca_stores_find(&f->stores);
	for (size_t i = 0; i < f->stores.cnt; i++)
		f->trusted[i] = mf_ca_store_has(&f->stores.items[i], cert, &f->why[i]);
}

static void append_permit(void *ctx, const char *text)
{
	(void)json_array_append_new(ctx, mf_output_json_text(text));
}

static int print_json(const struct facts *f)
{
	json_t *permits = json_array(), *stores = json_array();

	mf_tls_certificate_permits(f->cert->x509, append_permit, permits);
	for (size_t i = 0; i < f->stores.cnt; i++)
		(void)json_array_append_new(
			stores,
			json_pack("{s:s, s:o, s:o, s:o}", "kind",
				  mf_ca_store_kinds[f->stores.items[i].kind], "path",
				  mf_output_json_text(f->stores.items[i].path), "trusted",
				  f->trusted[i] < 0 ? json_null() : json_boolean(f->trusted[i]),
				  "problem",
				  f->trusted[i] < 0 ? mf_output_json_text(f->why[i].msg)
						    : json_null()));
	return mf_output_json(
		json_pack("{s:o, s:o, s:s, s:s, s:s, s:b, s:o, s:{s:s, s:o}, s:o}", "directory",
			  mf_output_json_text(f->path), "subject", mf_output_json_text(f->subject),
			  "sha256", f->cert->hash, "not_before", f->from, "not_after", f->until,
			  "valid", f->valid, "permits", permits, "key", "type", "ECDSA P-256",
			  "access", mf_output_json_text(f->access), "stores", stores));
}

static void print_permit(void *ctx, const char *text)
{
	bool *first = ctx;

	printf("%s", *first ? "" : ", ");
	mf_output_text(stdout, text);
	*first = false;
}

static int print_text(const struct facts *f)
{
	bool first = true;

	printf("Directory  ");
	mf_output_text(stdout, f->path);
	printf("\nSubject    ");
	mf_output_text(stdout, f->subject);
	printf("\nSHA-256    %s\nValid      %s to %s%s\nVouches    for ", f->cert->hash, f->from,
	       f->until, f->valid ? "" : " (not now: 'moonfence ca rotate')");
	if (mf_tls_certificate_permits(f->cert->x509, print_permit, &first) == 0)
		printf("every name");
	printf("\nKey        ECDSA P-256, %s\n", f->access);
	for (size_t i = 0; i < f->stores.cnt; i++) {
		printf("%s", i == 0 ? "Stores     " : "           ");
		mf_output_text(stdout, f->stores.items[i].path);
		printf(": ");
		mf_output_text(stdout, f->trusted[i] < 0 ? f->why[i].msg
				       : f->trusted[i]	 ? "trusts it"
							 : "does not trust it");
		printf("\n");
	}
	return MF_EXIT_GOOD;
}

int mf_cmd_ca_show(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value, *dir_path = NULL, *path;
	bool json = false, pem = false;
	struct mf_private_dir *dir;
	struct mf_ca_cert cert;
	char buf[MF_PATH_MAX];
	struct facts facts;
	struct mf_err err;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_DIR)
			dir_path = value;
		json |= opt == OPT_JSON;
		pem |= opt == OPT_PEM;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt > 0 || (json && pem))
		return mf_options_wrong(&usage, json && pem ? "--json or --pem" : "no operands");
	path = mf_ca_path(dir_path, buf);
	if (!path)
		return MF_EXIT_FAULT;
	if (mf_ca_load(path, &dir, &cert, &err) < 0)
		return mf_ca_fail(&err);
	gather(&facts, dir, path, &cert);
	if (pem) {
		fputs(cert.pem, stdout);
		status = MF_EXIT_GOOD;
	} else {
		status = json ? print_json(&facts) : print_text(&facts);
	}
	if (status == MF_EXIT_GOOD && !facts.valid)
		status = MF_EXIT_FAULT;
	mf_ca_cert_done(&cert);
	mf_private_dir_close(dir);
	return status;
}
