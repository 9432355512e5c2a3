/* SPDX-License-Identifier: Apache-2.0 */
/* session_place_posix.c - see session_place.h */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/session_place.h"

int mf_session_place_socket(const char *dir, long pid, char *ret, size_t room)
{
	int n = snprintf(ret, room, "%s/%ld.sock", dir, pid);

	return n > 0 && (size_t)n < room ? 0 : MF_E_LIMIT;
}

bool mf_session_place_is_absolute(const char *socket)
{
	return socket[0] == '/';
}

int mf_session_place_each(const char *dir, void (*fn)(void *ctx, long pid), void *ctx,
			  struct mf_err *err)
{
	DIR *d = opendir(dir);
	const struct dirent *e;

	if (!d)
		return errno == ENOENT ? 0
				       : mf_err_set(err, MF_E_IO, "cannot look into %s: %s", dir,
						    strerror(errno));
	while ((e = readdir(d))) {
		char *end;
		long pid = strtol(e->d_name, &end, 10);

		if (pid > 0 && strcmp(end, ".sock") == 0)
			fn(ctx, pid);
	}
	closedir(d);
	return 0;
}

void mf_session_place_clear(const char *dir, long pid, const char *socket)
{
	size_t room = strlen(socket) + sizeof(".lock");
	char *lock = malloc(room);

	(void)dir;
	(void)pid;
	(void)unlink(socket);
	if (lock) {
		snprintf(lock, room, "%s.lock", socket);
		(void)unlink(lock);
	}
	free(lock);
}

void mf_session_place_forget(const char *dir, long pid, const char *socket)
{
	if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
		mf_session_place_clear(dir, pid, socket);
}
