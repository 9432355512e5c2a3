/* SPDX-License-Identifier: Apache-2.0 */
/* approval_routes.c - see approval_routes.h */
#include "daemon/approval_routes.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop/loop_wake.h"
#include "daemon/approval_schema.h"

enum { WAIT_S_MAX = 300, WAITERS_MAX = 64 };

/* A call that is answered when something changes, or its time is over. */
struct waiter {
	struct mf_approval_routes *routes;
	struct waiter *next, **at;
	struct mf_api_call *call;
	struct event timer;
	uint64_t after;
};

struct mf_approval_routes {
	struct mf_approvals *approvals;
	struct event_base *base;
	struct mf_loop_wake *wake; /* questions change in other threads */
	struct waiter *waiters;
	unsigned cnt;
	bool watching, ending;
};

/* --- the list ----------------------------------------------------------------------------------------------------------- */

static json_t *text(const char *s)
{
	json_t *v;
	struct mf_strbuf b = MF_STRBUF_INIT(65536);

	if (!s)
		return json_null();
	v = json_string(s);
	if (v)
		return v;
	mf_approve_show_text(&b, s); /* no UTF-8: paths may be any bytes */
	v = json_string(b.str ? b.str : "");
	mf_strbuf_done(&b);
	return v;
}

static void add_item(void *ctx, const struct mf_approve_item *item)
{
	struct mf_strbuf title = MF_STRBUF_INIT(8192);
	json_t *list = ctx, *fields = json_object(), *o;

	for (unsigned i = 0; fields && i < item->field_cnt; i++)
		(void)json_object_set_new(fields, item->names[i], text(item->values[i]));
	mf_approve_item_title(item, &title);
	o = json_pack(
		"{s:I, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:b}",
		"id", (json_int_t)item->id, "session", text(item->session_id), "kind", item->kind,
		"what", text(title.str), "fields", fields, "policy", text(item->policy), "rule",
		text(item->rule), "reason", text(item->reason), "message", text(item->message),
		"file", text(item->file), "line", (json_int_t)item->line, "generation",
		(json_int_t)item->generation, "pid", (json_int_t)item->pid, "asked_ms",
		(json_int_t)(item->asked_ns / MF_NS_PER_MS), "left_ms", (json_int_t)item->left_ms,
		"requests", (json_int_t)item->waiters, "remember", !item->once);
	mf_strbuf_done(&title);
	if (o)
		(void)json_array_append_new(list, o);
}

static void answer_list(struct mf_approval_routes *r, struct mf_api_call *call)
{
	json_t *list = json_array();
	uint64_t version = list ? mf_approvals_each(r->approvals, add_item, list) : 0;

	mf_api_answer(call, 200,
		      json_pack("{s:I, s:o}", "version", (json_int_t)version, "approvals", list));
}

static void ignore(void *ctx, const struct mf_approve_item *item)
{
	(void)ctx;
	(void)item;
}

static void end_waiter(struct waiter *w)
{
	struct mf_approval_routes *r = w->routes;
	struct mf_api_call *call = w->call;

	event_del(&w->timer);
	*w->at = w->next;
	if (w->next)
		w->next->at = w->at;
	r->cnt--;
	free(w);
	answer_list(r, call);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	end_waiter(ctx);
}

static void on_change(void *ctx)
{
	struct mf_approval_routes *r = ctx;
	uint64_t version = mf_approvals_each(r->approvals, ignore, NULL);

	for (struct waiter *w = r->waiters, *next; w; w = next) {
		next = w->next;
		if (w->after != version)
			end_waiter(w);
	}
}

static bool read_number(const struct mf_api_call *call, const char *name, uint64_t max,
			uint64_t *ret)
{
	char value[24], *end;

	if (!mf_api_query(call, name, value, sizeof(value)))
		return true;
	*ret = strtoull(value, &end, 10);
	return end != value && !*end && *value != '-' && *ret <= max;
}

