/* SPDX-License-Identifier: Apache-2.0 */
/* policy_sessions.c - see policy_sessions.h */
#include "daemon/policy_sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "daemon/client.h"

enum { ASK_MS = 20000 };

static uint64_t deadline(void)
{
	return mf_clock_now(&mf_clock_system) + MF_POLICY_SESSIONS_S * MF_NS_PER_S;
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static void say(json_t *one, const char *result, const char *why)
{
	json_object_set_new(one, "result", json_string(result));
	if (why && *why)
		json_object_set_new(one, "why", json_string(why));
}

static bool is(const json_t *one, const char *result)
{
	return strcmp(text_of(one, "result"), result) == 0;
}

/* Whether both lists of policies have the same files' bytes, in their order. */
static bool same(const json_t *a, const json_t *b)
{
	if (!json_is_array(a) || json_array_size(a) != json_array_size(b))
		return false;
	for (size_t i = 0; i < json_array_size(a); i++) {
		const char *x = text_of(json_array_get(a, i), "sha256");

		if (!*x || strcmp(x, text_of(json_array_get(b, i), "sha256")) != 0)
			return false;
	}
	return true;
}

/*
 * One request to a session. Return: its answer, whose status was 200 to 299; NULL: its entry says what came instead. @body: stolen
 */
static json_t *ask(json_t *one, const char *method, const char *target, json_t *body, uint64_t end)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct mf_client_request q = { .method = method, .target = target, .timeout_ms = ASK_MS };
	struct mf_client_answer a;
	struct mf_err err = { 0 };
	json_t *answer = NULL;
	int r = MF_E_TIME;

	if (text)
		q.body = mf_span_str(text);
	if (mf_clock_now(&mf_clock_system) < end && (!body || text))
		r = mf_client_call(text_of(one, "socket"), &q, &a, &err);
	json_decref(body);
	free(text);
	if (r == MF_E_NOENT || r == MF_E_CLOSED) {
		say(one, "ended", NULL);
	} else if (r < 0) {
		say(one, "failed", err.msg[0] ? err.msg : "there was no time left to ask it");
	} else {
		answer = json_loadb(a.body.str ? a.body.str : "", a.body.len, 0, NULL);
		if (a.status < 200 || a.status > 299 || !answer) {
			say(one, a.status == 404 ? "not_supported" : "failed",
			    text_of(answer, "detail"));
			json_decref(answer);
			answer = NULL;
		}
		mf_client_answer_done(&a);
	}
	return answer;
}

/* Its generations; NULL: it has other policies than @before, or says nothing: its entry says it. */
static json_t *ask_generations(json_t *one, const json_t *before, uint64_t end)
{
	json_t *state = ask(one, "GET", "/v1/policy", NULL, end);
	json_t *list = json_incref(json_object_get(state, "generations"));

	json_decref(state);
	if (state && !same(json_object_get(json_array_get(list, 0), "policies"), before)) {
		say(one, "other_policies", NULL);
		json_decref(list);
		list = NULL;
	}
	return list;
}

static void prepare(json_t *one, const json_t *before, const json_t *paths, const json_t *policies,
		    uint64_t end)
{
	json_t *generations = ask_generations(one, before, end);
	json_t *candidate = NULL;

	if (generations)
		candidate = ask(one, "POST", "/v1/policy/load",
				json_pack("{s:O}", "paths", (json_t *)(uintptr_t)paths), end);
	if (candidate && !same(json_object_get(candidate, "policies"), policies))
		say(one, "failed", "it reads other bytes at these paths than the candidate's");
	else if (candidate)
		json_object_set(one, "candidate", json_object_get(candidate, "candidate"));
	json_decref(candidate);
	json_decref(generations);
}

int mf_policy_sessions_prepare(json_t *list, const json_t *before, const json_t *paths,
			       const json_t *policies, struct mf_err *err)
{
	uint64_t end = deadline();
	json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		prepare(one, before, paths, policies, end);
		if (is(one, "failed"))
			return mf_err_set(err, MF_E_INVAL,
					  "session %.64s cannot, and nothing was changed: %.200s",
					  text_of(one, "id"), text_of(one, "why"));
	}
	return 0;
}

void mf_policy_sessions_activate(json_t *list)
{
	uint64_t end = deadline();
	json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		json_t *candidate = json_object_get(one, "candidate"), *answer;

		if (!candidate)
			continue;
		answer = ask(one, "POST", "/v1/policy/activate",
			     json_pack("{s:O}", "candidate", candidate), end);
		if (answer) {
			say(one, "activated", NULL);
			json_object_set(one, "generation", json_object_get(answer, "number"));
		}
		json_object_del(one, "candidate");
		json_decref(answer);
	}
}

static json_t *find_generation(const json_t *generations, const json_t *policies)
{
	for (size_t i = 1; i < json_array_size(generations); i++) {
		json_t *g = json_array_get(generations, i);

		if (same(json_object_get(g, "policies"), policies))
			return json_object_get(g, "number");
	}
	return NULL;
}

static void rollback(json_t *one, const json_t *before, const json_t *policies, uint64_t end)
{
	json_t *generations = ask_generations(one, before, end), *answer = NULL;
	json_t *to = find_generation(generations, policies);

	if (to)
		answer = ask(one, "POST", "/v1/policy/rollback", json_pack("{s:O}", "to", to), end);
	else if (generations)
		say(one, "not_kept", NULL);
	if (answer) {
		say(one, "rolled_back", NULL);
		json_object_set(one, "generation", json_object_get(answer, "number"));
	}
	json_decref(answer);
	json_decref(generations);
}

void mf_policy_sessions_rollback(json_t *list, const json_t *before, const json_t *policies)
{
	uint64_t end = deadline();
	json_t *one;
	size_t i;

	json_array_foreach(list, i, one) rollback(one, before, policies, end);
}
