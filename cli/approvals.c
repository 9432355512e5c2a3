/* SPDX-License-Identifier: Apache-2.0 */
/* approvals.c - moonfence approvals list|show|allow|deny|watch: what waits for an answer in sessions that run, and answers */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/running.h"
#include "core/approve/approve.h"
#include "core/policy/rules.h"
#include "daemon/client.h"

enum { WAIT_S = 60, MARGIN_MS = 30000 };

enum { OPT_SESSION = 1, OPT_JSON, OPT_REMEMBER };

#define SESSION_ROW                                                                             \
	{                                                                                       \
		OPT_SESSION, 's', "session", "SESSION",                                         \
			"its name or process number; without it, the one in which NUMBER waits" \
	}
#define ONLY_SESSION_ROW                                                                 \
	{                                                                                \
		OPT_SESSION, 's', "session", "SESSION",                                  \
			"its name or process number; without it, the only one that runs" \
	}
#define JSON_ROW                                        \
	{                                               \
		OPT_JSON, 0, "json", NULL, "print JSON" \
	}

static const struct mf_option list_options[] = {
	{ OPT_SESSION, 's', "session", "SESSION",
	  "its name or process number; without it, all that run" },
	JSON_ROW,
};
static const struct mf_option look_options[] = { SESSION_ROW, JSON_ROW };
static const struct mf_option watch_options[] = { ONLY_SESSION_ROW, JSON_ROW };
static const struct mf_option answer_options[] = {
	SESSION_ROW,
	{ OPT_REMEMBER, 'r', "remember", "HOW-LONG",
	  "the same answer from now on: session, or a time such as 10m (default: this once)" },
};

static const struct mf_usage list_usage = {
	.name = "approvals list",
	.synopsis = "[OPTION]...",
	.text = "What a policy wants to be approved and waits, in sessions that were started with\n"
		"--approvals control: number, session, seconds that are left, and what is "
		"wanted.\n",
	.example = "  moonfence approvals list\n",
	.options = list_options,
	.option_cnt = MF_ARRAY_SIZE(list_options),
};
static const struct mf_usage show_usage = {
	.name = "approvals show",
	.synopsis = "[OPTION]... NUMBER",
	.text = "All that is known about one question that waits.\n",
	.example = "  moonfence approvals show 3\n",
	.options = look_options,
	.option_cnt = MF_ARRAY_SIZE(look_options),
};
static const struct mf_usage allow_usage = {
	.name = "approvals allow",
	.synopsis = "[OPTION]... NUMBER",
	.text = "Let what waits go on: its policies are asked again, with this answer. It is "
		"recorded who\n"
		"gave it. Exit status: 0, 1 it does not wait (any longer), 2 wrong usage.\n",
	.example = "  moonfence approvals allow 3\n"
		   "  moonfence approvals allow --remember session 3\n",
	.options = answer_options,
	.option_cnt = MF_ARRAY_SIZE(answer_options),
};
static const struct mf_usage deny_usage = {
	.name = "approvals deny",
	.synopsis = "[OPTION]... NUMBER",
	.text = "Refuse what waits. It is recorded who did. Exit status: 0, 1 it does not wait "
		"(any\n"
		"longer), 2 wrong usage.\n",
	.example = "  moonfence approvals deny --remember 1h 3\n",
	.options = answer_options,
	.option_cnt = MF_ARRAY_SIZE(answer_options),
};
static const struct mf_usage watch_usage = {
	.name = "approvals watch",
	.synopsis = "[OPTION]...",
	.text = "Print each question of a session as it comes, until the session ends.\n",
	.example = "  moonfence approvals watch --json | while read -r question; do ...; done\n",
	.options = watch_options,
	.option_cnt = MF_ARRAY_SIZE(watch_options),
};

struct wanted {
	const char *session;
	bool json;
	enum mf_approve_scope scope;
	long long for_s;
	unsigned long long id; /* 0: none */
};

/* ---- arguments ------------------------------------------------------------------------------------------------- */

