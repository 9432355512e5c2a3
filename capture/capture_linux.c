/* SPDX-License-Identifier: Apache-2.0 */
/* capture_linux.c - the caller's side of a session: fork, prove, start, end */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/internal_linux.h"
#include "capture/lanes_linux.h"

#define PROVE_TIMEOUT_MS 20000 /* takes milliseconds; the rest is for a busy machine */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* The plan                                                                                                         */

static int find_sockets(struct mf_capture *cap, struct mf_err *err)
{
	struct mf_capture_paths *p = &cap->plan.sockets;
	unsigned budget = 4096;
	char *text;
	size_t len;
	int relative = 0;

	if (cap->plan.unix_fd >= 0 &&
	    mf_capture_read_fd(cap->plan.unix_fd, 4 << 20, &text, &len) == 0) {
		relative = mf_capture_paths_parse_unix(p, text, len);
		free(text);
	} else {
		mf_log_warning(cap->options.log,
			       "cannot read /proc/net/unix: only well-known sockets of "
			       "the host are put out of reach");
	}
	if (relative)
		mf_log_info(cap->options.log,
			    "%d Unix sockets of the host have relative names and are not masked",
			    relative);
	/* Sockets of other network namespaces (a container's docker.sock) are in no list that we can read. */
	if (mf_capture_read_file("/proc/self/mountinfo", 1 << 20, &text, &len) == 0) {
		mf_capture_paths_parse_mountinfo(p, text, len);
		free(text);
	}
	mf_capture_paths_walk(p, "/run", 4, &budget);
	if (p->cnt >= MF_CAPTURE_PATHS_MAX)
		return mf_err_set(err, MF_E_LIMIT, "this host has more than %d Unix sockets",
				  MF_CAPTURE_PATHS_MAX);
	return 0;
}

static void read_names_config(struct mf_capture_plan *plan)
{
	char *text = NULL;
	size_t len;

	if (mf_capture_read_file("/etc/resolv.conf", 65536, &text, &len) < 0)
		text = NULL;
	mf_capture_files_resolv(text, MF_CAPTURE_DNS4, plan->resolv, sizeof(plan->resolv));
	free(text);
	if (mf_capture_read_file("/etc/nsswitch.conf", sizeof(plan->nsswitch) - 64, &text, &len) ==
	    0) {
		plan->has_nsswitch =
			mf_capture_files_nsswitch(text, plan->nsswitch, sizeof(plan->nsswitch));
		free(text);
	}
}

/* The session's servers may have the ports that they could have outside. */
static void read_port_start(struct mf_capture_plan *plan)
{
	char *text;
	size_t len;

	if (plan->uid == 0) {
		snprintf(plan->port_start, sizeof(plan->port_start), "0");
	} else if (mf_capture_read_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", 64, &text,
					&len) == 0) {
		if (len < sizeof(plan->port_start) && strcmp(text, "1024\n") != 0)
			memcpy(plan->port_start, text, len + 1);
		free(text);
	}
}

static int make_plan(struct mf_capture *cap, struct mf_err *err)
{
	struct mf_capture_plan *plan = &cap->plan;
	int s[2], t[2];

	plan->options = &cap->options;
	plan->uid = geteuid();
	plan->gid = getegid();
	plan->caller = getpid();
	plan->started_ns = mf_clock_now(&mf_clock_system);
	plan->unix_fd = open("/proc/net/unix", O_RDONLY | O_CLOEXEC);
	if (getrandom(plan->nonce, sizeof(plan->nonce), 0) != (ssize_t)sizeof(plan->nonce))
		return mf_err_set(err, MF_E_IO, "no random numbers: %s", strerror(errno));
	read_names_config(plan);
	read_port_start(plan);
	if (find_sockets(cap, err) < 0)
		return err ? err->code : MF_E_LIMIT;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) < 0)
		return mf_err_set(err, MF_E_IO, "cannot make a socket pair: %s", strerror(errno));
	cap->opener_sock = plan->caller_opener_sock = s[0];
	plan->opener_sock = s[1];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, t) < 0)
		return mf_err_set(err, MF_E_IO, "cannot make a socket pair: %s", strerror(errno));
	cap->command_sock = plan->caller_command_sock = t[0];
	plan->command_sock = t[1];
	return 0;
}

