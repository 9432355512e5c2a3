/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_sessions.c - see daemon_sessions.h */
#include "cli/daemon_sessions.h"

#include <stdlib.h>
#include <string.h>

#include "cli/control.h"
#include "core/observe/event_ring.h"
#include "daemon/event_feed.h"
#include "daemon/services.h"
#include "daemon/sessions.h"

/* Events of all sessions: more than one of them keeps. */
#define RING_BYTES ((size_t)16 << 20)
#define RING_LINES 65536

struct mf_daemon_sessions {
	struct event_base *base;
	struct mf_policy_host *host;
	struct mf_event_ring *ring;
	struct mf_event_feed *feed;
	struct mf_sessions *sessions;
	struct mf_services *services;
	char *policies[MF_POLICY_HOST_MAX]; /* absolute: a session may start elsewhere */
	size_t policy_cnt;
};

int mf_daemon_sessions_new(struct event_base *base, struct mf_policy_host *host,
			   struct mf_daemon_sessions **ret, struct mf_err *err)
{
	static const struct mf_event_ring_options options = { RING_BYTES, RING_LINES };
	struct mf_daemon_sessions *d = calloc(1, sizeof(*d));
	int r = 0;

	if (!d)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	d->base = base;
	d->host = host;
	if (base)
		r = mf_event_ring_new(&options, &d->ring, err);
	if (base && r == 0)
		r = mf_events_add_callback(host->events, mf_event_ring_on_event, d->ring, "ring",
					   err);
	if (base && r == 0)
		r = mf_event_feed_new(base, d->ring, &d->feed, err);
	*ret = d;
	return r;
}

static void drop_policies(struct mf_daemon_sessions *d)
{
	while (d->policy_cnt)
		free(d->policies[--d->policy_cnt]);
}

static int copy_policies(struct mf_daemon_sessions *d, const char *const *paths, size_t cnt,
			 struct mf_err *err)
{
	char path[MF_PATH_MAX];

	for (size_t i = 0; i < cnt && i < MF_POLICY_HOST_MAX; i++) {
		if (!mf_paths_absolute(paths[i], path, sizeof(path)) ||
		    !(d->policies[i] = strdup(path)))
			return mf_err_set(err, MF_E_NOMEM, "a policy's path is too long: %.200s",
					  paths[i]);
		d->policy_cnt++;
	}
	return 0;
}

/* Those that are started from now on without any of their own. */
static void use_paths(void *ctx, const char *const *paths, size_t cnt)
{
	struct mf_daemon_sessions *d = ctx;
	struct mf_err err = { 0 };

	drop_policies(d);
	if (copy_policies(d, paths, cnt, &err) < 0)
		mf_log_error(&d->host->log, "%s", err.msg);
	mf_sessions_use_policies(d->sessions, (const char *const *)d->policies, d->policy_cnt);
}

int mf_daemon_sessions_add(struct mf_daemon_sessions *d, struct mf_api *api,
			   const char *config_path, struct mf_daemon_config *config,
			   struct mf_err *err)
{
	int r = copy_policies(d, d->host->policies, d->host->policy_cnt, err);
	struct mf_sessions_options o = { .dir = d->base ? mf_control_dir(&d->host->log) : NULL,
					 .program = mf_paths_program(),
					 .policies = (const char *const *)d->policies,
					 .policy_cnt = d->policy_cnt,
					 .ring = d->ring,
					 .log = &d->host->log };

	config->use_paths = use_paths;
	config->use_ctx = d;
	if (r == 0)
		r = mf_api_add(api, &mf_event_feed_set, d->feed, err);
	if (r == 0)
		r = mf_sessions_new(d->base, api, &o, &d->sessions, err);
	return r < 0 ? r
		     : mf_services_new(
			       api,
			       &(struct mf_services_options){ .sessions = d->sessions,
							      .file = config_path,
							      .log = &d->host->log,
							      .policies = mf_daemon_config_policies,
							      .settle = mf_daemon_config_settle,
							      .ctx = config },
			       &d->services, err);
}

int mf_daemon_sessions_start(struct mf_daemon_sessions *d, const struct mf_config *c,
			     struct mf_err *err)
{
	int r = mf_sessions_start(d->sessions, err);

	return r < 0 ? r : mf_services_start(d->services, c, err);
}

void mf_daemon_sessions_reload(struct mf_daemon_sessions *d)
{
	mf_services_reload(d->services);
}

json_t *mf_daemon_sessions_running(void *sessions)
{
	const struct mf_daemon_sessions *d = sessions;

	return d->sessions ? mf_sessions_running(d->sessions) : NULL;
}

size_t mf_daemon_sessions_waiting(const struct mf_daemon_sessions *d)
{
	return mf_services_waiting(d->services);
}

void mf_daemon_sessions_stop(struct mf_daemon_sessions *d)
{
	if (!d)
		return;
	mf_services_stop(d->services);
	mf_sessions_stop(d->sessions);
	if (d->feed)
		mf_event_feed_end(d->feed);
}

void mf_daemon_sessions_end(struct mf_daemon_sessions *d)
{
	if (!d)
		return;
	mf_daemon_sessions_stop(d);
	mf_services_free(d->services), d->services = NULL;
	mf_sessions_free(d->sessions), d->sessions = NULL;
	mf_event_feed_free(d->feed), d->feed = NULL;
}

void mf_daemon_sessions_free(struct mf_daemon_sessions *d)
{
	if (!d)
		return;
	mf_event_ring_free(d->ring);
	drop_policies(d);
	free(d);
}
