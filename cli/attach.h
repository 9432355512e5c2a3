/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach.h - a session registers at a daemon: run --daemon
 *
 * A daemon finds the sessions of its own user by itself; this is for one that serves the host, or looks into another directory. The
 * session tells it where its control socket is, in a request whose answer does not end: when it ends, the daemon is gone, and
 * the session registers anew, twice a second, until it is back. It depends on the daemon for nothing meanwhile.
 *
 * Threads: one of its own.
 */
#ifndef MF_CLI_ATTACH_H
#define MF_CLI_ATTACH_H

#include "core/base/err.h"
#include "core/base/log.h"

struct mf_attach;

/**
 * mf_attach_begin() - Register, and stay registered
 * @daemon: its control socket; "default": where this user's is. @socket: the session's, which answers already; NULL: it has none
 * Return: 0 registered; as mf_client_call(), MF_E_PERM, MF_E_INVAL (the daemon says why not), MF_E_TIME (10 s), MF_E_UNSUPPORTED
 */
int mf_attach_begin(const char *daemon, const char *socket, const struct mf_log *log,
		    struct mf_attach **ret, struct mf_err *err);

/** mf_attach_end() - Waits for the thread: half a second at most. NULL is fine */
void mf_attach_end(struct mf_attach *a);

#endif
