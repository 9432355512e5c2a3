/* SPDX-License-Identifier: Apache-2.0 */
/* vars_posix.c - environment and directories; see vars.h */
#include <stdlib.h>
#include <string.h>

#include "core/policy/vars.h"

char *mf_vars_environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? strdup(value) : NULL;
}

char *mf_vars_directory(const char *path)
{
	return realpath(path ? path : ".", NULL);
}
