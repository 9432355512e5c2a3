/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_processes.h - the processes of a session: everybody below its moonfence (core/base/process_tree.h), shown and killed
 *
 * A session is the subreaper of its command: nobody leaves it. Linux; elsewhere nothing is shown, and of a session that is to be
 * killed its moonfence is.
 */
#ifndef MF_DAEMON_SESSION_PROCESSES_H
#define MF_DAEMON_SESSION_PROCESSES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define MF_SESSION_PROCESSES_MAX 1000 /* that are shown */

/* Who is to go, one after the other: what can still report how the command ended, and clean up, goes last. */
enum mf_session_kill {
	MF_SESSION_KILL_COMMAND, /* all but moonfence and those that it forked for itself */
	MF_SESSION_KILL_BELOW,	 /* all but moonfence */
	MF_SESSION_KILL_ALL,
	MF_SESSION_KILL_NUM
};

/**
 * mf_session_processes_json() - [{"pid": 7, "parent": 6, "name": "sh"}, ...], by number, without @pid itself
 * @ret_complete: whether these are all. Any thread. Return: NULL: this system does not say
 */
json_t *mf_session_processes_json(int64_t pid, bool *ret_complete);

/**
 * mf_session_processes_kill() - SIGKILL, once, to those who are there now; any thread
 * @there: whether @pid is still who it was, asked once its identity is held; NULL: it is our child, and was not waited for
 * Return: processes that were sent one; MF_E_PERM: some are others', and may not be
 */
int mf_session_processes_kill(int64_t pid, enum mf_session_kill who, bool (*there)(void *ctx),
			      void *ctx);

#endif
