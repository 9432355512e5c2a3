/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opener_linux.c - the process that builds the namespace, clones the command, and stays to open sockets in it
 *
 * It is the only one that keeps privileges in the namespace. The command cannot trace it (its capabilities are more than
 * the command's), shares no descriptor and no memory with it, and gains nothing by killing or stopping it: the caller
 * notices and cuts the session's traffic.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/internal_linux.h"

#define MAP_MAX 4096

static _Noreturn void give_up(const struct mf_capture_plan *plan, const struct mf_err *err)
{
	struct mf_capture_msg m = { .kind = MF_CAPTURE_MSG_FAILED, .value = err->code };

	snprintf(m.text, sizeof(m.text), "%.767s", err->msg);
	(void)mf_capture_msg_send(plan->opener_sock, &m, NULL, 0);
	_exit(1);
}

static int write_proc(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), e = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		e = errno;
	close(fd);
	return e;
}

/* Each id that exists for us maps to itself: "inside outer count" becomes "inside inside count". */
static void identity_map(const char *path, char *ret, size_t size)
{
	char *text = NULL, *save = NULL, *line;
	size_t len, at = 0;

	*ret = '\0';
	if (mf_capture_read_file(path, MAP_MAX, &text, &len) < 0)
		return;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned first, outer, cnt;

		if (sscanf(line, "%u %u %u", &first, &outer, &cnt) == 3 && at + 40 < size)
			at += (size_t)snprintf(ret + at, size - at, "%u %u %u\n", first, first,
					       cnt);
	}
	free(text);
}

static int unshare_failed(int e, struct mf_err *err)
{
	if (e == EPERM || e == EACCES)
		return mf_err_set(
			err, MF_E_PERM,
			"this system forbids user namespaces to ordinary users, so no session can "
			"be "
			"fenced; allow them with one of: sysctl "
			"kernel.unprivileged_userns_clone=1, "
			"sysctl kernel.apparmor_restrict_unprivileged_userns=0 or an AppArmor "
			"profile "
			"for moonfence with \"userns,\", or in a container --security-opt "
			"seccomp=unconfined");
	if (e == ENOSPC || e == EUSERS)
		return mf_err_set(err, MF_E_PERM,
				  "no further user or network namespace may be made; raise "
				  "user.max_user_namespaces and user.max_net_namespaces (sysctl)");
	return mf_err_set(err, MF_E_UNSUPPORTED, "cannot make the session's namespaces: %s",
			  strerror(e));
}

static int map_failed(bool root, int e, struct mf_err *err)
{
	if (root && (e == EPERM || e == EACCES))
		return mf_err_set(
			err, MF_E_PERM,
			"user 0 lacks CAP_SETUID, CAP_SETGID or CAP_SETFCAP here (inside a "
			"session, or a container without them), so it cannot be mapped into a "
			"namespace; run as an ordinary user, or give the container these "
			"capabilities");
	if (e == EPERM || e == EACCES)
		return mf_err_set(
			err, MF_E_PERM,
			"cannot map the user into the session's namespace: a security module "
			"takes privileges from new user namespaces (AppArmor: sysctl "
			"kernel.apparmor_restrict_unprivileged_userns=0, or a profile for "
			"moonfence with \"userns,\")");
	return mf_err_set(err, MF_E_IO, "cannot map the user into the session's namespace: %s",
			  strerror(e));
}

/* User 0 maps all ids, so that files keep their owners; that takes a process with privileges in the outer namespace. */
struct mapper {
	pid_t pid;
	int go; /* closing it is the sign */
};

