/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions.h - the sessions of one host, as its daemon knows them: started here, or found by their control sockets
 *
 * A session is a process of its own (`moonfence run`, `mount`, `resolver`, `proxy`, `vm-net`, `gateway`) with a control socket (session_self_routes.h).
 * The daemon starts such processes, finds those that others started in the directory of the sockets, follows their events into
 * one ring, and asks and ends them. None of them depends on the daemon: when it ends, or is killed, they go on, and the next
 * daemon finds them again and reads what happened meanwhile, as far as they kept it.
 *
 * /v1/sessions, /v1/sessions/{id}, /v1/sessions/{id}/maps
 *
 * Threads: the loop's; inside, one that asks sessions, and one for the events of each.
 */
#ifndef MF_DAEMON_SESSIONS_H
#define MF_DAEMON_SESSIONS_H

#include "core/base/log.h"
#include "core/observe/event_ring.h"
#include "daemon/api.h"

struct event_base;
struct mf_sessions;

#define MF_SESSIONS_MAX	      256 /* that run */
#define MF_SESSIONS_ENDED_MAX 64  /* that are remembered */

struct mf_sessions_options {
	const char
		*dir; /* of the sockets; NULL: this system has none, all requests are answered so */
	const char *program;	     /* moonfence, for those that are started; NULL: none are */
	const char *const *policies; /* of those that are started without any of their own */
	size_t policy_cnt;
	struct mf_event_ring *ring;
	const struct mf_log *log;
};

/** mf_sessions_new() - Everything borrowed. Adds its routes. Return: 0; MF_E_NOMEM and those of mf_api_add() */
int mf_sessions_new(struct event_base *base, struct mf_api *api,
		    const struct mf_sessions_options *options, struct mf_sessions **ret,
		    struct mf_err *err);

/** mf_sessions_start() - Look for them, from now on; without it the table is a table: for documents */
int mf_sessions_start(struct mf_sessions *s, struct mf_err *err);

/** mf_sessions_use_policies() - Of those that are started without any of their own, from now on; borrowed */
void mf_sessions_use_policies(struct mf_sessions *s, const char *const *policies, size_t cnt);

/** mf_sessions_running() - [{"id", "pid", "socket"}, ...] of those that run; NULL: this system has none */
json_t *mf_sessions_running(const struct mf_sessions *s);

/** mf_sessions_stop() - Calls that wait are answered; sessions go on */
void mf_sessions_stop(struct mf_sessions *s);
void mf_sessions_free(struct mf_sessions *s); /* after the API; NULL is fine */

#endif
