/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirwatch_win32.c - see dirwatch.h: ReadDirectoryChangesW() on each directory, all of them at one completion port
 *
 * What exactly has changed is not read: a completion says that something has, and Windows collects further changes for the
 * next call. A directory's memory belongs to Windows until its last completion has come; one that is no longer wanted is
 * cancelled and put on a list until then.
 *
 * Handles are open for sharing everything, so files and the directories themselves can be renamed and removed; Windows
 * refuses only to rename a directory that holds another watched one, until the policies are no longer read from there.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/win32.h"
#include "core/policy/dirwatch.h"

#define EVENTS                                                                                     \
	(FILE_NOTIFY_CHANGE_FILE_NAME | FILE_NOTIFY_CHANGE_DIR_NAME |                              \
	 FILE_NOTIFY_CHANGE_ATTRIBUTES | FILE_NOTIFY_CHANGE_SIZE | FILE_NOTIFY_CHANGE_LAST_WRITE | \
	 FILE_NOTIFY_CHANGE_CREATION | FILE_NOTIFY_CHANGE_SECURITY)
#define KEY_DIR	     1
#define KEY_STOP     2
#define LINKS_MAX    32 /* one behind the other on the way to a path */
#define LAST_WAIT_MS 2000

struct dir {
	OVERLAPPED io; /* first: a completion names it */
	HANDLE handle;
	struct dir *next;
	unsigned list;	  /* for which it was opened */
	bool dead;	  /* no longer wanted */
	DWORD buffer[64]; /* too small for much: an overflow is a completion, too */
};

struct mf_dirwatch {
	HANDLE port;
	struct dir *dirs, *dying;
	unsigned list; /* the current one, from 1 */
	unsigned cnt;  /* directories in it */
	bool failed;   /* while it was made */
	uint64_t seen, hash;
	_Atomic bool stopping;
};

static bool listen_to(struct dir *d)
{
	memset(&d->io, 0, sizeof(d->io));
	return ReadDirectoryChangesW(d->handle, d->buffer, sizeof(d->buffer), FALSE, EVENTS, NULL,
				     &d->io, NULL);
}

static void unlink_dir(struct dir **list, const struct dir *d)
{
	while (*list && *list != d)
		list = &(*list)->next;
	if (*list)
		*list = d->next;
}

/* --- making a list ------------------------------------------------------------------------------------------------- */

static void add_wide(struct mf_dirwatch *w, const wchar_t *path)
{
	DWORD code, attributes = GetFileAttributesW(path);
	struct dir *d;

	w->hash = mf_hash_bytes(path, wcslen(path) * sizeof(*path), w->hash);
	/* As many files are named as directories. */
	if (attributes == INVALID_FILE_ATTRIBUTES || !(attributes & FILE_ATTRIBUTE_DIRECTORY))
		return;
	if (w->cnt >= MF_DIRWATCH_MAX) {
		w->failed = true;
		return;
	}
	d = calloc(1, sizeof(*d));
	if (!d) {
		w->failed = true;
		return;
	}
	d->handle = CreateFileW(
		path, FILE_LIST_DIRECTORY, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
		NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OVERLAPPED, NULL);
	if (d->handle == INVALID_HANDLE_VALUE) {
		code = GetLastError();
		free(d);
		/* Not there any more, or not ours to see: no reason to give up the others. */
		w->failed = w->failed ||
			    (code != ERROR_FILE_NOT_FOUND && code != ERROR_PATH_NOT_FOUND &&
			     code != ERROR_ACCESS_DENIED && code != ERROR_DIRECTORY);
		return;
	}
	if (!CreateIoCompletionPort(d->handle, w->port, KEY_DIR, 0) || !listen_to(d)) {
		CloseHandle(d->handle);
		free(d);
		w->failed = true;
		return;
	}
	d->list = w->list;
	d->next = w->dirs;
	w->dirs = d;
	w->cnt++;
}

/* Cuts the last component off; Return: false at a root */
static bool to_parent(wchar_t *path)
{
	wchar_t *slash, *start = path;
	size_t n = wcslen(path);

	if (wcsncmp(path, L"\\\\?\\", 4) == 0)
		start += 4;
	while (n > (size_t)(start - path) + 1 && path[n - 1] == L'\\')
		path[--n] = L'\0';
	slash = wcsrchr(start, L'\\');
	if (!slash) {
		if (start != path || start[0] == L'\0' || start[1] == L':' ||
		    wcscmp(path, L".") == 0)
			return false;
		wcscpy(path, L".");
		return true;
	}
	if (slash == start || slash[-1] == L':') { /* "\" and "C:\" */
		if (slash[1] == L'\0')
			return false;
		slash[1] = L'\0';
		return true;
	}
	*slash = L'\0';
	return true;
}

static void add_with_parent(struct mf_dirwatch *w, const wchar_t *path)
{
	wchar_t *parent;

	add_wide(w, path);
	parent = _wcsdup(path);
	if (!parent)
		w->failed = true;
	else if (to_parent(parent))
		add_wide(w, parent);
	free(parent);
}

static bool is_link(const wchar_t *path)
{
	DWORD a = GetFileAttributesW(path);

	return a != INVALID_FILE_ATTRIBUTES && a & FILE_ATTRIBUTE_REPARSE_POINT;
}

