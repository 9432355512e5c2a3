/* SPDX-License-Identifier: Apache-2.0 */
/* sessions.c - see sessions.h */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/loop/loop_wake.h"
#include "daemon/client.h"
#include "daemon/session_place.h"
#include "daemon/sessions_int.h"
#include "daemon/spawn.h"

enum {
	TICK_MS = 100,
	SCAN_TICKS = 5,	    /* the directory is looked into */
	REFRESH_TICKS = 20, /* cards are asked for anew */
	ASK_MS = 3000,	    /* that a session may take to say who it is */
};

/* ---- entries ---------------------------------------------------------------------------------------------------- */

static struct mf_session_entry *add_entry(struct mf_sessions *s, long pid, const char *socket)
{
	struct mf_session_entry *e = s->running < MF_SESSIONS_MAX ? calloc(1, sizeof(*e)) : NULL;

	if (!e)
		return NULL;
	e->all = s;
	e->pid = pid;
	e->exit_status = -1;
	e->socket = strdup(socket);
	if (!e->socket) {
		free(e);
		return NULL;
	}
	e->next = s->entries;
	s->entries = e;
	s->running++;
	return e;
}

struct mf_session_entry *mf_sessions_add(struct mf_sessions *s, long pid)
{
	size_t room = strlen(s->o.dir) + 48;
	struct mf_session_entry *e = NULL;
	char *socket = malloc(room);

	if (!socket)
		return NULL;
	if (mf_session_place_socket(s->o.dir, pid, socket, room) == 0)
		e = add_entry(s, pid, socket);
	free(socket);
	return e;
}

struct mf_session_entry *mf_sessions_add_at(struct mf_sessions *s, long pid, const char *socket)
{
	struct mf_session_entry *e = add_entry(s, pid, socket);

	if (e)
		e->peer_pid = pid;
	return e;
}

const char *mf_session_entry_id(const struct mf_session_entry *e)
{
	const char *id = json_string_value(json_object_get(e->card, "id"));

	return id ? id : e->wanted_id ? e->wanted_id : "";
}

static json_int_t kill_in_ms(const struct mf_session_entry *e)
{
	uint64_t now = mf_clock_now(&mf_clock_system);

	return e->kill_at_ns > now ? (json_int_t)((e->kill_at_ns - now) / MF_NS_PER_MS) : 0;
}

json_t *mf_session_entry_json(const struct mf_session_entry *e)
{
	static const char *const states[] = { "starting", "running", "ended" };
	json_t *j = e->card ? json_copy(e->card) : json_object();

	_Static_assert(MF_ARRAY_SIZE(states) == MF_SESSION_STATE_NUM, "one word per state");
	json_object_set_new(j, "id", json_string(mf_session_entry_id(e)));
	json_object_set_new(j, "pid", json_integer(e->pid));
	json_object_set_new(j, "state", json_string(states[e->state]));
	json_object_set_new(j, "started_here", json_boolean(e->ours));
	json_object_set_new(j, "attached", json_boolean(e->attached_told));
	if (e->state != MF_SESSION_ENDED && e->kill_at_ns)
		json_object_set_new(j, "kill_in_ms", json_integer(kill_in_ms(e)));
	if (e->state == MF_SESSION_ENDED && e->exit_status >= 0)
		json_object_set_new(j, "exit_status", json_integer(e->exit_status));
	return j;
}

static void free_entry(struct mf_session_entry *e)
{
	mf_session_link_free(e->link);
	json_decref(e->card);
	free(e->wanted_id);
	free(e->socket);
	free(e);
}

/* The oldest that ended go, one for each that is too many; @from: only what is found behind it in the list is older. */
static void forget_some(struct mf_sessions *s)
{
	while (s->ended > MF_SESSIONS_ENDED_MAX) {
		struct mf_session_entry **at, **oldest = NULL, *e;

		for (at = &s->entries; *at; at = &(*at)->next)
			if ((*at)->state == MF_SESSION_ENDED && !(*at)->uses)
				oldest = at;
		if (!oldest)
			return;
		e = *oldest;
		*oldest = e->next;
		s->ended--;
		free_entry(e);
	}
}

static void answer_starter(struct mf_session_entry *e)
{
	struct mf_api_call *call = e->starter;

	if (!call)
		return;
	e->starter = NULL;
	if (e->state == MF_SESSION_RUNNING || (e->state == MF_SESSION_ENDED && e->card))
		mf_api_answer(call, 201, mf_session_entry_json(e));
	else if (e->state == MF_SESSION_ENDED)
		mf_api_problem(
			call, 422, "session_failed",
			"the session ended with status %d before it served: its output says why",
			e->exit_status);
	else
		mf_api_problem(call, 503, "stopping", "the daemon is stopping");
}

