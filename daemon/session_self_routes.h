/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_self_routes.h - what a session's own process answers about itself: GET and DELETE /v1/session, GET /v1/maps, /v1/maps/flows
 *
 * A session is a running `moonfence run`, `mount`, `resolver`, `proxy`, `vm-net` or `gateway`. Its process serves these beside /v1/events
 * (event_feed.h) at a socket of its own; the daemon asks there, and so does `moonfence policy trace`.
 *
 * Threads: that of the API; what a card names is read from it, so it must bear that (names and runtime do).
 */
#ifndef MF_DAEMON_SESSION_SELF_ROUTES_H
#define MF_DAEMON_SESSION_SELF_ROUTES_H

#include "core/policy/session.h"
#include "daemon/api.h"

struct mf_event_ring;
struct mf_session_routes;

/* Everything borrowed until the routes are freed, and not changed meanwhile; what does not apply is NULL or 0. */
struct mf_session_card {
	const char *kind; /* "run", "mount", "resolver", "proxy", "vm-net", "gateway" */
	const char *id;
	const char *backend;	     /* how traffic is captured */
	const char *place;	     /* where it is seen: a mount point */
	const char *const *command;  /* argv, NULL at the end */
	const char *const *policies; /* paths as they were given */
	size_t policy_cnt;
	const struct mf_session_label *labels;
	size_t label_cnt;
	struct mf_runtime *runtime;
	struct mf_names *names;
	/* flow_view.h: {"flows": [...], "complete": BOOL}, NULL: not now; in the API's thread, and may wait a moment */
	json_t *(*flows)(void *ctx, uint64_t before, size_t limit);
	void *flows_ctx;
	struct mf_event_ring *ring;
	struct mf_approvals *approvals; /* NULL: nobody can be asked */
	/* Whether a process is of the session itself, and so may ask nothing here; NULL: none of them gets here. API's thread */
	bool (*is_inside)(void *ctx, int64_t pid);
	void *inside_ctx;
	void (*end)(void *ctx); /* end it gracefully; returns at once */
	void *end_ctx;
};

/** mf_session_routes_new() - Return: 0; MF_E_NOMEM and those of mf_api_add() */
int mf_session_routes_new(struct mf_api *api, const struct mf_session_card *card,
			  struct mf_session_routes **ret, struct mf_err *err);

/** mf_session_routes_forget_policies() - The card's runtime is about to go; from any thread */
void mf_session_routes_forget_policies(struct mf_session_routes *r);
void mf_session_routes_free(struct mf_session_routes *r); /* after the API; NULL is fine */

#endif
