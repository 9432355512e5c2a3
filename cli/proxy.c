/* SPDX-License-Identifier: Apache-2.0 */
/* proxy.c - moonfence proxy: disable, status, map, list, test: what talks to the running service */
#include "cli/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "core/base/strbuf.h"

enum {
	OPT_JSON = 1,
	OPT_DIR,
	OPT_MODE,
	OPT_VERBOSE,
};

#define OPTION_JSON                                                     \
	{                                                               \
		OPT_JSON, 'j', "json", NULL, "print the answer as JSON" \
	}
#define OPTION_DIR                                                                  \
	{                                                                           \
		OPT_DIR, 'd', "dir", "DIR", "the service's directory, as of enable" \
	}

static const struct mf_option plain_options[] = { OPTION_JSON, OPTION_DIR };
static const struct mf_option map_options[] = {
	OPTION_JSON,
	OPTION_DIR,
	{ OPT_MODE, 'm', "mode", "MODE",
	  "what is done with TLS: auto (default: as the "
	  "server is seen to speak), plain, tls, h2, pass" }
};
static const struct mf_option list_options[] = {
	OPTION_JSON, OPTION_DIR, { OPT_VERBOSE, 'v', "verbose", NULL, "with project directories" }
};

/* One call of a command: what its options say, then the service's answer. */
struct call {
	const struct mf_usage *usage;
	struct mf_proxy_places places;
	const char *dir, *mode;
	char **operands;
	int operand_cnt;
	bool json, verbose;
	json_t *answer;
};

/* Return: false: the command ends with *ret_status */
static bool parse(struct call *c, const struct mf_usage *usage, int argc, char **argv,
		  int operands_min, int operands_max, int *ret_status)
{
	struct mf_options o = mf_options_of(usage, argc, argv);
	struct mf_err err = { 0 };
	const char *value;
	int opt;

	c->usage = usage;
	while ((opt = mf_options_next(&o, &value)) > 0) {
		c->json |= opt == OPT_JSON;
		c->verbose |= opt == OPT_VERBOSE;
		if (opt == OPT_DIR)
			c->dir = value;
		if (opt == OPT_MODE)
			c->mode = value;
	}
	*ret_status = o.status;
	if (opt < 0)
		return false;
	c->operands = o.operands;
	c->operand_cnt = o.operand_cnt;
	if (o.operand_cnt < operands_min || o.operand_cnt > operands_max) {
		*ret_status = mf_options_wrong(usage, o.operand_cnt < operands_min
							      ? "an operand is missing"
							      : "too many operands");
		return false;
	}
	*ret_status = MF_EXIT_FAULT;
	if (mf_proxy_find_places(c->dir, &c->places, &err) == 0)
		return true;
	fprintf(stderr, "moonfence: %s\n", err.msg);
	return false;
}

/* Return: an exit status; good: c->answer is there */
static int call(struct call *c, const char *method, const char *path, json_t *body)
{
	struct mf_err err = { 0 };
	int status = mf_proxy_call(&c->places, method, path, body, &c->answer, &err);
	const char *why = json_string_value(json_object_get(c->answer, "error"));

	json_decref(body);
	if (status >= 200 && status < 300 && c->answer)
		return MF_EXIT_GOOD;
	fputs("moonfence: ", stderr);
	mf_output_text(stderr, status < 0 ? err.msg : why ? why : "the service refuses");
	fputc('\n', stderr);
	json_decref(c->answer);
	c->answer = NULL;
	return MF_EXIT_FAULT;
}

