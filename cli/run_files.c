/* SPDX-License-Identifier: Apache-2.0 */
/* run_files.c - see run_files.h */
#include "cli/run_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/thread.h"

/* @host: NULL before there is one: only to find the place */
static int open_trash(struct mf_run_files *f, const struct mf_policy_host *host,
		      const struct mf_session *session, struct mf_err *err)
{
	struct mf_trash_options o = f->trash_choice.options;

	o.source = f->source;
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

#ifdef _WIN32 // a tiny difference: no realpath(), and no workspace either
int mf_run_files_prepare(struct mf_run_files *f, struct mf_err *err)
{
	(void)open_trash;
	return f->workspace
		       ? mf_err_set(err, MF_E_UNSUPPORTED, "this system has no --workspace yet")
		       : 0;
}
#else
int mf_run_files_prepare(struct mf_run_files *f, struct mf_err *err)
{
	int r;

	if (!f->workspace)
		return 0;
	f->source = realpath(f->workspace, NULL);
	if (!f->source)
		return mf_err_set(err, errno == ENOENT ? MF_E_NOENT : MF_E_IO, "%s: %s",
				  f->workspace, strerror(errno));
	if (f->trash_choice.none)
		return 0;
	// Its threads must wait until the capture has forked.
	r = open_trash(f, NULL, NULL, err);
	if (r < 0)
		return r;
	f->trash_path = strdup(mf_trash_path(f->trash));
	mf_trash_close(f->trash);
	f->trash = NULL;
	return f->trash_path ? 0 : mf_err_set(err, MF_E_NOMEM, "out of memory");
}
#endif

static void *serve(void *ctx)
{
	struct mf_run_files *f = ctx;
	struct mf_err err = { 0 };

	// It ends with the session; who still waits for an answer then gets an error.
	(void)mf_fs_mount_serve(f->mount, &err);
	return NULL;
}

int mf_run_files_begin(struct mf_run_files *f, int fd, const struct mf_policy_host *host,
		       const struct mf_session *session, struct mf_err *err)
{
	struct mf_fs_mount_options o = { .size = sizeof(o),
					 .source = f->source,
					 .at = f->at,
					 .runtime = host->runtime,
					 .session_id = session->id,
					 .source_name = session->source,
					 .labels = session->labels,
					 .label_cnt = session->label_cnt,
					 .events = host->events,
					 .allow_other = true,
					 .log = &host->log };
	int r = 0;

	if (!f->workspace)
		return 0;
	if (!f->trash_choice.none)
		r = open_trash(f, host, session, err);
	o.trash = f->trash;
	snprintf(f->at, sizeof(f->at), "/dev/fd/%d", fd);
	if (r == 0)
		r = mf_fs_mount_new(&o, &f->mount, err);
	if (r < 0)
		return r;
	if (mf_thread_start(&f->thread, serve, f) != 0)
		return mf_err_set(err, MF_E_NOMEM, "cannot start a thread");
	f->started = true;
	return 0;
}

void mf_run_files_end(struct mf_run_files *f)
{
	if (f->started) {
		mf_fs_mount_stop(f->mount);
		pthread_join(f->thread, NULL);
		f->started = false;
	}
	mf_fs_mount_free(f->mount);
	mf_trash_close(f->trash);
	free(f->source);
	free(f->trash_path);
	f->mount = NULL;
	f->trash = NULL;
	f->source = f->trash_path = NULL;
}
