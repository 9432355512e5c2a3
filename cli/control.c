/* SPDX-License-Identifier: Apache-2.0 */
/* control.c - see control.h */
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api_http.h"
#include "cli/control.h"
#include "cli/control_place.h"
#include "cli/paths.h"
#include "core/base/private_dir.h"
#include "core/base/thread.h"
#include "core/loop/loop_wake.h"
#include "daemon/approval_routes.h"
#include "daemon/event_feed.h"
#include "daemon/routes.h"
#include "daemon/session_place.h"
#include "daemon/work.h"

enum {
	CONNECTIONS_MAX = 64,
	END_MS = 2000, /* that readers have for the last lines */
	END_LOOK_MS = 10,
};

struct mf_control {
	const struct mf_log *log;
	char dir[MF_PATH_MAX], path[MF_PATH_MAX];
	struct mf_listen *listen;
	struct mf_event_ring *ring;
	struct mf_metrics *metrics;
	struct event_base *base;
	struct mf_api *api;
	struct mf_session_routes *routes;
	struct mf_event_feed *feed;
	struct mf_approval_routes *approvals;
	struct mf_routes_policy *policy;
	struct mf_work *work;		  /* loads and tests policies */
	struct mf_loop_wake *wake, *stop; /* work is done; the thread is to end */
	struct mf_api_http *http;
	struct event *looking;
	pthread_t thread;
	bool started, stopping, told;
	uint64_t end_at_ns;
};

const char *mf_control_dir(const struct mf_log *log)
{
	static char path[MF_PATH_MAX];
	struct mf_private_dir *dir;
	struct mf_err err = { 0 };

	if (!mf_paths_sessions(path))
		return NULL;
	if (mf_private_dir_open(path, true, &dir, &err) < 0) {
		mf_log_info(log, "no control socket: %s", err.msg);
		return NULL;
	}
	mf_private_dir_close(dir);
	return path;
}

struct mf_control *mf_control_new(const struct mf_log *log)
{
	const char *dir = mf_control_dir(log);
	struct mf_control *c = dir ? calloc(1, sizeof(*c)) : NULL;
	struct mf_listen_options o = { 0 };
	struct mf_err err = { 0 };
	int r;

	if (!c)
		return NULL;
	c->log = log;
	snprintf(c->dir, sizeof(c->dir), "%s", dir);
	o.path = c->path;
	r = mf_session_place_socket(dir, (long)getpid(), c->path, sizeof(c->path));
	if (r == 0)
		r = mf_listen_new(&o, &c->listen, &err);
	if (r == 0)
		r = mf_event_ring_new(NULL, &c->ring, &err);
	if (r == 0)
		return c;
	mf_log_info(log, "no control socket: %s", err.msg);
	mf_control_end(c);
	return NULL;
}

void mf_control_take_events(struct mf_control *c, struct mf_events *events)
{
	struct mf_err err = { 0 };

	if (c && mf_events_add_callback(events, mf_event_ring_on_event, c->ring, "ring", &err) < 0)
		mf_log_info(c->log, "the control socket shows no events: %s", err.msg);
}

/* As if somebody had asked by a signal: every command has its way to end then. */
static void end_session(void *ctx)
{
	(void)ctx;
	mf_control_place_end();
}

/* ---- the thread ------------------------------------------------------------------------------------------------- */

static void on_looking(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_control *c = ctx;
	struct timeval soon = { .tv_usec = END_LOOK_MS * 1000 };

	(void)fd;
	(void)what;
	if (mf_api_http_is_idle(c->http) || mf_clock_now(&mf_clock_system) >= c->end_at_ns)
		event_base_loopexit(c->base, &soon); // so that the last bytes are taken
	else
		event_add(c->looking, &soon);
}

static void on_stop(void *ctx)
{
	struct mf_control *c = ctx;

	if (c->stopping)
		return;
	c->stopping = true;
	mf_api_http_stop(c->http);
	mf_event_feed_end(c->feed);
	mf_approval_routes_end(c->approvals);
	c->end_at_ns = mf_clock_now(&mf_clock_system) + END_MS * MF_NS_PER_MS;
	on_looking(-1, 0, c);
}