static void list(void *ctx, struct mf_api_call *call)
{
	struct mf_approval_routes *r = ctx;
	uint64_t wait_s = 0, after = UINT64_MAX;
	struct timeval tv = { 0 };
	struct waiter *w;

	if (!read_number(call, "wait", WAIT_S_MAX, &wait_s) ||
	    !read_number(call, "after", INT64_MAX, &after)) {
		mf_api_problem(call, 422, "wrong_value",
			       "wait is 0 to %d seconds, after the version of an answer",
			       WAIT_S_MAX);
		return;
	}
	if (!wait_s || r->ending || after != mf_approvals_each(r->approvals, ignore, NULL)) {
		answer_list(r, call);
		return;
	}
	w = r->cnt < WAITERS_MAX ? calloc(1, sizeof(*w)) : NULL;
	if (!w) {
		mf_api_problem(call, 503, "too_many", "%d wait already", WAITERS_MAX);
		return;
	}
	w->routes = r;
	w->call = call;
	w->after = after;
	w->at = &r->waiters;
	w->next = r->waiters;
	if (w->next)
		w->next->at = &w->next;
	r->waiters = w;
	r->cnt++;
	tv.tv_sec = (long)wait_s;
	event_assign(&w->timer, r->base, -1, 0, on_timer, w);
	event_add(&w->timer, &tv);
}

/* --- answers ------------------------------------------------------------------------------------------------------------ */

static enum mf_approve_scope scope_of(const char *word)
{
	for (int i = 0; word && i < MF_APPROVE_SCOPE_NUM; i++)
		if (strcmp(word, mf_approve_scope_name((enum mf_approve_scope)i)) == 0)
			return (enum mf_approve_scope)i;
	return MF_APPROVE_ONCE;
}

static void answer(void *ctx, struct mf_api_call *call)
{
	struct mf_approval_routes *r = ctx;
	const json_t *body = mf_api_body(call);
	const char *word = json_string_value(json_object_get(body, "answer"));
	const json_t *for_s = json_object_get(body, "for_s");
	enum mf_approve_scope scope = scope_of(json_string_value(json_object_get(body, "scope")));
	const struct mf_peer *peer = mf_api_peer(call);
	const json_t *by = json_object_get(body, "by");
	struct mf_approve_who who = { peer->known ? (int64_t)peer->uid : -1, peer->pid, "control" };
	const char *id_text = mf_api_param(call, 0);
	char *end;
	uint64_t id = strtoull(id_text, &end, 10);
	int rc;

	if (by) /* who may ask here is our own user or root: a daemon, and believed */
		who = (struct mf_approve_who){ json_integer_value(json_object_get(by, "uid")),
					       json_integer_value(json_object_get(by, "pid")),
					       "daemon" };
	if ((scope == MF_APPROVE_FOR) != (for_s != NULL)) {
		mf_api_problem(call, 422, "wrong_value",
			       "for_s belongs to scope time, which needs it");
		return;
	}
	rc = end == id_text || *end
		     ? MF_E_NOENT
		     : mf_approvals_answer(r->approvals, id, strcmp(word, "allow") == 0, scope,
					   (uint64_t)json_integer_value(for_s) * 1000, &who);
	if (rc == 0)
		mf_api_answer(call, 200,
			      json_pack("{s:I, s:s, s:s}", "id", (json_int_t)id, "answer", word,
					"scope", mf_approve_scope_name(scope)));
	else if (rc == MF_E_NOENT)
		mf_api_problem(call, 404, "no_approval", "no question %s waits (any longer)",
			       id_text);
	else if (rc == MF_E_PERM)
		mf_api_problem(call, 409, "not_remembered",
			       "the rule lets no answer be remembered: scope once");
	else
		mf_api_problem(call, 500, "no_memory", "the answer found no room");
}

