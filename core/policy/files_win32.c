/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files_win32.c - files.h on Windows
 *
 * Names are opened first and judged by what was opened: the handle's final path, with every link and junction resolved,
 * must lie below the directory's. So nothing can be swapped between the look and the reading.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "core/base/win32.h"
#include "core/policy/files.h"

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

char *mf_file_path_dup(const char *path)
{
	size_t n = strlen(path), drive;
	char *copy = malloc(n + 3);

	if (!copy)
		return NULL;
	/* "C:x" lies in the drive's current directory: "C:./x" says so with a separator. */
	drive = path[0] && path[1] == ':' && path[2] && path[2] != '\\' && path[2] != '/' ? 2 : 0;
	memcpy(copy, path, drive);
	if (drive)
		memcpy(copy + 2, "./", 2);
	memcpy(copy + (drive ? 4 : 0), path + drive, n - drive + 1);
	for (char *p = copy; *p; p++)
		*p = *p == '\\' ? '/' : *p;
	return copy;
}

size_t mf_file_root_len(const char *path)
{
	size_t n = path[0] && path[1] == ':' ? 2 : 0;

	return path[n] == '/' ? n + 1 : n;
}

static int fail_errno(struct mf_err *err, const char *path, int error)
{
	return mf_err_at(err, error == ENOENT || error == ENOTDIR ? MF_E_NOENT : MF_E_IO, path, 0,
			 0, "cannot read %s: %s", path, strerror(error));
}

static int fail_code(struct mf_err *err, const char *path, DWORD code)
{
	return fail_errno(err, path, mf_win32_errno(code));
}

/* Opens what a link points to; INVALID_HANDLE_VALUE with GetLastError(). */
static HANDLE open_path(const wchar_t *path, DWORD access)
{
	/* Directories open with this flag only, and are refused afterwards with a better sentence. */
	return CreateFileW(path, access, SHARE_ALL, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS,
			   NULL);
}

static enum mf_file_kind kind_of_handle(HANDLE h, uint64_t *ret_size)
{
	BY_HANDLE_FILE_INFORMATION info;

	/* Reserved names (NUL, COM1) open devices, whatever directory stands before them. */
	if (GetFileType(h) != FILE_TYPE_DISK || !GetFileInformationByHandle(h, &info))
		return MF_FILE_OTHER;
	if (ret_size)
		*ret_size = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow;
	return info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? MF_FILE_DIR : MF_FILE_REGULAR;
}

static enum mf_file_kind kind_of_wide(const wchar_t *path)
{
	HANDLE h = open_path(path, FILE_READ_ATTRIBUTES);
	enum mf_file_kind kind;

	if (h == INVALID_HANDLE_VALUE)
		return MF_FILE_NONE;
	kind = kind_of_handle(h, NULL);
	CloseHandle(h);
	return kind;
}

enum mf_file_kind mf_file_kind_of(const char *path)
{
	wchar_t *wide = mf_win32_path(path);
	enum mf_file_kind kind = wide ? kind_of_wide(wide) : MF_FILE_NONE;

	free(wide);
	return kind;
}

/* Reads what @h holds and closes it. One byte more than the size is asked for, so that growth is seen. */
static int read_all(HANDLE h, const char *path, size_t max, char **ret_text, size_t *ret_len,
		    struct mf_err *err)
{
	size_t len = 0, room, ask;
	char *text = NULL, *more;
	uint64_t size = 0;
	DWORD n;
	int r;

	if (kind_of_handle(h, &size) != MF_FILE_REGULAR) {
		r = mf_err_at(err, MF_E_IO, path, 0, 0, "%s is not a regular file", path);
		goto out;
	}
	room = size < max ? (size_t)size : max;
	do {
		more = realloc(text, room + 2);
		if (!more) {
			r = mf_err_set(err, MF_E_NOMEM, "out of memory while reading %s", path);
			goto out;
		}
		text = more;
		while (len <= room) {
			ask = room + 1 - len;
			if (!ReadFile(h, text + len, ask < 1 << 30 ? (DWORD)ask : 1 << 30, &n,
				      NULL)) {
				r = fail_code(err, path, GetLastError());
				goto out;
			}
			if (n == 0)
				break;
			len += n;
		}
		if (len > max) {
			r = mf_err_at(err, MF_E_LIMIT, path, 0, 0, "%s has more than %zu bytes",
				      path, max);
			goto out;
		}
	} while (len > room && (room = room * 2 < max ? room * 2 + 64 : max));
	text[len] = '\0';
	*ret_text = text;
	*ret_len = len;
	text = NULL;
	r = 0;
out:
	free(text);
	CloseHandle(h);
	return r;
}

