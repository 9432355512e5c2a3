/* SPDX-License-Identifier: Apache-2.0 */
/* disk_win32.c - see disk.h: directories that only the user and administrators change, MoveFileEx() with write-through */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "core/base/win32.h"
#include "packs/disk.h"

#define PATH_ROOM 4096
#define NEW_FILE  "packs.new"
#define NEW_DIR	  ".new"
#define OLD_DIR	  ".old"
#define LOCK	  ".lock"

struct mf_pack_disk {
	HANDLE lock;
	char path[];
};

static int fail(struct mf_err *err, const char *what, const char *path)
{
	DWORD code = GetLastError();
	char text[200];

	return mf_err_set(
		err,
		code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND ? MF_E_NOENT : MF_E_IO,
		"cannot %s %s: %s", what, path, mf_win32_message(code, text, sizeof(text)));
}

/* "@a/@b/@c" as UTF-16 in malloc()ed memory; @utf8: the same for messages. Empty parts are left out. */
static wchar_t *join(const char *a, const char *b, const char *c, char utf8[PATH_ROOM])
{
	int n = snprintf(utf8, PATH_ROOM, "%s%s%s%s%s", a, *b ? "/" : "", b, *c ? "/" : "", c);

	if (n < 0 || n >= PATH_ROOM) {
		SetLastError(ERROR_FILENAME_EXCED_RANGE);
		return NULL;
	}
	return mf_win32_path(utf8);
}

static bool make_dir(const char *path)
{
	wchar_t *wide = mf_win32_path(path);
	bool ok = wide && (CreateDirectoryW(wide, NULL) || GetLastError() == ERROR_ALREADY_EXISTS);

	free(wide);
	return ok;
}

/* @path and the directories above it, as far as they are missing. */
static bool make_path(const char *path)
{
	char above[PATH_ROOM];

	if ((size_t)snprintf(above, sizeof(above), "%s", path) >= sizeof(above)) {
		SetLastError(ERROR_FILENAME_EXCED_RANGE);
		return false;
	}
	for (char *p = above + 1; *p; p++) {
		if ((*p != '/' && *p != '\\') || p[-1] == ':')
			continue;
		char c = *p;

		*p = '\0';
		(void)make_dir(above); /* "C:" and what is not ours to make is there */
		*p = c;
	}
	return make_dir(above);
}

int mf_pack_disk_check(const char *path, struct mf_err *err)
{
	wchar_t *wide = mf_win32_path(path);
	DWORD attributes = wide ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;

	free(wide);
	if (attributes == INVALID_FILE_ATTRIBUTES)
		return fail(err, "open", path);
	if (!(attributes & FILE_ATTRIBUTE_DIRECTORY) || attributes & FILE_ATTRIBUTE_REPARSE_POINT)
		return mf_err_set(err, MF_E_PERM, "%s is a link or no directory", path);
	return 0;
}

int mf_pack_disk_open(const char *path, struct mf_pack_disk **ret_disk, struct mf_err *err)
{
	struct mf_pack_disk *d = malloc(sizeof(*d) + strlen(path) + 1);
	char utf8[PATH_ROOM];
	OVERLAPPED at = { 0 };
	wchar_t *wide;
	int r;

	if (!d)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	strcpy(d->path, path);
	d->lock = INVALID_HANDLE_VALUE;
	r = make_path(path) ? mf_pack_disk_check(path, err) : fail(err, "make", path);
	if (r == 0) {
		wide = join(path, LOCK, "", utf8);
		if (wide)
			d->lock =
				CreateFileW(wide, GENERIC_READ | GENERIC_WRITE,
					    FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
					    NULL, OPEN_ALWAYS, FILE_ATTRIBUTE_HIDDEN, NULL);
		free(wide);
		if (d->lock == INVALID_HANDLE_VALUE ||
		    !LockFileEx(d->lock, LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &at))
			r = fail(err, "lock", utf8);
	}
	if (r < 0) {
		mf_pack_disk_close(d);
		return r;
	}
	*ret_disk = d;
	return 0;
}

void mf_pack_disk_close(struct mf_pack_disk *d)
{
	if (!d)
		return;
	if (d->lock != INVALID_HANDLE_VALUE)
		CloseHandle(d->lock); /* and with it the lock */
	free(d);
}

/* A new file, on the disk when this returns. */
static bool write_file(const char *dir, const char *name, const void *data, size_t len)
{
	char utf8[PATH_ROOM];
	wchar_t *wide = join(dir, name, "", utf8);
	const char *p = data;
	HANDLE h = wide ? CreateFileW(wide, GENERIC_WRITE, 0, NULL, CREATE_NEW,
				      FILE_ATTRIBUTE_NORMAL, NULL)
			: INVALID_HANDLE_VALUE;
	DWORD n = 1, code;
	bool ok = h != INVALID_HANDLE_VALUE;

	for (; ok && len; p += n, len -= n)
		ok = WriteFile(h, p, len < 1u << 20 ? (DWORD)len : 1u << 20, &n, NULL) && n;
	ok = ok && FlushFileBuffers(h);
	code = GetLastError();
	if (h != INVALID_HANDLE_VALUE)
		CloseHandle(h);
	free(wide);
	SetLastError(code);
	return ok;
}

static bool move(const char *from, const char *to, DWORD flags)
{
	wchar_t *a = mf_win32_path(from), *b = mf_win32_path(to);
	bool ok = a && b && MoveFileExW(a, b, flags | MOVEFILE_WRITE_THROUGH);
	DWORD code = GetLastError();

	free(a);
	free(b);
	SetLastError(code);
	return ok;
}

