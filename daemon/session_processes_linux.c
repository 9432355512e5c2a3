/* SPDX-License-Identifier: Apache-2.0 */
/* session_processes_linux.c - see session_processes.h: pidfd_open(2), so that nobody is killed who got a number later */
#include "daemon/session_processes.h"

#include <errno.h>
#include <fcntl.h>
#include <moonfence/moonfence.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/process_tree.h"

#define CMDLINE_MAX 4096 /* bytes that are compared */

json_t *mf_session_processes_json(int64_t pid, bool *ret_complete)
{
	struct mf_process_tree t = { 0 };
	json_t *list = json_array();
	int r = mf_process_tree_read(&t, pid);

	*ret_complete = r == 0 && t.cnt <= MF_SESSION_PROCESSES_MAX;
	for (size_t i = 0; i < t.cnt && i < MF_SESSION_PROCESSES_MAX; i++) {
		const struct mf_process_row *p = &t.items[i];
		json_t *name = json_string(p->name);

		json_array_append_new(list, json_pack("{s:I, s:I, s:o}", "pid", (json_int_t)p->pid,
						      "parent", (json_int_t)p->parent, "name",
						      name ? name : json_string("\xef\xbf\xbd")));
	}
	mf_process_tree_done(&t);
	return list;
}

static size_t read_cmdline(int64_t pid, char text[CMDLINE_MAX])
{
	char path[40];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%lld/cmdline", (long long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, CMDLINE_MAX);
	if (fd >= 0)
		close(fd);
	return n > 0 ? (size_t)n : 0;
}

/* Forked by moonfence and not executed: it helps. A command that calls itself so is spared until the next of enum mf_session_kill. */
static bool is_helper(const struct mf_process_row *p, int64_t root, const char *own, size_t own_len)
{
	char text[CMDLINE_MAX];

	return p->parent == root && own_len && read_cmdline(p->pid, text) == own_len &&
	       memcmp(text, own, own_len) == 0;
}

/* Return: 1 sent, 0 it is no more, MF_E_PERM */
static int send_kill(int fd)
{
	if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0)
		return 1;
	return errno == EPERM ? MF_E_PERM : 0;
}

static int kill_one(const struct mf_process_row *p)
{
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)p->pid, 0), r = 0;
	int64_t parent;

	if (fd < 0)
		return 0;
	/* its parent may have ended: then the session's moonfence has adopted it, and the next round finds it */
	parent = mf_process_parent(p->pid);
	if (parent == p->parent)
		r = send_kill(fd);
	close(fd);
	return r;
}

static int kill_root(int64_t pid, bool (*there)(void *ctx), void *ctx)
{
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0), r = 0;

	if (fd < 0)
		return 0;
	if (!there || there(ctx))
		r = send_kill(fd);
	close(fd);
	return r;
}

int mf_session_processes_kill(int64_t pid, enum mf_session_kill who, bool (*there)(void *ctx),
			      void *ctx)
{
	struct mf_process_tree t = { 0 };
	int cnt = 0, r, refused = 0;
	char own[CMDLINE_MAX];
	size_t own_len = read_cmdline(pid, own);

	(void)mf_process_tree_read(&t, pid);
	for (size_t i = 0; (!there || there(ctx)) && i < t.cnt; i++) {
		if (who == MF_SESSION_KILL_COMMAND && is_helper(&t.items[i], pid, own, own_len))
			continue;
		r = kill_one(&t.items[i]);
		cnt += r > 0;
		refused |= r < 0;
	}
	mf_process_tree_done(&t);
	if (who == MF_SESSION_KILL_ALL) {
		r = kill_root(pid, there, ctx);
		cnt += r > 0;
		refused |= r < 0;
	}
	return refused ? MF_E_PERM : cnt;
}
