/* SPDX-License-Identifier: Apache-2.0 */
/* ca.c - moonfence ca create, moonfence ca rotate: making an authority, alone or in place of another */
#include "cli/ca.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ca_rotate.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "proxies/tls_authority_disk.h"

enum { OPT_DIR = 1, OPT_PERMIT, OPT_ANY_NAME, OPT_DAYS };

static const struct mf_option options[] = {
	{ OPT_DIR, 0, "dir", "DIR", "directory of the authority" },
	{ OPT_PERMIT, 0, "permit", "DOMAIN",
	  "domain or network that it may vouch for; may be given several times" },
	{ OPT_ANY_NAME, 0, "any-name", NULL, "let it vouch for every name" },
	{ OPT_DAYS, 0, "days", "DAYS", "how long it is valid (default 730)" },
};

static const struct mf_usage create_usage = {
	.name = "ca create",
	.synopsis = "[--dir DIR] [--permit DOMAIN]... [--any-name] [--days DAYS]",
	.text = "Make a certificate authority of this user (or, as root, of this host) for names "
		"that are forwarded\n"
		"or terminated here. Its private key is in a file that only this user can read. "
		"Nobody trusts it yet:\n"
		"see 'moonfence ca trust'.\n"
		"It may vouch for localhost and the loopback addresses, and for the domains of "
		"--permit with all\n"
		"below them (without any: local, test, internal). Clients refuse what it says of "
		"other names.\n"
		"Exit status: 0 made, 1 not made (there is one already), 2 wrong usage.\n",
	.example = "  moonfence ca create --permit dev.example --permit 192.168.7.0/24\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

static const struct mf_usage rotate_usage = {
	.name = "ca rotate",
	.synopsis = "[--dir DIR] [--permit DOMAIN]... [--any-name] [--days DAYS]",
	.text = "Put another certificate authority with a new key in the place of the one that "
		"'moonfence ca create'\n"
		"made. Every store that trusts the old one trusts the new one instead; when a "
		"step fails, all is put\n"
		"back. Without --permit and --any-name the new one may vouch for the same names. "
		"A running\n"
		"'moonfence proxy' or 'moonfence resolver' takes it over within seconds.\n"
		"Exit status: 0 done, 1 not done, 2 wrong usage.\n",
	.example = "  moonfence ca rotate\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

const char *mf_ca_path(const char *dir, char buf[MF_PATH_MAX])
{
	if (!dir && !mf_paths_authority(buf)) {
		fprintf(stderr, "moonfence: no home directory: say where by --dir\n");
		return NULL;
	}
	return dir ? dir : buf;
}

int mf_ca_fail(const struct mf_err *err)
{
	fputs("moonfence: ", stderr);
	mf_output_text(stderr, err->msg);
	fputc('\n', stderr);
	return MF_EXIT_FAULT;
}

int mf_ca_load(const char *path, struct mf_private_dir **ret_dir, struct mf_ca_cert *ret,
	       struct mf_err *err)
{
	struct mf_tls_stored stored = { 0 };
	struct mf_private_dir *dir = NULL;
	int r = mf_private_dir_open(path, false, &dir, err);

	if (r == 0)
		r = mf_private_dir_lock(dir, err);
	if (r == 0)
		r = mf_tls_stored_load(dir, MF_TLS_IN_FORCE, &stored, err);
	if (r == MF_E_NOENT)
		mf_err_set(err, r, "There is no authority in %s: 'moonfence ca create' makes one.",
			   path);
	if (r == 0) {
		r = mf_ca_cert_of(stored.cert, ret);
		if (r < 0)
			mf_err_set(err, r, "The authority in %s has no name.", path);
		mf_tls_stored_done(&stored);
	}
	if (r == 0)
		*ret_dir = dir;
	else
		mf_private_dir_close(dir);
	return r;
}

struct request {
	const char *dir;
	struct mf_tls_plan plan;
};

/* Return: 0, or -1 with the exit status in @ret_status. */
static int read_options(const struct mf_usage *usage, int argc, char **argv, struct request *ret,
			int *ret_status)
{
	struct mf_options o = mf_options_of(usage, argc, argv);
	struct mf_err err;
	const char *value;
	char *end;
	int opt;

	*ret = (struct request){ .plan = { .days = MF_TLS_AUTHORITY_DAYS } };
	while ((opt = mf_options_next(&o, &value)) > 0) {
		switch (opt) {
		case OPT_DIR:
			ret->dir = value;
			break;
		case OPT_PERMIT:
			if (mf_tls_plan_permit(&ret->plan, value, &err) == 0)
				break;
			*ret_status = mf_options_wrong(usage, "--permit: %s", err.msg);
			return -1;
		case OPT_ANY_NAME:
			ret->plan.any_name = true;
			break;
		case OPT_DAYS:
			ret->plan.days = (unsigned)strtoul(value, &end, 10);
			if (value[0] >= '1' && value[0] <= '9' && strlen(value) <= 4 && !*end &&
			    ret->plan.days <= MF_TLS_AUTHORITY_DAYS_MAX)
				break;
			*ret_status = mf_options_wrong(usage, "--days: '%s' is not 1 to %d", value,
						       MF_TLS_AUTHORITY_DAYS_MAX);
			return -1;
		}
	}
	*ret_status = o.status;
	if (opt < 0)
		return -1;
	if (o.operand_cnt > 0)
		*ret_status = mf_options_wrong(usage, "unexpected operand '%s'", o.operands[0]);
	else if (ret->plan.any_name && ret->plan.permit_cnt > 0)
		*ret_status = mf_options_wrong(usage, "--any-name and --permit exclude each other");
	else
		return 0;
	return -1;
}

static void print_authority(const char *verb, const char *path, const struct mf_ca_cert *cert)
{
	printf("%s %s in ", verb, cert->name);
	mf_output_text(stdout, path);
	printf("\nSHA-256 %s\n", cert->hash);
}

int mf_cmd_ca_create(int argc, char **argv)
{
	struct mf_private_dir *dir;
	struct mf_ca_cert cert;
	struct request request;
	char buf[MF_PATH_MAX];
	const char *path;
	struct mf_err err;
	int status;

	if (read_options(&create_usage, argc, argv, &request, &status) < 0)
		return status;
	path = mf_ca_path(request.dir, buf);
	if (!path)
		return MF_EXIT_FAULT;
	if (mf_tls_authority_create(path, &request.plan, &err) < 0 ||
	    mf_ca_load(path, &dir, &cert, &err) < 0)
		return mf_ca_fail(&err);
	print_authority("Made", path, &cert);
	if (request.plan.any_name)
		printf("It may vouch for every name: whoever gets its key can pass for any "
		       "site.\n");
	printf("Nobody trusts it yet: 'moonfence ca trust'.\n");
	mf_ca_cert_done(&cert);
	mf_private_dir_close(dir);
	return MF_EXIT_GOOD;
}

static void print_step(void *ctx, const struct mf_ca_store *store, const char *step)
{
	(void)ctx;
	mf_output_text(stdout, store->path);
	printf(": ");
	mf_output_text(stdout, step);
	printf("\n");
}

int mf_cmd_ca_rotate(int argc, char **argv)
{
	const struct mf_ca_report report = { .step = print_step };
	struct mf_private_dir *dir;
	struct mf_ca_stores stores;
	struct mf_ca_cert old, now;
	struct request request;
	char buf[MF_PATH_MAX];
	const char *path;
	struct mf_err err;
	int status, r;

	if (read_options(&rotate_usage, argc, argv, &request, &status) < 0)
		return status;
	path = mf_ca_path(request.dir, buf);
	if (!path)
		return MF_EXIT_FAULT;
	if (mf_ca_load(path, &dir, &old, &err) < 0)
		return mf_ca_fail(&err);
	if (!request.plan.any_name && request.plan.permit_cnt == 0)
		request.plan.like = old.x509;
	mf_ca_stores_find(&stores);
	r = mf_ca_recover(dir, &stores, &err);
	if (r == 0)
		r = mf_ca_rotate(dir, &stores, &request.plan, &report, &err);
	mf_ca_cert_done(&old);
	mf_private_dir_close(dir);
	if (r < 0)
		return mf_ca_fail(&err);
	if (mf_ca_load(path, &dir, &now, &err) < 0)
		return mf_ca_fail(&err);
	print_authority("In force:", path, &now);
	puts("A running 'moonfence proxy' and 'moonfence resolver' take it over within seconds; "
	     "a\n'moonfence run --ca', and a resolver with --user, have to be started anew.");
	mf_ca_cert_done(&now);
	mf_private_dir_close(dir);
	return MF_EXIT_GOOD;
}