int mf_pack_disk_write(struct mf_pack_disk *d, const char *name, const void *data, size_t len,
		       struct mf_err *err)
{
	char fresh[PATH_ROOM], utf8[PATH_ROOM];
	wchar_t *wide = join(d->path, NEW_FILE, "", fresh);
	bool ok = wide;
	int r = 0;

	if (wide)
		(void)DeleteFileW(wide);
	free(wide);
	free(join(d->path, name, "", utf8));
	if (!ok || !write_file(d->path, NEW_FILE, data, len) ||
	    !move(fresh, utf8, MOVEFILE_REPLACE_EXISTING))
		r = fail(err, "write", utf8);
	return r;
}

void mf_pack_disk_unlink(struct mf_pack_disk *d, const char *name)
{
	char utf8[PATH_ROOM];
	wchar_t *wide = join(d->path, name, "", utf8);

	if (wide)
		(void)DeleteFileW(wide);
	free(wide);
}

/* Everything below and with @path; what leads elsewhere is removed, not followed. */
static bool remove_tree(const char *path, unsigned depth)
{
	wchar_t *wide = mf_win32_path(path), *pattern;
	DWORD attributes = wide ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;
	char below[PATH_ROOM];
	WIN32_FIND_DATAW e;
	HANDLE list = INVALID_HANDLE_VALUE;
	bool ok;

	if (attributes == INVALID_FILE_ATTRIBUTES) {
		free(wide);
		return true;
	}
	if (!(attributes & FILE_ATTRIBUTE_DIRECTORY)) {
		ok = DeleteFileW(wide);
		free(wide);
		return ok;
	}
	if (!(attributes & FILE_ATTRIBUTE_REPARSE_POINT) && depth < 2 * MF_PACK_DEPTH_MAX) {
		pattern = join(path, "*", "", below);
		if (pattern)
			list = FindFirstFileW(pattern, &e);
		free(pattern);
	}
	ok = list != INVALID_HANDLE_VALUE;
	while (ok) {
		char *name = mf_win32_utf8(e.cFileName);

		if (name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
		    (size_t)snprintf(below, sizeof(below), "%s/%s", path, name) < sizeof(below))
			(void)remove_tree(below, depth + 1);
		free(name);
		ok = FindNextFileW(list, &e);
	}
	if (list != INVALID_HANDLE_VALUE)
		FindClose(list);
	ok = RemoveDirectoryW(wide);
	free(wide);
	return ok;
}

static bool write_tree(const char *root, const struct mf_pack_tree *tree, const char **ret_path)
{
	char dir[PATH_ROOM];

	for (size_t i = 0; i < tree->cnt; i++) {
		const struct mf_pack_file *f = &tree->files[i];

		*ret_path = f->path;
		for (const char *slash = f->path; (slash = strchr(slash, '/')); slash++)
			if ((size_t)snprintf(dir, sizeof(dir), "%s/%.*s", root,
					     (int)(slash - f->path), f->path) >= sizeof(dir) ||
			    !make_dir(dir))
				return false;
		if (!write_file(root, f->path, f->data, f->len))
			return false;
	}
	return true;
}

int mf_pack_disk_put(struct mf_pack_disk *d, const char *group, const char *name,
		     const struct mf_pack_tree *tree, struct mf_err *err)
{
	char fresh[PATH_ROOM], old[PATH_ROOM], at[PATH_ROOM], to[PATH_ROOM];
	const char *path = "";
	int r = 0;

	if ((size_t)snprintf(fresh, sizeof(fresh), "%s/%s", d->path, NEW_DIR) >= sizeof(fresh) ||
	    (size_t)snprintf(old, sizeof(old), "%s/%s", d->path, OLD_DIR) >= sizeof(old) ||
	    (size_t)snprintf(at, sizeof(at), "%s/%s", d->path, group) >= sizeof(at) ||
	    (size_t)snprintf(to, sizeof(to), "%s/%s/%s", d->path, group, name) >= sizeof(to))
		return mf_err_set(err, MF_E_LIMIT, "a path below %.200s is too long", d->path);
	if (!remove_tree(fresh, 0) || !make_dir(fresh))
		r = fail(err, "make", fresh);
	else if (!write_tree(fresh, tree, &path))
		r = fail(err, "write", path);
	else if (!make_dir(at))
		r = fail(err, "make", at);
	else if (!move(fresh, to, 0) &&
		 (!remove_tree(old, 0) || !move(to, old, 0) || !move(fresh, to, 0)))
		r = fail(err, "put a pack into", at);
	(void)remove_tree(old, 0);
	if (r < 0)
		(void)remove_tree(fresh, 0);
	return r;
}

void mf_pack_disk_remove(struct mf_pack_disk *d, const char *group, const char *name)
{
	char from[PATH_ROOM], old[PATH_ROOM], at[PATH_ROOM];
	wchar_t *wide;

	if ((size_t)snprintf(from, sizeof(from), "%s/%s/%s", d->path, group, name) >=
		    sizeof(from) ||
	    (size_t)snprintf(old, sizeof(old), "%s/%s", d->path, OLD_DIR) >= sizeof(old))
		return;
	if (remove_tree(old, 0) && move(from, old, 0))
		(void)remove_tree(old, 0);
	wide = join(d->path, group, "", at);
	if (wide)
		(void)RemoveDirectoryW(wide); /* unless something is left in it */
	free(wide);
}