/* A directory cannot be opened for reading by everybody: then it is looked at what it is. */
static int open_for_reading(const wchar_t *wide, const char *path, HANDLE *ret_h,
			    struct mf_err *err)
{
	DWORD code;

	*ret_h = open_path(wide, GENERIC_READ);
	if (*ret_h != INVALID_HANDLE_VALUE)
		return 0;
	code = GetLastError();
	if (code == ERROR_ACCESS_DENIED && kind_of_wide(wide) == MF_FILE_DIR)
		return mf_err_at(err, MF_E_IO, path, 0, 0, "%s is not a regular file", path);
	return fail_code(err, path, code);
}

int mf_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct mf_err *err)
{
	wchar_t *wide = mf_win32_path(path);
	HANDLE h;
	int r;

	if (!wide)
		return fail_errno(err, path, errno);
	r = open_for_reading(wide, path, &h, err);
	free(wide);
	return r < 0 ? r : read_all(h, path, max, ret_text, ret_len, err);
}

/*
 * Relative, without "..", and without what Windows would read otherwise than it looks: drives and streams (":"), and
 * dots and blanks at the end of a component, which it cuts off (".. " is "..").
 */
static bool name_is_confined(const char *name)
{
	const char *p = name;

	if (*name == '\0' || *name == '/' || *name == '\\' || strchr(name, ':'))
		return false;
	while (*p) {
		size_t n = strcspn(p, "/\\");

		if (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '.') && !(n == 1 && p[0] == '.'))
			return false;
		p += n + (p[n] != '\0');
	}
	return true;
}

/* The path of what a handle has open, links resolved, in malloc()ed memory; NULL with GetLastError(). */
static wchar_t *final_path(HANDLE h)
{
	DWORD n = GetFinalPathNameByHandleW(h, NULL, 0, VOLUME_NAME_DOS), got;
	wchar_t *path;

	if (n == 0)
		return NULL;
	path = malloc(((size_t)n + 1) * sizeof(*path));
	if (!path) {
		SetLastError(ERROR_OUTOFMEMORY);
		return NULL;
	}
	got = GetFinalPathNameByHandleW(h, path, n + 1, VOLUME_NAME_DOS);
	if (got == 0 || got > n) { /* renamed in between */
		if (got)
			SetLastError(ERROR_FILE_NOT_FOUND);
		free(path);
		return NULL;
	}
	return path;
}

/* Return: 1 below, 0 outside, -1 with GetLastError() */
static int is_below(HANDLE dir, HANDLE file)
{
	wchar_t *a = final_path(dir), *b = a ? final_path(file) : NULL;
	DWORD code = GetLastError();
	int r = -1;
	size_t n;

	if (b) {
		n = wcslen(a);
		while (n > 0 && a[n - 1] == L'\\') /* a drive's root */
			n--;
		r = wcsncmp(a, b, n) == 0 && b[n] == L'\\';
	}
	free(a);
	free(b);
	SetLastError(code);
	return r;
}

static int open_below(const char *dir, const char *path, HANDLE *ret_h, struct mf_err *err)
{
	wchar_t *wide_dir = mf_win32_path(dir), *wide = wide_dir ? mf_win32_path(path) : NULL;
	HANDLE d = INVALID_HANDLE_VALUE;
	int r;

	*ret_h = INVALID_HANDLE_VALUE;
	if (!wide) {
		r = fail_errno(err, path, errno);
		goto out;
	}
	d = open_path(wide_dir, FILE_READ_ATTRIBUTES);
	if (d == INVALID_HANDLE_VALUE) {
		r = fail_code(err, path, GetLastError());
		goto out;
	}
	r = open_for_reading(wide, path, ret_h, err);
	if (r < 0)
		goto out;
	r = is_below(d, *ret_h);
	if (r < 0)
		r = fail_code(err, path, GetLastError());
	else if (r == 0)
		r = mf_err_at(err, MF_E_PERM, path, 0, 0,
			      "%s is a symbolic link out of its directory", path);
	else
		r = 0;
out:
	if (r < 0 && *ret_h != INVALID_HANDLE_VALUE)
		CloseHandle(*ret_h);
	if (d != INVALID_HANDLE_VALUE)
		CloseHandle(d);
	free(wide_dir);
	free(wide);
	return r;
}

