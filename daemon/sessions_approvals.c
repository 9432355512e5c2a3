/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions_approvals.c - questions that wait in sessions: of one, and of all of the host at once; see sessions.h
 *
 * Each session keeps its own questions and judges who may answer them; here they are asked for and answers are passed on. Of all at
 * once: one item of work asks one session after the other, each for a second at most, all for five. Who did not say is named
 * in the answer: a list that is not whole must not look so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "daemon/approval_schema.h"
#include "daemon/client.h"
#include "daemon/sessions_int.h"

enum {
	EACH_MS = 1000,
	ALL_MS = 5000,
};

/* ---- of all ----------------------------------------------------------------------------------------------------- */

struct asked {
	struct mf_session_entry *e;
	char *socket;
	int64_t peer_pid;
};

struct round {
	struct mf_work_item item;
	struct mf_sessions *s;
	struct mf_api_call *call;
	struct asked *list;
	size_t cnt;
	json_t *approvals; /* a list for each of @list; null: @why */
	json_t *why;
};

/* Return: its questions; NULL: *@why. No channel is no question: a session that puts none there answers 404. */
static json_t *ask_one(const struct asked *a, struct mf_err *why)
{
	struct mf_client_request q = { .method = "GET",
				       .target = "/v1/approvals",
				       .peer_pid = a->peer_pid,
				       .timeout_ms = EACH_MS };
	struct mf_client_answer answer;
	json_t *json, *list;

	if (mf_client_call(a->socket, &q, &answer, why) < 0)
		return NULL;
	json = answer.body.str ? json_loadb(answer.body.str, answer.body.len, 0, NULL) : NULL;
	list = json_object_get(json, "approvals");
	if (answer.status == 404)
		list = json_array();
	else if (answer.status == 200 && json_is_array(list))
		json_incref(list);
	else
		list = NULL, mf_err_set(why, MF_E_BAD, "it answers with status %d", answer.status);
	json_decref(json);
	mf_client_answer_done(&answer);
	return list;
}

static void ask_all(struct mf_work_item *item)
{
	struct round *r = (struct round *)item;
	uint64_t end = mf_clock_now(&mf_clock_system) + ALL_MS * MF_NS_PER_MS;

	for (size_t i = 0; i < r->cnt; i++) {
		struct mf_err why = { 0 };
		json_t *list = NULL;

		if (mf_clock_now(&mf_clock_system) < end)
			list = ask_one(&r->list[i], &why);
		else
			mf_err_set(&why, MF_E_TIME, "there was no time to ask it");
		json_array_append_new(r->approvals, list ? list : json_null());
		json_array_append_new(r->why, json_string(why.msg));
	}
}

static void free_round(struct round *r)
{
	for (size_t i = 0; i < r->cnt; i++) {
		r->list[i].e->uses--;
		free(r->list[i].socket);
	}
	free(r->list);
	json_decref(r->approvals);
	json_decref(r->why);
	free(r);
}

/* Who has ended meanwhile has no questions any more. */
static void add_answer(const struct round *r, size_t i, json_t *all, json_t *silent)
{
	const struct mf_session_entry *e = r->list[i].e;
	json_t *list = json_array_get(r->approvals, i), *q;
	size_t k;

	if (e->state == MF_SESSION_ENDED)
		return;
	if (!json_is_array(list)) {
		json_array_append_new(silent,
				      json_pack("{s:s, s:I, s:O?}", "session",
						mf_session_entry_id(e), "pid", (json_int_t)e->pid,
						"why", json_array_get(r->why, i)));
		return;
	}
	json_array_foreach(list, k, q)
	{
		json_object_set_new(q, "session", json_string(mf_session_entry_id(e)));
		json_object_set_new(q, "session_pid", json_integer(e->pid));
		json_array_append(all, q);
	}
}

static void have_all(struct mf_work_item *item)
{
	struct round *r = (struct round *)item;
	json_t *all = json_array(), *silent = json_array();

	for (size_t i = 0; i < r->cnt; i++)
		add_answer(r, i, all, silent);
	mf_api_answer(r->call, 200, json_pack("{s:o, s:o}", "approvals", all, "silent", silent));
	free_round(r);
}

static bool add_asked(struct round *r, struct mf_session_entry *e)
{
	char *socket = strdup(e->socket);

	if (!socket)
		return false;
	e->uses++;
	r->list[r->cnt++] = (struct asked){ e, socket, e->peer_pid };
	return true;
}

static void list_all(void *ctx, struct mf_api_call *call)
{
	struct mf_sessions *s = ctx;
	struct round *r = calloc(1, sizeof(*r));
	bool good = r != NULL;

	if (r) {
		r->item.run = ask_all;
		r->item.done = have_all;
		r->s = s;
		r->call = call;
		r->list = calloc(s->running + 1, sizeof(*r->list));
		r->approvals = json_array();
		r->why = json_array();
		good = r->list && r->approvals && r->why;
	}
	for (struct mf_session_entry *e = s->entries; good && e; e = e->next)
		if (e->state == MF_SESSION_RUNNING && r->cnt < s->running)
			good = add_asked(r, e);
	if (good && !r->cnt) {
		have_all(&r->item); /* without sessions, nobody is to be asked */
	} else if (!good || mf_work_add(s->work, &r->item) < 0) {
		if (r)
			free_round(r);
		mf_api_problem(call, 503, "too_many_requests", "too many sessions are being asked");
	}
}

