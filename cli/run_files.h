/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_files.h - the workspace of `moonfence run`: a directory that the command sees through the policies
 *
 *	mf_run_files_prepare(&files, &err)        before the capture forks: paths
 *	mf_run_files_begin(&files, fd, ...)       with what mf_capture_take_workspace() gives, before the command starts
 *	mf_run_files_end(&files)                  when the capture has gone
 */
#ifndef MF_CLI_RUN_FILES_H
#define MF_CLI_RUN_FILES_H

#include <pthread.h>

#include "cli/policy_host.h"
#include "cli/trash_options.h"
#include "fs/mount.h"
#include "fs/trash_events.h"

struct mf_run_files {
	/* as asked for */
	const char *workspace; /* NULL: none */
	struct mf_trash_choice trash_choice;
	/* once prepared */
	char *source; /* without links */
	char *trash_path;
	/* as it runs */
	char at[32];
	struct mf_trash *trash;
	struct mf_trash_teller teller;
	struct mf_fs_mount *mount;
	pthread_t thread;
	bool started;
};

/** mf_run_files_prepare() - Find the workspace and its trash; starts no thread; Return: 0, MF_E_NOENT, MF_E_IO, MF_E_UNSUPPORTED */
int mf_run_files_prepare(struct mf_run_files *files, struct mf_err *err);

/** mf_run_files_begin() - Serve it; takes @fd; Return: 0 or MF_E_* */
int mf_run_files_begin(struct mf_run_files *files, int fd, const struct mf_policy_host *host,
		       const struct mf_session *session, struct mf_err *err);

/** mf_run_files_end() - For what was prepared, begun or neither */
void mf_run_files_end(struct mf_run_files *files);

#endif