static void *run(void *arg)
{
	struct mf_control *c = arg;

	event_base_dispatch(c->base);
	return NULL;
}

static void on_work(void *ctx)
{
	struct mf_control *c = ctx;

	mf_work_finish(c->work);
}

/* Generations, as the daemon's: that is how it puts policies in force in all sessions. */
static int add_policy(struct mf_control *c, struct mf_runtime *rt, struct mf_err *err)
{
	int r;

	c->wake = mf_loop_wake_new(c->base, on_work, c);
	r = c->wake ? mf_work_new(mf_loop_wake, c->wake, &c->work, err)
		    : mf_err_set(err, MF_E_NOMEM, "out of memory");
	return r < 0 ? r : mf_routes_policy_new(c->api, rt, c->work, &c->policy, err);
}

static int make_api(struct mf_control *c, const struct mf_session_card *card, struct mf_err *err)
{
	const struct mf_api_http_options options = { .connections_max = CONNECTIONS_MAX,
						     .is_stranger = card->is_inside,
						     .stranger_ctx = card->inside_ctx };
	struct mf_session_card own = *card;
	int r;

	own.ring = c->ring;
	own.end = end_session;
	c->metrics = mf_metrics_new(0);
	c->api = c->metrics ? mf_api_new(c->metrics, &mf_clock_system) : NULL;
	c->base = event_base_new();
	if (!c->api || !c->base)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	r = mf_session_routes_new(c->api, &own, &c->routes, err);
	if (r == 0 && card->runtime)
		r = add_policy(c, card->runtime, err);
	if (r == 0)
		r = mf_event_feed_new(c->base, c->ring, &c->feed, err);
	if (r == 0)
		r = mf_api_add(c->api, &mf_event_feed_set, c->feed, err);
	if (r == 0 && card->approvals)
		r = mf_approval_routes_new(c->api, c->base, card->approvals, &c->approvals, err);
	return r < 0 ? r : mf_api_http_new(c->base, c->api, c->listen, &options, &c->http, err);
}

static int start(struct mf_control *c, struct mf_err *err)
{
	int r;

	c->stop = mf_loop_wake_new(c->base, on_stop, c);
	c->looking = event_new(c->base, -1, 0, on_looking, c);
	if (!c->stop || !c->looking)
		return mf_err_set(err, MF_E_NOMEM, "no memory, or no descriptors are left");
	r = mf_control_place_tell(c->dir, err);
	if (r < 0)
		return r;
	c->told = true;
	if (mf_thread_start(&c->thread, run, c) != 0)
		return mf_err_set(err, MF_E_NOMEM, "no thread");
	c->started = true;
	return 0;
}

void mf_control_serve(struct mf_control *c, const struct mf_session_card *card)
{
	struct mf_err err = { 0 };
	int r;

	if (!c)
		return;
	r = make_api(c, card, &err);
	if (r == 0)
		r = start(c, &err);
	if (r < 0)
		mf_log_info(c->log, "nobody answers at the control socket: %s", err.msg);
}

const char *mf_control_path(const struct mf_control *c)
{
	return c && c->started ? c->path : NULL;
}

void mf_control_forget_policies(struct mf_control *c)
{
	if (c && c->routes)
		mf_session_routes_forget_policies(c->routes);
	if (c)
		mf_routes_policy_forget(c->policy);
}

void mf_control_end(struct mf_control *c)
{
	if (!c)
		return;
	if (c->started) {
		mf_loop_wake(c->stop);
		pthread_join(c->thread, NULL);
	}
	mf_work_free(c->work);
	mf_api_http_free(c->http);
	mf_event_feed_free(c->feed);
	mf_api_free(c->api);
	mf_routes_policy_free(c->policy);
	mf_session_routes_free(c->routes);
	mf_loop_wake_free(c->wake);
	mf_loop_wake_free(c->stop);
	mf_approval_routes_free(c->approvals);
	if (c->looking)
		event_free(c->looking);
	if (c->base)
		event_base_free(c->base);
	mf_metrics_free(c->metrics);
	mf_listen_free(c->listen);
	mf_event_ring_free(c->ring);
	mf_control_place_leave(c->dir);
	free(c);
}
