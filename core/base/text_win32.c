/* SPDX-License-Identifier: Apache-2.0 */
/* text_win32.c - see win32.h */
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "core/base/err.h"
#include "core/base/files.h"
#include "core/base/win32.h"

#define PATH_LONGEST 32767 /* UTF-16 units that any path may have */

wchar_t *mf_win32_wide(const char *text)
{
	int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
	wchar_t *wide;

	if (n <= 0) {
		errno = EILSEQ;
		return NULL;
	}
	wide = malloc((size_t)n * sizeof(*wide));
	if (!wide) {
		errno = ENOMEM;
		return NULL;
	}
	MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, n);
	return wide;
}

char *mf_win32_utf8(const wchar_t *text)
{
	int n = WideCharToMultiByte(CP_UTF8, 0, text, -1, NULL, 0, NULL, NULL);
	char *utf8 = n > 0 ? malloc((size_t)n) : NULL;

	if (!utf8) {
		errno = ENOMEM;
		return NULL;
	}
	WideCharToMultiByte(CP_UTF8, 0, text, -1, utf8, n, NULL, NULL);
	return utf8;
}

/* An absolute path with "\\?\" before it: Windows takes it as it is, without its limit of 260 units. */
static wchar_t *lengthen(const wchar_t *path)
{
	static const wchar_t prefix[] = L"\\\\?\\", unc[] = L"\\\\?\\UNC";
	DWORD n = GetFullPathNameW(path, 0, NULL, NULL), got;
	wchar_t *full, *at;

	if (n == 0 || n > PATH_LONGEST - 8) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	full = malloc(((size_t)n + 8) * sizeof(*full));
	if (!full) {
		errno = ENOMEM;
		return NULL;
	}
	at = full + 7; /* room for the longer prefix, less the backslash that it takes over */
	got = GetFullPathNameW(path, n, at, NULL);
	if (got == 0 || got >= n) { /* somebody changed the current directory in between */
		free(full);
		errno = ENAMETOOLONG;
		return NULL;
	}
	if (at[0] == L'\\' && at[1] == L'\\') {
		memcpy(full, unc, 7 * sizeof(*unc)); /* \\server\share is \\?\UNC\server\share */
		memmove(full + 7, at + 1, got * sizeof(*at));
	} else {
		memcpy(full, prefix, 4 * sizeof(*prefix));
		memmove(full + 4, at, ((size_t)got + 1) * sizeof(*at));
	}
	return full;
}

wchar_t *mf_win32_path(const char *path)
{
	wchar_t *wide = mf_win32_wide(path), *full;

	if (!wide)
		return NULL;
	for (wchar_t *p = wide; *p; p++)
		if (*p == L'/')
			*p = L'\\';
	/* Directories end 12 units earlier: there must be room for a file in them. */
	if (wcslen(wide) < MAX_PATH - 12 || wcsncmp(wide, L"\\\\?\\", 4) == 0)
		return wide;
	full = lengthen(wide);
	free(wide);
	return full;
}