int mf_capture_new(const struct mf_capture_options *options, struct mf_capture **ret,
		   struct mf_err *err)
{
	struct mf_capture *cap;
	struct mf_err local;
	int r;

	err = err ? err : &local;
	if (options->size != sizeof(*options) ||
	    (!options->guests && (!options->argv || !options->argv[0])))
		return mf_err_set(err, MF_E_INVAL, "a command is needed");
	if (options->guests && options->backend != MF_CAPTURE_TPROXY)
		return mf_err_set(err, MF_E_UNSUPPORTED, "guests are captured with '%s'",
				  mf_capture_backend_name(MF_CAPTURE_TPROXY));
	if (options->extra_ca_pem &&
	    (!strstr(options->extra_ca_pem, "-----BEGIN CERTIFICATE-----") ||
	     strnlen(options->extra_ca_pem, MF_CAPTURE_CA_MAX + 1) > MF_CAPTURE_CA_MAX))
		return mf_err_set(err, MF_E_INVAL,
				  "extra_ca_pem is no certificate in PEM of at most %u bytes",
				  MF_CAPTURE_CA_MAX);
	if (options->backend != MF_CAPTURE_TPROXY && options->backend != MF_CAPTURE_TUN)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "Linux captures with '%s' or '%s', not '%s'",
				  mf_capture_backend_name(MF_CAPTURE_TPROXY),
				  mf_capture_backend_name(MF_CAPTURE_TUN),
				  mf_capture_backend_name(options->backend));
	if (options->fail_open)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "traffic captured with '%s' has no other way than ours: the fail "
				  "mode 'open' is for '%s'",
				  mf_capture_backend_name(options->backend),
				  mf_capture_backend_name(MF_CAPTURE_WINDIVERT));
	if (options->mtu &&
	    (options->mtu < MF_CAPTURE_MTU_MIN || options->mtu > MF_CAPTURE_MTU_MAX))
		return mf_err_set(err, MF_E_INVAL, "the MTU of a session is %d to %d bytes",
				  MF_CAPTURE_MTU_MIN, MF_CAPTURE_MTU_MAX);
	if (options->tun_queues > MF_CAPTURE_TUN_QUEUES_MAX)
		return mf_err_set(err, MF_E_INVAL, "a session's device has 1 to %d queues",
				  MF_CAPTURE_TUN_QUEUES_MAX);
	cap = calloc(1, sizeof(*cap));
	if (!cap)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	cap->options = *options;
	if (!cap->options.tun_queues)
		cap->options.tun_queues = mf_lanes_default();
	cap->opener_sock = cap->command_sock = cap->epoll_fd = cap->signal_fd = -1;
	cap->timer_fd = cap->notify_fd = cap->plan.unix_fd = -1;
	cap->workspace_fd = cap->plan.workspace_fd = -1;
	cap->plan.opener_sock = cap->plan.command_sock = -1;
	for (int i = 0; i < MF_CAPTURE_FD_NUM; i++)
		cap->fd[i] = -1;
	r = mf_capture_signals_block(cap, err);
	if (r == 0)
		r = make_plan(cap, err);
	if (r == 0 && cap->options.workspace && !getcwd(cap->plan.cwd, sizeof(cap->plan.cwd)))
		r = mf_err_set(err, MF_E_IO, "cannot tell the working directory: %s",
			       strerror(errno));
	if (r == 0)
		r = mf_capture_orphans_adopt(cap, err);
	if (r == 0) {
		cap->opener = fork();
		if (cap->opener == 0)
			mf_capture_opener_main(&cap->plan);
		if (cap->opener < 0) {
			cap->opener = 0;
			r = mf_err_set(err, MF_E_IO, "cannot fork: %s", strerror(errno));
		}
	}
	close_fd(&cap->plan.opener_sock);
	close_fd(&cap->plan.command_sock);
	if (r < 0) {
		mf_capture_free(cap);
		return r;
	}
	*ret = cap;
	return 0;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* The proof                                                                                                        */

