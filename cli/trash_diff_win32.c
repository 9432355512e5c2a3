/* SPDX-License-Identifier: Apache-2.0 */
/* trash_diff_win32.c - see trash_diff.h: Windows comes with no diff, so it is one of our own */
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#include "cli/trash_diff.h"
#include "core/base/line_diff.h"
#include "core/base/win32.h"

#define TEXT_MAX ((int64_t)256 << 20) /* bytes of each side that are read into memory */

/* All of an open file; @ret->ptr: to be freed. */
static int read_all(HANDLE h, const char *what, struct mf_span *ret, struct mf_err *err)
{
	LARGE_INTEGER size;
	char *text, reason[256];
	size_t len = 0;
	DWORD got = 1;

	if (!GetFileSizeEx(h, &size))
		return mf_err_set(err, MF_E_IO, "Cannot read %s: %s.", what,
				  mf_win32_message(GetLastError(), reason, sizeof(reason)));
	if (size.QuadPart > TEXT_MAX)
		return mf_err_set(err, MF_E_LIMIT,
				  "%s is too long to be compared here; 'moonfence trash restore "
				  "--to' puts what was kept beside it.",
				  what);
	text = malloc((size_t)size.QuadPart + 1);
	if (!text)
		return mf_err_set(err, MF_E_NOMEM, "Out of memory.");
	while (len < (size_t)size.QuadPart && got) {
		if (!ReadFile(h, text + len, (DWORD)((size_t)size.QuadPart - len), &got, NULL)) {
			DWORD code = GetLastError();

			free(text);
			return mf_err_set(err, MF_E_IO, "Cannot read %s: %s.", what,
					  mf_win32_message(code, reason, sizeof(reason)));
		}
		len += got;
	}
	*ret = mf_span_of(text, len);
	return 0;
}

/* What is at @path now; nothing at all where nothing is there. */
static int read_now(const char *path, struct mf_span *ret, struct mf_err *err)
{
	wchar_t *wide = mf_win32_path(path);
	BY_HANDLE_FILE_INFORMATION info;
	char reason[256];
	HANDLE h;
	int r;

	if (!wide)
		return mf_err_set(err, MF_E_IO, "Cannot read %s: it is no name.", path);
	h = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
			NULL, OPEN_EXISTING,
			FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS, NULL);
	free(wide);
	if (h == INVALID_HANDLE_VALUE) {
		DWORD code = GetLastError();

		if (code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND)
			return 0;
		return mf_err_set(err, MF_E_IO, "Cannot read %s: %s.", path,
				  mf_win32_message(code, reason, sizeof(reason)));
	}
	if (!GetFileInformationByHandle(h, &info) ||
	    info.dwFileAttributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT))
		r = mf_err_set(err, MF_E_IO, "Cannot read %s: it is a directory or a link.", path);
	else
		r = read_all(h, path, ret, err);
	CloseHandle(h);
	return r;
}

int mf_trash_diff_run(int fd, const char *path, struct mf_err *err)
{
	struct mf_span old_text = { 0 }, new_text = { 0 };
	/* "/C:/work/a" of records. */
	const char *place = path[0] == '/' && path[1] && path[2] == ':' ? path + 1 : path;
	int r = read_all((HANDLE)_get_osfhandle(fd), "what is kept", &old_text, err);

	_close(fd);
	if (r == 0)
		r = read_now(place, &new_text, err);
	if (r == 0) {
		r = mf_line_diff(old_text, "in the trash", new_text, place, stdout);
		if (r < 0)
			mf_err_set(err, r, "Cannot compare with %s: out of memory.", place);
	}
	free((void *)(uintptr_t)old_text.ptr);
	free((void *)(uintptr_t)new_text.ptr);
	return r;
}
