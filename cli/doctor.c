/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.c - moonfence doctor: why a name of this machine does not lead where it should */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ca.h"
#include "cli/commands.h"
#include "cli/doctor_reach.h"
#include "cli/output.h"
#include "cli/proxy.h"
#include "proxies/forward_routes.h"

enum { OPT_JSON = 1, OPT_DIR, OPT_CA_DIR };

static const struct mf_option options[] = {
	{ OPT_JSON, 'j', "json", NULL, "print JSON" },
	{ OPT_DIR, 'd', "dir", "DIR", "the service's directory, as of 'proxy enable'" },
	{ OPT_CA_DIR, 0, "ca-dir", "DIR", "the local certificate authority is there" },
};

static const struct mf_usage usage = {
	.name = "doctor",
	.synopsis = "[--json] [--dir DIR] [--ca-dir DIR]",
	.text = "Looks at everything that domain forwarding needs, asks the service for its own "
		"page as "
		"a browser\n"
		"would, and says of each thing whether it is good, and what to do where it is "
		"not. Changes nothing.\n"
		"Exit status: 0 all is good, 1 something is not, 2 wrong usage.\n",
	.example = "  moonfence doctor\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

#define CHECKS_MAX (16 + MF_CA_STORES_MAX)

struct check {
	const char *name;
	bool ok;
	char detail[400];
	const char *hint; /* what to do where it is not good; may be NULL */
};

struct doctor {
	struct mf_proxy_places places;
	struct check checks[CHECKS_MAX];
	size_t cnt;
	json_t *status; /* of the service; NULL: it does not run, or is another user's */
	struct mf_ca_cert cert;
	bool has_cert;
};

static void add(struct doctor *d, const char *name, bool ok, const char *hint, const char *fmt, ...)
	MF_PRINTF(5, 6);

static void add(struct doctor *d, const char *name, bool ok, const char *hint, const char *fmt, ...)
{
	struct check *c = &d->checks[d->cnt];
	va_list args;

	if (d->cnt == CHECKS_MAX)
		return;
	d->cnt++;
	*c = (struct check){ .name = name, .ok = ok, .hint = ok ? NULL : hint };
	va_start(args, fmt);
	vsnprintf(c->detail, sizeof(c->detail), fmt, args);
	va_end(args);
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

/* --- the checks ------------------------------------------------------------------------------------------------------- */

static void look_at_service(struct doctor *d)
{
	static const char *const parts[][3] = {
		{ "proxy", "proxy", NULL },
		{ "certificates", "certificates",
		  "'moonfence ca create', then 'moonfence ca trust', then end and enable the "
		  "service" },
		{ "rules", "rules", "'moonfence proxy disable' and 'moonfence proxy enable'" },
		{ "devServers", "detection", "the service's log says more (docs/forwarding.md)" },
	};
	struct mf_err err = { 0 };
	int r = mf_proxy_call(&d->places, "GET", "/status", NULL, &d->status, &err);

	if (r != 200) {
		json_decref(d->status);
		d->status = NULL;
		add(d, "service", false,
		    r == MF_E_PERM ? "as its owner, or with sudo, 'moonfence doctor' sees more"
				   : "'moonfence proxy enable' starts it",
		    "%s", r < 0 ? err.msg : "the service gave no status");
		return;
	}
	add(d, "service", true, NULL, "runs as process %lld, connections come by %s",
	    (long long)json_integer_value(json_object_get(d->status, "pid")),
	    text_of(d->status, "backend"));
	for (size_t i = 0; i < MF_ARRAY_SIZE(parts); i++) {
		const json_t *part =
			json_object_get(json_object_get(d->status, "health"), parts[i][0]);

		add(d, parts[i][1], json_is_true(json_object_get(part, "ok")), parts[i][2], "%s",
		    text_of(part, "detail"));
	}
}

static void look_at_authority(struct doctor *d)
{
	struct mf_private_dir *dir;
	struct mf_ca_stores stores;
	struct mf_err err;

	if (mf_ca_load(d->places.authority, &dir, &d->cert, &err) < 0) {
		add(d, "authority", false, "another user's can only be read by that user", "%s",
		    err.msg);
		return;
	}
	mf_private_dir_close(dir);
	d->has_cert = true;
	add(d, "authority", true, NULL, "%s in %s", d->cert.name, d->places.authority);
	mf_ca_stores_find(&stores);
	for (size_t i = 0; i < stores.cnt; i++) {
		int has = mf_ca_store_has(&stores.items[i], &d->cert, &err);

		add(d, "trust", has == 1, "'moonfence ca trust'", "%s %s%s%s", stores.items[i].path,
		    has == 1   ? "trusts it"
		    : has == 0 ? "does not trust it"
			       : "cannot be asked",
		    has < 0 ? ": " : "", has < 0 ? err.msg : "");
	}
}

/* The port that a browser would be led to. */
static unsigned port_of(const struct doctor *d)
{
	const char *listener =
		json_string_value(json_array_get(json_object_get(d->status, "listeners"), 0));
	const char *colon = listener ? strrchr(listener, ':') : NULL;

	return strcmp(text_of(d->status, "backend"), "explicit") == 0 && colon
		       ? (unsigned)strtoul(colon + 1, NULL, 10)
		       : 443;
}

static void look_at_page(struct doctor *d)
{
	unsigned port = port_of(d);
	char detail[300];
	bool ok;

	ok = mf_doctor_find_name(MF_FORWARD_PAGE_NAME, detail, sizeof(detail));
	add(d, "names", ok,
	    "browsers know *.localhost by themselves; other programs want the hosts file, which "
	    "the service writes as root",
	    "%s", detail);
	if (!d->status)
		return;
	ok = mf_doctor_reach(MF_FORWARD_PAGE_NAME, port, d->has_cert ? d->cert.x509 : NULL, detail,
			     sizeof(detail));
	add(d, "page", ok,
	    "are there other rules in front of ours ('nft list ruleset'), or a proxy in the "
	    "environment?",
	    "https://%s%s: %s", MF_FORWARD_PAGE_NAME, port == 443 ? "" : " on the listener",
	    detail);
}

static void look_at_counters(struct doctor *d)
{
	const json_t *errors = json_object_get(d->status, "errors");
	const json_t *latency = json_object_get(d->status, "latency");
	long long dial = (long long)json_integer_value(json_object_get(errors, "dial")) +
			 (long long)json_integer_value(json_object_get(errors, "server_down"));
	long long loops = (long long)json_integer_value(json_object_get(errors, "loop"));
	double ms = json_number_value(json_object_get(latency, "meanMs"));

	add(d, "dialling", dial == 0,
	    "'moonfence proxy map list' shows which routes fail: is their server running?",
	    "%lld connections found no server", dial);
	add(d, "loops", true, NULL, "%lld connections were meant for the listener itself", loops);
	add(d, "latency", ms < 100, "slow servers, or a resolver that is slow for a map's HOST",
	    "%.2f ms on average from a client's words to its server", ms);
}

static void look_at_servers(struct doctor *d)
{
	struct mf_err err;
	json_t *list = NULL, *server;
	size_t i, named = 0;

	if (mf_proxy_call(&d->places, "GET", "/servers", NULL, &list, &err) == 200)
		json_array_foreach(list, i, server) named += *text_of(server, "name") != '\0';
	add(d, "servers", true, NULL, "%zu detected, %zu of them have a name",
	    json_array_size(list), named);
	json_decref(list);
}

/* --- what is told ------------------------------------------------------------------------------------------------------ */

static int print_json(const struct doctor *d, bool good)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->cnt; i++) {
		const struct check *c = &d->checks[i];
		json_t *o = json_pack("{s:s, s:b}", "name", c->name, "ok", c->ok);

		(void)json_object_set_new(o, "detail", mf_output_json_text(c->detail));
		(void)json_object_set_new(o, "hint", mf_output_json_text(c->hint));
		(void)json_array_append_new(list, o);
	}
	return mf_output_json(json_pack("{s:b, s:o}", "ok", good, "checks", list));
}