/* The directories in which the links and junctions stand that lead to @path. */
static void add_links(struct mf_dirwatch *w, const wchar_t *path)
{
	wchar_t *part = _wcsdup(path);

	if (!part) {
		w->failed = true;
		return;
	}
	for (int i = 0; i < LINKS_MAX && to_parent(part); i++)
		if (is_link(part))
			add_with_parent(w, part);
	free(part);
}

static void add_real(struct mf_dirwatch *w, const wchar_t *path)
{
	HANDLE h = CreateFileW(path, FILE_READ_ATTRIBUTES,
			       FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
			       OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
	wchar_t *full;
	DWORD n;

	if (h == INVALID_HANDLE_VALUE)
		return;
	n = GetFinalPathNameByHandleW(h, NULL, 0, VOLUME_NAME_DOS);
	full = n ? malloc(((size_t)n + 1) * sizeof(*full)) : NULL;
	if (full && GetFinalPathNameByHandleW(h, full, n + 1, VOLUME_NAME_DOS) - 1 < n)
		add_with_parent(w, full);
	free(full);
	CloseHandle(h);
}

static void add_path(void *ctx, const char *path)
{
	struct mf_dirwatch *w = ctx;
	wchar_t *wide = mf_win32_path(path), *p;
	bool linked = false;

	if (!wide) {
		w->failed = w->failed || errno == ENOMEM;
		return;
	}
	add_with_parent(w, wide);
	add_links(w, wide);
	p = _wcsdup(wide);
	if (p) {
		linked = is_link(p);
		for (int i = 0; !linked && i < LINKS_MAX && to_parent(p); i++)
			linked = is_link(p);
	}
	if (linked)
		add_real(w, wide);
	free(p);
	free(wide);
}

/* --- completions --------------------------------------------------------------------------------------------------- */

/* One completion; Return: 1 a change, 0 nothing that counts, -1 none has come in @ms */
static int take(struct mf_dirwatch *w, DWORD ms)
{
	OVERLAPPED *io = NULL;
	ULONG_PTR key = 0;
	struct dir *d;
	DWORD n = 0;

	if (!GetQueuedCompletionStatus(w->port, &n, &key, &io, ms) && !io)
		return -1;
	if (key != KEY_DIR)
		return 0;
	d = (struct dir *)(void *)io;
	if (d->dead) {
		unlink_dir(&w->dying, d);
		free(d);
		return 0;
	}
	/* A directory that has gone cannot be listened to any more; the one around it tells when it is back. */
	if (!listen_to(d)) {
		unlink_dir(&w->dirs, d);
		CloseHandle(d->handle);
		free(d);
	}
	return 1;
}

/* Ends the watch on the directories of other lists than @list. */
static void kill_others(struct mf_dirwatch *w, unsigned list)
{
	struct dir **at = &w->dirs, *d;

	while ((d = *at)) {
		if (d->list == list) {
			at = &d->next;
			continue;
		}
		*at = d->next;
		d->dead = true;
		d->next = w->dying;
		w->dying = d;
		CancelIoEx(d->handle, &d->io);
		CloseHandle(d->handle);
	}
}

int mf_dirwatch_renew(struct mf_dirwatch *w, mf_dirwatch_each_fn each, void *ctx, bool *ret_changed)
{
	int r;

	w->list++;
	w->cnt = 0;
	w->hash = 0;
	w->failed = false;
	each(ctx, add_path, w);
	/* Both lists are listened to now: what has come for either was not told of yet. */
	*ret_changed = w->seen != w->hash && !w->failed;
	while ((r = take(w, 0)) >= 0)
		*ret_changed = *ret_changed || r > 0;
	w->seen = w->hash;
	kill_others(w, w->failed ? 0 : w->list);
	return w->failed ? MF_E_LIMIT : 0;
}

int mf_dirwatch_wait(struct mf_dirwatch *w, int ms)
{
	uint64_t start = mf_clock_now(&mf_clock_system), passed;
	int r;

	for (;;) {
		passed = (mf_clock_now(&mf_clock_system) - start) / MF_NS_PER_MS;
		if (ms >= 0 && passed > (uint64_t)ms)
			passed = (uint64_t)ms;
		r = take(w, ms < 0 ? INFINITE : (DWORD)((uint64_t)ms - passed));
		if (atomic_load(&w->stopping))
			return -1;
		if (r < 0)
			return 0;
		if (r > 0)
			break;
	}
	while (take(w, 0) >= 0)
		;
	return 1;
}

int mf_dirwatch_new(struct mf_dirwatch **ret_watch, struct mf_err *err)
{
	struct mf_dirwatch *w = calloc(1, sizeof(*w));
	char why[300];

	if (!w)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	w->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
	if (!w->port) {
		mf_win32_message(GetLastError(), why, sizeof(why));
		free(w);
		return mf_err_set(err, MF_E_IO, "cannot watch policies: %s", why);
	}
	*ret_watch = w;
	return 0;
}

void mf_dirwatch_free(struct mf_dirwatch *w)
{
	uint64_t until = mf_clock_now(&mf_clock_system) + LAST_WAIT_MS * MF_NS_PER_MS;

	kill_others(w, 0);
	/* What Windows still writes to must stay: better a few hundred bytes lost than overwritten. */
	while (w->dying && mf_clock_now(&mf_clock_system) < until)
		(void)take(w, 50);
	CloseHandle(w->port);
	free(w);
}

void mf_dirwatch_stop(struct mf_dirwatch *w)
{
	atomic_store(&w->stopping, true);
	PostQueuedCompletionStatus(w->port, 0, KEY_STOP, NULL);
}
