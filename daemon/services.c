/* SPDX-License-Identifier: Apache-2.0 */
/* services.c - see services.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/services_int.h"
#include "daemon/spawn.h"

enum {
	SETTLED_MS = 60000, /* who has run for so long has not failed one after the other */
	START_MS = 60000,   /* that one may take to say who it is */
};

static uint64_t now(void)
{
	return mf_clock_now(&mf_clock_system);
}

/* ---- one service ------------------------------------------------------------------------------------------------ */

static const char *id_of(const struct mf_service *s)
{
	return mf_service_config_id(&s->c);
}

static const char *kind_of(const struct mf_service *s)
{
	return json_string_value(json_object_get(s->c.start, "kind"));
}

json_t *mf_service_json(const struct mf_service *s)
{
	static const char *const states[] = { "waiting", "starting", "running", "delayed",
					      "ending",	 "ended",    "failed" };
	json_t *j = json_pack("{s:O, s:O, s:s, s:s, s:b, s:b, s:I, s:I}", "id",
			      json_object_get(s->c.start, "id"), "kind",
			      json_object_get(s->c.start, "kind"), "state", states[s->state],
			      "restart", mf_service_restart_name(s->c.restart), "keep", s->c.keep,
			      "taken_over", s->taken_over, "restarts", (json_int_t)s->restarts,
			      "failures", (json_int_t)s->failures);
	uint64_t t = now();

	_Static_assert(MF_ARRAY_SIZE(states) == MF_SERVICE_STATE_NUM, "one word per state");
	if (s->entry)
		json_object_set_new(j, "pid", json_integer(s->entry->pid));
	if (s->exit_status >= 0)
		json_object_set_new(j, "exit_status", json_integer(s->exit_status));
	if (s->state == MF_SERVICE_DELAYED)
		json_object_set_new(
			j, "again_in_ms",
			json_integer(s->at_ns > t ? (json_int_t)((s->at_ns - t) / MF_NS_PER_MS)
						  : 0));
	if (s->why[0])
		json_object_set_new(j, "why", json_string(s->why));
	return j;
}

static void hold(struct mf_service *s, struct mf_session_entry *e)
{
	s->entry = e;
	e->uses++;
	s->at_ns = now();
}

static void let_go(struct mf_service *s)
{
	if (s->entry)
		s->entry->uses--;
	s->entry = NULL;
}

static void free_service(struct mf_service *s)
{
	let_go(s);
	json_decref(s->c.start);
	json_decref(s->wish.start);
	free(s);
}

/* One failure more: after a pause, or not at all any more. */
static void fail(struct mf_services *v, struct mf_service *s)
{
	uint64_t delay = v->restart.delay_ms;

	s->failures++;
	if (s->c.restart == MF_SERVICE_RESTART_NEVER || s->failures > v->restart.times) {
		s->state = MF_SERVICE_FAILED;
		mf_log_error(v->o.log, "%s %s: %s; it is not started again", kind_of(s), id_of(s),
			     s->why);
		return;
	}
	for (unsigned i = 1; i < s->failures && delay < v->restart.delay_max_ms; i++)
		delay *= 2;
	if (delay > v->restart.delay_max_ms)
		delay = v->restart.delay_max_ms;
	s->state = MF_SERVICE_DELAYED;
	s->at_ns = now() + delay * MF_NS_PER_MS;
	mf_log_warning(v->o.log, "%s %s: %s; it is started again in %llu ms", kind_of(s), id_of(s),
		       s->why, (unsigned long long)delay);
}

static void start(struct mf_services *v, struct mf_service *s)
{
	struct mf_session_entry *e;
	struct mf_err err = { 0 };

	s->taken_over = false;
	if (mf_sessions_spawn(v->o.sessions, s->c.start, true, &e, &err) < 0) {
		snprintf(s->why, sizeof(s->why), "%.200s", err.msg);
		fail(v, s);
		return;
	}
	s->why[0] = '\0';
	s->state = MF_SERVICE_STARTING;
	hold(s, e);
}