int mf_file_read_below(const char *dir, const char *name, size_t max, char **ret_text,
		       size_t *ret_len, struct mf_err *err)
{
	char path[4096];
	HANDLE h;
	int r;

	if (!name_is_confined(name))
		return mf_err_set(
			err, MF_E_PERM,
			"\"%s\" may not be absolute or hold \"..\": files of a policy lie below %s",
			name, dir);
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return mf_err_set(err, MF_E_LIMIT, "a path below %s is too long", dir);
	r = open_below(dir, path, &h, err);
	return r < 0 ? r : read_all(h, path, max, ret_text, ret_len, err);
}

/* Read as a whole: nobody maps it on this system. */
int mf_file_read_pieces(const char *dir, const char *name, size_t max, mf_file_piece_fn fn,
			void *ctx, struct mf_err *err)
{
	size_t len = 0, take;
	char *text = NULL;
	int r = mf_file_read_below(dir, name, max, &text, &len, err);

	for (size_t at = 0; r == 0 && at < len; at += take) {
		take = len - at < MF_FILE_PIECE ? len - at : MF_FILE_PIECE;
		r = fn(ctx, text + at, take, err);
	}
	free(text);
	return r;
}

static int add_entry(struct mf_file_list *list, const char *dir, const WIN32_FIND_DATAW *found)
{
	struct mf_file_entry *more;
	char path[4096];

	more = realloc(list->items, (list->cnt + 1) * sizeof(*more));
	if (!more)
		return MF_E_NOMEM;
	list->items = more;
	more += list->cnt;
	more->name = mf_win32_utf8(found->cFileName);
	if (!more->name)
		return MF_E_NOMEM;
	list->cnt++;
	more->kind =
		found->dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? MF_FILE_DIR : MF_FILE_REGULAR;
	if (found->dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) {
		if (snprintf(path, sizeof(path), "%s/%s", dir, more->name) < (int)sizeof(path))
			more->kind = mf_file_kind_of(path);
		else
			more->kind = MF_FILE_OTHER;
		if (more->kind == MF_FILE_NONE)
			more->kind = MF_FILE_OTHER;
	}
	return 0;
}

/* @dir\* in malloc()ed memory; NULL with errno */
static wchar_t *pattern_of(const char *dir)
{
	size_t n = strlen(dir);
	bool ends = n && strchr("/\\:", dir[n - 1]);
	wchar_t *wide;
	char *text;

	if (n == 0) {
		errno = ENOENT;
		return NULL;
	}
	text = malloc(n + 3);
	if (!text) {
		errno = ENOMEM;
		return NULL;
	}
	snprintf(text, n + 3, "%s%s*", dir, ends ? "" : "\\");
	wide = mf_win32_path(text);
	free(text);
	return wide;
}

int mf_file_list_dir(const char *dir, size_t max, struct mf_file_list *ret_list, struct mf_err *err)
{
	wchar_t *pattern = pattern_of(dir);
	struct mf_file_list list = { 0 };
	WIN32_FIND_DATAW found;
	DWORD code;
	HANDLE h;
	int r = 0;

	if (!pattern)
		return fail_errno(err, dir, errno);
	h = FindFirstFileW(pattern, &found);
	code = GetLastError();
	free(pattern);
	/* An empty root of a drive has not even "." in it. */
	if (h == INVALID_HANDLE_VALUE && code == ERROR_FILE_NOT_FOUND &&
	    mf_file_kind_of(dir) == MF_FILE_DIR) {
		*ret_list = list;
		return 0;
	}
	if (h == INVALID_HANDLE_VALUE)
		return fail_code(err, dir, code);
	do {
		if (found.cFileName[0] == L'.')
			continue;
		if (list.cnt == max)
			r = mf_err_set(err, MF_E_LIMIT, "%s has more than %zu entries", dir, max);
		else if (add_entry(&list, dir, &found) < 0)
			r = mf_err_set(err, MF_E_NOMEM, "out of memory while reading %s", dir);
	} while (r == 0 && FindNextFileW(h, &found));
	code = GetLastError();
	FindClose(h);
	if (r == 0 && code != ERROR_NO_MORE_FILES)
		r = fail_code(err, dir, code);
	if (r < 0) {
		mf_file_list_done(&list);
		return r;
	}
	mf_file_list_sort(&list);
	*ret_list = list;
	return 0;
}
