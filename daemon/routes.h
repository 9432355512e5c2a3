/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.h - the sets of routes that this room has: docs/internals/daemon.md says how to add one
 *
 * Each mf_routes_*_new() adds its set to the API and makes what the handlers need; it is freed after the API.
 */
#ifndef MF_DAEMON_ROUTES_H
#define MF_DAEMON_ROUTES_H

#include "daemon/api.h"

struct mf_runtime;
struct mf_vm;
struct mf_routes_decide;
struct mf_routes_policy;
struct mf_routes_status;
struct mf_work;

#define MF_DECIDE_BATCH_MAX 512

/**
 * mf_routes_decide_new() - POST /v1/decide/{kind}
 * @vm: asked in the API's thread; borrowed. Return: 0; MF_E_NOMEM and those of mf_api_add()
 */
int mf_routes_decide_new(struct mf_api *api, struct mf_vm *vm, struct mf_routes_decide **ret,
			 struct mf_err *err);
void mf_routes_decide_free(struct mf_routes_decide *d);

/** mf_routes_status_new() - GET /v1/health, /v1/version, /v1/metrics, /v1/openapi.json; @rt may be NULL (no policies) */
int mf_routes_status_new(struct mf_api *api, struct mf_runtime *rt, struct mf_routes_status **ret,
			 struct mf_err *err);
void mf_routes_status_free(struct mf_routes_status *s);

/**
 * mf_routes_policy_new() - GET /v1/policy; POST /v1/policy/load, /test, /activate, /rollback, /reload
 * @work: its thread loads and tests; freed before this
 */
int mf_routes_policy_new(struct mf_api *api, struct mf_runtime *rt, struct mf_work *work,
			 struct mf_routes_policy **ret, struct mf_err *err);
/** mf_routes_policy_list_sessions() - What `sessions: true` goes along with: @list, in the loop, gives a list as of policy_sessions.h */
void mf_routes_policy_list_sessions(struct mf_routes_policy *p, json_t *(*list)(void *ctx),
				    void *ctx);
/** mf_routes_policy_forget() - The runtime is about to go; from any thread, waits for what is being done with it. NULL is fine */
void mf_routes_policy_forget(struct mf_routes_policy *p);
void mf_routes_policy_free(struct mf_routes_policy *p);

/**
 * mf_routes_policy_reload() - Because somebody asked for it by a signal: done in the thread, what goes wrong is an event
 * @done: called in the loop when it is over; @err NULL: all went well. Maybe at once
 */
void mf_routes_policy_reload(struct mf_routes_policy *p,
			     void (*done)(void *ctx, const struct mf_err *err), void *ctx);

/* Policies that a configuration names otherwise than before. */
struct mf_policy_change {
	const char *const *paths; /* copied; without any those in force are read again */
	size_t path_cnt;
	void (*begin)(void *ctx); /* in the thread, before anything is read; NULL: nothing */
	void (*back)(void *ctx);  /* in the thread: they did not load, what begin() did is undone */
	void *ctx;
};

/** mf_routes_policy_change() - Load, test and put in force; @done as of mf_routes_policy_reload() */
void mf_routes_policy_change(struct mf_routes_policy *p, const struct mf_policy_change *change,
			     void (*done)(void *ctx, const struct mf_err *err), void *ctx);

#endif
