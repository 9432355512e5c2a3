/* SPDX-License-Identifier: Apache-2.0 */
/* paths_posix.c - see paths.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* Where root, or this user, keeps what is to stay. */
static const char *state_dir(const char *name, char buf[MF_PATH_MAX])
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char below[64];

	snprintf(below, sizeof(below), ".local/state/%s", name);
	if (geteuid() == 0) // sudo may leave $HOME as it was
		return join(buf, "/var/lib", name) ? buf : NULL;
	if (state && state[0] == '/')
		return join(buf, state, name) ? buf : NULL;
	return home && home[0] == '/' && join(buf, home, below) ? buf : NULL;
}

const char *mf_paths_authority(char buf[MF_PATH_MAX])
{
	return state_dir("moonfence/ca", buf);
}

const char *mf_paths_packs(char buf[MF_PATH_MAX])
{
	return state_dir("moonfence/packs", buf);
}

const char *mf_paths_control(char buf[MF_PATH_MAX])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0) /* macOS has no /run */
		return join(buf, access("/run", X_OK) == 0 ? "/run" : "/var/run",
			    "moonfence/api.sock")
			       ? buf
			       : NULL;
	if (runtime && runtime[0] == '/')
		return join(buf, runtime, "moonfence/api.sock") ? buf : NULL;
	return state_dir("moonfence/api.sock", buf);
}

const char *mf_paths_config(char buf[MF_PATH_MAX])
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (geteuid() == 0)
		return join(buf, "/etc", "moonfence/moonfence.yaml") ? buf : NULL;
	if (config && config[0] == '/')
		return join(buf, config, "moonfence/moonfence.yaml") ? buf : NULL;
	return home && home[0] == '/' && join(buf, home, ".config/moonfence/moonfence.yaml") ? buf
											     : NULL;
}

/* An upgrade may have put another program at the path: then that one is wanted, else the one that runs. */
const char *mf_paths_program(void)
{
	static const char self[] = "/proc/self/exe";
	static char path[MF_PATH_MAX];
	ssize_t n = readlink(self, path, sizeof(path) - 1);

	if (n <= 0)
		return NULL;
	path[n] = '\0';
	return access(path, X_OK) == 0 ? path : self;
}

const char *mf_paths_sessions(char buf[MF_PATH_MAX])
{
	const char *given = getenv("MOONFENCE_RUN_DIR");
	char *slash;

	if (given && given[0] == '/')
		return join(buf, given, "sessions") ? buf : NULL;
	if (!mf_paths_control(buf))
		return NULL;
	slash = strrchr(buf, '/');
	if ((size_t)(slash - buf) + sizeof("/sessions") > MF_PATH_MAX)
		return NULL;
	memcpy(slash, "/sessions", sizeof("/sessions"));
	return buf;
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
