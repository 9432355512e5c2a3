/* SPDX-License-Identifier: Apache-2.0 */
/* spawn_posix.c - see spawn.h */
#include <errno.h>
#include <fcntl.h>
#include <moonfence/moonfence.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "daemon/spawn.h"

extern char **environ;

static size_t count(const char *const *items)
{
	size_t cnt = 0;

	while (items && items[cnt])
		cnt++;
	return cnt;
}

static bool names_same(const char *a, const char *b)
{
	size_t len = strcspn(a, "=");

	return strncmp(a, b, len + 1) == 0;
}

/* Ours, but for those that @more says otherwise; the array alone is new. */
static const char **environment(const char *const *more)
{
	size_t own = count((const char *const *)environ), cnt = count(more), n = 0;
	const char **all = calloc(own + cnt + 1, sizeof(*all));

	for (size_t i = 0; all && i < own; i++) {
		bool replaced = false;

		for (size_t k = 0; k < cnt; k++)
			replaced |= names_same(more[k], environ[i]);
		if (!replaced)
			all[n++] = environ[i];
	}
	for (size_t k = 0; all && k < cnt; k++)
		all[n++] = more[k];
	return all;
}

static int add_actions(posix_spawn_file_actions_t *a, const struct mf_spawn *what)
{
	const char *out = what->output ? what->output : "/dev/null";
	int r = posix_spawn_file_actions_addopen(a, 0, "/dev/null", O_RDONLY, 0);

	if (r == 0 && what->tell && !what->output)
		r = posix_spawn_file_actions_adddup2(a, 2, 1);
	else if (r == 0)
		r = posix_spawn_file_actions_addopen(a, 1, out, O_WRONLY | O_APPEND | O_CREAT,
						     0600);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(a, 1, 2);
	if (r == 0 && what->directory)
		r = posix_spawn_file_actions_addchdir_np(a, what->directory);
	return r;
}

/* Signals as a program expects them: nothing blocked, nothing ignored. */
static int add_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	r = posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &all);
	if (r == 0)
		r = posix_spawnattr_setpgroup(attr, 0);
	if (r == 0)
		r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							   POSIX_SPAWN_SETPGROUP);
	return r;
}

int mf_spawn_start(const struct mf_spawn *what, struct mf_err *err)
{
	const char **env = environment(what->environment);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	pid_t pid = 0;
	int r = env ? posix_spawn_file_actions_init(&actions) : ENOMEM;

	if (r != 0) {
		free(env);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	r = posix_spawnattr_init(&attr);
	if (r == 0) {
		r = add_actions(&actions, what);
		if (r == 0)
			r = add_attributes(&attr);
		if (r == 0)
			r = posix_spawn(&pid, what->argv[0], &actions, &attr,
					(char *const *)(uintptr_t)what->argv,
					(char *const *)(uintptr_t)env);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&actions);
	free(env);
	return r == 0 ? (int)pid
		      : mf_err_set(err, MF_E_IO, "cannot start %s: %s", what->argv[0], strerror(r));
}

bool mf_spawn_ended(int pid, int *ret_status, int *ret_signal)
{
	int status = 0;
	pid_t r;

	do
		r = waitpid(pid, &status, WNOHANG);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return false;
	*ret_status = r > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	*ret_signal = r > 0 && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	return true;
}

void mf_spawn_end(int pid)
{
	kill(pid, SIGTERM);
}
