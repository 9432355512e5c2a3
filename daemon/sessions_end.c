/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions_end.c - the processes of a session, and its end: asked for, and where that is wanted forced; see sessions.h
 *
 * Forced: SIGTERM first, then, when its grace is over, its command and what that has left behind are killed, as often as the
 * daemon looks (100 ms), until it has ended. Its moonfence then reports how the command ended and cleans up, and is killed itself
 * only when it has not done so within seconds. Killing reads all of /proc: in the thread that asks sessions.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "daemon/session_processes.h"
#include "daemon/sessions_int.h"
#include "daemon/spawn.h"

enum {
	GRACE_S = 10, /* where nobody says another */
	GRACE_S_MAX = 300,
	/* since the grace was over */
	BELOW_MS = 2000,    /* helpers, too */
	ALL_MS = 5000,	    /* its moonfence, too */
	GIVE_UP_MS = 15000, /* who does not die now waits for a device */
};

/* ---- its processes ---------------------------------------------------------------------------------------------- */

struct look {
	struct mf_work_item item;
	struct mf_session_entry *e;
	struct mf_api_call *call;
	int64_t pid;
	bool complete;
	json_t *list;
};

static void look(struct mf_work_item *item)
{
	struct look *l = (struct look *)item;

	l->list = mf_session_processes_json(l->pid, &l->complete);
}

static void looked(struct mf_work_item *item)
{
	struct look *l = (struct look *)item;
	json_t *json = mf_session_entry_json(l->e);

	l->e->uses--;
	if (l->list && l->e->state != MF_SESSION_ENDED) {
		json_object_set(json, "processes", l->list);
		json_object_set_new(json, "processes_complete", json_boolean(l->complete));
	}
	json_decref(l->list);
	mf_api_answer(l->call, 200, json);
	free(l);
}

static void get_session(void *ctx, struct mf_api_call *call)
{
	struct mf_session_entry *e = mf_session_entry_find(ctx, call);
	struct look *l;

	if (!e)
		return;
	if (e->state == MF_SESSION_ENDED) {
		mf_api_answer(call, 200, mf_session_entry_json(e));
		return;
	}
	l = calloc(1, sizeof(*l));
	if (l) {
		l->item.run = look;
		l->item.done = looked;
		l->e = e;
		l->call = call;
		l->pid = e->pid;
	}
	if (!l || mf_work_add(e->all->work, &l->item) < 0) {
		free(l);
		mf_api_problem(call, 503, "too_many_requests", "too many sessions are being asked");
		return;
	}
	e->uses++;
}

/* ---- killing ---------------------------------------------------------------------------------------------------- */

struct killing {
	struct mf_work_item item;
	struct mf_session_entry *e;
	int64_t pid;
	enum mf_session_kill who;
	const struct mf_session_link
		*link; /* of one that is no child; the entry is used, so it stays */
	int rc;
};

static bool is_there(void *ctx)
{
	const struct killing *k = ctx;
	int status;

	return k->link && !mf_session_link_is_over(k->link, &status);
}

static void run_killing(struct mf_work_item *item)
{
	struct killing *k = (struct killing *)item;

	k->rc = mf_session_processes_kill(k->pid, k->who, k->link ? is_there : NULL, k);
}

static void killed(struct mf_work_item *item)
{
	struct killing *k = (struct killing *)item;
	struct mf_session_entry *e = k->e;

	e->uses--;
	e->killing = false;
	if (k->rc == MF_E_PERM && !e->kill_refused) {
		e->kill_refused = true;
		mf_log_error(
			e->all->o.log,
			"session %s is to be killed, and has processes of users that this daemon "
			"may not kill",
			mf_session_entry_id(e));
	}
	free(k);
}

