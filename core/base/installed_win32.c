/* SPDX-License-Identifier: Apache-2.0 */
/* installed_win32.c - see installed.h */
#include "core/base/installed.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "core/base/win32.h"

/* The folder of the program or DLL that this code is in, with "/" between components; NULL without memory or a name. */
static char *module_dir(void)
{
	wchar_t wide[1024];
	HMODULE module;
	char *dir, *slash;
	DWORD n;

	if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
					GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
				(const wchar_t *)(uintptr_t)&module_dir, &module))
		return NULL;
	n = GetModuleFileNameW(module, wide, 1024);
	if (n == 0 || n >= 1024)
		return NULL;
	dir = mf_win32_utf8(wide);
	if (!dir)
		return NULL;
	for (char *p = dir; *p; p++)
		*p = *p == '\\' ? '/' : *p;
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	return dir;
}

static bool is_there(const char *path)
{
	wchar_t *wide = mf_win32_path(path);
	bool there = wide && GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES;

	free(wide);
	return there;
}

char *mf_installed(const char *fixed, const char *below)
{
	char *dir = module_dir(), *path, *slash;
	size_t room;

	if (!dir)
		return strdup(fixed);
	room = strlen(dir) + strlen(below) + 2;
	path = malloc(room);
	if (!path)
		goto out;
	snprintf(path, room, "%s/%s", dir, below);
	slash = strrchr(dir, '/');
	if (!is_there(path) && slash) { /* in bin/ */
		*slash = '\0';
		snprintf(path, room, "%s/%s", dir, below);
	}
out:
	free(dir);
	return path;
}
