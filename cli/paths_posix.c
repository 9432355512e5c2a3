/* SPDX-License-Identifier: Apache-2.0 */
/* paths_posix.c - see paths.h */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/paths.h"
#include "core/base/err.h"

static bool join(char buf[MF_PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(buf, MF_PATH_MAX, "%s/%s", dir, name);

	return n > 0 && n < MF_PATH_MAX;
}

const char *mf_paths_data(const char *name, char buf[MF_PATH_MAX])
{
	const char *dirs[] = { getenv("MOONFENCE_DATA"), MF_DATA_DIR, MF_SOURCE_DATA_DIR };

	for (size_t i = 0; i < MF_ARRAY_SIZE(dirs); i++) {
		if (!dirs[i] || !dirs[i][0] || !join(buf, dirs[i], "stdlib") ||
		    access(buf, R_OK) != 0)
			continue;
		return join(buf, dirs[i], name) ? buf : NULL;
	}
	return NULL;
}

const char *mf_paths_default_policy(char buf[MF_PATH_MAX])
{
	return mf_paths_data("policies/default", buf);
}

const char *mf_paths_authority(char buf[MF_PATH_MAX])
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (geteuid() == 0) // sudo may leave $HOME as it was
		return join(buf, "/var/lib", "moonfence/ca") ? buf : NULL;
	if (state && state[0] == '/')
		return join(buf, state, "moonfence/ca") ? buf : NULL;
	return home && home[0] == '/' && join(buf, home, ".local/state/moonfence/ca") ? buf : NULL;
}

const char *mf_paths_data_places(void)
{
	return "installed in " MF_DATA_DIR;
}

const char *mf_paths_absolute(const char *path, char *buf, size_t size)
{
	char here[MF_PATH_MAX];
	int n;

	if (path[0] == '/')
		n = snprintf(buf, size, "%s", path);
	else if (getcwd(here, sizeof(here)))
		n = snprintf(buf, size, "%s/%s", here, path);
	else
		return NULL;
	return n >= 0 && (size_t)n < size ? buf : NULL;
}