/* Prints and drops the answer. */
static int finish(struct call *c, void (*print)(const struct call *c))
{
	if (c->json)
		return mf_output_json(c->answer);
	print(c);
	json_decref(c->answer);
	return MF_EXIT_GOOD;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

static long long number_of(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

/* @text as a parameter: everything but letters, digits and "-._" is %XX */
static void add_param(struct mf_strbuf *path, const char *key, const char *text)
{
	mf_strbuf_addf(path, "%s=", key);
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			     (*p >= '0' && *p <= '9') || strchr("-._", *p);

		if (plain)
			mf_strbuf_addc(path, (char)*p);
		else
			mf_strbuf_addf(path, "%%%02X", *p);
	}
}

/* --- disable ---------------------------------------------------------------------------------------------------------- */

static const struct mf_usage disable_usage = {
	.name = "proxy disable",
	.synopsis = "[--json] [--dir DIR]",
	.text = "Ends domain forwarding: its rules and its names in the hosts file go, and open "
		"connections end.\n"
		"Maps stay for the next time. Does nothing where no service runs.\n",
	.example = "  moonfence proxy disable\n",
	.options = plain_options,
	.option_cnt = MF_ARRAY_SIZE(plain_options),
};

int mf_cmd_proxy_disable(int argc, char **argv)
{
	struct call c = { 0 };
	struct mf_err err = { 0 };
	int status;

	if (!parse(&c, &disable_usage, argc, argv, 0, 0, &status))
		return status;
	status = mf_proxy_call(&c.places, "POST", "/stop", NULL, &c.answer, &err);
	json_decref(c.answer);
	if (status < 0 && status != MF_E_NOENT) {
		fprintf(stderr, "moonfence: %s\n", err.msg);
		return MF_EXIT_FAULT;
	}
	if (status > 0 && mf_proxy_wait_for_end(&c.places) < 0) {
		fprintf(stderr, "moonfence: the service was told to end, and has not\n");
		return MF_EXIT_FAULT;
	}
	if (c.json)
		return mf_output_json(json_pack("{s:b}", "stopped", status > 0));
	printf(status > 0 ? "Domain forwarding has ended.\n" : "Domain forwarding does not run.\n");
	return MF_EXIT_GOOD;
}

/* --- status ----------------------------------------------------------------------------------------------------------- */

static const struct mf_usage status_usage = {
	.name = "proxy status",
	.synopsis = "[--json] [--dir DIR]",
	.text = "Shows the service that runs: how it gets connections, whether it is well, what "
		"it counted.\n"
		"Ends with 1 when no service runs.\n",
	.example = "  moonfence proxy status --json\n",
	.options = plain_options,
	.option_cnt = MF_ARRAY_SIZE(plain_options),
};

static void print_health(const json_t *health)
{
	static const char *const parts[] = { "proxy", "certificates", "rules", "devServers" };

	for (size_t i = 0; i < MF_ARRAY_SIZE(parts); i++) {
		const json_t *part = json_object_get(health, parts[i]);
		bool ok = json_is_true(json_object_get(part, "ok"));

		printf("  %s%-13s%s %s", mf_output_colour(stdout, ok ? MF_GREEN : MF_RED), parts[i],
		       mf_output_colour(stdout, MF_PLAIN), ok ? "good, " : "BAD, ");
		mf_output_text(stdout, text_of(part, "detail"));
		fputc('\n', stdout);
	}
}

static void print_dns(const json_t *dns)
{
	printf("  %-12s %s: ", "dns", json_is_true(json_object_get(dns, "on")) ? "on" : "off");
	mf_output_text(stdout, text_of(dns, "detail"));
	printf("\n");
	if (number_of(dns, "questions"))
		printf("Questions: %lld; %lld of them about names of ours, %lld without an "
		       "answer.\n",
		       number_of(dns, "questions"), number_of(dns, "ours"),
		       number_of(dns, "failed"));
}

static void print_status(const struct call *c)
{
	json_t *o = c->answer, *errors = json_object_get(o, "errors");
	const char *key;
	json_t *value;
	size_t i;

	printf("Domain forwarding runs (process %lld, %s", number_of(o, "pid"),
	       text_of(o, "backend"));
	json_array_foreach(json_object_get(o, "listeners"), i, value)
		printf("%s %s", i ? " and" : " at", json_string_value(value));
	printf(").\n");
	print_health(json_object_get(o, "health"));
	print_dns(json_object_get(o, "dns"));
	printf("Connections: %lld open, %lld since the start; %lld bytes to servers, %lld to "
	       "clients.\n",
	       number_of(o, "connectionsActive"), number_of(o, "connectionsTotal"),
	       number_of(o, "bytesToServer"), number_of(o, "bytesToClient"));
	json_object_foreach(errors, key, value) if (json_integer_value(value))
		printf("  %s: %lld\n", key, (long long)json_integer_value(value));
	printf("Routes: %zu.\n", json_array_size(json_object_get(o, "routes")));
}

int mf_cmd_proxy_status(int argc, char **argv)
{
	struct call c = { 0 };
	int status;

	if (!parse(&c, &status_usage, argc, argv, 0, 0, &status))
		return status;
	status = call(&c, "GET", "/status", NULL);
	return status ? status : finish(&c, print_status);
}

/* --- map -------------------------------------------------------------------------------------------------------------- */

static const struct mf_usage map_usage = {
	.name = "proxy map",
	.synopsis = "add NAME PORT|HOST:PORT | remove NAME | list",
	.text = "Changes or shows which names lead to which servers; kept for the next time. "
		"*.NAME stands for\n"
		"every name below NAME. A map goes before whatever is detected.\n",
	.example = "  moonfence proxy map add app.localhost 3000\n"
		   "  moonfence proxy map add *.shop.localhost 192.168.1.20:8080 --mode plain\n"
		   "  moonfence proxy map remove app.localhost\n",
	.options = map_options,
	.option_cnt = MF_ARRAY_SIZE(map_options),
};

static void print_route(const struct call *c)
{
	const json_t *o = c->answer;

	fputs(json_object_get(o, "removed") ? "removed " : "", stdout);
	mf_output_text(stdout, text_of(o, json_object_get(o, "removed") ? "removed" : "name"));
	if (json_object_get(o, "target")) {
		fputs(" leads to ", stdout);
		mf_output_text(stdout, text_of(o, "target"));
		printf(" (%s, %s)", text_of(o, "source"), text_of(o, "mode"));
	}
	fputc('\n', stdout);
}

static void print_added(const struct call *c)
{
	const char *warning = text_of(c->answer, "warning");

	print_route(c);
	if (!*warning)
		return;
	fputs("moonfence: warning: ", stderr);
	mf_output_text(stderr, warning);
	fputc('\n', stderr);
}

static void print_routes(const struct call *c)
{
	struct mf_table t;
	size_t i;
	json_t *o;

	mf_table_init(&t, "llllrr");
	mf_table_add(&t, "NAME");
	mf_table_add(&t, "TARGET");
	mf_table_add(&t, "MODE");
	mf_table_add(&t, "SOURCE");
	mf_table_add(&t, "CONNECTIONS");
	mf_table_add(&t, "FAILURES");
	json_array_foreach(c->answer, i, o)
	{
		mf_table_add(&t, "%s", text_of(o, "name"));
		mf_table_add(&t, "%s", text_of(o, "target"));
		mf_table_add(&t, "%s", text_of(o, "mode"));
		mf_table_add(&t, "%s", text_of(o, "source"));
		mf_table_add(&t, "%lld", number_of(o, "connections"));
		mf_table_add(&t, "%lld", number_of(o, "failures"));
	}
	mf_table_print(&t, stdout, true);
	mf_table_done(&t);
}

static int add_map(struct call *c)
{
	int status;

	if (c->operand_cnt != 3)
		return mf_options_wrong(c->usage, "map add wants NAME and PORT or HOST:PORT");
	status = call(c, "POST", "/maps",
		      json_pack("{s:s, s:s, s:s}", "name", c->operands[1], "target", c->operands[2],
				"mode", c->mode ? c->mode : "auto"));
	return status ? status : finish(c, print_added);
}

static int remove_map(struct call *c)
{
	struct mf_strbuf path = MF_STRBUF_INIT(4096);
	int status;

	if (c->operand_cnt != 2)
		return mf_options_wrong(c->usage, "map remove wants NAME");
	mf_strbuf_adds(&path, "/maps?");
	add_param(&path, "name", c->operands[1]);
	status = path.failed ? mf_options_wrong(c->usage, "the name is too long")
			     : call(c, "DELETE", path.str, NULL);
	mf_strbuf_done(&path);
	return status ? status : finish(c, print_route);
}

int mf_cmd_proxy_map(int argc, char **argv)
{
	struct call c = { 0 };
	int status;

	if (!parse(&c, &map_usage, argc, argv, 1, 3, &status))
		return status;
	if (strcmp(c.operands[0], "add") == 0)
		return add_map(&c);
	if (strcmp(c.operands[0], "remove") == 0)
		return remove_map(&c);
	if (strcmp(c.operands[0], "list") != 0 || c.operand_cnt != 1)
		return mf_options_wrong(&map_usage, "map knows add, remove and list, not '%s'",
					c.operands[0]);
	status = call(&c, "GET", "/maps", NULL);
	return status ? status : finish(&c, print_routes);
}

/* --- list ------------------------------------------------------------------------------------------------------------- */

static const struct mf_usage list_usage = {
	.name = "proxy list",
	.synopsis = "[--json] [--verbose] [--dir DIR]",
	.text = "Lists the development servers that were detected on this machine, and the names "
		"that lead to them.\n",
	.example = "  moonfence proxy list --verbose\n",
	.options = list_options,
	.option_cnt = MF_ARRAY_SIZE(list_options),
};

static void print_servers(const struct call *c)
{
	struct mf_table t;
	size_t i;
	json_t *o;

	if (!json_array_size(c->answer)) {
		printf("No development server was detected.\n");
		return;
	}
	mf_table_init(&t, c->verbose ? "llllrl" : "llllr");
	mf_table_add(&t, "NAME");
	mf_table_add(&t, "AT");
	mf_table_add(&t, "KIND");
	mf_table_add(&t, "SPEAKS");
	mf_table_add(&t, "PID");
	if (c->verbose)
		mf_table_add(&t, "PROJECT");
	json_array_foreach(c->answer, i, o)
	{
		mf_table_add(&t, "%s", text_of(o, "name"));
		mf_table_add(&t, "%s", text_of(o, "at"));
		mf_table_add(&t, "%s", text_of(o, "kind"));
		mf_table_add(&t, "%s", text_of(o, "speech"));
		mf_table_add(&t, "%lld", number_of(o, "pid"));
		if (c->verbose)
			mf_table_add(&t, "%s", text_of(o, "project"));
	}
	mf_table_print(&t, stdout, true);
	mf_table_done(&t);
}

int mf_cmd_proxy_list(int argc, char **argv)
{
	struct call c = { 0 };
	int status;

	if (!parse(&c, &list_usage, argc, argv, 0, 0, &status))
		return status;
	status = call(&c, "GET", "/servers", NULL);
	return status ? status : finish(&c, print_servers);
}

/* --- test ------------------------------------------------------------------------------------------------------------- */

static const struct mf_usage test_usage = {
	.name = "proxy test",
	.synopsis = "[--json] [--dir DIR] NAME[:PORT]",
	.text = "Shows where a connection to NAME would go and what decides that; nothing is "
		"sent.\n",
	.example = "  moonfence proxy test app.localhost\n",
	.options = plain_options,
	.option_cnt = MF_ARRAY_SIZE(plain_options),
};

int mf_cmd_proxy_test(int argc, char **argv)
{
	struct mf_strbuf path = MF_STRBUF_INIT(4096);
	struct call c = { 0 };
	int status;
	char *colon;

	if (!parse(&c, &test_usage, argc, argv, 1, 1, &status))
		return status;
	mf_strbuf_adds(&path, "/test?");
	colon = strrchr(c.operands[0], ':');
	if (colon)
		*colon++ = '\0';
	add_param(&path, "name", c.operands[0]);
	if (colon) {
		mf_strbuf_addc(&path, '&');
		add_param(&path, "port", colon);
	}
	status = path.failed ? mf_options_wrong(&test_usage, "the name is too long")
			     : call(&c, "GET", path.str, NULL);
	mf_strbuf_done(&path);
	return status ? status : finish(&c, print_route);
}