static void end_entry(struct mf_session_entry *e)
{
	struct mf_sessions *s = e->all;

	e->state = MF_SESSION_ENDED;
	s->running--;
	s->ended++;
	mf_session_entry_detach(e);
	answer_starter(e);
}

/* One that never said who it is, and that we did not start: no session. */
static void drop_entry(struct mf_session_entry *e)
{
	struct mf_session_entry **at;

	for (at = &e->all->entries; *at != e; at = &(*at)->next)
		;
	*at = e->next;
	e->all->running--;
	mf_session_entry_detach(e);
	free_entry(e);
}

/* ---- asking who they are ---------------------------------------------------------------------------------------- */

struct card_work {
	struct mf_work_item item;
	struct mf_session_entry *e;
	char *socket;
	int64_t peer_pid;
	json_t *card;
	int rc;
};

static void ask_card(struct mf_work_item *item)
{
	struct card_work *w = (struct card_work *)item;
	struct mf_client_answer a;
	struct mf_err err = { 0 };

	w->rc = mf_client_call(w->socket,
			       &(struct mf_client_request){ .method = "GET",
							    .target = "/v1/session",
							    .peer_pid = w->peer_pid,
							    .timeout_ms = ASK_MS },
			       &a, &err);
	if (w->rc < 0)
		return;
	w->card = a.status == 200 && a.body.str ? json_loads(a.body.str, 0, NULL) : NULL;
	if (!json_is_object(w->card) || !json_is_string(json_object_get(w->card, "id"))) {
		json_decref(w->card);
		w->card = NULL;
	}
	mf_client_answer_done(&a);
}

static void follow(struct mf_session_entry *e)
{
	struct mf_err err = { 0 };

	if (mf_session_link_new(e->socket, e->peer_pid, e->all->o.ring, mf_loop_wake, e->all->wake,
				&e->link, &err) < 0)
		mf_log_warning(e->all->o.log, "the events of session %s are not followed: %s",
			       mf_session_entry_id(e), err.msg);
}

static void have_card(struct mf_work_item *item)
{
	struct card_work *w = (struct card_work *)item;
	struct mf_session_entry *e = w->e;

	e->uses--;
	e->asked = false;
	if (w->card && e->state != MF_SESSION_ENDED) {
		json_decref(e->card);
		e->card = json_incref(w->card);
		if (e->state == MF_SESSION_STARTING) {
			e->state = MF_SESSION_RUNNING;
			follow(e);
			answer_starter(e);
			mf_session_entry_attach(e);
		}
	} else if (!w->card && e->state == MF_SESSION_STARTING && !e->ours) {
		drop_entry(e);
	}
	json_decref(w->card);
	free(w->socket);
	free(w);
}

void mf_session_entry_ask(struct mf_session_entry *e)
{
	struct card_work *w = e->asked ? NULL : calloc(1, sizeof(*w));

	if (!w)
		return;
	w->item.run = ask_card;
	w->item.done = have_card;
	w->e = e;
	w->peer_pid = e->peer_pid;
	w->socket = strdup(e->socket);
	if (!w->socket || mf_work_add(e->all->work, &w->item) < 0) {
		free(w->socket);
		free(w);
		return;
	}
	e->asked = true;
	e->uses++;
}

/* ---- what happens ----------------------------------------------------------------------------------------------- */

struct mf_session_entry *mf_sessions_find_pid(struct mf_sessions *s, long pid)
{
	for (struct mf_session_entry *e = s->entries; e; e = e->next)
		if (e->pid == pid && e->state != MF_SESSION_ENDED)
			return e;
	return NULL;
}

static void on_found(void *ctx, long pid)
{
	struct mf_sessions *s = ctx;
	struct mf_session_entry *e;

	if (pid == (long)getpid() || mf_sessions_find_pid(s, pid))
		return;
	e = mf_sessions_add(s, pid);
	if (e)
		mf_session_entry_ask(e);
}

static void scan(struct mf_sessions *s)
{
	struct mf_err err;

	(void)mf_session_place_each(s->o.dir, on_found, s, &err); /* again in a moment */
}

/* A child's end is what its parent sees; another's is the end of its socket. */
static void look_at(struct mf_session_entry *e)
{
	int status = -1, sig = 0;

	if (e->ours && !e->reaped && mf_spawn_ended((int)e->pid, &status, &sig)) {
		e->reaped = true;
		e->exit_status = sig ? 128 + sig : status;
		if (sig)
			mf_session_place_clear(e->all->o.dir, e->pid,
					       e->socket); /* nobody else can have had its number */
		end_entry(e);
	} else if (!e->ours && e->link && mf_session_link_is_over(e->link, &status)) {
		e->exit_status = status;
		end_entry(e);
	} else if (e->state == MF_SESSION_STARTING) {
		mf_session_entry_ask(e);
	}
}