static int mapper_begin(struct mapper *m)
{
	char uids[MAP_MAX], gids[MAP_MAX], path[64], byte;
	pid_t target = getpid();
	int p[2], e;

	identity_map("/proc/self/uid_map", uids, sizeof(uids));
	identity_map("/proc/self/gid_map", gids, sizeof(gids));
	if (pipe2(p, O_CLOEXEC) < 0)
		return errno;
	m->pid = fork();
	if (m->pid < 0)
		return errno;
	m->go = p[1];
	if (m->pid > 0) {
		close(p[0]);
		return 0;
	}
	close(p[1]);
	while (read(p[0], &byte, 1) < 0 && errno == EINTR)
		;
	snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)target);
	e = write_proc(path, uids);
	snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)target);
	if (!e)
		e = write_proc(path, gids);
	_exit(e);
}

static int mapper_end(struct mapper *m)
{
	int status = 0;

	close(m->go);
	while (waitpid(m->pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

/* An ordinary user can map its own id only; supplementary groups go on to count for files. */
static int map_self(const struct mf_capture_plan *plan)
{
	char text[64];
	int e = write_proc("/proc/self/setgroups", "deny");

	if (e && e != ENOENT)
		return e;
	snprintf(text, sizeof(text), "%u %u 1", (unsigned)plan->uid, (unsigned)plan->uid);
	e = write_proc("/proc/self/uid_map", text);
	snprintf(text, sizeof(text), "%u %u 1", (unsigned)plan->gid, (unsigned)plan->gid);
	return e ? e : write_proc("/proc/self/gid_map", text);
}

static int make_namespaces(const struct mf_capture_plan *plan, struct mf_err *err)
{
	struct mapper m = { .go = -1 };
	bool root = plan->uid == 0;
	int e = root ? mapper_begin(&m) : 0;

	if (e)
		return mf_err_set(err, MF_E_IO, "cannot fork: %s", strerror(e));
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) < 0)
		return unshare_failed(errno, err);
	e = root ? mapper_end(&m) : map_self(plan);
	/* A root without CAP_SETUID is an ordinary user. */
	if (root && e)
		e = map_self(plan);
	return e ? map_failed(root, e, err) : 0;
}

static uint64_t lap(uint64_t *since)
{
	uint64_t now = mf_clock_now(&mf_clock_system), took = now - *since;

	*since = now;
	return took;
}

static int build(struct mf_capture_plan *plan, int fds[static MF_CAPTURE_FD_NUM],
		 struct mf_capture_timing *t, struct mf_err *err)
{
	uint64_t since = mf_clock_now(&mf_clock_system);
	bool logs;
	int r = make_namespaces(plan, err);

	t->namespace_ns = lap(&since);
	if (r == 0)
		r = mf_capture_links_build(plan, fds + MF_CAPTURE_FD_TUN, err);
	t->links_ns = lap(&since);
	if (r == 0)
		r = mf_capture_rules_load(plan->options, plan->has6, &logs, err);
	t->rules_ns = lap(&since);
	if (r == 0)
		r = mf_capture_mounts_build(plan, err);
	t->mounts_ns = lap(&since);
	if (r == 0)
		r = mf_capture_links_open(plan->has6, fds, err);
	t->links_ns += lap(&since);
	// Last: nobody answers there yet.
	return r < 0 ? r : mf_capture_mounts_workspace(plan, err);
}

/* The command is a sibling, so that the caller waits for it as for any child, and it has no child that it did not make. */
static pid_t clone_command(struct mf_capture_plan *plan)
{
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		mf_capture_command_main(plan);
	return pid;
}

/* From now on: nothing of the terminal, nothing inherited, no more privileges than the work needs. */
static int retire(const struct mf_capture_plan *plan, struct mf_err *err)
{
	const uint64_t keep = 1ull << CAP_NET_ADMIN | 1ull << CAP_NET_RAW | 1ull << CAP_SYS_ADMIN |
			      1ull << CAP_DAC_READ_SEARCH;
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2] = {
		{ .effective = (uint32_t)keep, .permitted = (uint32_t)keep },
		{ .effective = (uint32_t)(keep >> 32), .permitted = (uint32_t)(keep >> 32) }
	};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), unix_fd = plan->unix_fd;

	(void)setsid();
	if (null < 0 || chdir("/") < 0 || syscall(SYS_capset, &h, caps) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return mf_err_set(err, MF_E_IO, "the opener cannot retire: %s", strerror(errno));
	for (int fd = 0; fd < 3; fd++)
		if (fd != plan->opener_sock && fd != unix_fd)
			(void)dup2(null, fd);
	for (int low = 3, next; low >= 0; low = next) {
		int a = plan->opener_sock, b = unix_fd, stop;

		stop = a >= low && (b < low || a < b) ? a : b >= low ? b : -1;
		(void)syscall(SYS_close_range, low, stop < 0 ? ~0u : (unsigned)stop - 1, 0);
		next = stop < 0 ? -1 : stop + 1;
	}
	return 0;
}

