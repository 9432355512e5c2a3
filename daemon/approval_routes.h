/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approval_routes.h - GET /v1/approvals (at once, or as soon as something has changed), POST /v1/approvals/{id}
 *
 * Who answers is the peer of the socket, as the system says: it stands in the event. A question that has gone is 404, an answer that may
 * not be kept 409.
 *
 * Threads: that of the loop.
 */
#ifndef MF_DAEMON_APPROVAL_ROUTES_H
#define MF_DAEMON_APPROVAL_ROUTES_H

#include "core/approve/approve.h"
#include "daemon/api.h"

struct event_base;
struct mf_approval_routes;

/** mf_approval_routes_new() - @approvals: borrowed. Return: 0; MF_E_NOMEM, MF_E_IO, MF_E_FULL and those of mf_api_add() */
int mf_approval_routes_new(struct mf_api *api, struct event_base *base,
			   struct mf_approvals *approvals, struct mf_approval_routes **ret,
			   struct mf_err *err);

/** mf_approval_routes_end() - Whoever waits for a change is answered; before the transport ends */
void mf_approval_routes_end(struct mf_approval_routes *r);
void mf_approval_routes_free(struct mf_approval_routes *r); /* after the API; NULL is fine */

#endif
