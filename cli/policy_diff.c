/* SPDX-License-Identifier: Apache-2.0 */
/* policy_diff.c - moonfence policy diff: which recorded or made-up requests get another verdict, and by which rule */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/event_request.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/policies.h"
#include "core/base/addr.h"
#include "core/match/cidr_set.h"
#include "core/policy/agentsh.h"
#include "core/policy/outcome.h"
#include "core/policy/request.h"

/* As diff(1): whoever compares must tell "they differ" from "it did not work". */
enum { EXIT_SAME = 0, EXIT_DIFFERS = 1, EXIT_TROUBLE = 2 };

enum { OPT_EVENTS = 1, OPT_LIMIT, OPT_JSON, OPT_VAR };

#define WORDS_MAX 1000 /* of one sort, taken from the policies' texts */
#define PORTS_MAX 24
#define FILES_MAX 64
#define LINE_MAX_ 65536 /* bytes of one event */
#define SHOWN	  50

static const struct mf_option options[] = {
	{ OPT_EVENTS, 'e', "events", "FILE",
	  "ask what was recorded in FILE instead; may be given several times; - for stdin" },
	{ OPT_LIMIT, 0, "limit", "N", "print at most N changes, 0 for all; 50" },
	{ OPT_VAR, 0, "var", "NAME=VALUE", MF_VAR_OPTION_HELP },
	{ OPT_JSON, 0, "json", NULL, "print JSON" },
};

static const struct mf_usage usage = {
	.name = "policy diff",
	.synopsis = "[--events FILE]... [--limit N] [--json] OLD NEW",
	.text = "Ask two policies (files, packs, directories) the same questions, and print those "
		"that they answer\n"
		"differently, with the rules that decided. The questions are what --events "
		"recorded ('run --events'),\n"
		"or else made up from the names, addresses, paths and ports that stand in either "
		"policy's text.\n"
		"For captured packets there is 'policy replay --against'.\n"
		"Exit status: 0 no difference was found, 1 differences, 2 trouble.\n",
	.example = "  moonfence policy diff --events events.jsonl policies/old policies/new\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct words {
	char *items[WORDS_MAX];
	size_t cnt;
};

struct diff {
	struct mf_variables variables;
	struct mf_policies old, new;
	const char *events[FILES_MAX];
	size_t event_file_cnt;
	uint64_t limit, asked, skipped, changed;
	bool json, left_out;
	json_t *list;
	struct words names, paths, nets;
	uint16_t ports[PORTS_MAX];
	size_t port_cnt;
};

/* --- comparing -------------------------------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_addresses(const struct mf_decision *a, const struct mf_decision *b)
{
	if (a->addr_cnt != b->addr_cnt)
		return false;
	for (size_t i = 0; i < a->addr_cnt; i++)
		if (a->addrs[i].family != b->addrs[i].family ||
		    memcmp(a->addrs[i].bytes, b->addrs[i].bytes, a->addrs[i].family == 4 ? 4 : 16))
			return false;
	return true;
}

/* Whether two decisions do the same; who made them, and what people are told, does not matter. */
static bool same(enum mf_kind kind, const struct mf_decision *a, const struct mf_decision *b)
{
	if (a->verdict != b->verdict || a->audit != b->audit)
		return false;
	if (a->verdict == MF_DENY)
		return (kind != MF_DNS || a->rcode == b->rcode) &&
		       (kind != MF_FILE || a->file_errno == b->file_errno);
	return same_addresses(a, b) && a->redirect_port == b->redirect_port &&
	       a->tls_mode == b->tls_mode && same_text(a->redirect_host, b->redirect_host) &&
	       same_text(a->redirect_unix, b->redirect_unix) && same_text(a->cname, b->cname) &&
	       same_text(a->path_target, b->path_target) && same_text(a->sni, b->sni);
}

/* "connect host="a.example" port=443" */
static void describe(const struct mf_request *req, struct mf_strbuf *b)
{
	mf_strbuf_adds(b, mf_kind_name((enum mf_kind)req->kind));
	for (int f = 0; f < MF_F_NUM; f++) {
		struct mf_value v = mf_request_peek(req, (enum mf_field)f);

		if (v.type == MF_T_NIL || f == MF_F_FAMILY || (f == MF_F_HOSTS && v.num <= 1))
			continue;
		mf_strbuf_addf(b, " %s=", mf_field_name((enum mf_field)f));
		mf_value_add_json(b, &v);
	}
}