void mf_session_entry_kill_when_due(struct mf_session_entry *e)
{
	uint64_t now = mf_clock_now(&mf_clock_system), late_ms;
	struct killing *k;

	if (!e->kill_at_ns || now < e->kill_at_ns || e->killing || (!e->ours && !e->link))
		return;
	late_ms = (now - e->kill_at_ns) / MF_NS_PER_MS;
	if (late_ms > GIVE_UP_MS) {
		e->kill_at_ns = 0;
		mf_log_error(e->all->o.log,
			     "session %s was killed %d s ago and has not ended: process %ld",
			     mf_session_entry_id(e), GIVE_UP_MS / 1000, e->pid);
		return;
	}
	k = calloc(1, sizeof(*k));
	if (!k)
		return; /* the next look */
	k->item.run = run_killing;
	k->item.done = killed;
	k->e = e;
	k->pid = e->pid;
	k->who = late_ms < BELOW_MS ? MF_SESSION_KILL_COMMAND
		 : late_ms < ALL_MS ? MF_SESSION_KILL_BELOW
				    : MF_SESSION_KILL_ALL;
	k->link = e->ours ? NULL : e->link;
	if (mf_work_add(e->all->work, &k->item) < 0) {
		free(k);
		return;
	}
	e->killing = true;
	e->uses++;
}

/* ---- its end ---------------------------------------------------------------------------------------------------- */

/* Return: false: answered. *@ret: seconds that it has; -1: for ever */
static bool read_grace(struct mf_api_call *call, int *ret)
{
	bool force = mf_api_query_flag(call, "force"), said;
	char text[16], *end = text;
	long grace = GRACE_S;

	*ret = -1;
	said = mf_api_query(call, "grace_s", text, sizeof(text));
	if (said)
		grace = strtol(text, &end, 10);
	if (said && (!force || end == text || *end || grace < 0 || grace > GRACE_S_MAX)) {
		mf_api_problem(call, 422, "wrong_value",
			       "grace_s is 0 to %d seconds, and goes with force=true", GRACE_S_MAX);
		return false;
	}
	if (force)
		*ret = (int)grace;
	return true;
}

static void end_session(void *ctx, struct mf_api_call *call)
{
	struct mf_session_entry *e = mf_session_entry_find(ctx, call);
	int grace_s;

	if (!e || !read_grace(call, &grace_s))
		return;
	if (e->state == MF_SESSION_ENDED) {
		mf_api_answer(call, 200, mf_session_entry_json(e));
		return;
	}
	e->told_to_end = true;
	if (grace_s >= 0) {
		e->kill_at_ns = mf_clock_now(&mf_clock_system) + (uint64_t)grace_s * MF_NS_PER_S;
		e->kill_refused = false;
	}
	if (e->ours)
		mf_spawn_end((int)e->pid);
	else if (grace_s < 0) {
		mf_session_entry_pass_end(e, call);
		return;
	} else {
		mf_session_entry_tell(e, "DELETE", "/v1/session");
	}
	mf_api_answer(call, 202, mf_session_entry_json(e));
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static const char end_query[] =
	"{\"name\": \"force\", \"in\": \"query\", \"description\": \"true: who is left of it when "
	"grace_s is over is killed\", \"schema\": {\"type\": \"boolean\"}}, "
	"{\"name\": \"grace_s\", \"in\": \"query\", \"description\": \"seconds until then, 0 to "
	"300; 10 without it\", \"schema\": {\"type\": \"integer\"}}";

static const struct mf_api_route routes[] = {
	{ .method = "GET",
	  .path = "/v1/sessions/{id}",
	  .id = "getSession",
	  .summary = "One session, by its name or its process, and its processes",
	  .answer = "Session",
	  .fn = get_session },
	{ .method = "DELETE",
	  .path = "/v1/sessions/{id}",
	  .id = "endSession",
	  .summary = "Ask a session to end, as SIGTERM does; with force: see that it does",
	  .query = end_query,
	  .answer = "Session",
	  .status = 202,
	  .also = (const struct mf_api_also[]){ { 200, NULL, "Session" }, { 0 } }, /* it has */
	  .fn = end_session },
};

const struct mf_api_set mf_sessions_end_set = { routes, MF_ARRAY_SIZE(routes), NULL, 0 };
