/* SPDX-License-Identifier: Apache-2.0 */
/* child_posix.c - see child.h */
#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/err.h"

extern char **environ;

struct pipes {
	int in[2], out[2];
};

static int open_pipes(struct pipes *p)
{
	*p = (struct pipes){ { -1, -1 }, { -1, -1 } };
	if (pipe(p->in) < 0 || pipe(p->out) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		if (fcntl(p->in[i], F_SETFD, FD_CLOEXEC) < 0 ||
		    fcntl(p->out[i], F_SETFD, FD_CLOEXEC) < 0)
			return -1;
	return 0;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_pipes(struct pipes *p)
{
	for (int i = 0; i < 2; i++) {
		close_one(&p->in[i]);
		close_one(&p->out[i]);
	}
}

static int spawn(const char *const *argv, const struct pipes *p, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char sbin[256];
	sigset_t none;
	int error;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return ENOMEM;
	if (posix_spawnattr_init(&attributes) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return ENOMEM;
	}
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	error = posix_spawn_file_actions_adddup2(&actions, p->in[0], 0);
	error = error ? error : posix_spawn_file_actions_adddup2(&actions, p->out[1], 1);
	error = error ? error : posix_spawn_file_actions_adddup2(&actions, p->out[1], 2);
	if (!error)
		error = posix_spawnp(ret_pid, argv[0], &actions, &attributes,
				     (char *const *)(uintptr_t)argv, environ);
	// Not in the PATH of those who are not root, or of those who became it.
	if (error == ENOENT && snprintf(sbin, sizeof(sbin), "/usr/sbin/%s", argv[0]) > 0)
		error = posix_spawn(ret_pid, sbin, &actions, &attributes,
				    (char *const *)(uintptr_t)argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

static void read_all(int fd, struct mf_strbuf *output)
{
	char buf[4096];
	ssize_t n;

	// To the end in any case, so that the program is not held up.
	while ((n = read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		if (output->len + (size_t)n <= output->cap)
			mf_strbuf_add(output, buf, (size_t)n);
	}
}

int mf_child_run(const char *const *argv, const char *input, struct mf_strbuf *output)
{
	size_t len = input ? strlen(input) : 0;
	struct pipes p;
	pid_t pid, got;
	int status, r = MF_E_IO;

	mf_strbuf_clear(output);
	if (len > MF_CHILD_INPUT_MAX || open_pipes(&p) < 0 ||
	    (len > 0 && write(p.in[1], input, len) != (ssize_t)len))
		goto out;
	status = spawn(argv, &p, &pid);
	if (status != 0) {
		r = status == ENOENT ? MF_E_NOENT : status == ENOMEM ? MF_E_NOMEM : MF_E_IO;
		goto out;
	}
	close_one(&p.in[0]);
	close_one(&p.in[1]);
	close_one(&p.out[1]);
	read_all(p.out[0], output);
	do
		got = waitpid(pid, &status, 0);
	while (got < 0 && errno == EINTR);
	if (got == pid)
		r = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
out:
	close_pipes(&p);
	return r;
}
