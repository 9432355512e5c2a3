/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - the control socket of one running session: what it is, what it decides while it decides it, and its end
 *
 *	dir = mf_control_dir(&log)                     before the capture forks: the directory to hide from the command
 *	c = mf_control_new(&log)                       while we may still write there
 *	mf_control_take_events(c, events)              before anything is sent
 *	mf_control_serve(c, &card)                     in a thread of its own from now on
 *	...
 *	mf_events_free(events); mf_control_end(c);     readers get the last line, then their end
 *
 * The socket is PID.sock in mf_paths_sessions(), which only its owner and root may enter; who connects is looked at as well. On
 * Windows it is a pipe with an access list (control_place.h), and processes of the session itself are refused (@card->is_inside).
 * It speaks the daemon's protocol (daemon/api.h): /v1/session, /v1/events, /v1/maps. A session never fails for want of it:
 * what goes wrong is logged, and NULL is fine everywhere.
 */
#ifndef MF_CLI_CONTROL_H
#define MF_CLI_CONTROL_H

#include "core/observe/events.h"
#include "daemon/session_self_routes.h"

struct mf_control;

/** mf_control_dir() - Make the directory; Return: its path, static storage; NULL: there is none */
const char *mf_control_dir(const struct mf_log *log);

/** mf_control_new() - Make the socket; nobody is answered yet. Return: NULL: there is none */
struct mf_control *mf_control_new(const struct mf_log *log);

/** mf_control_take_events() - Keep the last ones; before the first mf_events_send() */
void mf_control_take_events(struct mf_control *c, struct mf_events *events);

/** mf_control_serve() - Start answering; @card: its ring and end are filled in here, the rest is borrowed until the end */
void mf_control_serve(struct mf_control *c, const struct mf_session_card *card);

/** mf_control_path() - Where it is; NULL: there is none */
const char *mf_control_path(const struct mf_control *c);

/** mf_control_forget_policies() - The card's runtime is about to go */
void mf_control_forget_policies(struct mf_control *c);

/** mf_control_end() - What is in the ring goes to who reads it, for two seconds at most; the socket is removed */
void mf_control_end(struct mf_control *c);

#endif
