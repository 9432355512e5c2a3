/* SPDX-License-Identifier: Apache-2.0 */
/* ca_check.c - see ca_check.h; and moonfence ca check */
#include "cli/ca_check.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "cli/ca.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "core/base/addr.h"
#include "core/names/canonical.h"
#include "proxies/tls_authority.h"
#include "proxies/tls_trust.h"

#define SOON_DAYS 30
#define NAMES_MAX 256

struct check {
	void (*found)(void *ctx, const struct mf_ca_finding *f);
	void *ctx;
	size_t faults;
	struct mf_tls_authority *authority;
	SSL_CTX *system; /* trusts what the system trusts; NULL: nobody knows */
};

static void tell(struct check *c, const char *what, const char *about, bool ok, const char *detail)
{
	c->faults += !ok;
	c->found(c->ctx, &(struct mf_ca_finding){ what, about, ok, detail });
}

static void check_dates(struct check *c)
{
	int64_t now = (int64_t)(mf_clock_wall(&mf_clock_system) / MF_NS_PER_S);
	int64_t days = (mf_tls_authority_until(c->authority) - now) / MF_TLS_DAY_S;
	char text[120];

	snprintf(text, sizeof(text), "It is valid for %d days more%s", (int)days,
		 days < SOON_DAYS ? ": 'moonfence ca rotate' makes the next one." : ".");
	tell(c, "dates", "", days >= SOON_DAYS, text);
}

static void check_stores(struct check *c)
{
	struct mf_ca_stores stores;
	struct mf_ca_cert cert;

	if (mf_ca_cert_of(mf_tls_authority_certificate(c->authority), &cert) < 0)
		return;
	mf_ca_stores_find(&stores);
	for (size_t i = 0; i < stores.cnt; i++) {
		struct mf_err err = { 0 };
		int has = mf_ca_store_has(&stores.items[i], &cert, &err);

		tell(c, "store", stores.items[i].path, has > 0,
		     has < 0   ? err.msg
		     : has > 0 ? "It trusts the authority."
			       : "It does not trust the authority: 'moonfence ca trust'.");
	}
	mf_ca_cert_done(&cert);
}

/* What a program of this host would say of @leaf. Return: an X509_V_* code */
static int verify(const struct check *c, X509 *leaf, const char *name)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	int result = X509_V_ERR_OUT_OF_MEM;

	if (ctx && X509_STORE_CTX_init(ctx, SSL_CTX_get_cert_store(c->system), leaf, NULL) == 1) {
		param = X509_STORE_CTX_get0_param(ctx);
		if (X509_VERIFY_PARAM_set1_ip_asc(param, name) != 1)
			X509_VERIFY_PARAM_set1_host(param, name, 0);
		X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
		X509_verify_cert(ctx);
		result = X509_STORE_CTX_get_error(ctx);
	}
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return result;
}

static void check_name(struct check *c, const char *name)
{
	char canonical[MF_NAME_ROOM], text[200];
	struct mf_addr addr;
	struct mf_err err;
	SSL_CTX *server;
	int result;

	if (mf_addr_parse(name, strlen(name), &addr) == 0)
		mf_addr_format(&addr, canonical, sizeof(canonical));
	else if (mf_name_canon(name, strlen(name), canonical) < 0) {
		tell(c, "name", name, false, "It is neither a name nor an address.");
		return;
	}
	if (mf_tls_authority_certify(c->authority, canonical, &server, &err) < 0) {
		tell(c, "name", name, false, err.msg);
		return;
	}
	tell(c, "name", name, true, "The authority may vouch for it.");
	if (!c->system)
		return;
	result = verify(c, SSL_CTX_get0_certificate(server), canonical);
	snprintf(text, sizeof(text), "Programs that read the system's store %s",
		 result == X509_V_OK ? "accept it." : "refuse it: ");
	if (result != X509_V_OK)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s.",
			 X509_verify_cert_error_string(result));
	tell(c, "chain", name, result == X509_V_OK, text);
}

size_t mf_ca_check(const char *path, const char *const *names, size_t name_cnt,
		   void (*found)(void *ctx, const struct mf_ca_finding *f), void *ctx)
{
	struct check c = { .found = found, .ctx = ctx };
	struct mf_err err;

	if (mf_tls_authority_open(path, &c.authority, &err) < 0) {
		tell(&c, "key", "", false, err.msg);
		return c.faults;
	}
	c.system = SSL_CTX_new(TLS_client_method());
	if (c.system && mf_tls_trust_system(c.system) < 0) {
		SSL_CTX_free(c.system);
		c.system = NULL;
	}
	tell(&c, "key", "", true, "Only its owner can read it, and it belongs to its certificate.");
	check_dates(&c);
	check_stores(&c);
	for (size_t i = 0; i < name_cnt; i++)
		check_name(&c, names[i]);
	SSL_CTX_free(c.system);
	mf_tls_authority_free(c.authority);
	return c.faults;
}

/* --- moonfence ca check ----------------------------------------------------------------------------------------------- */

enum { OPT_DIR = 1, OPT_JSON };

static const struct mf_option options[] = {
	{ OPT_DIR, 0, "dir", "DIR", "directory of the authority" },
	{ OPT_JSON, 0, "json", NULL, "print JSON" },
};

static const struct mf_usage usage = {
	.name = "ca check",
	.synopsis = "[--dir DIR] [--json] [NAME]...",
	.text = "Look for the reason why certificates of the local authority are not believed: the "
		"key and who can\n"
		"read it, the dates, each store, and for each NAME whether the authority may vouch "
		"for it and whether\n"
		"programs that read the system's store accept what it signs.\n"
		"Exit status: 0 all is well, 1 something is not, 2 wrong usage.\n",
	.example = "  moonfence ca check app.local\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

static void print_finding(void *ctx, const struct mf_ca_finding *f)
{
	struct mf_table *table = ctx;

	mf_table_add(table, "%s", f->ok ? "ok" : "FAULT");
	mf_table_add(table, "%s", f->what);
	mf_table_add(table, "%s", f->about);
	mf_table_add(table, "%s", f->detail);
}

static void append_finding(void *ctx, const struct mf_ca_finding *f)
{
	(void)json_array_append_new(ctx, json_pack("{s:s, s:o, s:b, s:o}", "what", f->what, "about",
						   mf_output_json_text(f->about), "ok", f->ok,
						   "detail", mf_output_json_text(f->detail)));
}

int mf_cmd_ca_check(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value, *dir = NULL, *path;
	char buf[MF_PATH_MAX];
	bool json = false;
	size_t faults;
	int opt, status = MF_EXIT_GOOD;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_DIR)
			dir = value;
		json |= opt == OPT_JSON;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt > NAMES_MAX)
		return mf_options_wrong(&usage, "more than %d names", NAMES_MAX);
	path = mf_ca_path(dir, buf);
	if (!path)
		return MF_EXIT_FAULT;
	if (json) {
		json_t *findings = json_array();

		faults = mf_ca_check(path, (const char *const *)o.operands, (size_t)o.operand_cnt,
				     append_finding, findings);
		status = mf_output_json(
			json_pack("{s:b, s:o}", "ok", faults == 0, "findings", findings));
	} else {
		struct mf_table table;

		mf_table_init(&table, "llll");
		faults = mf_ca_check(path, (const char *const *)o.operands, (size_t)o.operand_cnt,
				     print_finding, &table);
		mf_table_print(&table, stdout, false);
		mf_table_done(&table);
	}
	return status == MF_EXIT_GOOD && faults > 0 ? MF_EXIT_FAULT : status;
}