static void add_address(struct mf_strbuf *b, const struct mf_addr_out *out)
{
	char text[MF_ADDR_TEXT_MAX];
	struct mf_addr addr;

	if (mf_addr_from_bytes(&addr, out->bytes, out->family == 4 ? 4 : 16))
		mf_strbuf_addf(b, " %s", mf_addr_format(&addr, text, sizeof(text)));
}

/* "deny by network_rules[2] rest (new.lua:7)" */
static void describe_decision(const struct mf_decision *d, int failed, struct mf_strbuf *b)
{
	if (failed < 0) {
		mf_strbuf_addf(b, "the policy failed: %s", d->reason ? d->reason : "?");
		return;
	}
	mf_strbuf_addf(b, "%s%s", mf_verdict_name(d->verdict), d->audit ? " (audited)" : "");
	for (size_t i = 0; d->verdict == MF_RESOLVE && i < d->addr_cnt; i++)
		add_address(b, &d->addrs[i]);
	if (d->redirect_host)
		mf_strbuf_addf(b, strchr(d->redirect_host, ':') ? " [%s]:%u" : " %s:%u",
			       d->redirect_host, d->redirect_port);
	if (d->redirect_unix || d->path_target || d->cname)
		mf_strbuf_addf(b, " %s",
			       d->redirect_unix ? d->redirect_unix
			       : d->path_target ? d->path_target
						: d->cname);
	mf_strbuf_addf(b, " by %s", d->rule ? d->rule : "?");
	if (d->file && *d->file && d->line)
		mf_strbuf_addf(b, " (%s:%u)", d->file, d->line);
}

static void print_change(struct diff *d, const struct mf_strbuf *question,
			 const struct mf_strbuf *before, const struct mf_strbuf *after)
{
	if (d->limit && d->changed > d->limit)
		return;
	if (d->json) {
		json_array_append_new(d->list, json_pack("{s:o, s:o, s:o}", "request",
							 mf_output_json_text(question->str), "old",
							 mf_output_json_text(before->str), "new",
							 mf_output_json_text(after->str)));
		return;
	}
	mf_output_text(stdout, question->str);
	printf("\n%s- ", mf_output_colour(stdout, MF_RED));
	mf_output_text(stdout, before->str);
	printf("%s\n%s+ ", mf_output_colour(stdout, MF_PLAIN), mf_output_colour(stdout, MF_GREEN));
	mf_output_text(stdout, after->str);
	printf("%s\n", mf_output_colour(stdout, MF_PLAIN));
}

/* Ask both; takes @req. */
static void ask(struct diff *d, struct mf_request *req)
{
	struct mf_strbuf question = MF_STRBUF_INIT(16384), before = MF_STRBUF_INIT(8192),
			 after = MF_STRBUF_INIT(8192);
	struct mf_decision a = MF_DECISION_INIT, b = MF_DECISION_INIT;
	size_t policy;
	int ra, rb;

	if (!req) {
		d->skipped++;
		return;
	}
	ra = mf_vm_state_decide(d->old.state, req, &a, &policy);
	rb = mf_vm_state_decide(d->new.state, req, &b, &policy);
	d->asked++;
	if ((ra < 0) != (rb < 0) || (ra == 0 && !same((enum mf_kind)req->kind, &a, &b))) {
		d->changed++;
		describe(req, &question);
		describe_decision(&a, ra, &before);
		describe_decision(&b, rb, &after);
		if (question.str && before.str && after.str)
			print_change(d, &question, &before, &after);
	}
	mf_strbuf_done(&question);
	mf_strbuf_done(&before);
	mf_strbuf_done(&after);
	mf_request_free(req);
}

/* --- what was recorded -------------------------------------------------------------------------------------------------- */