/* ---- of one ----------------------------------------------------------------------------------------------------- */

/* Return: NULL: answered */
static struct mf_session_entry *find_running(struct mf_sessions *s, struct mf_api_call *call)
{
	struct mf_session_entry *e = mf_session_entry_find(s, call);

	if (!e || e->state == MF_SESSION_RUNNING)
		return e;
	mf_api_problem(call, 409, "not_running", "session %s does not run", mf_session_entry_id(e));
	return NULL;
}

static void list_approvals(void *ctx, struct mf_api_call *call)
{
	struct mf_session_entry *e = find_running(ctx, call);

	if (e)
		mf_session_entry_pass(e, call, "GET", "/v1/approvals", NULL);
}

/* Who asks us is who answers; the session hears it from us. */
static void answer_approval(void *ctx, struct mf_api_call *call)
{
	struct mf_session_entry *e = find_running(ctx, call);
	const char *number = mf_api_param(call, 1);
	const struct mf_peer *peer = mf_api_peer(call);
	char target[64];
	json_t *body;

	if (!e)
		return;
	if (!*number || strlen(number) > 20 || strspn(number, "0123456789") != strlen(number)) {
		mf_api_problem(call, 404, "no_approval", "no question %.20s waits (any longer)",
			       number);
		return;
	}
	snprintf(target, sizeof(target), "/v1/approvals/%s", number);
	body = json_copy((json_t *)(uintptr_t)mf_api_body(call));
	if (body && peer->known)
		json_object_set_new(body, "by",
				    json_pack("{s:I, s:I}", "uid", (json_int_t)peer->uid, "pid",
					      (json_int_t)peer->pid));
	if (body)
		mf_session_entry_pass(e, call, "POST", target, body);
	else
		mf_api_problem(call, 503, "no_memory", "out of memory");
	json_decref(body);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

// clang-format off
static const struct mf_api_schema schemas[] = {
	{ "Approval", MF_APPROVAL_SCHEMA },
	{ "SessionApprovals", "{\"type\": \"object\", \"description\": \"as the session's own socket says it: docs/approvals.md\", \"required\": [\"version\", \"approvals\"], \"additionalProperties\": false, \"properties\": {"
	  "\"version\": {\"type\": \"integer\"}, \"approvals\": {\"type\": \"array\", \"items\": {\"$ref\": \"#/components/schemas/Approval\"}}}}" },
	{ "HostApprovals", "{\"type\": \"object\", \"required\": [\"approvals\", \"silent\"], \"additionalProperties\": false, \"properties\": {"
	  "\"approvals\": {\"type\": \"array\", \"items\": {\"$ref\": \"#/components/schemas/Approval\"}}, "
	  "\"silent\": {\"type\": \"array\", \"description\": \"sessions that did not say in time what waits in them\", \"items\": {"
	  "\"type\": \"object\", \"required\": [\"session\", \"pid\"], \"additionalProperties\": false, \"properties\": {"
	  "\"session\": {\"type\": \"string\"}, \"pid\": {\"type\": \"integer\"}, \"why\": {\"type\": \"string\"}}}}}}" },
	{ "SessionApprovalAnswer", "{\"type\": \"object\", \"required\": [\"answer\"], \"additionalProperties\": false, \"properties\": {"
	  "\"answer\": {\"enum\": [\"allow\", \"deny\"]}, \"scope\": {\"enum\": [\"once\", \"session\", \"time\"]}, "
	  "\"for_s\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 2592000}}}" },
	{ "SessionApprovalAnswered", "{\"type\": \"object\", \"required\": [\"id\", \"answer\", \"scope\"], \"additionalProperties\": false, \"properties\": {"
	  "\"id\": {\"type\": \"integer\"}, \"answer\": {\"type\": \"string\"}, \"scope\": {\"type\": \"string\"}}}" },
};
// clang-format on

static const struct mf_api_route routes[] = {
	{ .method = "GET",
	  .path = "/v1/approvals",
	  .id = "listApprovals",
	  .summary = "What waits for an answer in any session of this host",
	  .answer = "HostApprovals",
	  .fn = list_all },
	{ .method = "POST",
	  .path = "/v1/approvals/{session}/{number}",
	  .id = "answerApproval",
	  .summary = "Answer one of them, by its session's name or process and its number there",
	  .request = "SessionApprovalAnswer",
	  .answer = "SessionApprovalAnswered",
	  .fn = answer_approval },
	{ .method = "GET",
	  .path = "/v1/sessions/{id}/approvals",
	  .id = "listSessionApprovals",
	  .summary = "What waits for an answer in a session",
	  .answer = "SessionApprovals",
	  .fn = list_approvals },
	{ .method = "POST",
	  .path = "/v1/sessions/{id}/approvals/{number}",
	  .id = "answerSessionApproval",
	  .summary = "Answer a question that waits in a session",
	  .request = "SessionApprovalAnswer",
	  .answer = "SessionApprovalAnswered",
	  .fn = answer_approval },
};

const struct mf_api_set mf_sessions_approvals_set = { routes, MF_ARRAY_SIZE(routes), schemas,
						      MF_ARRAY_SIZE(schemas) };
