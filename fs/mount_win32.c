/* SPDX-License-Identifier: Apache-2.0 */
/* mount_win32.c - mount.h on Windows: WinFsp's mount with the questions behind it, and what ends it */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "fs/mount.h"
#include "fs/mount_int_win32.h"

#define SEATS_MAX 32
#define CLOSE_MS  4000 /* Windows ends the process 5 s after the window was closed */

struct mf_fs_mount {
	struct mf_fs_mount_options o;
	char *root; /* made of the source's path */
	struct mf_fs_judge *judge;
	struct mf_policy_fs *policy;
	struct mf_mount_winfsp *winfsp;
	HANDLE ended;
};

/* "C:\work" is "/C:/work" for policies. */
static int find_root(struct mf_fs_mount *m, struct mf_err *err)
{
	struct mf_wsource *src;
	size_t len;
	int r;

	r = mf_wsource_open(m->o.source, &src, err);
	if (r < 0)
		return r;
	len = strlen(mf_wsource_path(src));
	m->root = malloc(len + 2);
	if (m->root) {
		m->root[0] = '/';
		memcpy(m->root + 1, mf_wsource_path(src), len + 1);
		for (char *p = m->root; *p; p++)
			if (*p == '\\')
				*p = '/';
	}
	mf_wsource_close(src);
	return m->root ? 0 : mf_err_set(err, MF_E_NOMEM, "cannot mount: out of memory");
}

int mf_fs_mount_new(const struct mf_fs_mount_options *options, struct mf_fs_mount **ret_mount,
		    struct mf_err *err)
{
	struct mf_fs_mount *m = calloc(1, sizeof(*m));
	struct mf_fs_judge_options j = { .find_process = mf_mount_find_process,
					 .seats = SEATS_MAX };
	struct mf_mount_winfsp_options w = { .mountpoint = options->at };
	int r = 0;

	*ret_mount = NULL;
	if (!m)
		return mf_err_set(err, MF_E_NOMEM, "cannot mount: out of memory");
	m->o = *options;
	j.runtime = m->o.runtime;
	j.session_id = m->o.session_id;
	j.source = m->o.source_name;
	j.labels = m->o.labels;
	j.label_cnt = m->o.label_cnt;
	j.log = m->o.log;
	m->ended = CreateEventW(NULL, TRUE, FALSE, NULL);
	if (!m->ended)
		r = mf_err_set(err, MF_E_NOMEM, "cannot mount: out of memory");
	if (r == 0 && !m->o.root)
		r = find_root(m, err);
	if (r == 0)
		r = mf_fs_judge_new(&j, &m->judge, err);
	if (r == 0)
		r = mf_policy_fs_new(m->judge, m->o.events, m->o.session_id, m->o.source_name,
				     &m->policy, err);
	if (r == 0) {
		w.source = m->o.source;
		w.root = m->o.root ? m->o.root : m->root;
		w.policy = m->policy;
		w.trash = m->o.trash;
		w.session = m->o.session_id;
		w.log = m->o.log;
		r = mf_mount_winfsp_new(&w, &m->winfsp, err);
	}
	if (r < 0) {
		mf_fs_mount_free(m);
		return r;
	}
	*ret_mount = m;
	return 0;
}

/* ---- the console ---- */

/* The one that Ctrl-C ends. */
static struct mf_fs_mount *console_mount;
static SRWLOCK console_lock = SRWLOCK_INIT;

static BOOL WINAPI on_console(DWORD what)
{
	HANDLE ended = NULL;

	AcquireSRWLockExclusive(&console_lock);
	if (console_mount) {
		mf_mount_winfsp_stop(console_mount->winfsp);
		ended = console_mount->ended;
	}
	ReleaseSRWLockExclusive(&console_lock);
	/* For these Windows ends the process once this returns. */
	if (ended &&
	    (what == CTRL_CLOSE_EVENT || what == CTRL_LOGOFF_EVENT || what == CTRL_SHUTDOWN_EVENT))
		WaitForSingleObject(ended, CLOSE_MS);
	return ended != NULL;
}

/* From the control socket of our own process (cli/control_place.h): nobody else raises it. */
static void on_term(int sig)
{
	(void)sig;
	(void)on_console(CTRL_C_EVENT);
}

static void watch_console(struct mf_fs_mount *m)
{
	AcquireSRWLockExclusive(&console_lock);
	console_mount = m;
	ReleaseSRWLockExclusive(&console_lock);
}

int mf_fs_mount_serve(struct mf_fs_mount *m, struct mf_err *err)
{
	bool signals = m->o.signals;
	int r;

	if (signals) {
		watch_console(m);
		(void)SetConsoleCtrlHandler(on_console, TRUE);
		signal(SIGTERM, on_term);
	}
	r = mf_mount_winfsp_serve(m->winfsp, err);
	if (signals) {
		(void)SetConsoleCtrlHandler(on_console, FALSE);
		signal(SIGTERM, SIG_DFL);
		watch_console(NULL);
	}
	SetEvent(m->ended);
	return r;
}

void mf_fs_mount_stop(struct mf_fs_mount *m)
{
	mf_mount_winfsp_stop(m->winfsp);
}

void mf_fs_mount_free(struct mf_fs_mount *m)
{
	if (!m)
		return;
	mf_mount_winfsp_free(m->winfsp);
	mf_policy_fs_free(m->policy);
	mf_fs_judge_free(m->judge);
	if (m->ended)
		CloseHandle(m->ended);
	free(m->root);
	free(m);
}

const char *mf_fs_mount_notice(void)
{
	return MF_WINFSP_NOTICE;
}

void mf_fs_mount_get_stats(struct mf_fs_mount *m, struct mf_fs_mount_stats *ret)
{
	*ret = (struct mf_fs_mount_stats){ .size = sizeof(*ret),
					   .open_files = mf_mount_files_open(m->winfsp) };
	mf_policy_fs_get_stats(m->policy, &ret->ops);
}