static void serve_open(const struct mf_capture_plan *plan, int family)
{
	struct mf_capture_msg m = { .kind = MF_CAPTURE_MSG_OPENED, .value = family };
	int fds[MF_CAPTURE_OPEN_BATCH];
	size_t n = 0;

	while (n < MF_CAPTURE_OPEN_BATCH && (fds[n] = mf_capture_links_open_udp(family)) >= 0)
		n++;
	(void)mf_capture_msg_send(plan->opener_sock, &m, fds, n);
	while (n)
		close(fds[--n]);
}

static void serve_rescan(const struct mf_capture_plan *plan)
{
	struct mf_capture_msg m = { .kind = MF_CAPTURE_MSG_MASKED };
	struct mf_capture_paths now = { 0 };
	char *text = NULL;
	size_t len;

	if (plan->unix_fd >= 0 && mf_capture_read_fd(plan->unix_fd, 4 << 20, &text, &len) == 0)
		(void)mf_capture_paths_parse_unix(&now, text, len);
	free(text);
	for (size_t i = 0; i < now.cnt; i++) {
		int r = mf_capture_mounts_mask(plan, now.v[i]);

		if (r == 0)
			continue;
		m.value = r < 0 ? r : 0;
		snprintf(m.text, sizeof(m.text), "%.767s", now.v[i]);
		if (mf_capture_msg_send(plan->opener_sock, &m, NULL, 0) < 0)
			break;
	}
	mf_capture_paths_done(&now);
	m = (struct mf_capture_msg){ .kind = MF_CAPTURE_MSG_RESCANNED };
	(void)mf_capture_msg_send(plan->opener_sock, &m, NULL, 0);
}

_Noreturn void mf_capture_opener_main(struct mf_capture_plan *plan)
{
	struct mf_capture_msg m = { .kind = MF_CAPTURE_MSG_READY };
	int fds[MF_CAPTURE_FD_NUM + 1];
	struct mf_err err = { 0 };
	sigset_t all;
	size_t fd_cnt;

	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != plan->caller)
		_exit(1);
	close(plan->caller_opener_sock);
	close(plan->caller_command_sock);
	if (build(plan, fds, &m.timing, &err) < 0)
		give_up(plan, &err);
	m.pid = clone_command(plan);
	if (m.pid < 0) {
		mf_err_set(&err, MF_E_IO, "cannot fork the command: %s", strerror(errno));
		give_up(plan, &err);
	}
	m.value = plan->has6;
	fd_cnt = MF_CAPTURE_FD_TUN + mf_capture_tun_queues(plan->options);
	if (plan->options->workspace)
		fds[fd_cnt++] = plan->workspace_fd;
	if (mf_capture_msg_send(plan->opener_sock, &m, fds, fd_cnt) < 0)
		_exit(1);
	if (retire(plan, &err) < 0)
		give_up(plan, &err);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* capset() may have cleared it */
	for (;;) {
		if (mf_capture_msg_recv(plan->opener_sock, true, &m, NULL, NULL) != 1)
			_exit(0);
		if (m.kind == MF_CAPTURE_MSG_OPEN)
			serve_open(plan, m.value);
		else if (m.kind == MF_CAPTURE_MSG_RESCAN)
			serve_rescan(plan);
	}
}
