/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_sessions.h - policies put in force in all sessions of a host that judge by those of the daemon
 *
 * Which those are, their files' SHA-256 say: a session whose generation in force has the same ones, in the same order, goes along; one
 * with others is left alone. Each loads the candidate's paths itself, and must have read the same bytes. All of it is
 * asked at the sessions' control sockets, one after the other, for MF_POLICY_SESSIONS_S seconds at most.
 *
 * A list of sessions: [{"id", "pid", "socket"}, ...]; what becomes of each is added: "result" and "why".
 *
 * Threads: any; they wait for answers.
 */
#ifndef MF_DAEMON_POLICY_SESSIONS_H
#define MF_DAEMON_POLICY_SESSIONS_H

#include <jansson.h>

#include "core/base/err.h"

#define MF_POLICY_SESSIONS_S 120

/**
 * mf_policy_sessions_prepare() - Have those that judge by @before load @paths, and see that they read @policies
 * @before, @policies: as "policies" of a Generation. Return: 0; MF_E_INVAL: one of them cannot, as @err says; then none should
 */
int mf_policy_sessions_prepare(json_t *list, const json_t *before, const json_t *paths,
			       const json_t *policies, struct mf_err *err);

/** mf_policy_sessions_activate() - Put in force what was prepared: "activated", or "failed" */
void mf_policy_sessions_activate(json_t *list);

/** mf_policy_sessions_rollback() - Those that judge by @before go back to @policies, where they keep them: else "not_kept" */
void mf_policy_sessions_rollback(json_t *list, const json_t *before, const json_t *policies);

#endif
