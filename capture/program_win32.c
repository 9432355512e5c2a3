/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program_win32.c - looking up a command
 *
 * CreateProcessW() and SearchPathW() look into the current folder, which may belong to anybody, before PATH. A sandbox that
 * starts the wrong git.exe is none, so the search is our own.
 */
#include "capture/program_win32.h"

#include <stdbool.h>
#include <stdlib.h>
#include <windows.h>

#include "core/base/win32.h"

#define PATH_UNITS_MAX 32767
#define ENDINGS	       L".com;.exe;.bat;.cmd"

static wchar_t *get_env(const wchar_t *key)
{
	DWORD units = GetEnvironmentVariableW(key, NULL, 0), got;
	wchar_t *value;

	if (!units || units > PATH_UNITS_MAX + 1)
		return NULL;
	value = malloc((units + 1) * sizeof(*value));
	got = value ? GetEnvironmentVariableW(key, value, units) : 0;
	if (!got || got >= units) {
		free(value);
		return NULL;
	}
	return value;
}

static bool is_file(const wchar_t *path)
{
	DWORD a = GetFileAttributesW(path);

	return a != INVALID_FILE_ATTRIBUTES && !(a & FILE_ATTRIBUTE_DIRECTORY);
}

static bool is_absolute(const wchar_t *dir, size_t len)
{
	bool drive = len >= 3 && dir[1] == L':' && (dir[2] == L'\\' || dir[2] == L'/');
	bool share = len >= 2 && (dir[0] == L'\\' || dir[0] == L'/') && dir[1] == dir[0];

	return drive || share;
}

static bool has_ending(const wchar_t *name)
{
	const wchar_t *dot = wcsrchr(name, L'.'), *slash = wcspbrk(name, L"\\/");

	while (slash && wcspbrk(slash + 1, L"\\/"))
		slash = wcspbrk(slash + 1, L"\\/");
	return dot && (!slash || dot > slash) && dot[1];
}

/* Up to the next ';' of a list, without quotes. Return: behind it, NULL at the end */
static const wchar_t *next_item(const wchar_t *list, const wchar_t **ret, size_t *ret_len)
{
	const wchar_t *end;

	if (!list || !*list)
		return NULL;
	end = wcschr(list, L';');
	*ret = list;
	*ret_len = end ? (size_t)(end - list) : wcslen(list);
	list += *ret_len + (end != NULL);
	if (*ret_len >= 2 && (*ret)[0] == L'"' && (*ret)[*ret_len - 1] == L'"') {
		(*ret)++;
		*ret_len -= 2;
	}
	return list;
}

/* @buf: PATH_UNITS_MAX units. Return: whether it is there, in @buf then */
static bool try_endings(wchar_t *buf, size_t len, const wchar_t *endings)
{
	const wchar_t *ending;
	size_t ending_len;

	if (has_ending(buf) && is_file(buf))
		return true;
	while ((endings = next_item(endings, &ending, &ending_len))) {
		if (!ending_len || len + ending_len >= PATH_UNITS_MAX)
			continue;
		wmemcpy(buf + len, ending, ending_len);
		buf[len + ending_len] = 0;
		if (is_file(buf))
			return true;
	}
	buf[len] = 0;
	return is_file(buf);
}

static bool search(const wchar_t *name, wchar_t *buf)
{
	wchar_t *path = get_env(L"PATH"), *pathext = get_env(L"PATHEXT");
	const wchar_t *endings = pathext ? pathext : ENDINGS, *rest = path, *dir;
	size_t name_len = wcslen(name), dir_len;
	bool found = false;

	if (wcspbrk(name, L"\\/:")) {
		wmemcpy(buf, name, name_len + 1);
		found = try_endings(buf, name_len, endings);
	} else {
		while (!found && (rest = next_item(rest, &dir, &dir_len))) {
			// What is relative in PATH is the current folder again.
			if (!is_absolute(dir, dir_len) || dir_len + 1 + name_len >= PATH_UNITS_MAX)
				continue;
			wmemcpy(buf, dir, dir_len);
			if (buf[dir_len - 1] != L'\\' && buf[dir_len - 1] != L'/')
				buf[dir_len++] = L'\\';
			wmemcpy(buf + dir_len, name, name_len + 1);
			found = try_endings(buf, dir_len + name_len, endings);
		}
	}
	free(path);
	free(pathext);
	return found;
}

int mf_program_find(const char *name, wchar_t **ret, struct mf_err *err)
{
	wchar_t *wide = mf_win32_wide(name), *buf = malloc((PATH_UNITS_MAX + 1) * sizeof(*buf));
	int r = 0;

	if (!wide || !buf)
		r = buf ? mf_err_set(err, MF_E_SYNTAX, "the command's name is not UTF-8")
			: mf_err_set(err, MF_E_NOMEM, "out of memory");
	else if (!*wide || wcslen(wide) >= PATH_UNITS_MAX || !search(wide, buf))
		r = mf_err_set(err, MF_E_NOENT, "%s: %s", name,
			       *wide && wcspbrk(wide, L"\\/:") ? "no such file"
							       : "command not found");
	free(wide);
	if (r < 0) {
		free(buf);
		return r;
	}
	*ret = buf;
	return 0;
}
