/* SPDX-License-Identifier: Apache-2.0 */
/* trash_diff_posix.c - see trash_diff.h */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/trash_diff.h"

extern char **environ;

/* diff reads both as descriptors of its own: nobody can change what the names stand for. */
static int run(int old_fd, int new_fd, const char *path, struct mf_err *err)
{
	const char *argv[] = { "diff", "-u", "--label",	  "in the trash", "--label",
			       path,   "--", "/dev/fd/3", "/dev/fd/4",	  NULL };
	posix_spawn_file_actions_t actions;
	int error, status = 0;
	pid_t pid;

	fflush(stdout);
	if (posix_spawn_file_actions_init(&actions) != 0)
		return mf_err_set(err, MF_E_NOMEM, "Out of memory.");
	error = posix_spawn_file_actions_adddup2(&actions, old_fd, 3);
	error = error ? error : posix_spawn_file_actions_adddup2(&actions, new_fd, 4);
	if (!error)
		error = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv,
				     environ);
	posix_spawn_file_actions_destroy(&actions);
	if (error)
		return mf_err_set(err, error == ENOENT ? MF_E_NOENT : MF_E_IO,
				  "Cannot run diff: %s.", strerror(error));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return mf_err_set(err, MF_E_IO, "Lost diff: %s.", strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

int mf_trash_diff_run(int fd, const char *path, struct mf_err *err)
{
	struct stat st;
	int high_old = fcntl(fd, F_DUPFD_CLOEXEC, 10), high_new = -1, r;
	int now = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (now < 0 && errno == ENOENT)
		now = open("/dev/null", O_RDONLY | O_CLOEXEC);
	else if (now >= 0 && (fstat(now, &st) < 0 || !S_ISREG(st.st_mode)))
		errno = EINVAL, close(now), now = -1;
	high_new = now < 0 ? -1 : fcntl(now, F_DUPFD_CLOEXEC, 10);
	if (now < 0)
		r = mf_err_set(err, MF_E_IO, "Cannot read %s: %s.", path,
			       errno == ELOOP ? "it is a link" : strerror(errno));
	else if (high_old < 0 || high_new < 0)
		r = mf_err_set(err, MF_E_IO, "No descriptors: %s.", strerror(errno));
	else
		r = run(high_old, high_new, path, err);
	for (int i = 0; i < 4; i++) {
		int one = ((int[]){ fd, now, high_old, high_new })[i];

		if (one >= 0)
			close(one);
	}
	return r;
}