/* One of this name runs: ours from the time before, or somebody else's that is in the way. */
static bool take_over(struct mf_services *v, struct mf_service *s)
{
	struct mf_session_entry *e = mf_sessions_find(v->o.sessions, id_of(s));
	const char *kind = e ? json_string_value(json_object_get(e->card, "kind")) : NULL;

	if (!e)
		return false;
	if (!kind || strcmp(kind, kind_of(s)) != 0) {
		snprintf(s->why, sizeof(s->why), "a session of that name runs already, process %ld",
			 e->pid);
		fail(v, s);
		return true;
	}
	s->taken_over = !e->ours;
	s->state = MF_SERVICE_RUNNING;
	s->why[0] = '\0';
	hold(s, e);
	mf_log_info(v->o.log, "%s %s runs already, process %ld: taken over", kind, id_of(s),
		    e->pid);
	return true;
}

static void begin(struct mf_services *v, struct mf_service *s)
{
	if (!take_over(v, s))
		start(v, s);
}

static void take_wish(struct mf_service *s)
{
	if (!s->wish.start)
		return;
	json_decref(s->c.start);
	s->c = s->wish;
	s->wish = (struct mf_service_config){ 0 };
}

/* Its process is no more. */
static void ended(struct mf_services *v, struct mf_service *s)
{
	const struct mf_session_entry *e = s->entry;
	bool asked = s->state == MF_SERVICE_ENDING || e->told_to_end;
	bool settled =
		s->state == MF_SERVICE_RUNNING && now() - s->at_ns > SETTLED_MS * MF_NS_PER_MS;

	s->exit_status = e->exit_status;
	let_go(s);
	if (settled)
		s->failures = 0;
	if (s->again && !v->stopping) {
		s->again = false;
		s->failures = 0;
		take_wish(s);
		s->state = MF_SERVICE_WAITING;
		return;
	}
	if (s->exit_status < 0)
		snprintf(s->why, sizeof(s->why), "it ended, nobody knows how");
	else
		snprintf(s->why, sizeof(s->why), "it ended with status %d", s->exit_status);
	if (asked || v->stopping ||
	    (s->exit_status == 0 && s->c.restart != MF_SERVICE_RESTART_ALWAYS))
		s->state = MF_SERVICE_ENDED;
	else
		fail(v, s);
}

static void look_at_process(struct mf_services *v, struct mf_service *s)
{
	if (s->entry->state == MF_SESSION_ENDED) {
		ended(v, s);
	} else if (s->state == MF_SERVICE_STARTING && s->entry->state == MF_SESSION_RUNNING) {
		s->state = MF_SERVICE_RUNNING;
		s->at_ns = now();
	} else if (s->state == MF_SERVICE_STARTING && now() - s->at_ns > START_MS * MF_NS_PER_MS) {
		mf_log_warning(v->o.log, "%s %s has not begun to serve: it is ended", kind_of(s),
			       id_of(s));
		mf_spawn_end((int)s->entry->pid);
		s->at_ns = now();
	}
}

static void look_at(struct mf_services *v, struct mf_service *s)
{
	if (s->entry) {
		look_at_process(v, s);
	} else if (v->stopping || !v->knows) {
		return;
	} else if (s->state == MF_SERVICE_WAITING) {
		begin(v, s);
	} else if (s->state == MF_SERVICE_DELAYED && now() >= s->at_ns) {
		s->restarts++;
		mf_counter_add(v->restarts, 1);
		begin(v, s);
	}
}

static void on_looked(void *ctx)
{
	struct mf_services *v = ctx;
	struct mf_service **at = &v->list, *s;

	v->knows = v->knows || mf_sessions_knows_all(v->o.sessions);
	while ((s = *at)) {
		look_at(v, s);
		if (s->gone && !s->entry) {
			*at = s->next;
			free_service(s);
		} else {
			at = &s->next;
		}
	}
}

