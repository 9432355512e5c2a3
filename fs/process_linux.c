/* SPDX-License-Identifier: Apache-2.0 */
/* process_linux.c - who calls: what /proc says of a thread that waits for an answer of ours */
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/process_posix.h"

#define ARGS_ROOM 8192
#define ARGS_MAX  64

/* It lives as long as its caller needs it: until this thread asks again. */
static __thread struct {
	char name[64], exe[PATH_MAX], user[64], args[ARGS_ROOM];
	const char *argv[ARGS_MAX + 1];
} found;

static ssize_t read_proc(int64_t pid, const char *what, char *buf, size_t room)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%lld/%s", (long long)pid, what);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, buf, room - 1);
	close(fd);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

static int64_t number_after(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoll(at + strlen(key), NULL, 10) : 0;
}

static void find_user(const struct mf_fs_caller *caller)
{
	struct passwd pw, *got = NULL;
	char buf[1024];

	found.user[0] = '\0';
	if (caller->uid >= 0 && getpwuid_r((uid_t)caller->uid, &pw, buf, sizeof(buf), &got) == 0 &&
	    got)
		snprintf(found.user, sizeof(found.user), "%s", got->pw_name);
}

int mf_fs_find_process(void *ctx, const struct mf_fs_caller *caller, struct mf_process *ret)
{
	char status[4096], link[64];
	ssize_t n;
	size_t cnt = 0;

	(void)ctx;
	*ret = (struct mf_process){ 0 };
	if (caller->pid <= 0 || read_proc(caller->pid, "status", status, sizeof(status)) < 0)
		return MF_E_NOENT;
	// The kernel names the thread.
	ret->pid = number_after(status, "\nTgid:");
	ret->parent = number_after(status, "\nPPid:");
	if (read_proc(ret->pid, "comm", found.name, sizeof(found.name)) > 0) {
		found.name[strcspn(found.name, "\n")] = '\0';
		ret->name = found.name;
	}
	snprintf(link, sizeof(link), "/proc/%lld/exe", (long long)ret->pid);
	n = readlink(link, found.exe, sizeof(found.exe) - 1);
	if (n > 0) {
		found.exe[n] = '\0';
		ret->exe = found.exe;
	}
	n = read_proc(ret->pid, "cmdline", found.args, sizeof(found.args));
	for (char *at = found.args; n > 0 && at < found.args + n && cnt < ARGS_MAX;
	     at += strlen(at) + 1)
		found.argv[cnt++] = at;
	found.argv[cnt] = NULL;
	ret->args = found.argv;
	find_user(caller);
	ret->user = found.user[0] ? found.user : NULL;
	return 0;
}
