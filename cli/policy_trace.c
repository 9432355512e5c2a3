/* SPDX-License-Identifier: Apache-2.0 */
/* policy_trace.c - moonfence policy trace: what a running session decides, as it decides it, and by which line */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/running.h"
#include "core/observe/event_filter.h"
#include "core/observe/events.h"
#include "daemon/client.h"

enum {
	OPT_KIND = 1,
	OPT_VERDICT,
	OPT_HOST,
	OPT_PATH,
	OPT_KEPT,
	OPT_ONCE,
	OPT_COUNT,
	OPT_JSON,
	OPT_LIST,
};

static const struct mf_option options[] = {
	{ OPT_KIND, 'k', "kind", "KIND",
	  "of this kind only: dns, connect, sni, http, file; may be repeated" },
	{ OPT_VERDICT, 'v', "verdict", "VERDICT",
	  "decided or carried out so: deny, redirect, audit, ...; may be repeated" },
	{ OPT_HOST, 0, "host", "GLOB",
	  "name or address: *.example is one label more, **.example any number" },
	{ OPT_PATH, 0, "path", "GLOB", "file: * stays in a directory, ** does not" },
	{ OPT_KEPT, 0, "kept", NULL, "begin with the oldest decision that the session still has" },
	{ OPT_ONCE, 0, "once", NULL, "do not wait for more: what the session still has, then end" },
	{ OPT_COUNT, 'n', "count", "N", "end after N decisions" },
	{ OPT_JSON, 0, "json", NULL, "print the events themselves, one JSON object a line" },
	{ OPT_LIST, 0, "list", NULL, "print the sessions that run, and nothing else" },
};

static const struct mf_usage usage = {
	.name = "policy trace",
	.synopsis = "[OPTION]... [SESSION]",
	.text = "What a running session (run, mount, resolver) decides, while it "
		"decides it: the verdict,\n"
		"what was asked, and the rule, policy and line that gave it. SESSION is its name "
		"or "
		"process number;\n"
		"without it, the only one that runs. Ends with the session. What came too fast to "
		"be shown is counted\n"
		"in its place; the session never waits. Files on a mount are told when they were "
		"changed or refused.\n"
		"Exit status: 0, 1 no such session, 2 wrong usage.\n",
	.example = "  moonfence policy trace --verdict deny\n"
		   "  moonfence policy trace --kind connect --host '**.example' s1\n"
		   "  moonfence policy trace --kept --once --json s1 | jq .policy.rule\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct trace {
	struct mf_strbuf kinds, verdicts; /* with commas */
	const char *host, *path, *session;
	bool kept, once, json, list;
	unsigned long long limit, shown; /* limit 0: none */
	struct mf_strbuf line;		 /* what came of one that is not whole */
};

/* ---- text ------------------------------------------------------------------------------------------------------ */

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static void put(const char *before, const char *text, const char *behind)
{
	if (!*text)
		return;
	fputs(before, stdout);
	mf_output_text(stdout, text);
	fputs(behind, stdout);
}

static const char *colour_of(const char *verdict)
{
	return mf_output_colour(stdout, strcmp(verdict, "deny") == 0	? MF_RED
					: strcmp(verdict, "allow") == 0 ? MF_GREEN
									: MF_YELLOW);
}

static const char *object_of(const json_t *event)
{
	static const char *const names[] = { "path", "remote", "domain" };

	if (strncmp(text_of(event, "type"), "dns", 3) == 0)
		return text_of(event, "domain");
	for (size_t i = 0; i < MF_ARRAY_SIZE(names); i++)
		if (*text_of(event, names[i]))
			return text_of(event, names[i]);
	return "";
}

/* Where it was sent, or led, instead. */
static const char *target_of(const json_t *event)
{
	static const char *const names[] = { "redirect_to", "redirect_to_unix", "resolved_to",
					     "to_path" };
	const json_t *fields = json_object_get(event, "fields");

	for (size_t i = 0; i < MF_ARRAY_SIZE(names); i++)
		if (*text_of(fields, names[i]))
			return text_of(fields, names[i]);
	return "";
}

/* "rule lan of policy corp (new.yaml:33), from memory: no model APIs" */
static void print_why(const json_t *policy)
{
	json_int_t line = json_integer_value(json_object_get(policy, "line"));
	const char *rule = text_of(policy, "rule"), *file = text_of(policy, "file");
	const char *origin = text_of(policy, "origin");

	fputs("\n    ", stdout);
	put("", *rule ? rule : "no rule", "");
	put(" of ", text_of(policy, "name"), "");
	put(", pack ", text_of(policy, "pack"), "");
	put(" ", text_of(policy, "pack_version"), "");
	if (*file) {
		put(" (", file, "");
		if (line)
			printf(":%lld", (long long)line);
		putchar(')');
	}
	put(", by ", origin, "");
	put(": ",
	    *text_of(policy, "reason") ? text_of(policy, "reason") : text_of(policy, "message"),
	    "");
	put("; error: ", text_of(policy, "error"), "");
	putchar('\n');
}

