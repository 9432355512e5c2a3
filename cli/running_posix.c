/* SPDX-License-Identifier: Apache-2.0 */
/* running_posix.c - see running.h */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/running.h"

struct mf_running_dir {
	DIR *dir;
	char path[MF_PATH_MAX];
};

static int open_dir(struct mf_running_dir **ret, struct mf_err *err)
{
	struct mf_running_dir *d = malloc(sizeof(*d));

	if (!d)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	if (!mf_paths_sessions(d->path)) {
		free(d);
		return mf_err_set(err, MF_E_NOENT,
				  "nobody knows where this user's sessions are: HOME is not set");
	}
	d->dir = opendir(d->path);
	if (!d->dir) {
		int e = errno;

		if (e != ENOENT)
			mf_err_set(err, MF_E_IO, "cannot look into %s: %s", d->path, strerror(e));
		free(d);
		return e == ENOENT ? 0 : MF_E_IO;
	}
	*ret = d;
	return 1;
}

static void close_dir(struct mf_running_dir **at)
{
	closedir((*at)->dir);
	free(*at);
	*at = NULL;
}

void mf_running_forget(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	char lock[MF_PATH_MAX + 8], *end;
	long pid = strtol(name, &end, 10);

	if (pid <= 0 || strcmp(end, ".sock") != 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
		return;
	snprintf(lock, sizeof(lock), "%s.lock", path);
	(void)unlink(path);
	(void)unlink(lock);
}

int mf_running_next_socket(struct mf_running_dir **at, char path[MF_PATH_MAX], struct mf_err *err)
{
	const struct dirent *e;
	int r = *at ? 1 : open_dir(at, err);

	if (r <= 0)
		return r;
	while ((e = readdir((*at)->dir))) {
		size_t len = strlen(e->d_name);
		int n;

		if (len < 6 || strcmp(e->d_name + len - 5, ".sock") != 0)
			continue;
		n = snprintf(path, MF_PATH_MAX, "%s/%s", (*at)->path, e->d_name);
		if (n > 0 && n < MF_PATH_MAX)
			return 1;
	}
	close_dir(at);
	return 0;
}
