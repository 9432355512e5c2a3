/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_files.h - the workspace of `moonfence run`: a directory that the command sees through the policies
 *
 *	mf_run_files_prepare(&files, &err)        before the capture forks: paths
 *	mf_run_files_begin(&files, fd, ...)       with what mf_capture_take_workspace() gives, before the command starts
 *	mf_run_files_settle(&files)               when the command has ended
 *	mf_run_files_end(&files)                  when the capture has gone
 */
#ifndef MF_CLI_RUN_FILES_H
#define MF_CLI_RUN_FILES_H

#include <pthread.h>

#include "cli/fs_mode.h"
#include "cli/policy_host.h"
#include "cli/run_place.h"
#include "cli/trash_options.h"
#include "fs/monitor.h"
#include "fs/mount.h"
#include "fs/trash_events.h"

struct mf_run_files {
	/* as asked for */
	const char *workspace;	  /* NULL: none */
	const char *workspace_at; /* Windows: where the command sees it; NULL: a free drive */
	enum mf_fs_mode mode;
	struct mf_trash_choice trash_choice;
	/* once prepared */
	struct mf_run_place place;
	char *trash_path;
	/* as it runs */
	struct mf_trash *trash;
	struct mf_trash_teller teller;
	struct mf_fs_mount *mount;
	struct mf_monitor *monitor;
	const struct mf_log *log;
	pthread_t thread;
	bool started;
	_Atomic bool over; /* that thread serves no longer */
};

/**
 * mf_run_files_prepare() - Find the workspace and its trash, and what the mode needs of this machine; starts no thread
 * Return: 0, MF_E_NOENT, MF_E_IO, MF_E_UNSUPPORTED, MF_E_PERM
 */
int mf_run_files_prepare(struct mf_run_files *files, const struct mf_log *log, struct mf_err *err);

/**
 * mf_run_files_begin() - Serve it, or watch what the session of @pid does to it; takes @fd, which a watched one has not
 * Return: 0 or MF_E_*
 */
int mf_run_files_begin(struct mf_run_files *files, int fd, int64_t pid,
		       const struct mf_policy_host *host, const struct mf_session *session,
		       struct mf_err *err);

/** mf_run_files_settle() - The command has ended: all that was seen of it has been told when this returns */
void mf_run_files_settle(struct mf_run_files *files);

/** mf_run_files_end() - For what was prepared, begun or neither */
void mf_run_files_end(struct mf_run_files *files);

#endif
