/* SPDX-License-Identifier: Apache-2.0 */
/* event_request.h - the question that an event was the answer to, as far as the event says: docs/events.md */
#ifndef MF_CLI_EVENT_REQUEST_H
#define MF_CLI_EVENT_REQUEST_H

#include <jansson.h>

#include "core/policy/request.h"

/**
 * mf_event_request() - The request of one event
 * Names, addresses, ports, operations, paths, the session's name and the process's number are taken over; what events do not
 * hold (labels, a process's name) stays unknown.
 * Return: a request that is the caller's; NULL for an event that tells of no decision, or is cut, or without memory
 */
struct mf_request *mf_event_request(const json_t *event);

#endif