static int set_remember(const struct mf_usage *usage, struct wanted *w, const char *value)
{
	int64_t ms = strcmp(value, "session") == 0 ? 0 : mf_rules_duration_ms(value);

	w->scope = strcmp(value, "session") == 0 ? MF_APPROVE_SESSION : MF_APPROVE_FOR;
	w->for_s = (ms + 999) / 1000;
	if (w->scope == MF_APPROVE_FOR && (ms <= 0 || (uint64_t)ms > MF_APPROVE_FOR_MAX_MS))
		return mf_options_wrong(
			usage, "--remember wants 'session' or a time up to 30d, not '%s'", value);
	return 0;
}

/* Return: -1, or the exit status to end with */
static int parse(const struct mf_usage *usage, int argc, char **argv, bool wants_id,
		 struct wanted *w)
{
	struct mf_options o = mf_options_of(usage, argc, argv);
	const char *value;
	int opt, status = 0;
	char *end;

	*w = (struct wanted){ .scope = MF_APPROVE_ONCE };
	while (!status && (opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_SESSION)
			w->session = value;
		else if (opt == OPT_JSON)
			w->json = true;
		else
			status = set_remember(usage, w, value);
	}
	if (status)
		return status;
	if (opt < 0)
		return o.status;
	if (o.operand_cnt != (wants_id ? 1 : 0))
		return mf_options_wrong(usage, wants_id ? "one NUMBER is wanted"
							: "nothing but options is wanted");
	if (!wants_id)
		return -1;
	w->id = strtoull(o.operands[0], &end, 10);
	if (*end || !w->id)
		return mf_options_wrong(usage, "'%s' is no number of a question", o.operands[0]);
	return -1;
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

static int tell(const struct mf_err *err)
{
	fputs("moonfence: ", stderr);
	mf_output_problem(err);
	return MF_EXIT_FAULT;
}

/* Return: the answer's JSON; NULL: *err */
static json_t *call(const struct mf_running *running, const struct mf_client_request *request,
		    struct mf_err *err)
{
	struct mf_client_answer a;
	const char *detail;
	json_t *json;
	int r = mf_client_call(running->socket, request, &a, err);