static int ask_events(struct diff *d, const char *path, struct mf_err *err)
{
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	char *line = malloc(LINE_MAX_);
	int r = 0;

	if (!in || !line)
		r = mf_err_set(err, in ? MF_E_NOMEM : MF_E_IO, "%s: it cannot be read", path);
	while (r == 0 && fgets(line, LINE_MAX_, in)) {
		json_t *event = json_loads(line, 0, NULL);

		if (json_is_object(event) && json_object_get(event, "policy"))
			ask(d, mf_event_request(event));
		else if (!json_is_object(event) && line[strspn(line, " \t\r\n")])
			d->skipped++;
		json_decref(event);
	}
	if (in && in != stdin)
		fclose(in);
	free(line);
	return r;
}

/* --- what stands in the policies ------------------------------------------------------------------------------------------ */

static void add_word(struct diff *d, struct words *w, const char *text)
{
	for (size_t i = 0; i < w->cnt; i++)
		if (strcmp(w->items[i], text) == 0)
			return;
	if (w->cnt == WORDS_MAX || !(w->items[w->cnt] = strdup(text)))
		d->left_out = true;
	else
		w->cnt++;
}

static void add_port(struct diff *d, long port)
{
	for (size_t i = 0; i < d->port_cnt; i++)
		if (d->ports[i] == port)
			return;
	if (port < 1 || port > 65535)
		return;
	if (d->port_cnt == PORTS_MAX)
		d->left_out = true;
	else
		d->ports[d->port_cnt++] = (uint16_t)port;
}

/* Wildcards become something that they match. */
static void fill_in(char *word)
{
	char *to = word;

	for (char *p = word; *p; p++) {
		if (*p == '*') {
			while (p[1] == '*')
				p++;
			*to++ = 'q';
		} else {
			*to++ = *p == '?' ? 'q' : *p;
		}
	}
	*to = '\0';
}

static void take_word(struct diff *d, char *word)
{
	size_t len = strlen(word), digits = strspn(word, "0123456789");
	char *colon = strrchr(word, ':'), *dash;
	struct mf_cidr net;

	if (digits == len && len < 6) {
		add_port(d, atol(word));
		return;
	}
	dash = digits < 6 ? word + digits : word;
	if (digits && *dash == '-' && strspn(dash + 1, "0123456789") == len - digits - 1) {
		add_port(d, atol(word));
		add_port(d, atol(word) - 1);
		add_port(d, atol(dash + 1));
		add_port(d, atol(dash + 1) + 1);
		return;
	}
	if (mf_cidr_parse(word, len, &net) == 0) {
		add_word(d, &d->nets, word);
		return;
	}
	if (colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1)) {
		add_port(d, atol(colon + 1));
		*colon = '\0';
	}
	fill_in(word);
	if (word[0] == '/')
		add_word(d, &d->paths, word);
	else if (strchr(word, '.') && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
						   "UVWXYZ0123456789.-_") == strlen(word))
		add_word(d, &d->names, word + (*word == '.'));
}

/* Everything in a policy's text that looks like a name, an address, a path or a port. */
static void take_words(void *ctx, const char *text, size_t len)
{
	struct diff *d = ctx;
	static const char ends[] = " \t\r\n\"'`,;{}()[]<>=|^$\\";
	char word[256];
	size_t n = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && text[i] && !strchr(ends, text[i])) {
			if (n + 1 < sizeof(word))
				word[n++] = text[i];
			continue;
		}
		/* "\." of an expression is a dot. */
		if (i + 1 < len && text[i] == '\\' && text[i + 1] == '.')
			continue;
		word[n] = '\0';
		if (n)
			take_word(d, word);
		n = 0;
	}
}

static void take_policies(struct diff *d, const struct mf_policies *p)
{
	for (size_t i = 0; i < mf_source_set_count(p->set); i++) {
		const struct mf_policy_source *policy = mf_source_set_policy(p->set, i);

		take_words(d, policy->chunk.text, policy->chunk.len);
		if (policy->yaml)
			mf_agentsh_each_extended(policy, take_words, d);
	}
}

static void ask_dns(struct diff *d, const char *name)
{
	struct mf_request *req = mf_request_new(MF_DNS);

	if (req && mf_request_set_str(req, MF_F_NAME, name, strlen(name)) == 0 &&
	    mf_request_set_str(req, MF_F_TYPE, "A", 1) == 0) {
		ask(d, req);
		return;
	}
	mf_request_free(req);
}

