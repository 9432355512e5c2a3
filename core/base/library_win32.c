/* SPDX-License-Identifier: Apache-2.0 */
/* library_win32.c - libraries that are loaded where they are installed; see win32.h */
#include <string.h>
#include <windows.h>

#include "core/base/win32.h"

void *mf_win32_load(const wchar_t *path, const struct mf_win32_call *calls, size_t call_cnt,
		    const char **ret_missing)
{
	HMODULE module = LoadLibraryExW(
		path, NULL, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32);

	*ret_missing = NULL;
	for (size_t i = 0; module && i < call_cnt; i++) {
		FARPROC fn = GetProcAddress(module, calls[i].name);

		if (!fn) {
			*ret_missing = calls[i].name;
			FreeLibrary(module);
			return NULL;
		}
		memcpy(calls[i].to, &fn, sizeof(fn));
	}
	return module;
}