	if (r < 0)
		return NULL;
	json = a.body.str ? json_loads(a.body.str, 0, NULL) : NULL;
	if (json && a.status == 200) {
		mf_client_answer_done(&a);
		return json;
	}
	detail = json_string_value(json_object_get(json, "detail"));
	if (a.status == 404 && !(detail && strstr(detail, "question")))
		(void)mf_err_set(err, MF_E_NOENT,
				 "session %s was not started with --approvals control",
				 running->id);
	else
		(void)mf_err_set(err, MF_E_NOENT, "%s",
				 detail ? detail : "the session's answer makes no sense");
	json_decref(json);
	mf_client_answer_done(&a);
	return NULL;
}

static json_t *ask_list(const struct mf_running *running, const char *target, struct mf_err *err)
{
	return call(running,
		    &(struct mf_client_request){ .method = "GET",
						 .target = target,
						 .timeout_ms = WAIT_S * 1000 + MARGIN_MS },
		    err);
}

static long long number_of(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

static bool has_question(const struct mf_running *running, unsigned long long id)
{
	struct mf_err err = { 0 };
	json_t *answer = ask_list(running, "/v1/approvals", &err), *q;
	bool has = false;
	size_t i;

	json_array_foreach(json_object_get(answer, "approvals"), i, q) has |=
		number_of(q, "id") == (long long)id;
	json_decref(answer);
	return has;
}

/* Where no session was named, and several run: the one in which the question waits. */
static int find_session(const struct wanted *w, struct mf_running *ret, struct mf_err *err)
{
	struct mf_running *all = w->session ? NULL : calloc(MF_RUNNING_MAX, sizeof(*all));
	struct mf_strbuf names = MF_STRBUF_INIT(400);
	int cnt = all ? mf_running_list(all, err) : 0, found = 0;

	if (cnt <= 1) { /* or its errors */
		free(all);
		return mf_running_find(w->session, ret, err);
	}
	for (int i = 0; i < cnt; i++) {
		if (!has_question(&all[i], w->id))
			continue;
		*ret = all[i];
		mf_strbuf_addf(&names, "%s%.64s (%lld)", found++ ? ", " : "", all[i].id,
			       all[i].pid);
	}
	free(all);
	if (found > 1)
		(void)mf_err_set(err, MF_E_EXIST,
				 "a question %llu waits in several sessions, give --session: %s%s",
				 w->id, names.str ? names.str : "", names.failed ? ", ..." : "");
	else if (!found)
		(void)mf_err_set(err, MF_E_NOENT, "no question %llu waits (any longer)", w->id);
	mf_strbuf_done(&names);
	return found == 1 ? 0 : found ? MF_E_EXIST : MF_E_NOENT;
}

/* ---- printing -------------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));

	return text ? text : "";
}

static void put_shown(const char *text)
{
	struct mf_strbuf b = MF_STRBUF_INIT(65536);

	mf_approve_show_text(&b, text);
	fputs(b.str ? b.str : "", stdout);
	mf_strbuf_done(&b);
}

static void print_line(const json_t *q)
{
	printf("%lld  ", number_of(q, "id"));
	put_shown(text_of(q, "session"));
	printf("  %llds  ", (number_of(q, "left_ms") + 999) / 1000);
	put_shown(text_of(q, "what"));
	if (*text_of(q, "message") || *text_of(q, "reason")) {
		fputs("  (", stdout);
		put_shown(*text_of(q, "message") ? text_of(q, "message") : text_of(q, "reason"));
		fputs(")", stdout);
	}
	putchar('\n');
}

static void print_json(const json_t *q)
{
	json_dumpf(q, stdout, JSON_COMPACT);
	putchar('\n');
}

static void print_member(const char *name, const char *text)
{
	if (!*text)
		return;
	printf("%-10s ", name);
	put_shown(text);
	putchar('\n');
}

static void print_all(json_t *q)
{
	const char *name;
	json_t *value;

	printf("%-10s %lld\n", "number", number_of(q, "id"));
	print_member("session", text_of(q, "session"));
	print_member("wanted", text_of(q, "what"));
	print_member("message", text_of(q, "message"));
	print_member("reason", text_of(q, "reason"));
	print_member("policy", text_of(q, "policy"));
	print_member("rule", text_of(q, "rule"));
	if (*text_of(q, "file")) {
		printf("%-10s ", "line");
		put_shown(text_of(q, "file"));
		printf(":%lld\n", number_of(q, "line"));
	}
	printf("%-10s %lld\n", "requests", number_of(q, "requests"));
	printf("%-10s %lld s\n", "left", (number_of(q, "left_ms") + 999) / 1000);
	printf("%-10s %s\n", "remember",
	       json_is_false(json_object_get(q, "remember")) ? "never" : "allowed");
	json_object_foreach(json_object_get(q, "fields"), name, value)
		print_member(name, json_is_string(value) ? json_string_value(value) : "");
}

/* ---- the commands ---------------------------------------------------------------------------------------------- */

int mf_cmd_approvals_list(int argc, char **argv)
{
	struct mf_running *all = calloc(MF_RUNNING_MAX, sizeof(*all));
	json_t *out = json_array(), *answer, *q;
	struct mf_err err = { 0 };
	struct wanted w;
	int status = parse(&list_usage, argc, argv, false, &w), n = 0;
	size_t i;

	if (status < 0 && (!all || !out))
		n = mf_err_set(&err, MF_E_NOMEM, "out of memory");
	else if (status < 0)
		n = w.session ? mf_running_find(w.session, all, &err) : mf_running_list(all, &err);
	if (status < 0 && n == 0 && w.session)
		n = 1;
	for (int k = 0; status < 0 && k < n; k++) {
		answer = ask_list(&all[k], "/v1/approvals", &err);
		if (!answer && w.session)
			n = -1;
		json_array_foreach(json_object_get(answer, "approvals"), i, q)(void)
			json_array_append(out, q);
		json_decref(answer);
	}
	if (status < 0 && n < 0) {
		status = tell(&err);
	} else if (status < 0 && w.json) {
		status = mf_output_json(json_incref(out));
	} else if (status < 0) {
		json_array_foreach(out, i, q) print_line(q);
		status = MF_EXIT_GOOD;
	}
	json_decref(out);
	free(all);
	return status;
}

int mf_cmd_approvals_show(int argc, char **argv)
{
	struct mf_running running;
	struct mf_err err = { 0 };
	struct wanted w;
	json_t *answer = NULL, *q, *found = NULL;
	int status = parse(&show_usage, argc, argv, true, &w);
	size_t i;

	if (status >= 0)
		return status;
	if (find_session(&w, &running, &err) == 0)
		answer = ask_list(&running, "/v1/approvals", &err);
	if (!answer)
		return tell(&err);
	json_array_foreach(json_object_get(answer, "approvals"), i,
			   q) if (number_of(q, "id") == (long long)w.id) found = q;
	if (!found) {
		(void)mf_err_set(&err, MF_E_NOENT, "no question %llu waits (any longer)", w.id);
		status = tell(&err);
	} else if (w.json) {
		status = mf_output_json(json_incref(found));
	} else {
		print_all(found);
		status = MF_EXIT_GOOD;
	}
	json_decref(answer);
	return status;
}

static int answer(const struct mf_usage *usage, int argc, char **argv, const char *word)
{
	char target[64], body[160];
	struct mf_running running;
	struct mf_err err = { 0 };
	json_t *done = NULL;
	struct wanted w;
	int status = parse(usage, argc, argv, true, &w), n;

	if (status >= 0)
		return status;
	snprintf(target, sizeof(target), "/v1/approvals/%llu", w.id);
	n = snprintf(body, sizeof(body), "{\"answer\": \"%s\", \"scope\": \"%s\"", word,
		     mf_approve_scope_name(w.scope));
	if (w.scope == MF_APPROVE_FOR)
		n += snprintf(body + n, sizeof(body) - (size_t)n, ", \"for_s\": %lld", w.for_s);
	n += snprintf(body + n, sizeof(body) - (size_t)n, "}");
	if (find_session(&w, &running, &err) == 0)
		done = call(&running,
			    &(struct mf_client_request){ .method = "POST",
							 .target = target,
							 .body = mf_span_of(body, (size_t)n),
							 .timeout_ms = MARGIN_MS },
			    &err);
	if (!done)
		return tell(&err);
	json_decref(done);
	return MF_EXIT_GOOD;
}

int mf_cmd_approvals_allow(int argc, char **argv)
{
	return answer(&allow_usage, argc, argv, "allow");
}

int mf_cmd_approvals_deny(int argc, char **argv)
{
	return answer(&deny_usage, argc, argv, "deny");
}

int mf_cmd_approvals_watch(int argc, char **argv)
{
	struct mf_running running;
	struct mf_err err = { 0 };
	struct wanted w;
	json_t *list, *q;
	char target[96] = "/v1/approvals";
	long long last = 0;
	int status = parse(&watch_usage, argc, argv, false, &w);
	bool any = false;
	size_t i;

	if (status >= 0)
		return status;
	if (mf_running_find(w.session, &running, &err) < 0)
		return tell(&err);
	while ((list = ask_list(&running, target, &err))) {
		any = true;
		json_array_foreach(json_object_get(list, "approvals"), i, q)
		{
			if (number_of(q, "id") <= last)
				continue;
			last = number_of(q, "id");
			if (w.json)
				print_json(q);
			else
				print_line(q);
		}
		fflush(stdout);
		snprintf(target, sizeof(target), "/v1/approvals?wait=%d&after=%lld", WAIT_S,
			 number_of(list, "version"));
		json_decref(list);
	}
	return any ? MF_EXIT_GOOD : tell(&err); /* the session has ended */
}
