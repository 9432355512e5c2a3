/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orphans_linux.c - whoever of the session is left: reaped while it runs, killed when it ends
 *
 * The caller is the subreaper of what the command starts: a process whose parent has ended becomes the caller's child, however often
 * it forked, whatever session, group or namespace it made for itself. No process of the session can leave the tree below
 * the caller, so that the tree is what is killed, and the kernel says when nobody is left.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "capture/internal_linux.h"

enum {
	KILL_MS = 5000, /* who dies later waits for a device */
	PAUSE_MAX_MS = 20,
	TREE_MAX = 1 << 22, /* pid_max */
};

struct row {
	pid_t pid, parent;
	bool ours;
};

struct tree {
	struct row *rows;
	size_t cnt, room;
};

int mf_capture_orphans_adopt(struct mf_capture *cap, struct mf_err *err)
{
	if (!cap->options.own_orphans)
		return 0;
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
		       ? 0
		       : mf_err_set(err, MF_E_IO, "cannot take care of orphans: %s",
				    strerror(errno));
}

/* Others' children are not ours to reap: the command's end is told by somebody else, the opener's too. */
void mf_capture_orphans_reap(struct mf_capture *cap)
{
	siginfo_t si = { 0 };

	while (cap->options.own_orphans &&
	       waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_pid &&
	       si.si_pid != cap->command && si.si_pid != cap->opener) {
		(void)waitpid(si.si_pid, NULL, WNOHANG);
		si.si_pid = 0;
	}
}

/* ---- the tree --------------------------------------------------------------------------------------------------- */

/* "1234 (name with ) and spaces) S 1 ..." */
static pid_t parent_of(pid_t pid)
{
	char path[32], text[512];
	const char *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	end = strrchr(text, ')');
	return end && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static bool add_row(struct tree *t, pid_t pid)
{
	if (t->cnt == t->room) {
		size_t room = t->room ? t->room * 2 : 512;
		struct row *rows = room <= TREE_MAX ? realloc(t->rows, room * sizeof(*rows)) : NULL;

		if (!rows)
			return false;
		t->rows = rows;
		t->room = room;
	}
	t->rows[t->cnt++] = (struct row){ .pid = pid, .parent = parent_of(pid) };
	return true;
}

static void read_tree(struct tree *t)
{
	DIR *d = opendir("/proc");
	const struct dirent *e;

	t->cnt = 0;
	while (d && (e = readdir(d))) {
		char *end;
		long pid = strtol(e->d_name, &end, 10);

		if (!*end && pid > 0 && !add_row(t, (pid_t)pid))
			break;
	}
	if (d)
		closedir(d);
	if (t->cnt)
		qsort(t->rows, t->cnt, sizeof(*t->rows), by_pid);
}

static bool is_ours(const struct tree *t, pid_t pid)
{
	struct row key = { .pid = pid };
	const struct row *found = bsearch(&key, t->rows, t->cnt, sizeof(*t->rows), by_pid);

	return found && found->ours;
}

/* Everybody below us. Return: how many */
static size_t mark(struct tree *t)
{
	pid_t self = getpid();
	size_t all = 0, before;

	do {
		before = all;
		for (size_t i = 0; i < t->cnt; i++) {
			struct row *r = &t->rows[i];

			if (r->ours || !(r->parent == self || is_ours(t, r->parent)))
				continue;
			r->ours = true;
			all++;
		}
	} while (all != before);
	return all;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

/* Return: whether anybody is left */
static bool reap_all(void)
{
	pid_t pid;

	do
		pid = waitpid(-1, NULL, WNOHANG);
	while (pid > 0 || (pid < 0 && errno == EINTR));
	return pid == 0;
}

void mf_capture_orphans_kill(struct mf_capture *cap)
{
	uint64_t until = mf_clock_now(&mf_clock_system) + KILL_MS * MF_NS_PER_MS;
	struct timespec pause = { .tv_nsec = 200000 };
	struct tree t = { 0 };
	size_t left = 0;

	if (!cap->options.own_orphans)
		return;
	while (reap_all()) {
		read_tree(&t);
		left = mark(&t);
		for (size_t i = 0; i < t.cnt; i++)
			if (t.rows[i].ours)
				(void)kill(t.rows[i].pid, SIGKILL);
		if (mf_clock_now(&mf_clock_system) > until) {
			mf_log_warning(
				cap->options.log,
				"%zu processes of the session were killed and are still there",
				left);
			break;
		}
		(void)nanosleep(&pause, NULL);
		if (pause.tv_nsec < PAUSE_MAX_MS * 1000000)
			pause.tv_nsec *= 2;
	}
	free(t.rows);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}