static void ask_flow(struct diff *d, enum mf_kind kind, const char *name, const char *ip, int port)
{
	struct mf_request *req = mf_request_new(kind);
	size_t len = name ? strlen(name) : 0;
	bool good = req && mf_request_set_int(req, MF_F_PORT, port) == 0 &&
		    mf_request_set_str(req, MF_F_PROTO, "tcp", 3) == 0 &&
		    mf_request_set_addr_text(req, MF_F_IP, ip) == 0;

	if (good && name)
		good = mf_request_set_str(req, MF_F_HOST, name, len) == 0 &&
		       mf_request_add_str(req, MF_F_HOSTS, name, len) == 0;
	if (good && name && kind == MF_SNI)
		good = mf_request_set_str(req, MF_F_SNI, name, len) == 0;
	if (good)
		ask(d, req);
	else
		mf_request_free(req);
}

/* A name, one below it, one above, and one that only looks like it. */
static void ask_names(struct diff *d, const char *name)
{
	const char *above = strchr(name, '.');
	char variants[3][300];
	const char *all[4] = { name, variants[0], variants[1], above ? above + 1 : name };

	snprintf(variants[0], sizeof(variants[0]), "q.%s", name);
	snprintf(variants[1], sizeof(variants[1]), "q%s", name);
	for (size_t i = 0; i < 3u + (above && strchr(above + 1, '.')); i++) {
		ask_dns(d, all[i]);
		for (size_t p = 0; p < d->port_cnt; p++) {
			ask_flow(d, MF_CONNECT, all[i], "203.0.113.7", d->ports[p]);
			if (d->ports[p] == 443)
				ask_flow(d, MF_SNI, all[i], "203.0.113.7", 443);
		}
	}
}

/* The first and the last address of a network, and those beside them. */
static void ask_net(struct diff *d, const char *text)
{
	char ip[MF_ADDR_TEXT_MAX];
	struct mf_cidr net;
	struct mf_addr ends[2];
	size_t last;

	if (mf_cidr_parse(text, strlen(text), &net) < 0)
		return;
	last = net.addr.family == 4 ? 3 : 15;
	ends[0] = ends[1] = net.addr;
	for (unsigned bit = net.bits; bit <= last * 8 + 7; bit++)
		ends[1].bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	for (size_t e = 0; e < 2; e++) {
		for (int by = 0; by < 2; by++) {
			struct mf_addr addr = ends[e];

			for (size_t i = last + 1; by && i-- > 0;) /* one less, one more */
				if (e ? ++addr.bytes[i] != 0 : addr.bytes[i]-- != 0)
					break;
			mf_addr_format(&addr, ip, sizeof(ip));
			for (size_t p = 0; p < d->port_cnt; p++)
				ask_flow(d, MF_CONNECT, NULL, ip, d->ports[p]);
		}
	}
}

static void ask_path(struct diff *d, const char *path)
{
	static const char *const ops[] = { "read", "write", "create", "delete", "stat", "rename" };
	char variants[3][400];
	const char *all[4] = { path, variants[0], variants[1], variants[2] };

	snprintf(variants[0], sizeof(variants[0]), "%s/q", path);
	snprintf(variants[1], sizeof(variants[1]), "%sq", path);
	snprintf(variants[2], sizeof(variants[2]), "%s/q/.env", path);
	for (size_t i = 0; i < 4; i++) {
		for (size_t o = 0; o < MF_ARRAY_SIZE(ops); o++) {
			struct mf_request *req = mf_request_new(MF_FILE);

			if (req &&
			    mf_request_set_str(req, MF_F_PATH, all[i], strlen(all[i])) == 0 &&
			    mf_request_set_str(req, MF_F_OP, ops[o], strlen(ops[o])) == 0)
				ask(d, req);
			else
				mf_request_free(req);
		}
	}
}

