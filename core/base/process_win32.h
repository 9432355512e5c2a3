/* SPDX-License-Identifier: Apache-2.0 */
/* process_win32.h - what Windows tells of a process: its program, user, parent, arguments, and when it was created */
#ifndef MF_BASE_PROCESS_WIN32_H
#define MF_BASE_PROCESS_WIN32_H

#include <stdbool.h>

#include "core/base/err.h"

struct mf_process_info {
	uint32_t pid, parent; /* parent 0: not known, or its number is another process' by now */
	uint64_t created_ns;  /* since 1970, UTC */
	char *exe;	      /* the program's full path; NULL: not known */
	const char *name;     /* the last part of @exe, in it */
	char *user;	      /* "DOMAIN\\NAME"; NULL: not known */
	char **args;	      /* NULL-terminated, one block; NULL: not known */
};

/**
 * mf_process_times() - When a process was created, and by whom
 * @ret_parent: 0 where not known; a parent that is younger than the process is another process with its number
 * Return: 0, MF_E_NOENT, MF_E_PERM
 */
int mf_process_times(uint32_t pid, uint64_t *ret_created_ns, uint32_t *ret_parent);

/**
 * mf_process_read() - All of it
 * @not_after_ns: a process that was created later is not the one that is meant: its number was used again; 0: any
 * Cost:   some ten system calls, and a look-up of the user's name
 * Return: 0; MF_E_NOENT, MF_E_PERM, MF_E_NOMEM
 */
int mf_process_read(uint32_t pid, uint64_t not_after_ns, struct mf_process_info *ret);
void mf_process_info_done(struct mf_process_info *info);

#endif
