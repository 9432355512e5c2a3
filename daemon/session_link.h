/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_link.h - a thread that follows the events of one session, from its control socket into a ring
 *
 * Goes on behind the last event when the connection breaks, as long as the session serves its socket: nothing is lost and
 * nothing comes twice. What the session itself no longer has is told by its events_dropped line, which is passed on.
 */
#ifndef MF_DAEMON_SESSION_LINK_H
#define MF_DAEMON_SESSION_LINK_H

#include "core/observe/event_ring.h"

struct mf_session_link;

/**
 * mf_session_link_new() - @peer_pid: who must serve there, 0: anybody; @ring: borrowed; @over: called in the thread when the session is gone, once; must not wait
 * Return: 0, MF_E_NOMEM
 */
int mf_session_link_new(const char *socket, int64_t peer_pid, struct mf_event_ring *ring,
			void (*over)(void *ctx), void *ctx, struct mf_session_link **ret,
			struct mf_err *err);

/** mf_session_link_is_over() - Whether it is gone; then *@ret_status is what its command ended with, if it told: else -1 */
bool mf_session_link_is_over(const struct mf_session_link *link, int *ret_status);

/** mf_session_link_free() - Waits for the thread: half a second at most. NULL is fine */
void mf_session_link_free(struct mf_session_link *link);

#endif