/* clang-format off */
static const struct mf_api_route routes[] = {
	{ .method = "GET", .path = "/v1/approvals", .id = "listApprovals",
	  .summary = "What waits for an answer; with wait and after: as soon as that has changed",
	  .query = "{\"name\": \"wait\", \"in\": \"query\", \"description\": \"seconds to wait for a change, at most 300\", \"schema\": {\"type\": \"integer\"}}, "
		   "{\"name\": \"after\", \"in\": \"query\", \"description\": \"the version that is known already\", \"schema\": {\"type\": \"integer\"}}",
	  .answer = "Approvals", .fn = list },
	{ .method = "POST", .path = "/v1/approvals/{id}", .id = "answerApproval",
	  .summary = "Answer a question that waits", .request = "ApprovalAnswer", .answer = "ApprovalAnswered", .fn = answer },
};

static const struct mf_api_schema schemas[] = {
	{ "Approvals", "{\"type\": \"object\", \"required\": [\"version\", \"approvals\"], \"additionalProperties\": false, \"properties\": {"
	  "\"version\": {\"type\": \"integer\", \"description\": \"changes with every question that comes or goes\"}, "
	  "\"approvals\": {\"type\": \"array\", \"items\": {\"$ref\": \"#/components/schemas/Approval\"}}}}" },
	{ "Approval", MF_APPROVAL_SCHEMA },
	{ "ApprovalAnswer", "{\"type\": \"object\", \"required\": [\"answer\"], \"additionalProperties\": false, \"properties\": {"
	  "\"answer\": {\"enum\": [\"allow\", \"deny\"]}, "
	  "\"scope\": {\"enum\": [\"once\", \"session\", \"time\"], \"description\": \"once, if it is not said\"}, "
	  "\"for_s\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 2592000, \"description\": \"seconds, of scope time\"}, "
	  "\"by\": {\"type\": \"object\", \"required\": [\"uid\", \"pid\"], \"additionalProperties\": false, \"description\": \"a daemon says who asked it\", "
	  "\"properties\": {\"uid\": {\"type\": \"integer\"}, \"pid\": {\"type\": \"integer\"}}}}}" },
	{ "ApprovalAnswered", "{\"type\": \"object\", \"required\": [\"id\", \"answer\", \"scope\"], \"additionalProperties\": false, \"properties\": {"
	  "\"id\": {\"type\": \"integer\"}, \"answer\": {\"type\": \"string\"}, \"scope\": {\"type\": \"string\"}}}" },
};
/* clang-format on */

static const struct mf_api_set set = { routes, MF_ARRAY_SIZE(routes), schemas,
				       MF_ARRAY_SIZE(schemas) };

/* --- beginning and end -------------------------------------------------------------------------------------------------- */

int mf_approval_routes_new(struct mf_api *api, struct event_base *base,
			   struct mf_approvals *approvals, struct mf_approval_routes **ret,
			   struct mf_err *err)
{
	struct mf_approval_routes *r = calloc(1, sizeof(*r));
	int rc;

	*ret = NULL;
	if (!r)
		return mf_err_set(err, MF_E_NOMEM, "Out of memory.");
	r->approvals = approvals;
	r->base = base;
	r->wake = mf_loop_wake_new(base, on_change, r);
	if (!r->wake) {
		free(r);
		return mf_err_set(err, MF_E_IO, "No sockets for approvals.");
	}
	*ret = r;
	rc = mf_approvals_watch(approvals, mf_loop_wake, r->wake);
	if (rc < 0)
		return mf_err_set(err, rc, "Approvals have too many watchers.");
	r->watching = true;
	return mf_api_add(api, &set, r, err);
}

void mf_approval_routes_end(struct mf_approval_routes *r)
{
	if (!r)
		return;
	r->ending = true;
	if (r->watching)
		mf_approvals_unwatch(r->approvals, mf_loop_wake, r->wake);
	r->watching = false;
	while (r->waiters)
		end_waiter(r->waiters);
}

void mf_approval_routes_free(struct mf_approval_routes *r)
{
	if (!r)
		return;
	mf_approval_routes_end(r);
	mf_loop_wake_free(r->wake);
	free(r);
}