static int helper_gone(const char *who, struct mf_err *err)
{
	return mf_err_set(err, MF_E_IO,
			  "the session's %s process ended before the session was ready", who);
}

static int take_failed(const struct mf_capture_msg *m, struct mf_err *err)
{
	return mf_err_set(err, m->value < 0 ? m->value : MF_E_IO, "%s", m->text);
}

static int take_ready(struct mf_capture *cap, struct mf_err *err)
{
	int fds[MF_CAPTURE_MSG_FDS_MAX];
	struct mf_capture_msg m;
	size_t cnt, want = MF_CAPTURE_FD_TUN + mf_capture_tun_queues(&cap->options);
	int r = mf_capture_msg_recv(cap->opener_sock, false, &m, fds, &cnt);

	if (r == 0)
		return 0;
	if (r < 0)
		return helper_gone("opener", err);
	if (m.kind != MF_CAPTURE_MSG_READY || cnt != want + (cap->options.workspace != NULL)) {
		while (cnt)
			close(fds[--cnt]);
		return m.kind == MF_CAPTURE_MSG_FAILED ? take_failed(&m, err)
						       : helper_gone("opener", err);
	}
	memcpy(cap->fd, fds, want * sizeof(*fds));
	if (cap->options.workspace)
		cap->workspace_fd = fds[want];
	cap->command = (pid_t)m.pid;
	cap->plan.has6 = m.value;
	cap->timing = m.timing;
	r = mf_capture_packets_new(cap, err);
	return r < 0 ? r : mf_capture_events_record(cap, err);
}

/* Return: 1 when the command has made its probes */
static int take_probed(struct mf_capture *cap, struct mf_err *err)
{
	int fds[MF_CAPTURE_MSG_FDS_MAX];
	struct mf_capture_msg m;
	size_t cnt;
	int r = mf_capture_msg_recv(cap->command_sock, false, &m, fds, &cnt);

	if (r == 0)
		return 0;
	if (r < 0)
		return helper_gone("command's", err);
	if (m.kind == MF_CAPTURE_MSG_PROBED && cnt <= 1) {
		if (cnt)
			cap->notify_fd = fds[0];
		cap->timing.restrict_ns = m.timing.restrict_ns;
		cap->timing.probes_ns = m.timing.probes_ns;
		return 1;
	}
	while (cnt)
		close(fds[--cnt]);
	if (m.kind == MF_CAPTURE_MSG_NOTE) {
		mf_log_info(cap->options.log, "%s", m.text);
		return 0;
	}
	return m.kind == MF_CAPTURE_MSG_FAILED ? take_failed(&m, err)
					       : helper_gone("command's", err);
}

/* What came of the probes when time is over, for the message. */
static int prove_late(const struct mf_capture *cap, unsigned seen, struct mf_err *err)
{
	if (cap->fd[MF_CAPTURE_FD_TCP] < 0)
		return mf_err_set(err, MF_E_IO, "the session's namespace was not ready in time");
	return mf_err_set(
		err, MF_E_IO,
		"the capture of traffic could not be proven: of %u probes %d arrived in time, "
		"so the command is not started",
		cap->plan.has6 ? 5 : 3, __builtin_popcount(seen));
}

