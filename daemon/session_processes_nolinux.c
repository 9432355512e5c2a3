/* SPDX-License-Identifier: Apache-2.0 */
/* session_processes_nolinux.c - see session_processes.h */
#include "daemon/session_processes.h"

#include <moonfence/moonfence.h>
#ifndef _WIN32
#include <signal.h>
#include <sys/types.h>
#endif

json_t *mf_session_processes_json(int64_t pid, bool *ret_complete)
{
	(void)pid;
	*ret_complete = false;
	return NULL;
}

int mf_session_processes_kill(int64_t pid, enum mf_session_kill who, bool (*there)(void *ctx),
			      void *ctx)
{
	if (who != MF_SESSION_KILL_ALL || (there && !there(ctx)))
		return 0;
#ifdef _WIN32
	(void)pid;
	return MF_E_UNSUPPORTED; /* there are no sessions of the daemon */
#else
	return kill((pid_t)pid, SIGKILL) == 0;
#endif
}
