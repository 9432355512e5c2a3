/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signals_linux.c - signals and job control, so that the command behaves as if nobody stood between it and its shell
 *
 * How it works
 *
 * Caller and command are in one process group, as the shell made it. What the terminal sends (Ctrl-C, Ctrl-Z, hang-up)
 * reaches both; the caller has these signals blocked, reads them from a descriptor, and leaves it to the command to react.
 * What somebody sends to the caller alone, by kill(), is passed on. When the command stops, the caller stops itself by
 * the same signal, so that the shell sees a stopped job; when it is continued, it continues the command and gives it back
 * the terminal if the command had made a group of its own that held it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/internal_linux.h"

int mf_capture_signals_block(struct mf_capture *cap, struct mf_err *err)
{
	static const int always[] = { SIGINT,  SIGQUIT, SIGTERM, SIGTSTP,
				      SIGTTIN, SIGTTOU, SIGCONT, SIGWINCH };
	bool forwards = !cap->options.guests; /* else there is nobody to forward to */

	sigemptyset(&cap->taken);
	sigaddset(&cap->taken, SIGCHLD);
	for (size_t i = 0; forwards && i < MF_ARRAY_SIZE(always); i++)
		sigaddset(&cap->taken, always[i]);
	if (forwards && !cap->options.own_sighup)
		sigaddset(&cap->taken, SIGHUP);
	if (forwards && !cap->options.own_sigusr) {
		sigaddset(&cap->taken, SIGUSR1);
		sigaddset(&cap->taken, SIGUSR2);
	}
	/* Of the thread: the header asks for a call before there are others. */
	if (sigprocmask(SIG_BLOCK, &cap->taken, &cap->saved_mask) < 0)
		return mf_err_set(err, MF_E_IO, "cannot block signals");
	cap->plan.command_mask = cap->saved_mask;
	return 0;
}

void mf_capture_signals_restore(struct mf_capture *cap)
{
	(void)sigprocmask(SIG_SETMASK, &cap->saved_mask, NULL);
}

static bool shares_group(const struct mf_capture *cap)
{
	return getpgid(cap->command) == getpgrp();
}

/* Did the signal reach the command without us? */
static bool has_it_already(struct mf_capture *cap, const struct signalfd_siginfo *si)
{
	if (!shares_group(cap))
		return false;
	/* The terminal signals whole groups. */
	if (si->ssi_code == SI_KERNEL)
		return true;
	/* So does a process of the session that means its own group. */
	return si->ssi_pid && mf_capture_ops_is_inside(cap, si->ssi_pid);
}

/*
 * Was the command continued since we were told that it stopped? A shell continues the whole group, and the command may
 * have been stopped again meanwhile: to continue it then would undo that.
 */
static bool has_changed(const struct mf_capture *cap)
{
	siginfo_t si = { 0 };

	return waitid(P_PID, (id_t)cap->command, &si,
		      WEXITED | WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT) == 0 &&
	       si.si_pid != 0;
}

void mf_capture_signals_forward(struct mf_capture *cap, const struct signalfd_siginfo *si)
{
	int sig = (int)si->ssi_signo;

	if (cap->command <= 0 || cap->state != MF_CAPTURE_RUNNING || sig == SIGCHLD)
		return;
	/* Sent to the group for reading from or writing to the terminal: each process is told for itself. */
	if (sig == SIGTTIN || sig == SIGTTOU)
		return;
	/* A shell's for the whole group may be read late, when the command has been stopped anew. */
	if (sig == SIGCONT && (!cap->stopped || has_changed(cap)))
		return;
	if (!has_it_already(cap, si))
		(void)kill(cap->command, sig);
}

static pid_t terminal_group(int *ret_fd)
{
	*ret_fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	return *ret_fd < 0 ? -1 : tcgetpgrp(*ret_fd);
}

void mf_capture_signals_note_stop(struct mf_capture *cap)
{
	pid_t group = getpgid(cap->command);
	int tty;

	cap->stopped = true;
	cap->stopped_group = 0;
	if (group > 0 && group != getpgrp() && terminal_group(&tty) == group)
		cap->stopped_group = group;
	else if (group <= 0 || group == getpgrp())
		return;
	if (tty >= 0)
		close(tty);
}

/* Stop by @sig, if the kernel lets us: a group without a shell above it cannot be stopped by the terminal's signals. */
static void stop_self(int sig)
{
	sigset_t one;

	(void)signal(sig, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, sig);
	if (sig == SIGSTOP) {
		(void)kill(getpid(), SIGSTOP);
		return;
	}
	(void)kill(getpid(), sig);
	(void)sigprocmask(SIG_UNBLOCK, &one, NULL); /* stops here */
	(void)sigprocmask(SIG_BLOCK, &one, NULL);
}

void mf_capture_stop_like(struct mf_capture *cap, const struct mf_capture_event *ev)
{
	pid_t group;
	int tty;

	if (ev->kind != MF_CAPTURE_STOPPED || cap->command <= 0)
		return;
	stop_self(ev->signal);
	group = getpgid(cap->command);
	if (group <= 0 || has_changed(cap))
		return;
	if (cap->stopped_group == group) {
		/* SIGTTOU is blocked, so this works from the background as well. */
		if (terminal_group(&tty) == getpgrp())
			(void)tcsetpgrp(tty, group);
		if (tty >= 0)
			close(tty);
	}
	if (group == getpgrp())
		(void)kill(cap->command, SIGCONT);
	else
		(void)killpg(group, SIGCONT);
}