static void ask_made_up(struct diff *d)
{
	static const char *const nets[] = { "127.0.0.1",      "169.254.169.254", "10.0.0.0/8",
					    "192.168.0.0/16", "fd00::/8",	 "8.8.8.8" };

	add_port(d, 443), add_port(d, 80), add_port(d, 22), add_port(d, 53);
	add_word(d, &d->names, "some.example"), add_word(d, &d->paths, "/some");
	for (size_t i = 0; i < MF_ARRAY_SIZE(nets); i++)
		add_word(d, &d->nets, nets[i]);
	take_policies(d, &d->old);
	take_policies(d, &d->new);
	for (size_t i = 0; i < d->names.cnt; i++)
		ask_names(d, d->names.items[i]);
	for (size_t i = 0; i < d->nets.cnt; i++)
		ask_net(d, d->nets.items[i]);
	for (size_t i = 0; i < d->paths.cnt; i++)
		ask_path(d, d->paths.items[i]);
}

/* --- the command -------------------------------------------------------------------------------------------------------- */

static void free_words(struct words *w)
{
	for (size_t i = 0; i < w->cnt; i++)
		free(w->items[i]);
}

static int finish(struct diff *d)
{
	int status = d->changed ? EXIT_DIFFERS : EXIT_SAME;

	if (d->json) {
		if (mf_output_json(json_pack(
			    "{s:I, s:I, s:I, s:b, s:o}", "asked", (json_int_t)d->asked, "changed",
			    (json_int_t)d->changed, "skipped", (json_int_t)d->skipped, "left_out",
			    d->left_out, "changes", d->list)) != MF_EXIT_GOOD)
			status = EXIT_TROUBLE;
		d->list = NULL;
		return status;
	}
	if (d->limit && d->changed > d->limit)
		printf("... and %llu more (--limit 0 prints all)\n",
		       (unsigned long long)(d->changed - d->limit));
	printf("%llu of %llu requests change%s\n", (unsigned long long)d->changed,
	       (unsigned long long)d->asked,
	       d->event_file_cnt ? "" : " (made up from what stands in both policies)");
	if (d->skipped)
		fprintf(stderr, "moonfence: %llu events do not hold their request, or are cut\n",
			(unsigned long long)d->skipped);
	if (d->left_out)
		fprintf(stderr, "moonfence: the policies hold more than was asked about\n");
	return status;
}

static int compare(struct diff *d, const char *old, const char *new)
{
	struct mf_err err = { 0 };
	int r = mf_policies_load(&old, 1, &d->variables, &d->old, &err), status = EXIT_TROUBLE;

	if (r == 0) {
		r = mf_policies_load(&new, 1, &d->variables, &d->new, &err);
		for (size_t i = 0; r == 0 && i < d->event_file_cnt; i++)
			r = ask_events(d, d->events[i], &err);
		if (r == 0 && !d->event_file_cnt)
			ask_made_up(d);
		if (r == 0)
			status = finish(d);
		if (d->new.set)
			mf_policies_done(&d->new);
		mf_policies_done(&d->old);
	}
	if (r < 0)
		mf_output_problem(&err);
	return status;
}

int mf_cmd_policy_diff(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	struct diff *d = calloc(1, sizeof(*d));
	const char *value;
	int opt, status;

	if (!d)
		return EXIT_TROUBLE;
	d->limit = SHOWN;
	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_JSON)
			d->json = true;
		else if (opt == OPT_VAR &&
			 (status = mf_variables_add(&usage, &d->variables, value)) == 0)
			continue;
		else if (opt == OPT_VAR) {
			free(d);
			return status;
		} else if (opt == OPT_EVENTS && d->event_file_cnt < FILES_MAX)
			d->events[d->event_file_cnt++] = value;
		else if (opt == OPT_LIMIT && *value && strspn(value, "0123456789") == strlen(value))
			d->limit = strtoull(value, NULL, 10);
		else {
			free(d);
			return mf_options_wrong(&usage,
						opt == OPT_LIMIT
							? "--limit needs a number, not \"%s\""
							: "too many event files: %s",
						value);
		}
	}
	d->list = json_array();
	if (opt < 0)
		status = o.status;
	else if (o.operand_cnt != 2)
		status = mf_options_wrong(&usage, "which policies? Give OLD and NEW");
	else
		status = compare(d, o.operands[0], o.operands[1]);
	free_words(&d->names);
	free_words(&d->paths);
	free_words(&d->nets);
	json_decref(d->list);
	free(d);
	return status;
}
