/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_place.h - the control sockets of one user's sessions, by the processes that serve them
 *
 * Linux, macOS: PID.sock in a directory, and beside it what the listener locks. Windows: the pipe \\.\pipe\moonfence-session-PID,
 * for which the empty file PID.pipe stands in the directory: pipes have no directory of a user's own.
 */
#ifndef MF_DAEMON_SESSION_PLACE_H
#define MF_DAEMON_SESSION_PLACE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

/** mf_session_place_socket() - The control socket of the process @pid; Return: 0, MF_E_LIMIT: it has no room in @ret */
int mf_session_place_socket(const char *dir, long pid, char *ret, size_t room);

/** mf_session_place_is_absolute() - Whether text may name a control socket whoever reads it */
bool mf_session_place_is_absolute(const char *socket);

/**
 * mf_session_place_each() - Call @fn with each process that has a socket there, or had one and was killed
 * Windows: not of those that are no more; what they left is removed.
 * Return: 0, also where there is no such directory; MF_E_IO; MF_E_NOMEM
 */
int mf_session_place_each(const char *dir, void (*fn)(void *ctx, long pid), void *ctx,
			  struct mf_err *err);

/** mf_session_place_clear() - Remove what the process @pid has left of its @socket, which ended and cannot have been followed by another */
void mf_session_place_clear(const char *dir, long pid, const char *socket);
/** mf_session_place_forget() - The same, if there is no such process any more */
void mf_session_place_forget(const char *dir, long pid, const char *socket);

#endif