static int prove(struct mf_capture *cap, struct mf_err *err)
{
	unsigned limit =
		cap->options.prove_timeout_ms ? cap->options.prove_timeout_ms : PROVE_TIMEOUT_MS;
	uint64_t deadline = mf_clock_now(&mf_clock_system) + limit * MF_NS_PER_MS;
	unsigned seen = 0, want = (1u << MF_CAPTURE_PROBE_TCP6) - 1;
	int r = 0;

	while (r == 0) {
		bool ready = cap->fd[MF_CAPTURE_FD_TCP] >= 0;
		struct pollfd p[] = { { cap->opener_sock, ready ? 0 : POLLIN, 0 },
				      { cap->command_sock, POLLIN, 0 },
				      { cap->fd[MF_CAPTURE_FD_TCP], POLLIN, 0 },
				      { cap->fd[MF_CAPTURE_FD_UDP], POLLIN, 0 },
				      { mf_capture_packet_fd(cap), POLLIN, 0 } };
		uint64_t now = mf_clock_now(&mf_clock_system);

		if (now >= deadline)
			return prove_late(cap, seen, err);
		if (poll(p, ready ? 5 : 1, (int)((deadline - now) / MF_NS_PER_MS) + 1) < 0 &&
		    errno != EINTR)
			return mf_err_set(err, MF_E_IO, "poll: %s", strerror(errno));
		if (!ready) {
			r = take_ready(cap, err);
			continue;
		}
		if (p[0].revents)
			r = helper_gone("opener", err);
		if (r == 0 && p[4].revents)
			(void)mf_capture_run_packets(cap);
		if (r == 0 && p[2].revents)
			r = mf_capture_probe_take_tcp(cap, &seen, err);
		if (r == 0 && p[3].revents)
			r = mf_capture_probe_take_udp(cap, &seen, err);
		if (r == 0 && p[1].revents)
			r = take_probed(cap, err);
	}
	if (r < 0)
		return r;
	if (cap->plan.has6)
		want = (1u << MF_CAPTURE_PROBE_NUM) - 1;
	return seen == want ? 0 : prove_late(cap, seen, err);
}

