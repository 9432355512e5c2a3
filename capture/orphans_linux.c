/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orphans_linux.c - whoever of the session is left: reaped while it runs, killed when it ends
 *
 * The caller is the subreaper of what the command starts: a process whose parent has ended becomes the caller's child, however often
 * it forked, whatever session, group or namespace it made for itself. No process of the session can leave the tree below
 * the caller, so that the tree is what is killed, and the kernel says when nobody is left.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "capture/internal_linux.h"
#include "core/base/process_tree.h"

enum {
	KILL_MS = 5000, /* who dies later waits for a device */
	PAUSE_MAX_MS = 20,
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
	struct mf_process_tree t = { 0 };
	size_t left = 0;

	if (!cap->options.own_orphans)
		return;
	while (reap_all()) {
		(void)mf_process_tree_read(&t, getpid());
		left = t.cnt;
		for (size_t i = 0; i < t.cnt; i++)
			(void)kill((pid_t)t.items[i].pid, SIGKILL);
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
	mf_process_tree_done(&t);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}
