/* SPDX-License-Identifier: Apache-2.0 */
/* installed_darwin.c - see installed.h */
#include "core/base/installed.h"

#include <string.h>

char *mf_installed(const char *fixed, const char *below)
{
	(void)below;
	return strdup(fixed);
}
