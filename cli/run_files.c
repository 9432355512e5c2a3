/* SPDX-License-Identifier: Apache-2.0 */
/* run_files.c - see run_files.h */
#include "cli/run_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/watch_report.h"
#include "core/base/err.h"
#include "core/base/thread.h"
#include "fs/fuse_ready.h"

/* @host: NULL before there is one: only to find the place */
static int open_trash(struct mf_run_files *f, const struct mf_policy_host *host,
		      const struct mf_session *session, struct mf_err *err)
{
	struct mf_trash_options o = f->trash_choice.options;

	o.source = f->place.source;
	if (!host) {
		o.hash_max = 0;
		return mf_trash_open(&o, &f->trash, err);
	}
	f->teller = (struct mf_trash_teller){ .events = host->events,
					      .log = &host->log,
					      .session = session->id,
					      .source = session->source };
	o.background = true;
	o.event = mf_trash_teller_tell;
	o.event_ctx = &f->teller;
	return mf_trash_open(&o, &f->trash, err);
}

int mf_run_files_prepare(struct mf_run_files *f, const struct mf_log *log, struct mf_err *err)
{
	int r;

	if (f->workspace && f->mode == MF_FS_MODE_DISABLED) {
		mf_log_info(log, "--fs-mode disabled: no policy is asked about files of %s",
			    f->workspace);
		f->workspace = NULL;
	}
	if (!f->workspace)
		return 0;
	f->log = log;
	if (f->mode == MF_FS_MODE_MONITOR)
		return 0;
	r = mf_run_place_find(f->workspace, f->workspace_at, &f->place, err);
	if (r == 0)
		r = mf_fuse_ready(MF_FUSE_SESSION, err);
	if (r < 0 || f->trash_choice.none)
		return r;
	// Its threads must wait until the capture has forked.
	r = open_trash(f, NULL, NULL, err);
	if (r < 0)
		return r;
	f->trash_path = strdup(mf_trash_path(f->trash));
	mf_trash_close(f->trash);
	f->trash = NULL;
	return f->trash_path ? 0 : mf_err_set(err, MF_E_NOMEM, "out of memory");
}

static void *serve(void *ctx)
{
	struct mf_run_files *f = ctx;
	struct mf_err err = { 0 };

	// It ends with the session; who still waits for an answer then gets an error.
	(void)mf_fs_mount_serve(f->mount, &err);
	atomic_store(&f->over, true);
	return NULL;
}

static void *watch(void *ctx)
{
	struct mf_run_files *f = ctx;
	struct mf_err err = { 0 };

	if (mf_monitor_serve(f->monitor, &err) < 0)
		mf_log_error(f->log, "files are not watched any longer: %s", err.msg);
	return NULL;
}

static int start(struct mf_run_files *f, void *(*run)(void *ctx), struct mf_err *err)
{
	if (mf_thread_start(&f->thread, run, f) != 0)
		return mf_err_set(err, MF_E_NOMEM, "cannot start a thread");
	f->started = true;
	return 0;
}

static int begin_to_watch(struct mf_run_files *f, int64_t pid, const struct mf_policy_host *host,
			  const struct mf_session *session, struct mf_err *err)
{
	const struct mf_monitor_options o = { .size = sizeof(o),
					      .dir = f->workspace,
					      .runtime = host->runtime,
					      .session_id = session->id,
					      .source_name = session->source,
					      .labels = session->labels,
					      .label_cnt = session->label_cnt,
					      .events = host->events,
					      .session_pid = pid,
					      .log = &host->log };
	int r = mf_monitor_new(&o, &f->monitor, err);

	if (r < 0)
		return r;
	mf_log_info(f->log, "%s is watched, %s", f->workspace, mf_monitor_kind(f->monitor));
	return start(f, watch, err);
}

int mf_run_files_begin(struct mf_run_files *f, int fd, int64_t pid,
		       const struct mf_policy_host *host, const struct mf_session *session,
		       struct mf_err *err)
{
	struct mf_fs_mount_options o = { .size = sizeof(o),
					 .source = f->place.source,
					 .at = f->place.at,
					 .runtime = host->runtime,
					 .session_id = session->id,
					 .source_name = session->source,
					 .labels = session->labels,
					 .label_cnt = session->label_cnt,
					 .events = host->events,
					 .approvals = session->approvals,
					 .allow_other = true,
					 .log = &host->log };
	int r = 0;

	if (!f->workspace)
		return 0;
	if (f->mode == MF_FS_MODE_MONITOR)
		return begin_to_watch(f, pid, host, session, err);
	if (!f->trash_choice.none)
		r = open_trash(f, host, session, err);
	o.trash = f->trash;
	if (fd >= 0) // mounted already, in the session
		snprintf(f->place.at, sizeof(f->place.at), "/dev/fd/%d", fd);
	if (r == 0)
		r = mf_fs_mount_new(&o, &f->mount, err);
	if (r == 0)
		r = start(f, serve, err);
	return r < 0 ? r : mf_run_place_wait(&f->place, &f->over, f->log, err);
}

void mf_run_files_settle(struct mf_run_files *f)
{
	if (!f->monitor)
		return;
	if (f->started) {
		mf_monitor_stop(f->monitor);
		pthread_join(f->thread, NULL);
		f->started = false;
	}
	mf_watch_report(f->monitor, f->log);
	mf_monitor_free(f->monitor);
	f->monitor = NULL;
}

void mf_run_files_end(struct mf_run_files *f)
{
	mf_run_files_settle(f);
	if (f->started) {
		mf_fs_mount_stop(f->mount);
		pthread_join(f->thread, NULL);
		f->started = false;
	}
	mf_fs_mount_free(f->mount);
	mf_trash_close(f->trash);
	mf_run_place_done(&f->place);
	free(f->trash_path);
	f->mount = NULL;
	f->trash = NULL;
	f->trash_path = NULL;
}