int mf_win32_errno(unsigned long code)
{
	static const struct {
		unsigned long code;
		int error;
	} table[] = {
		{ ERROR_FILE_NOT_FOUND, ENOENT },
		{ ERROR_PATH_NOT_FOUND, ENOENT },
		{ ERROR_INVALID_DRIVE, ENOENT },
		{ ERROR_BAD_NETPATH, ENOENT },
		{ ERROR_BAD_NET_NAME, ENOENT },
		{ ERROR_INVALID_NAME, ENOENT },
		{ ERROR_BAD_PATHNAME, ENOENT },
		{ ERROR_DELETE_PENDING, ENOENT },
		{ ERROR_NOT_READY, ENODEV },
		{ ERROR_ACCESS_DENIED, EACCES },
		{ ERROR_SHARING_VIOLATION, EACCES },
		{ ERROR_LOCK_VIOLATION, EACCES },
		{ ERROR_PRIVILEGE_NOT_HELD, EPERM },
		{ ERROR_CANT_ACCESS_FILE, EACCES },
		{ ERROR_CANT_RESOLVE_FILENAME, ELOOP },
		{ ERROR_FILE_EXISTS, EEXIST },
		{ ERROR_ALREADY_EXISTS, EEXIST },
		{ ERROR_DIR_NOT_EMPTY, ENOTEMPTY },
		{ ERROR_DIRECTORY, ENOTDIR },
		{ ERROR_TOO_MANY_OPEN_FILES, EMFILE },
		{ ERROR_NOT_ENOUGH_MEMORY, ENOMEM },
		{ ERROR_OUTOFMEMORY, ENOMEM },
		{ ERROR_NO_SYSTEM_RESOURCES, ENOMEM },
		{ ERROR_DISK_FULL, ENOSPC },
		{ ERROR_HANDLE_DISK_FULL, ENOSPC },
		{ ERROR_BROKEN_PIPE, EPIPE },
		{ ERROR_NO_DATA, EPIPE },
		{ ERROR_PIPE_NOT_CONNECTED, EPIPE },
		{ ERROR_PIPE_BUSY, EBUSY },
		{ ERROR_BUSY, EBUSY },
		{ ERROR_FILENAME_EXCED_RANGE, ENAMETOOLONG },
		{ ERROR_BUFFER_OVERFLOW, ENAMETOOLONG },
		{ ERROR_WRITE_PROTECT, EROFS },
		{ ERROR_INVALID_PARAMETER, EINVAL },
		{ ERROR_INVALID_HANDLE, EBADF },
		{ ERROR_NOT_SUPPORTED, ENOTSUP },
		{ ERROR_INVALID_FUNCTION, ENOTSUP },
		{ ERROR_CALL_NOT_IMPLEMENTED, ENOSYS },
		{ ERROR_OPERATION_ABORTED, ECANCELED },
		{ ERROR_NO_UNICODE_TRANSLATION, EILSEQ },
		{ ERROR_SEM_TIMEOUT, ETIMEDOUT },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(table); i++)
		if (table[i].code == code)
			return table[i].error;
	return EIO;
}

const char *mf_win32_message(unsigned long code, char *buf, size_t size)
{
	wchar_t wide[256];
	char text[512];
	DWORD n = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS |
					 FORMAT_MESSAGE_MAX_WIDTH_MASK,
				 NULL, code, 0, wide, MF_ARRAY_SIZE(wide), NULL);

	while (n > 0 && (wide[n - 1] == L' ' || wide[n - 1] == L'.'))
		n--;
	/* 255 units are at most 765 bytes: what does not fit is not told. */
	n = n ? (DWORD)WideCharToMultiByte(CP_UTF8, 0, wide, (int)n, text, sizeof(text) - 1, NULL,
					   NULL)
	      : 0;
	text[n] = '\0';
	if (n)
		snprintf(buf, size, "%s (error %lu)", text, code);
	else
		snprintf(buf, size, "error %lu", code);
	return buf;
}

FILE *mf_fopen(const char *path, const char *mode)
{
	wchar_t *wide, wide_mode[8];
	size_t n = 0;
	FILE *f;

	/* "e" is called "N" here. */
	for (; mode[n] && n < MF_ARRAY_SIZE(wide_mode) - 1; n++)
		wide_mode[n] = mode[n] == 'e' ? L'N' : (wchar_t)(unsigned char)mode[n];
	wide_mode[n] = L'\0';
	wide = mf_win32_path(path);
	if (!wide)
		return NULL;
	f = _wfopen(wide, wide_mode);
	free(wide);
	return f;
}

int mf_rename(const char *from, const char *to)
{
	wchar_t *wide_from = mf_win32_path(from), *wide_to = mf_win32_path(to);
	int r = -1;

	if (wide_from && wide_to) {
		if (MoveFileExW(wide_from, wide_to, MOVEFILE_REPLACE_EXISTING))
			r = 0;
		else
			errno = mf_win32_errno(GetLastError());
	}
	free(wide_from);
	free(wide_to);
	return r;
}

int mf_remove(const char *path)
{
	wchar_t *wide = mf_win32_path(path);
	int r = wide ? _wunlink(wide) : -1;

	free(wide);
	return r;
}

void mf_set_binary(FILE *f)
{
	_setmode(_fileno(f), _O_BINARY);
}
