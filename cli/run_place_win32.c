/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_place_win32.c - see run_place.h: a drive, or a directory, of its own
 *
 * Windows has no mounts for a session alone: the source stays where it is, and in reach of who may reach it. That is said each time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "cli/run_place.h"
#include "core/base/win32.h"
#include "fs/mount.h"
#include "fs/source_win32.h"

#define APPEAR_MS 30000 /* a drive appears within some hundredths of a second */

/* The last letter that is free: the first ones are given to what is plugged in. */
static int free_letter(struct mf_run_place *p, struct mf_err *err)
{
	DWORD taken = GetLogicalDrives();

	for (char letter = 'Z'; letter >= 'D'; letter--)
		if (!(taken >> (letter - 'A') & 1)) {
			snprintf(p->at, sizeof(p->at), "%c:", letter);
			return 0;
		}
	return mf_err_set(err, MF_E_IO,
			  "there is no drive letter left for the workspace: --workspace-at names a "
			  "directory instead");
}

/* Absolute: the command starts elsewhere. */
static int take_place(struct mf_run_place *p, const char *at, struct mf_err *err)
{
	wchar_t *wide = mf_win32_wide(at), full[MF_RUN_PLACE_MAX];
	bool letter = at[0] && at[1] == ':' && !at[2];
	DWORD n = wide && !letter ? GetFullPathNameW(wide, MF_RUN_PLACE_MAX, full, NULL) : 0;
	char *text;

	free(wide);
	if (letter) {
		memcpy(p->at, at, 3);
		return 0;
	}
	text = n && n < MF_RUN_PLACE_MAX ? mf_win32_utf8(full) : NULL;
	if (!text || strlen(text) >= sizeof(p->at)) {
		free(text);
		return mf_err_set(err, MF_E_INVAL,
				  "--workspace-at wants a drive such as X:, or a directory that is "
				  "not there yet: \"%s\"",
				  at);
	}
	strcpy(p->at, text);
	free(text);
	return 0;
}

/* Who stands in the workspace begins at the same place of what is seen of it. */
static int find_directory(struct mf_run_place *p, struct mf_err *err)
{
	size_t len = strlen(p->source);
	struct mf_wsource *here;
	const char *rest;
	int r = mf_wsource_open(".", &here, err);

	if (r < 0)
		return r;
	rest = mf_wsource_path(here) + len;
	if (strlen(mf_wsource_path(here)) < len ||
	    _strnicmp(mf_wsource_path(here), p->source, len) != 0 || (*rest && *rest != '\\')) {
		mf_wsource_close(here);
		return 0;
	}
	p->directory = malloc(strlen(p->at) + strlen(rest) + 2);
	if (p->directory)
		sprintf(p->directory, "%s%s", p->at, *rest ? rest : "\\");
	mf_wsource_close(here);
	return p->directory ? 0 : mf_err_set(err, MF_E_NOMEM, "out of memory");
}

int mf_run_place_find(const char *workspace, const char *at, struct mf_run_place *ret,
		      struct mf_err *err)
{
	struct mf_wsource *src;
	int r = mf_wsource_open(workspace, &src, err);

	if (r < 0)
		return r;
	ret->source = strdup(mf_wsource_path(src));
	mf_wsource_close(src);
	if (!ret->source)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	r = at ? take_place(ret, at, err) : free_letter(ret, err);
	if (r == 0)
		r = find_directory(ret, err);
	if (r == 0) {
		wchar_t *wide = mf_win32_wide(ret->at);

		/* The command inherits it. */
		if (wide)
			(void)SetEnvironmentVariableW(L"MOONFENCE_WORKSPACE", wide);
		free(wide);
	}
	return r;
}

static bool is_seen(const struct mf_run_place *p)
{
	char root[MF_RUN_PLACE_MAX + 2];
	wchar_t *wide;
	DWORD attrs;

	snprintf(root, sizeof(root), "%s\\", p->at);
	wide = mf_win32_path(root);
	attrs = wide ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;
	free(wide);
	return attrs != INVALID_FILE_ATTRIBUTES;
}

int mf_run_place_wait(const struct mf_run_place *p, const _Atomic bool *over,
		      const struct mf_log *log, struct mf_err *err)
{
	ULONGLONG until = GetTickCount64() + APPEAR_MS;

	/* Windows tells nobody when a drive of another process appears. */
	while (!is_seen(p)) {
		if (atomic_load(over) || GetTickCount64() >= until)
			return mf_err_set(err, MF_E_IO,
					  "the workspace does not appear at %s: is WinFsp's driver "
					  "running (\"sc query WinFsp\")?",
					  p->at);
		Sleep(10);
	}
	mf_log_warning(log,
		       "%s is seen at %s, by %s. Who opens %s itself goes past the policies: its "
		       "access list must keep the command out",
		       p->source, p->at, mf_fs_mount_notice(), p->source);
	return 0;
}

void mf_run_place_done(struct mf_run_place *place)
{
	free(place->source);
	free(place->directory);
	*place = (struct mf_run_place){ .source = NULL };
}