static void print_decision(const json_t *event, const json_t *policy)
{
	const char *decided = text_of(policy, "decision"),
		   *done = text_of(policy, "effective_decision");
	const char *time = text_of(event, "timestamp"), *operation = text_of(event, "operation");
	const char *kind = strncmp(text_of(event, "type"), "dns", 3) == 0 ? "dns" : operation;
	json_int_t pid = json_integer_value(json_object_get(event, "pid"));
	const json_t *qtype = json_object_get(json_object_get(event, "fields"), "qtype");

	printf("%.12s ", strlen(time) > 23 ? time + 11 : time);
	printf("%s", colour_of(*done ? done : decided));
	mf_output_text(stdout, decided);
	if (*done && strcmp(done, decided) != 0)
		put(" (", done, ")");
	fputs(mf_output_colour(stdout, MF_PLAIN), stdout);
	put(" ", kind, "");
	put(" ", object_of(event), "");
	put(" ", json_is_string(qtype) ? json_string_value(qtype) : "", "");
	put(" -> ", target_of(event), "");
	if (pid)
		printf(", process %lld", (long long)pid);
	print_why(policy);
}

static void print_gap(const json_t *event)
{
	const json_t *count = json_object_get(json_object_get(event, "fields"), "count");

	printf("%s", mf_output_colour(stdout, MF_YELLOW));
	if (count)
		printf("... %lld events are missing here", (long long)json_integer_value(count));
	else
		printf("... events are missing here, nobody knows how many");
	printf("%s\n", mf_output_colour(stdout, MF_PLAIN));
}

/* Return: whether to go on */
static bool show(struct trace *t, const char *line, size_t len)
{
	json_t *event = json_loadb(line, len, 0, NULL);
	const json_t *policy = json_object_get(event, "policy");
	bool gap = strcmp(text_of(event, "type"), "events_dropped") == 0;

	if (t->json && (policy || gap)) {
		fwrite(line, 1, len, stdout);
		putchar('\n');
	} else if (gap) {
		print_gap(event);
	} else if (policy) {
		print_decision(event, policy);
	}
	json_decref(event);
	fflush(stdout);
	t->shown += policy != NULL;
	return !ferror(stdout) && !(t->limit && t->shown >= t->limit);
}

static bool on_bytes(void *ctx, struct mf_span bytes)
{
	struct trace *t = ctx;
	const char *p = (const char *)bytes.ptr, *end = p + bytes.len, *nl;

	for (; (nl = memchr(p, '\n', (size_t)(end - p))); p = nl + 1) {
		bool more;

		mf_strbuf_add(&t->line, p, (size_t)(nl - p));
		more = t->line.failed || show(t, t->line.str, t->line.len);
		mf_strbuf_done(&t->line);
		t->line = (struct mf_strbuf)MF_STRBUF_INIT(MF_EVENT_ROOM);
		if (!more)
			return false;
	}
	mf_strbuf_add(&t->line, p, (size_t)(end - p));
	return true;
}

/* ---- the question ----------------------------------------------------------------------------------------------- */

static void add_parameter(struct mf_strbuf *b, const char *name, const char *value)
{
	mf_strbuf_addf(b, "&%s=", name);
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~,", c))
			mf_strbuf_add(b, value, 1);
		else
			mf_strbuf_addf(b, "%%%02X", c);
	}
}