static void print_text(const struct doctor *d)
{
	for (size_t i = 0; i < d->cnt; i++) {
		const struct check *c = &d->checks[i];

		printf("%s%-4s%s  %-12s  ", mf_output_colour(stdout, c->ok ? MF_GREEN : MF_RED),
		       c->ok ? "good" : "BAD", mf_output_colour(stdout, MF_PLAIN), c->name);
		mf_output_text(stdout, c->detail);
		fputc('\n', stdout);
		if (c->hint && !strstr(c->detail, c->hint)) /* the detail may say so already */
			printf("%20s%s\n", "", c->hint);
	}
}

int mf_cmd_doctor(int argc, char **argv)
{
	static struct doctor d; /* big */
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value, *dir = NULL, *ca_dir = NULL;
	bool json = false, good = true;
	struct mf_err err;
	int opt, status = MF_EXIT_GOOD;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		json |= opt == OPT_JSON;
		dir = opt == OPT_DIR ? value : dir;
		ca_dir = opt == OPT_CA_DIR ? value : ca_dir;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt)
		return mf_options_wrong(&usage, "'%s' is not an option", o.operands[0]);
	if (mf_proxy_find_places(dir, &d.places, &err) < 0) {
		fprintf(stderr, "moonfence: %s\n", err.msg);
		return MF_EXIT_FAULT;
	}
	if (ca_dir)
		snprintf(d.places.authority, sizeof(d.places.authority), "%s", ca_dir);
	look_at_service(&d);
	look_at_authority(&d);
	look_at_page(&d);
	if (d.status) {
		look_at_counters(&d);
		look_at_servers(&d);
	}
	for (size_t i = 0; i < d.cnt; i++)
		good &= d.checks[i].ok;
	if (json)
		status = print_json(&d, good);
	else
		print_text(&d);
	json_decref(d.status);
	if (d.has_cert)
		mf_ca_cert_done(&d.cert);
	return status ? status : good ? MF_EXIT_GOOD : MF_EXIT_FAULT;
}
