/* SPDX-License-Identifier: Apache-2.0 */
/* policy_explain.c - moonfence policy explain: one question, and everything that led to its answer */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/explain.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/policies.h"
#include "cli/question.h"
#include "core/base/addr.h"
#include "core/policy/request.h"

#define PATHS_MAX 64

enum { OPT_POLICY = 1, OPT_JSON, OPT_VAR };

static const struct mf_option options[] = {
	{ OPT_POLICY, 'p', "policy", "PATH", "policies to ask; may be given several times" },
	{ OPT_VAR, 0, "var", "NAME=VALUE", MF_VAR_OPTION_HELP },
	{ OPT_JSON, 0, "json", NULL, "print the whole trace as JSON" },
};

static const struct mf_usage usage = {
	.name = "policy explain",
	.synopsis = "--policy PATH [--json] KIND TARGET [FIELD=VALUE]...",
	.text = "Ask one question and show the verdict, the rule or line that gave it, every field "
		"that was read\n"
		"and predicate that was asked, the cost, and whether the next such request will "
		"enter Lua.\n"
		"KIND and TARGET: dns NAME, connect HOST:PORT, sni NAME[:PORT], file PATH (with "
		"op=...).\n"
		"FIELD=VALUE sets any other field of the request: ip=, type=, process.name=, "
		"session.labels.X=.\n"
		"Exit status: 0 there is an answer, 1 a policy's fault, 2 wrong usage.\n",
	.example = "  moonfence policy explain -p my.lua connect api.example:443 ip=203.0.113.7\n"
		   "  moonfence policy explain -p my.lua dns api.example type=AAAA\n"
		   "  moonfence policy explain -p my.lua file op=delete /workspace/notes.txt\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

/* --- text ------------------------------------------------------------------------------------------------------------ */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static void print_row(const char *label, const char *text)
{
	printf("  %-10s", label);
	mf_output_text(stdout, text);
	putchar('\n');
}

static const char *verdict_colour(enum mf_verdict verdict)
{
	return mf_output_colour(stdout, verdict == MF_DENY    ? MF_RED
					: verdict == MF_ALLOW ? MF_GREEN
							      : MF_YELLOW);
}

static void print_addresses(const struct mf_decision *d)
{
	char text[MF_ADDR_TEXT_MAX];

	for (size_t i = 0; i < d->addr_cnt; i++) {
		struct mf_addr addr;

		if (mf_addr_from_bytes(&addr, d->addrs[i].bytes, d->addrs[i].family == 4 ? 4 : 16))
			print_row("answer", mf_addr_format(&addr, text, sizeof(text)));
	}
	if (d->cname)
		print_row("answer", d->cname);
	if (d->addr_cnt || d->cname)
		printf("  %-10s%u s\n", "ttl", d->ttl_s);
}

/* What the verdict means for the program that asked. */
static void print_effect(enum mf_kind kind, const struct mf_decision *d)
{
	static const char *const rcodes[] = {
		"NOERROR (no such record)", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"
	};
	char text[512];

	if (d->verdict == MF_DENY && kind == MF_DNS) {
		if (d->rcode < MF_ARRAY_SIZE(rcodes))
			print_row("rcode", rcodes[d->rcode]);
		else
			printf("  %-10s%u\n", "rcode", d->rcode);
	}
	if (d->verdict == MF_DENY && kind == MF_FILE)
		printf("  %-10s%d\n", "errno", (int)d->file_errno);
	print_addresses(d);
	if (d->redirect_host) {
		bool v6 = strchr(d->redirect_host, ':') != NULL;

		snprintf(text, sizeof(text), "%s%s%s:%u", v6 ? "[" : "", d->redirect_host,
			 v6 ? "]" : "", d->redirect_port);
		print_row("to", text);
	}
	if (d->redirect_unix)
		print_row("to", d->redirect_unix);
	if (d->sni)
		print_row("sni", d->sni);
	if (d->verdict == MF_TERMINATE && d->on_failure == MF_FAIL_OPEN)
		print_row("pinned", "let through unseen, once it has shown");
	if (d->path_target)
		print_row("path", d->path_target);
	if (d->audit)
		print_row("audit", "carried out, and reported as audited");
	if (d->visibility != MF_AUDIT_ONLY)
		print_row("visible", mf_visibility_name(d->visibility));
	if (d->message)
		print_row("message", d->message);
}

static void print_source(const struct mf_decision *d)
{
	char text[1200];

	snprintf(text, sizeof(text), "%s%s%s%s", d->policy ? d->policy : "?",
		 d->pack && d->pack[0] ? ", pack " : "", d->pack ? d->pack : "",
		 d->matched ? "" : " (no policy had an opinion)");
	print_row("policy", text);
	if (d->rule)
		print_row("rule", d->rule);
	if (d->file && d->file[0]) {
		if (d->line)
			snprintf(text, sizeof(text), "%s:%u", d->file, d->line);
		else
			snprintf(text, sizeof(text), "%s", d->file);
		print_row("at", text);
	}
}

static void print_step(const json_t *step)
{
	const char *ask = text_of(step, "ask"), *argument = text_of(step, "argument");
	char *value;

	fputs("    ", stdout);
	if (*ask) {
		printf("%s", ask);
		if (*argument) {
			char text[512]; /* a list has one item a line */

			snprintf(text, sizeof(text), " %s", argument);
			for (char *c = text; *c; c++)
				if (*c == '\n')
					*c = ' ';
			mf_output_text(stdout, text);
			if (strlen(argument) >= sizeof(text) - 1)
				fputs("...", stdout);
		}
		printf("? %s\n", json_is_true(json_object_get(step, "answer")) ? "yes" : "no");
		return;
	}
	mf_output_text(stdout, text_of(step, "read"));
	if (json_object_get(step, "key")) {
		putchar('.');
		mf_output_text(stdout, text_of(step, "key"));
	}
	value = json_dumps(json_object_get(step, "value"), JSON_ENCODE_ANY);
	fputs(" = ", stdout);
	mf_output_text(stdout, value ? (strcmp(value, "null") == 0 ? "nil" : value) : "?");
	putchar('\n');
	free(value);
}

static void print_trace(const json_t *trace)
{
	size_t i, j;
	json_t *policy, *step;

	printf("\nAsked:\n");
	json_array_foreach(json_object_get(trace, "policies"), i, policy)
	{
		const char *by = text_of(policy, "by"), *error = text_of(policy, "error");
		const char *opinion = text_of(policy, "opinion");

		fputs("  ", stdout);
		mf_output_text(stdout, text_of(policy, "policy"));
		printf(" (%s): ", *by ? by : "nothing for this kind");
		mf_output_text(stdout, *error ? error : *opinion ? opinion : "no opinion");
		putchar('\n');
		json_array_foreach(json_object_get(policy, "steps"), j, step) print_step(step);
	}
	if (json_array_size(json_object_get(trace, "policies")) == 0)
		printf("  no policy\n");
}

static void print_cost(const json_t *trace)
{
	const char *next = text_of(trace, "next"), *why = text_of(trace, "why");
	json_int_t steps = json_integer_value(json_object_get(trace, "instructions"));
	json_int_t ns = json_integer_value(json_object_get(trace, "elapsed_ns"));

	printf("\nCost: %lld Lua instructions, %.1f us in all, recording included\n",
	       (long long)steps, (double)ns / 1000);
	if (strcmp(next, "memo") == 0)
		printf("Next: the same request is answered from memory, Lua is not entered");
	else if (strcmp(next, "graph") == 0)
		printf("Next: the fields are read anew, Lua is not entered");
	else
		printf("Next: the same request enters Lua again");
	if (*why) {
		fputs(": ", stdout);
		mf_output_text(stdout, why);
	}
	if (*text_of(trace, "valid_for"))
		printf(" (the answer holds for %s)", text_of(trace, "valid_for"));
	putchar('\n');
}

static void print_text(const struct mf_question *q, const struct mf_decision *d,
		       const json_t *trace)
{
	printf("%s%s%s", verdict_colour(d->verdict), mf_verdict_name(d->verdict),
	       mf_output_colour(stdout, MF_PLAIN));
	if (d->reason) {
		fputs(": ", stdout);
		mf_output_text(stdout, d->reason);
	}
	putchar('\n');
	print_source(d);
	print_effect(q->kind, d);
	if (q->note[0])
		print_row("note", q->note);
	print_trace(trace);
	print_cost(trace);
}

/* --- the command ------------------------------------------------------------------------------------------------------ */

/* The JSON of the library, with what only the decision and the command line know. */
static int print_json(const struct mf_question *q, const struct mf_decision *d, json_t *trace)
{
	char text[MF_ADDR_TEXT_MAX];
	json_t *addresses = json_array();

	for (size_t i = 0; i < d->addr_cnt; i++) {
		struct mf_addr addr;

		if (mf_addr_from_bytes(&addr, d->addrs[i].bytes, d->addrs[i].family == 4 ? 4 : 16))
			json_array_append_new(
				addresses, json_string(mf_addr_format(&addr, text, sizeof(text))));
	}
	if (d->verdict == MF_RESOLVE)
		json_object_set(trace, "addresses", addresses);
	json_decref(addresses);
	if (d->verdict == MF_DENY && q->kind == MF_DNS)
		json_object_set_new(trace, "rcode", json_integer(d->rcode));
	if (q->note[0])
		json_object_set_new(trace, "note", json_string(q->note));
	return mf_output_json(json_incref(trace));
}

int mf_explain_question(const struct mf_policies *p, struct mf_question *q, bool json)
{
	struct mf_decision d = MF_DECISION_INIT;
	const char *text;
	json_t *trace;
	int r = mf_vm_state_explain(p->state, q->request, &d, &text), status;

	trace = json_loads(text, 0, NULL);
	if (!trace)
		trace = json_object(); /* over its size limit: the decision itself is still known */
	status = r < 0 ? MF_EXIT_FAULT : MF_EXIT_GOOD;
	if (json)
		status = print_json(q, &d, trace) == MF_EXIT_GOOD ? status : MF_EXIT_FAULT;
	else
		print_text(q, &d, trace);
	if (r < 0)
		mf_output_problem(mf_vm_state_error(p->state));
	json_decref(trace);
	return status;
}

static int explain(const char *const *paths, size_t path_cnt, const struct mf_variables *v,
		   struct mf_question *q, bool json)
{
	struct mf_policies p;
	struct mf_err err = { 0 };
	int status;

	if (mf_policies_load(paths, path_cnt, v, &p, &err) < 0) {
		mf_output_problem(&err);
		return MF_EXIT_FAULT;
	}
	status = mf_explain_question(&p, q, json);
	mf_policies_done(&p);
	return status;
}

int mf_cmd_policy_explain(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *paths[PATHS_MAX], *value;
	struct mf_variables v = { 0 };
	struct mf_question q;
	struct mf_err err = { 0 };
	size_t path_cnt = 0;
	bool json = false;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_JSON)
			json = true;
		else if (opt == OPT_VAR && (status = mf_variables_add(&usage, &v, value)) != 0)
			return status;
		else if (opt == OPT_VAR)
			continue;
		else if (path_cnt == PATHS_MAX)
			return mf_options_wrong(&usage, "more than %d --policy", PATHS_MAX);
		else
			paths[path_cnt++] = value;
	}
	if (opt < 0)
		return o.status;
	if (path_cnt == 0)
		return mf_options_wrong(&usage, "which policies? Give --policy PATH");
	if (mf_question_parse(o.operand_cnt, o.operands, &q, &err) < 0)
		return mf_options_wrong(&usage, "%s", err.msg);
	status = explain(paths, path_cnt, &v, &q, json);
	mf_question_done(&q);
	return status;
}
