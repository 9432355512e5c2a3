/* SPDX-License-Identifier: Apache-2.0 */
/* vars_win32.c - environment and directories; see vars.h */
#include <stdlib.h>
#include <string.h>

#include "core/base/win32.h"
#include "core/policy/vars.h"

char *mf_vars_environment(const char *name)
{
	wchar_t *wide = mf_win32_wide(name);
	const wchar_t *value = wide ? _wgetenv(wide) : NULL;
	char *text = value && *value ? mf_win32_utf8(value) : NULL;

	free(wide);
	return text;
}

char *mf_vars_directory(const char *path)
{
	wchar_t *wide = mf_win32_wide(path ? path : "."), *full = NULL;
	char *text = NULL;

	if (wide)
		full = _wfullpath(NULL, wide, 0);
	if (full)
		text = mf_win32_utf8(full);
	free(wide);
	free(full);
	for (char *p = text; p && *p; p++)
		if (*p == '\\')
			*p = '/';
	return text;
}