void mf_service_stop(struct mf_services *v, struct mf_service *s, bool again)
{
	s->again = again;
	if (s->entry) {
		if (s->state != MF_SERVICE_ENDING)
			mf_spawn_end((int)s->entry->pid);
		s->state = MF_SERVICE_ENDING;
		return;
	}
	s->again = false;
	s->failures = 0;
	if (again)
		take_wish(s);
	s->state = again && !v->stopping ? MF_SERVICE_WAITING : MF_SERVICE_ENDED;
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

struct mf_service *mf_services_find(const struct mf_services *v, const char *id)
{
	for (struct mf_service *s = v->list; s; s = s->next)
		if (!s->gone && strcmp(id_of(s), id) == 0)
			return s;
	return NULL;
}

static int add(struct mf_services *v, const struct mf_service_config *c, struct mf_err *err)
{
	struct mf_service *s = calloc(1, sizeof(*s)), **at = &v->list;

	if (!s)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	s->c = *c;
	json_incref(s->c.start);
	s->exit_status = -1;
	while (*at)
		at = &(*at)->next;
	*at = s;
	return 0;
}

static const struct mf_service_config *wanted(const struct mf_config *c, const char *id)
{
	for (size_t i = 0; i < c->service_cnt; i++)
		if (strcmp(mf_service_config_id(&c->services[i]), id) == 0)
			return &c->services[i];
	return NULL;
}

static void drop_what_is_gone(struct mf_services *v, const struct mf_config *c, json_t *ids)
{
	for (struct mf_service *s = v->list; s; s = s->next) {
		if (s->gone || wanted(c, id_of(s)))
			continue;
		json_array_append_new(ids, json_string(id_of(s)));
		s->gone = true;
		mf_service_stop(v, s, false);
	}
}

/* What runs as it should goes on; what failed is tried anew. */
static void change(struct mf_services *v, struct mf_service *s, const struct mf_service_config *c,
		   json_t *ids)
{
	if (json_equal(s->c.start, c->start) && !s->wish.start) {
		s->c.restart = c->restart;
		s->c.keep = c->keep;
		if (s->state == MF_SERVICE_FAILED || s->state == MF_SERVICE_DELAYED)
			mf_service_stop(v, s, true);
		return;
	}
	json_array_append_new(ids, json_string(mf_service_config_id(c)));
	json_decref(s->wish.start);
	s->wish = *c;
	json_incref(s->wish.start);
	mf_service_stop(v, s, true);
}

static int apply(struct mf_services *v, const struct mf_config *c, json_t *started, json_t *changed,
		 json_t *ended_ids, struct mf_err *err)
{
	int r = 0;

	v->restart = c->restart;
	drop_what_is_gone(v, c, ended_ids);
	for (size_t i = 0; i < c->service_cnt && r == 0; i++) {
		const struct mf_service_config *one = &c->services[i];
		struct mf_service *s = mf_services_find(v, mf_service_config_id(one));

		if (s) {
			change(v, s, one, changed);
			continue;
		}
		json_array_append_new(started, json_string(mf_service_config_id(one)));
		r = add(v, one, err);
	}
	return r;
}

static int check(const struct mf_services *v, const struct mf_config *c, struct mf_err *err)
{
	if (!c->service_cnt || (v->o.sessions->o.dir && v->o.sessions->o.program))
		return 0;
	return mf_err_set(err, MF_E_UNSUPPORTED,
			  "the daemon runs no sessions, mounts and proxies on this system, or "
			  "nobody knows where their control sockets should be");
}

/* A file on its way: read, its policies loaded, in force. */
struct reading {
	struct mf_services *v;
	struct mf_api_call *call;
	struct mf_config *c;
};

static void refuse(struct reading *r, const struct mf_err *err)
{
	char text[1024];

	if (r->call)
		mf_api_problem_err(r->call,
				   err->code == MF_E_NOMEM || err->code == MF_E_AGAIN ? 503 : 422,
				   err);
	else
		mf_log_error(r->v->o.log, "the configuration stays as it was: %s",
			     mf_err_format(err, text, sizeof(text)));
}

static void free_reading(struct reading *r)
{
	if (r->c)
		mf_config_done(r->c);
	free(r->c);
	free(r);
}

/* @err NULL: its policies are in force, or are the same. */
static void count_it(void *ctx, const struct mf_err *err)
{
	struct reading *r = ctx;
	struct mf_services *v = r->v;
	json_t *started = json_array(), *changed = json_array(), *ended_ids = json_array();
	json_t *answer = json_pack("{s:o, s:o, s:o}", "started", started, "changed", changed,
				   "ended", ended_ids);
	struct mf_err why = { 0 };

	if (!err && apply(v, r->c, started, changed, ended_ids, &why) < 0)
		err = &why;
	if (err) {
		refuse(r, err);
		json_decref(answer);
	} else {
		if (v->o.settle)
			v->o.settle(v->o.ctx, r->c, answer), r->c = NULL;
		on_looked(v);
		if (r->call)
			mf_api_answer(r->call, 200, answer);
		else
			json_decref(answer);
	}
	free_reading(r);
}

void mf_services_read(struct mf_services *v, struct mf_api_call *call)
{
	struct reading *r = calloc(1, sizeof(*r));
	struct mf_err err = { 0 };
	int rc;

	if (r)
		*r = (struct reading){ v, call, calloc(1, sizeof(*r->c)) };
	if (!r || !r->c) {
		if (call)
			mf_api_problem(call, 503, "no_memory", "out of memory");
		free(r);
		return;
	}
	mf_config_init(r->c);
	rc = v->o.file ? mf_config_read(r->c, v->o.file, &err)
		       : mf_err_set(&err, MF_E_NOENT, "the daemon was started without a file");
	if (rc == 0)
		rc = check(v, r->c, &err);
	if (rc < 0) {
		refuse(r, &err);
		free_reading(r);
	} else if (!v->o.policies || !v->o.policies(v->o.ctx, r->c, count_it, r)) {
		count_it(r, NULL);
	}
}

void mf_services_reload(struct mf_services *v)
{
	if (v->o.file)
		mf_services_read(v, NULL);
}

int mf_services_new(struct mf_api *api, const struct mf_services_options *options,
		    struct mf_services **ret, struct mf_err *err)
{
	struct mf_services *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	v->o = *options;
	v->restarts =
		mf_metrics_counter(mf_api_metrics(api), "moonfence_service_restarts_total",
				   "Sessions, mounts and proxies that were started again because "
				   "they failed",
				   NULL, 0);
	r = mf_api_add(api, &mf_services_set, v, err);
	if (r < 0)
		free(v);
	else
		*ret = v;
	return r;
}

int mf_services_start(struct mf_services *v, const struct mf_config *c, struct mf_err *err)
{
	int r = check(v, c, err);

	v->restart = c->restart;
	for (size_t i = 0; i < c->service_cnt && r == 0; i++)
		r = add(v, &c->services[i], err);
	v->o.sessions->looked = on_looked;
	v->o.sessions->looked_ctx = v;
	v->started = r == 0;
	return r;
}

void mf_services_stop(struct mf_services *v)
{
	if (!v || !v->started)
		return;
	v->stopping = true;
	for (struct mf_service *s = v->list; s; s = s->next)
		if (!s->c.keep)
			mf_service_stop(v, s, false);
}

size_t mf_services_waiting(const struct mf_services *v)
{
	size_t cnt = 0;

	for (struct mf_service *s = v ? v->list : NULL; s; s = s->next)
		cnt += s->state == MF_SERVICE_ENDING;
	return cnt;
}

void mf_services_free(struct mf_services *v)
{
	if (!v)
		return;
	if (v->o.sessions)
		v->o.sessions->looked = NULL;
	while (v->list) {
		struct mf_service *s = v->list;

		v->list = s->next;
		free_service(s);
	}
	free(v);
}
