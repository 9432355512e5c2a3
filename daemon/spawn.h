/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.h - a child process that goes on when we end: no terminal of ours, nothing of ours open */
#ifndef MF_DAEMON_SPAWN_H
#define MF_DAEMON_SPAWN_H

#include <stdbool.h>

#include "core/base/err.h"

struct mf_spawn {
	const char *const *argv;	/* NULL at the end; argv[0] is a path */
	const char *const *environment; /* "NAME=value" over our own, NULL at the end; NULL: none */
	const char *directory;		/* NULL: ours */
	const char *output; /* file that stdout and stderr are appended to; NULL: nowhere */
	bool tell;	    /* without such a file: to our stderr */
};

/** mf_spawn_start() - stdin is empty; a process group of its own. Return: the process; MF_E_IO, MF_E_NOMEM, MF_E_UNSUPPORTED */
int mf_spawn_start(const struct mf_spawn *what, struct mf_err *err);

/** mf_spawn_ended() - Whether a child has ended, without waiting; then its status, or its signal (else 0). Once each child */
bool mf_spawn_ended(int pid, int *ret_status, int *ret_signal);

/** mf_spawn_end() - Ask a child to end: SIGTERM */
void mf_spawn_end(int pid);

#endif
