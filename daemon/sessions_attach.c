/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions_attach.c - POST /v1/attach: a session tells where it can be asked, and what it answers is passed on; see sessions.h
 *
 * The answer to a registration has no end: one line once the session is in the list, then nothing. Its end is the daemon's. Who
 * registers is the process that asks, as the system says; what serves the socket must be the same process, whenever
 * it is asked, so that nobody leads the daemon, which may be root's, to another's socket.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/strbuf.h"
#include "daemon/client.h"
#include "daemon/session_place.h"
#include "daemon/sessions_int.h"

enum { ASK_MS = 5000 };

/* ---- asking the session itself ---------------------------------------------------------------------------------- */

struct passing {
	struct mf_work_item item;
	struct mf_session_entry *e;
	struct mf_api_call *call; /* NULL: nobody waits for the answer */
	const char *method;
	int64_t peer_pid;
	char *socket, *target, *body;
	bool end; /* what is known of the session is the answer, when it says yes */
	int rc;
	struct mf_client_answer answer;
	struct mf_err err;
};

static void pass_on(struct mf_work_item *item)
{
	struct passing *p = (struct passing *)item;
	struct mf_client_request q = { .method = p->method,
				       .target = p->target,
				       .peer_pid = p->peer_pid,
				       .timeout_ms = ASK_MS };

	if (p->body)
		q.body = mf_span_str(p->body);
	p->rc = mf_client_call(p->socket, &q, &p->answer, &p->err);
}

static void free_passing(struct passing *p)
{
	free(p->socket);
	free(p->target);
	free(p->body);
	free(p);
}

static void pass_back(struct mf_work_item *item)
{
	struct passing *p = (struct passing *)item;

	p->e->uses--;
	if (!p->call) {
		if (p->rc == 0)
			mf_client_answer_done(&p->answer);
	} else if (p->rc < 0) {
		mf_api_problem(p->call, 504, "no_answer", "session %s does not answer: %s",
			       mf_session_entry_id(p->e), p->err.msg);
	} else if (p->end && p->answer.status == 202) {
		mf_api_answer(p->call, 202, mf_session_entry_json(p->e));
		mf_client_answer_done(&p->answer);
	} else {
		mf_api_answer_text(p->call, p->answer.status,
				   p->answer.type[0] ? p->answer.type : NULL,
				   mf_span_of(p->answer.body.str ? p->answer.body.str : "",
					      p->answer.body.len));
		mf_client_answer_done(&p->answer);
	}
	free_passing(p);
}

static void pass(struct mf_session_entry *e, struct mf_api_call *call, const char *method,
		 const char *target, const json_t *body, bool end)
{
	struct passing *p = calloc(1, sizeof(*p));

	if (p) {
		p->item.run = pass_on;
		p->item.done = pass_back;
		p->e = e;
		p->call = call;
		p->method = method;
		p->end = end;
		p->peer_pid = e->peer_pid;
		p->rc = MF_E_AGAIN; /* of what is not run any more */
		p->socket = strdup(e->socket);
		p->target = strdup(target);
		p->body = body ? json_dumps(body, JSON_COMPACT) : NULL;
	}
	if (!p || !p->socket || !p->target || (body && !p->body) ||
	    mf_work_add(e->all->work, &p->item) < 0) {
		if (p)
			free_passing(p);
		if (call)
			mf_api_problem(call, 503, "too_many_requests",
				       "too many sessions are being asked");
		return;
	}
	e->uses++;
}

void mf_session_entry_pass(struct mf_session_entry *e, struct mf_api_call *call, const char *method,
			   const char *target, const json_t *body)
{
	pass(e, call, method, target, body, false);
}

void mf_session_entry_pass_end(struct mf_session_entry *e, struct mf_api_call *call)
{
	pass(e, call, "DELETE", "/v1/session", NULL, true);
}

void mf_session_entry_tell(struct mf_session_entry *e, const char *method, const char *target)
{
	mf_session_entry_pass(e, NULL, method, target, NULL);
}

/* ---- registering ------------------------------------------------------------------------------------------------ */

static void on_gone(void *ctx)
{
	struct mf_session_entry *e = ctx;

	e->attached = NULL;
	e->attached_told = false;
}

void mf_session_entry_attach(struct mf_session_entry *e)
{
	static const struct mf_api_stream_ops ops = { .gone = on_gone };
	struct mf_api_call *call = e->attached;
	char *line;
	json_t *json;

	if (!call || e->attached_told || e->state != MF_SESSION_RUNNING)
		return;
	e->attached = NULL; /* as long as it cannot be sent a stream */
	if (mf_api_stream_begin(call, "application/x-ndjson", &ops, e) < 0)
		return;
	e->attached = call;
	e->attached_told = true;
	json = json_pack("{s:s}", "attached", mf_session_entry_id(e));
	line = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	(void)mf_api_stream_send(call, mf_span_str(line ? line : "{}"));
	free(line);
	if (e->attached)
		(void)mf_api_stream_send(call, mf_span_str("\n"));
}

void mf_session_entry_detach(struct mf_session_entry *e)
{
	struct mf_api_call *call = e->attached;
	bool told = e->attached_told;

	e->attached = NULL;
	e->attached_told = false;
	if (call && told)
		mf_api_stream_end(call);
	else if (call)
		mf_api_problem(call, 422, "no_session",
			       "nothing that the daemon may ask answers for process %ld at its "
			       "control socket",
			       e->pid);
}

static void attach(void *ctx, struct mf_api_call *call)
{
	struct mf_sessions *s = ctx;
	const char *socket = json_string_value(json_object_get(mf_api_body(call), "socket"));
	const struct mf_peer *peer = mf_api_peer(call);
	struct mf_session_entry *e;

	if (!s->o.dir) {
		mf_api_problem(call, 501, "not_supported",
			       "this system's sessions cannot be asked");
		return;
	}
	if (!peer->known || peer->pid <= 0 || !mf_session_place_is_absolute(socket)) {
		mf_api_problem(call, 422, "wrong_value",
			       peer->pid > 0 ? "a socket's path is absolute: '%.200s'"
					     : "the system does not say which process this is",
			       socket);
		return;
	}
	e = mf_sessions_find_pid(s, (long)peer->pid);
	if (!e && !(e = mf_sessions_add_at(s, (long)peer->pid, socket))) {
		mf_api_problem(call, 503, "too_many_sessions", "%d sessions run already",
			       MF_SESSIONS_MAX);
		return;
	}
	if (e->attached) {
		mf_api_problem(call, 409, "session_exists", "process %ld is registered already",
			       e->pid);
		return;
	}
	e->attached = call;
	if (e->state == MF_SESSION_RUNNING)
		mf_session_entry_attach(e);
	else
		mf_session_entry_ask(e);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

// clang-format off
static const struct mf_api_schema schemas[] = {
	{ "Attachment",
	  "{\"type\": \"object\", \"required\": [\"socket\"], \"additionalProperties\": false, \"properties\": {"
	  "\"socket\": {\"type\": \"string\", \"minLength\": 1, \"maxLength\": 200, \"description\": \"control socket of the session whose process asks; absolute\"}}}" },
};
// clang-format on

static const struct mf_api_route routes[] = {
	{ .method = "POST",
	  .path = "/v1/attach",
	  .id = "attachSession",
	  .summary = "Register the session of the process that asks; the answer lasts as long as "
		     "the registration",
	  .request = "Attachment",
	  .type = "application/x-ndjson",
	  .fn = attach },
};

const struct mf_api_set mf_sessions_attach_set = { routes, MF_ARRAY_SIZE(routes), schemas,
						   MF_ARRAY_SIZE(schemas) };