static void look_at_all(struct mf_sessions *s)
{
	for (struct mf_session_entry *e = s->entries, *next; e; e = next) {
		next = e->next;
		if (e->state != MF_SESSION_ENDED)
			look_at(e);
	}
	for (struct mf_session_entry *e = s->entries; e; e = e->next)
		if (e->state != MF_SESSION_ENDED)
			mf_session_entry_kill_when_due(e);
	forget_some(s);
	if (s->looked)
		s->looked(s->looked_ctx);
}

bool mf_sessions_knows_all(const struct mf_sessions *s)
{
	for (const struct mf_session_entry *e = s->entries; e; e = e->next)
		if (!e->ours && e->state == MF_SESSION_STARTING)
			return false;
	return s->ticks != 0;
}

struct mf_session_entry *mf_sessions_find(const struct mf_sessions *s, const char *id)
{
	for (struct mf_session_entry *e = s->entries; e; e = e->next)
		if (e->state != MF_SESSION_ENDED && strcmp(id, mf_session_entry_id(e)) == 0)
			return e;
	return NULL;
}

json_t *mf_sessions_running(const struct mf_sessions *s)
{
	json_t *list = s->o.dir ? json_array() : NULL;

	for (const struct mf_session_entry *e = s->entries; list && e; e = e->next)
		if (e->state == MF_SESSION_RUNNING)
			json_array_append_new(
				list, json_pack("{s:s, s:I, s:s}", "id", mf_session_entry_id(e),
						"pid", (json_int_t)e->pid, "socket", e->socket));
	return list;
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_sessions *s = ctx;

	(void)fd;
	(void)what;
	if (s->ticks++ % SCAN_TICKS == 0)
		scan(s);
	if (s->ticks % REFRESH_TICKS == 0)
		for (struct mf_session_entry *e = s->entries; e; e = e->next)
			if (e->state == MF_SESSION_RUNNING)
				mf_session_entry_ask(e);
	look_at_all(s);
}

static void on_woken(void *ctx)
{
	struct mf_sessions *s = ctx;

	mf_work_finish(s->work);
	look_at_all(s);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

int mf_sessions_new(struct event_base *base, struct mf_api *api,
		    const struct mf_sessions_options *options, struct mf_sessions **ret,
		    struct mf_err *err)
{
	struct mf_sessions *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	s->o = *options;
	s->base = base;
	r = mf_api_add(api, &mf_sessions_set, s, err);
	if (r == 0)
		r = mf_api_add(api, &mf_sessions_end_set, s, err);
	if (r == 0)
		r = mf_api_add(api, &mf_sessions_approvals_set, s, err);
	if (r == 0)
		r = mf_api_add(api, &mf_sessions_attach_set, s, err);
	if (r < 0)
		free(s);
	else
		*ret = s;
	return r;
}

int mf_sessions_start(struct mf_sessions *s, struct mf_err *err)
{
	static const struct timeval tick = { .tv_usec = TICK_MS * 1000 };

	if (!s->o.dir)
		return 0;
	s->wake = mf_loop_wake_new(s->base, on_woken, s);
	if (!s->wake)
		return mf_err_set(err, MF_E_IO, "no descriptors are left");
	s->tick = event_new(s->base, -1, EV_PERSIST, on_tick, s);
	if (!s->tick || event_add(s->tick, &tick) < 0)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	return mf_work_new(mf_loop_wake, s->wake, &s->work, err);
}

void mf_sessions_use_policies(struct mf_sessions *s, const char *const *policies, size_t cnt)
{
	s->o.policies = policies;
	s->o.policy_cnt = cnt;
}

/* The ends of some may still be waited for: it goes on looking. */
void mf_sessions_stop(struct mf_sessions *s)
{
	if (!s)
		return;
	for (struct mf_session_entry *e = s->entries; e; e = e->next) {
		answer_starter(e);
		mf_session_entry_detach(e);
	}
}

void mf_sessions_free(struct mf_sessions *s)
{
	if (!s)
		return;
	mf_work_free(s->work);
	while (s->entries) {
		struct mf_session_entry *e = s->entries;

		s->entries = e->next;
		free_entry(e);
	}
	if (s->tick)
		event_free(s->tick);
	mf_loop_wake_free(s->wake);
	free(s);
}