int mf_capture_prove(struct mf_capture *cap, struct mf_err *err)
{
	struct mf_err local;
	int r;

	err = err ? err : &local;
	if (cap->state != MF_CAPTURE_BUILDING)
		return mf_err_set(err, MF_E_INVAL, "a session is proven once");
	cap->state = MF_CAPTURE_BROKEN;
	r = prove(cap, err);
	if (r < 0)
		return r;
	r = mf_capture_events_begin(cap, err);
	if (r < 0)
		return r;
	cap->state = MF_CAPTURE_PROVEN;
	cap->timing.total_ns = mf_clock_now(&mf_clock_system) - cap->plan.started_ns;
	return 0;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* The command                                                                                                      */

static int exec_failed(const char *name, int e, int *ret_exit_code, struct mf_err *err)
{
	if (ret_exit_code)
		*ret_exit_code = e == ENOENT ? 127 : 126;
	if (e == ENOENT)
		return mf_err_set(err, MF_E_NOENT, "%s: %s", name,
				  strchr(name, '/') ? "no such file, or its interpreter is missing"
						    : "command not found");
	return mf_err_set(err, e == EACCES || e == EPERM ? MF_E_PERM : MF_E_IO,
			  "%s: cannot execute: %s", name, strerror(e));
}

int mf_capture_exec(struct mf_capture *cap, int *ret_exit_code, struct mf_err *err)
{
	struct mf_capture_msg m = { .kind = MF_CAPTURE_MSG_GO };
	int r;

	if (ret_exit_code)
		*ret_exit_code = 126;
	if (cap->state != MF_CAPTURE_PROVEN || cap->drifted || cap->options.guests)
		return mf_err_set(err, MF_E_INVAL, "the capture of traffic is not proven");
	if (mf_capture_msg_send(cap->command_sock, &m, NULL, 0) < 0)
		return helper_gone("command's", err);
	/* The command's end is close-on-exec: the end of the conversation is its success. */
	r = mf_capture_msg_recv(cap->command_sock, true, &m, NULL, NULL);
	close_fd(&cap->command_sock);
	cap->state = MF_CAPTURE_RUNNING;
	if (r == 1)
		return exec_failed(cap->options.argv[0], m.value, ret_exit_code, err);
	return 0;
}

enum mf_capture_backend mf_capture_backend_default(void)
{
	return MF_CAPTURE_TPROXY;
}

/* What helps on Linux is forked, not started anew. */
bool mf_capture_helper_main(int argc, char **argv, int *ret_status)
{
	(void)argc;
	(void)argv;
	(void)ret_status;
	return false;
}

int mf_capture_take_workspace(struct mf_capture *cap)
{
	int fd = cap->workspace_fd;

	cap->workspace_fd = -1;
	return fd;
}

int mf_capture_take_guests(struct mf_capture *cap)
{
	int fd = -1;

	if (cap->options.guests) {
		fd = cap->fd[MF_CAPTURE_FD_TUN];
		cap->fd[MF_CAPTURE_FD_TUN] = -1;
	}
	return fd;
}

int mf_capture_tcp_fd(const struct mf_capture *cap, unsigned i)
{
	return i ? -1 : cap->fd[MF_CAPTURE_FD_TCP];
}

int mf_capture_udp_fd(const struct mf_capture *cap, unsigned i)
{
	return i ? -1 : cap->fd[MF_CAPTURE_FD_UDP];
}

int64_t mf_capture_pid(const struct mf_capture *cap)
{
	return cap->command;
}

void mf_capture_get_timing(const struct mf_capture *cap, struct mf_capture_timing *ret)
{
	*ret = cap->timing;
}

void mf_capture_get_ops(struct mf_capture *cap, struct mf_session_ops *ret)
{
	*ret = (struct mf_session_ops){ .find_process = mf_capture_ops_find_process,
					.open_udp = mf_capture_ops_open_udp,
					.refuse_udp = mf_capture_ops_refuse_udp,
					.ctx = cap };
}

void mf_capture_cut(struct mf_capture *cap)
{
	cap->cut = true;
	mf_capture_packets_stop(cap);
	if (cap->fd[MF_CAPTURE_FD_ROUTE] < 0)
		return;
	/* If not even that can be done, the command itself has to go: closed is closed. */
	if (mf_capture_links_down(cap->fd[MF_CAPTURE_FD_ROUTE]) < 0 && cap->command > 0) {
		mf_log_error(cap->options.log,
			     "cannot take the session's devices down: the command is killed");
		(void)kill(cap->command, SIGKILL);
	}
}

static void reap(pid_t *pid)
{
	if (*pid <= 0)
		return;
	(void)kill(*pid, SIGKILL);
	while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
		;
	*pid = 0;
}

/* The opener has been reaped: what it said last may be that it has made the command, which is ours to reap then. */
static void learn_command(struct mf_capture *cap)
{
	int fds[MF_CAPTURE_MSG_FDS_MAX];
	struct mf_capture_msg m;
	size_t cnt;

	while (!cap->command && cap->opener_sock >= 0 &&
	       mf_capture_msg_recv(cap->opener_sock, false, &m, fds, &cnt) == 1) {
		if (m.kind == MF_CAPTURE_MSG_READY)
			cap->command = (pid_t)m.pid;
		while (cnt)
			close(fds[--cnt]);
	}
}

bool mf_capture_is_inside(const struct mf_capture *cap, int64_t pid)
{
	(void)cap;
	(void)pid;
	return false;
}

void mf_capture_free(struct mf_capture *cap)
{
	if (!cap)
		return;
	reap(&cap->command);
	if (cap->opener) {
		reap(&cap->opener);
		learn_command(cap);
		reap(&cap->command);
	}
	mf_capture_orphans_kill(cap);
	mf_capture_packets_free(cap);
	close_fd(&cap->opener_sock);
	close_fd(&cap->command_sock);
	close_fd(&cap->epoll_fd);
	close_fd(&cap->signal_fd);
	close_fd(&cap->timer_fd);
	close_fd(&cap->notify_fd);
	close_fd(&cap->workspace_fd);
	close_fd(&cap->plan.unix_fd);
	for (int i = 0; i < MF_CAPTURE_FD_NUM; i++)
		close_fd(&cap->fd[i]);
	for (int i = 0; i < 2; i++)
		while (cap->pool[i].cnt)
			close(cap->pool[i].fd[--cap->pool[i].cnt]);
	mf_capture_signals_restore(cap);
	mf_capture_paths_done(&cap->plan.sockets);
	free(cap);
}

_Noreturn void mf_capture_exit_like(const struct mf_capture_event *exited)
{
	const struct rlimit no_core = { 0, 0 };
	sigset_t one;

	if (exited->signal > 0) {
		/* The command has written its core, if any. */
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)signal(exited->signal, SIG_DFL);
		sigemptyset(&one);
		sigaddset(&one, exited->signal);
		(void)kill(getpid(), exited->signal);
		(void)sigprocmask(SIG_UNBLOCK, &one, NULL);
	}
	exit(exited->status);
}
