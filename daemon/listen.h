/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen.h - the control socket: made so that nobody can slip in between, and who is at the other end of a connection
 *
 * Unix: a stream socket. The directory is made where it is missing (0755); beside the socket stays PATH.lock, which a living
 * daemon holds a lock on, so that a second one knows, and a socket that a dead one left is replaced. The socket gets its mode
 * before it gets its name: it is bound inside a directory that only we can enter, and renamed.
 * Windows: a named pipe (listen_win32.c).
 */
#ifndef MF_DAEMON_LISTEN_H
#define MF_DAEMON_LISTEN_H

#include "daemon/api.h"

struct mf_listen;

struct mf_listen_options {
	const char *path;
	const char *const *users,
		*const *groups; /* who may beside ourselves and root: names or numbers, NULL at the end */
	size_t user_cnt, group_cnt;
};

/**
 * mf_listen_new() - Make the socket, or take the place of one that a dead daemon left
 * Return: 0; MF_E_EXIST (another daemon serves there), MF_E_PERM (what is there is no socket, or no place for one),
 *         MF_E_NOENT (a user or group), MF_E_INVAL (a path too long), MF_E_IO, MF_E_NOMEM, MF_E_UNSUPPORTED
 */
int mf_listen_new(const struct mf_listen_options *options, struct mf_listen **ret,
		  struct mf_err *err);
/** mf_listen_free() - Close it and take its name away, if that is still ours. NULL is fine */
void mf_listen_free(struct mf_listen *l);

/** mf_listen_fd() - What becomes readable when somebody connects */
int mf_listen_fd(const struct mf_listen *l);

/**
 * mf_listen_accept() - The next connection: non-blocking, closed on exec
 * @ret_may: whether this peer may use the API
 * Return: a descriptor; MF_E_AGAIN; MF_E_FULL (no descriptors are left); MF_E_IO
 */
int mf_listen_accept(struct mf_listen *l, struct mf_peer *ret_peer, bool *ret_may);

#endif
