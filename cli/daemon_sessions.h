/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_sessions.h - the part of `moonfence daemon` that has sessions and events
 *
 *	mf_daemon_sessions_new(base, &host, &d, &err)      before anything is sent; with no base: for documents only
 *	mf_daemon_sessions_add(d, api, &err)               routes
 *	mf_daemon_sessions_start(d, &config, &err)         sessions are looked for, those of the configuration are run
 *	mf_daemon_sessions_stop(d)                         those of the configuration are ended, streams of events end, who waits is answered
 *	mf_daemon_sessions_end(d)                          before the API's transport and the API are freed
 *	mf_daemon_sessions_free(d)                         after the host's events are closed
 */
#ifndef MF_CLI_DAEMON_SESSIONS_H
#define MF_CLI_DAEMON_SESSIONS_H

#include "cli/daemon_config.h"
#include "cli/policy_host.h"
#include "daemon/api.h"
#include "daemon/config.h"

struct event_base;
struct mf_daemon_sessions;

/** mf_daemon_sessions_new() - @host: its events exist, if there is a @base; both borrowed. Return: 0, MF_E_NOMEM, MF_E_IO */
int mf_daemon_sessions_new(struct event_base *base, struct mf_policy_host *host,
			   struct mf_daemon_sessions **ret, struct mf_err *err);
/** mf_daemon_sessions_add() - @config_path: to be read again; NULL: there is none. @config: borrowed, what else it says */
int mf_daemon_sessions_add(struct mf_daemon_sessions *d, struct mf_api *api,
			   const char *config_path, struct mf_daemon_config *config,
			   struct mf_err *err);
int mf_daemon_sessions_start(struct mf_daemon_sessions *d, const struct mf_config *c,
			     struct mf_err *err);
/** mf_daemon_sessions_reload() - Because of a signal: the configuration's sessions, mounts and proxy */
void mf_daemon_sessions_reload(struct mf_daemon_sessions *d);
/** mf_daemon_sessions_running() - For mf_routes_policy_list_sessions(); @sessions: a struct mf_daemon_sessions */
json_t *mf_daemon_sessions_running(void *sessions);
/** mf_daemon_sessions_waiting() - How many of those have not ended since mf_daemon_sessions_stop() */
size_t mf_daemon_sessions_waiting(const struct mf_daemon_sessions *d);
/* What was never made may be stopped, ended and freed: NULL is fine. */
void mf_daemon_sessions_stop(struct mf_daemon_sessions *d);
void mf_daemon_sessions_end(struct mf_daemon_sessions *d);
void mf_daemon_sessions_free(struct mf_daemon_sessions *d);

#endif
