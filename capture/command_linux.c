/* SPDX-License-Identifier: Apache-2.0 */
/* command_linux.c - the process that becomes the user's command: gives everything up, makes the probes, waits, executes */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture/internal_linux.h"

static _Noreturn void give_up(const struct mf_capture_plan *plan, const struct mf_err *err)
{
	struct mf_capture_msg m = { .kind = MF_CAPTURE_MSG_FAILED, .value = err->code };

	snprintf(m.text, sizeof(m.text), "%.767s", err->msg);
	(void)mf_capture_msg_send(plan->command_sock, &m, NULL, 0);
	_exit(126);
}

/*
 * When the caller dies, so does the command's network; it is told by @signal, so that it need not find out by time-outs.
 * Before there is a command all signals but SIGKILL are blocked here.
 */
static void follow_caller(const struct mf_capture_plan *plan, int signal)
{
	(void)prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0);
	if (getppid() != plan->caller)
		_exit(126);
}

/* A directory of PATH that we may not search is no command that we may not run. */
static bool exists(const char *name)
{
	const char *path = getenv("PATH");
	char full[4096];

	if (strchr(name, '/') || !path)
		return true;
	for (size_t n; *path; path += n + (path[n] == ':')) {
		n = strcspn(path, ":");
		if (snprintf(full, sizeof(full), "%.*s/%s", (int)n, path, name) <
			    (int)sizeof(full) &&
		    access(full, F_OK) == 0)
			return true;
	}
	return false;
}

static _Noreturn void execute(const struct mf_capture_plan *plan)
{
	struct mf_capture_msg m = { .kind = MF_CAPTURE_MSG_NOEXEC };
	char *const *argv = plan->options->argv;

	if (plan->options->envp)
		environ = (char **)(uintptr_t)plan->options->envp;
	mf_capture_trust_set_variables(plan);
	(void)sigprocmask(SIG_SETMASK, &plan->command_mask, NULL);
	// Its directory as it is seen from here on: the one that it was started in may lie below the workspace.
	if (plan->options->workspace && chdir(plan->cwd) < 0) {
		m.value = errno;
		(void)mf_capture_msg_send(plan->command_sock, &m, NULL, 0);
		_exit(126);
	}
	execvp(argv[0], argv);
	m.value = errno == EACCES && !exists(argv[0]) ? ENOENT : errno;
	(void)mf_capture_msg_send(plan->command_sock, &m, NULL, 0);
	_exit(m.value == ENOENT ? 127 : 126);
}

/* What came up while the namespace was built. */
static void tell_note(const struct mf_capture_plan *plan)
{
	struct mf_capture_msg m = { .kind = MF_CAPTURE_MSG_NOTE };

	if (!*plan->trust.note)
		return;
	snprintf(m.text, sizeof(m.text), "%s", plan->trust.note);
	(void)mf_capture_msg_send(plan->command_sock, &m, NULL, 0);
}

_Noreturn void mf_capture_command_main(struct mf_capture_plan *plan)
{
	struct mf_capture_msg m = { .kind = MF_CAPTURE_MSG_PROBED };
	uint64_t since = mf_clock_now(&mf_clock_system), locked;
	struct mf_err err = { 0 };
	int notify = -1, r;

	close(plan->opener_sock);
	follow_caller(plan, SIGKILL);
	r = mf_capture_lock_fds(plan, &plan->command_sock, 1, &err);
	if (r == 0)
		r = mf_capture_lock_privileges(&err);
	if (r == 0) {
		m.value = mf_capture_lock_scope();
		r = mf_capture_lock_syscalls(&notify, &err);
	}
	tell_note(plan);
	locked = mf_clock_now(&mf_clock_system);
	if (r == 0)
		r = mf_capture_probe_send(plan, &err);
	if (r < 0)
		give_up(plan, &err);
	m.timing.restrict_ns = locked - since;
	m.timing.probes_ns = mf_clock_now(&mf_clock_system) - locked;
	r = mf_capture_msg_send(plan->command_sock, &m, &notify, notify >= 0);
	if (notify >= 0)
		close(notify);
	if (r < 0 || mf_capture_msg_recv(plan->command_sock, true, &m, NULL, NULL) != 1 ||
	    m.kind != MF_CAPTURE_MSG_GO)
		_exit(126);
	follow_caller(plan, SIGTERM);
	execute(plan);
}