static int follow(struct trace *t, const char *socket, struct mf_err *err)
{
	struct mf_strbuf target = MF_STRBUF_INIT(16384);
	struct mf_client_answer a;
	json_t *problem;
	int r;

	mf_strbuf_addf(&target, "/v1/events?follow=%s", t->once ? "false" : "true");
	add_parameter(&target, "kind", t->kinds.len ? t->kinds.str : "dns,connect,sni,http,file");
	if (t->verdicts.len)
		add_parameter(&target, "verdict", t->verdicts.str);
	if (t->host)
		add_parameter(&target, "host", t->host);
	if (t->path)
		add_parameter(&target, "path", t->path);
	if (t->kept || t->once)
		add_parameter(&target, "after", "");
	r = target.failed ? mf_err_set(err, MF_E_LIMIT, "too much is asked for")
			  : mf_client_call(socket,
					   &(struct mf_client_request){ .method = "GET",
									.target = target.str,
									.piece = on_bytes,
									.ctx = t },
					   &a, err);
	mf_strbuf_done(&target);
	if (r < 0)
		return r;
	if (a.status != 200) {
		problem = a.body.str ? json_loads(a.body.str, 0, NULL) : NULL;
		r = mf_err_set(err, MF_E_INVAL, "%s", text_of(problem, "detail"));
		json_decref(problem);
	}
	mf_client_answer_done(&a);
	return r;
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static int print_list(void)
{
	struct mf_running *all = calloc(MF_RUNNING_MAX, sizeof(*all));
	struct mf_err err = { 0 };
	struct mf_table table;
	int cnt = all ? mf_running_list(all, &err) : mf_err_set(&err, MF_E_NOMEM, "out of memory");

	if (cnt < 0) {
		mf_output_problem(&err);
		free(all);
		return MF_EXIT_FAULT;
	}
	mf_table_init(&table, "lrll");
	mf_table_add(&table, "session");
	mf_table_add(&table, "process");
	mf_table_add(&table, "kind");
	mf_table_add(&table, "what");
	for (int i = 0; i < cnt; i++) {
		mf_table_add(&table, "%s", all[i].id);
		mf_table_add(&table, "%lld", all[i].pid);
		mf_table_add(&table, "%s", all[i].kind);
		mf_table_add(&table, "%s", all[i].what);
	}
	mf_table_print(&table, stdout, true);
	mf_table_done(&table);
	free(all);
	return MF_EXIT_GOOD;
}

/* A word of the filter, which is looked at here so that a mistake is told before anybody is asked. */
static int check(const char *name, const char *value)
{
	struct mf_event_filter *f;
	struct mf_err err = { 0 };
	int r = mf_event_filter_new(&f, &err);

	if (r == 0) {
		r = mf_event_filter_add(f, name, value, &err);
		mf_event_filter_free(f);
	}
	return r < 0 ? mf_options_wrong(&usage, "--%s: %s", name, err.msg) : 0;
}

static int add_word(struct mf_strbuf *b, const char *name, const char *value)
{
	mf_strbuf_addf(b, "%s%s", b->len ? "," : "", value);
	return check(name, value);
}

static int set_count(struct trace *t, const char *value)
{
	char *end;

	t->limit = strtoull(value, &end, 10);
	if (*end || value[0] < '0' || value[0] > '9' || !t->limit)
		return mf_options_wrong(&usage, "--count wants a number above 0: '%s'", value);
	return 0;
}

static int take_option(struct trace *t, int opt, const char *value)
{
	switch (opt) {
	case OPT_KIND:
		return add_word(&t->kinds, "kind", value);
	case OPT_VERDICT:
		return add_word(&t->verdicts, "verdict", value);
	case OPT_HOST:
		t->host = value;
		return check("host", value);
	case OPT_PATH:
		t->path = value;
		return check("path", value);
	case OPT_KEPT:
		t->kept = true;
		return 0;
	case OPT_ONCE:
		t->once = true;
		return 0;
	case OPT_COUNT:
		return set_count(t, value);
	case OPT_JSON:
		t->json = true;
		return 0;
	default:
		t->list = true;
		return 0;
	}
}

/* Return: -1, or the exit status to end with */
static int parse(struct trace *t, int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(t, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt > 1)
		return mf_options_wrong(&usage, "one SESSION is wanted: '%s'", o.operands[1]);
	t->session = o.operand_cnt ? o.operands[0] : NULL;
	return -1;
}

int mf_cmd_policy_trace(int argc, char **argv)
{
	struct trace t = { .kinds = MF_STRBUF_INIT(4096),
			   .verdicts = MF_STRBUF_INIT(4096),
			   .line = MF_STRBUF_INIT(MF_EVENT_ROOM) };
	struct mf_err err = { 0 };
	struct mf_running running;
	int status = parse(&t, argc, argv), r;

	if (status < 0 && t.list) {
		status = print_list();
	} else if (status < 0) {
		r = mf_running_find(t.session, &running, &err);
		if (r == 0)
			r = follow(&t, running.socket, &err);
		status = r < 0 ? MF_EXIT_FAULT : MF_EXIT_GOOD;
		if (r < 0) {
			fputs("moonfence: ", stderr);
			mf_output_problem(&err);
		}
	}
	mf_strbuf_done(&t.kinds);
	mf_strbuf_done(&t.verdicts);
	mf_strbuf_done(&t.line);
	return status;
}
