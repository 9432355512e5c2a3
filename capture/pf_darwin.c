/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pf_darwin.c - the broker as a process, and the proxies' end of its socket; see pf.h
 *
 * The broker is forked by root before there are threads. It keeps nothing but its end of a socket pair, ignores what a
 * terminal sends, and removes everything when that socket is closed, be it that the proxies ended, died or were killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "capture/pf_system_darwin.h"
#include "capture/process_darwin.h"
#include "core/base/clock.h"

#define RECORD_PATH "/var/run/moonfence-pf"
#ifndef LOOKUP_MS      /* tests have more time, and less */
#define LOOKUP_MS 1000 /* an ioctl; owners take longer, on a machine with many sockets */
#endif
#define WORK_MS 60000 /* several calls of pfctl */
#define FDS_MAX 65536

struct mf_pf {
	int sock;
	pid_t broker;
	uint64_t next_id;
	const struct mf_log *log;
	struct mf_process_memory process;
};

/* What the broker says first. Both ends are the same program. */
struct report {
	int code;
	char msg[sizeof(((struct mf_err *)0)->msg)];
};

/* ------------------------------------------------------------------------------------------------------------------ */
/* Whole messages over a stream                                                                                       */

/* Return: 0, MF_E_CLOSED, MF_E_TIME when nothing came; the rest of what began does not come later. @deadline 0: none */
static int read_all(int fd, void *buf, size_t len, uint64_t deadline)
{
	uint8_t *at = buf;

	while (len) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = deadline ? mf_clock_now(&mf_clock_system) : 0;
		ssize_t n;
		int ready;

		if (deadline && now >= deadline)
			return at == buf ? MF_E_TIME : MF_E_CLOSED;
		ready = poll(&p, 1, deadline ? (int)((deadline - now) / MF_NS_PER_MS) + 1 : -1);
		if (ready == 0 || (ready < 0 && errno == EINTR))
			continue;
		n = read(fd, at, len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return MF_E_CLOSED;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Messages are few and small: the socket's buffer always has room for them. */
static int write_all(int fd, const void *buf, size_t len)
{
	const uint8_t *at = buf;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return MF_E_CLOSED;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* The broker                                                                                                         */

static int term_pipe[2] = { -1, -1 }; /* SIGTERM writes, whoever waits for a request reads */

static void on_term(int sig)
{
	int saved = errno;

	(void)sig;
	(void)!write(term_pipe[1], "", 1);
	errno = saved;
}

static void log_to_syslog(void *ctx, enum mf_log_level level, const char *text)
{
	static const int priorities[] = { [MF_LOG_ERROR] = LOG_ERR,
					  [MF_LOG_WARNING] = LOG_WARNING,
					  [MF_LOG_INFO] = LOG_INFO,
					  [MF_LOG_DEBUG] = LOG_DEBUG };

	(void)ctx;
	syslog((unsigned)level < MF_ARRAY_SIZE(priorities) ? priorities[level] : LOG_ERR, "%s",
	       text);
}

/* Nothing of the terminal, nothing inherited. */
static int retire(int sock)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), max = getdtablesize();

	if (null < 0 || setsid() < 0 || chdir("/") < 0)
		return MF_E_IO;
	for (int fd = 0; fd < 3; fd++)
		if (dup2(null, fd) < 0)
			return MF_E_IO;
	for (int fd = 3; fd < (max < FDS_MAX ? max : FDS_MAX); fd++)
		if (fd != sock)
			close(fd);
	if (pipe(term_pipe) < 0)
		return MF_E_IO;
	for (int i = 0; i < 2; i++)
		if (fcntl(term_pipe[i], F_SETFD, FD_CLOEXEC) < 0 ||
		    fcntl(term_pipe[i], F_SETFL, O_NONBLOCK) < 0)
			return MF_E_IO;
	return 0;
}

/* Before retire(): until there is the pipe, SIGTERM waits. */
static void set_signals(void)
{
	static const int ignored[] = { SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2 };
	struct sigaction term = { .sa_handler = on_term }, ignore = { .sa_handler = SIG_IGN },
			 standard = { .sa_handler = SIG_DFL };
	sigset_t blocked;

	for (size_t i = 0; i < MF_ARRAY_SIZE(ignored); i++)
		sigaction(ignored[i], &ignore, NULL);
	sigaction(SIGCHLD, &standard, NULL);
	sigaction(SIGTERM, &term, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
}

/* Return: 0 there is something to read, MF_E_CLOSED: told to end */
static int wait_for_request(int sock)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = sock, .events = POLLIN },
				       { .fd = term_pipe[0], .events = POLLIN } };
		int n = poll(p, 2, -1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || p[1].revents)
			return MF_E_CLOSED;
		return 0;
	}
}

static void serve(int sock, struct mf_pf_control *c)
{
	uint8_t request[MF_PF_WIRE_LEN], answer[MF_PF_WIRE_LEN];
	sigset_t none;
	int r = 0;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	while (r == 0 && wait_for_request(sock) == 0) {
		/* Whoever begins a request has to end it: half of one is none. */
		uint64_t deadline = mf_clock_now(&mf_clock_system) + LOOKUP_MS * MF_NS_PER_MS;

		if (read_all(sock, request, sizeof(request), deadline))
			break;
		r = mf_pf_control_handle(c, request, answer);
		if (r >= 0 && write_all(sock, answer, sizeof(answer)))
			break;
	}
}

static int send_report(int sock, int code, const struct mf_err *err)
{
	struct report r = { .code = code };

	if (code)
		memcpy(r.msg, err->msg, sizeof(r.msg));
	return write_all(sock, &r, sizeof(r));
}

static int broker_start(int sock, const struct mf_pf_options *o, const struct mf_log *log,
			struct mf_pf_real **real, struct mf_pf_control **c, struct mf_err *err)
{
	struct mf_pf_system sys;
	int e = retire(sock);

	if (e)
		return mf_err_set(err, e, "the broker cannot leave its surroundings: %s",
				  strerror(errno));
	e = mf_pf_real_open(o->record_path ? o->record_path : RECORD_PATH, real, &sys, err);
	if (!e)
		e = mf_pf_control_new(&o->rules, &sys, log, c, err);
	return e ? e : mf_pf_control_start(*c, err);
}

static _Noreturn void broker_main(int sock, const struct mf_pf_options *o)
{
	static const struct mf_log log = { .fn = log_to_syslog };
	struct mf_pf_control *c = NULL;
	struct mf_pf_real *real = NULL;
	struct mf_err err = { 0 };
	int e;

	set_signals();
	openlog("moonfence-pf", LOG_PID, LOG_DAEMON);
	e = broker_start(sock, o, &log, &real, &c, &err);
	if (send_report(sock, e, &err) == 0 && e == 0)
		serve(sock, c);
	if (e == 0 && mf_pf_control_stop(c, &err)) {
		mf_log_error(&log, "%s; the next start tries again", err.msg);
		e = MF_E_IO;
	}
	mf_pf_control_free(c);
	mf_pf_real_close(real);
	_exit(e ? 1 : 0);
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* The proxies' side                                                                                                  */

static int reap(pid_t pid, int *ret_status)
{
	pid_t r;

	do
		r = waitpid(pid, ret_status, 0);
	while (r < 0 && errno == EINTR);
	return r < 0 ? MF_E_IO : 0;
}

static void free_pf(struct mf_pf *pf)
{
	if (pf->sock >= 0)
		close(pf->sock);
	mf_process_memory_done(&pf->process);
	free(pf);
}

/* Both ends close on exec, and neither kills by SIGPIPE. */
static int make_pair(int sock[2])
{
	int on = 1;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sock) < 0)
		return MF_E_IO;
	for (int i = 0; i < 2; i++)
		if (fcntl(sock[i], F_SETFD, FD_CLOEXEC) < 0 ||
		    setsockopt(sock[i], SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on)) < 0) {
			close(sock[0]);
			close(sock[1]);
			return MF_E_IO;
		}
	return 0;
}

static int fork_broker(struct mf_pf *pf, const struct mf_pf_options *o, struct mf_err *err)
{
	int sock[2];

	if (make_pair(sock))
		return mf_err_set(err, MF_E_IO, "cannot make a socket pair: %s", strerror(errno));
	pf->broker = fork();
	if (pf->broker == 0) {
		close(sock[0]);
		broker_main(sock[1], o);
	}
	close(sock[1]);
	pf->sock = sock[0];
	return pf->broker < 0 ? mf_err_set(err, MF_E_IO, "cannot fork: %s", strerror(errno)) : 0;
}

int mf_pf_start(const struct mf_pf_options *options, struct mf_pf **ret, struct mf_err *err)
{
	struct report report;
	struct mf_pf *pf;
	int e, status;

	if (options->size != sizeof(*options))
		return mf_err_set(err, MF_E_INVAL, "pf options of another size");
	if (geteuid() != 0)
		return mf_err_set(err, MF_E_PERM, "pf can be set up by root only");
	pf = calloc(1, sizeof(*pf));
	if (!pf)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	pf->sock = -1;
	pf->log = options->log;
	e = fork_broker(pf, options, err);
	if (e) {
		free_pf(pf);
		return e;
	}
	e = read_all(pf->sock, &report, sizeof(report), 0);
	report.msg[sizeof(report.msg) - 1] = '\0';
	if (e)
		e = mf_err_set(err, e, "the broker ended before it said anything");
	else if (report.code)
		e = mf_err_set(err, report.code, "%s", report.msg);
	if (e) {
		(void)reap(pf->broker, &status);
		free_pf(pf);
		return e;
	}
	*ret = pf;
	return 0;
}

int mf_pf_become_user(uint32_t uid, uint32_t gid, struct mf_err *err)
{
	gid_t group = gid;

	if (uid == 0 || gid == 0)
		return mf_err_set(err, MF_E_INVAL, "the proxies cannot run as user or group 0");
	if (setgroups(1, &group) < 0 || setgid(group) < 0 || setuid(uid) < 0)
		return mf_err_set(err, MF_E_PERM, "cannot become user %u: %s", (unsigned)uid,
				  strerror(errno));
	if (setuid(0) == 0 || seteuid(0) == 0 || geteuid() != uid || getuid() != uid ||
	    getegid() != gid || getgid() != gid)
		return mf_err_set(err, MF_E_PERM, "user 0 cannot be given up");
	return 0;
}

static int exchange(struct mf_pf *pf, struct mf_pf_message *m, unsigned timeout_ms,
		    struct mf_pf_message *ret)
{
	uint64_t deadline = mf_clock_now(&mf_clock_system) + timeout_ms * MF_NS_PER_MS;
	uint8_t buf[MF_PF_WIRE_LEN];
	int e;

	if (pf->sock < 0)
		return MF_E_CLOSED;
	m->id = ++pf->next_id;
	mf_pf_wire_encode(m, buf);
	e = write_all(pf->sock, buf, sizeof(buf));
	/* An answer to a request that we gave up comes first. */
	do {
		if (!e)
			e = read_all(pf->sock, buf, sizeof(buf), deadline);
		if (!e && (mf_pf_wire_decode(buf, ret) || !ret->is_answer || ret->id > m->id))
			e = MF_E_CLOSED;
	} while (!e && ret->id != m->id);
	if (e == MF_E_CLOSED) {
		mf_log_error(pf->log, "the broker of pf's rules is gone: nothing can be looked up");
		close(pf->sock);
		pf->sock = -1;
	}
	return e;
}

int mf_pf_find_flow(void *ctx, enum mf_proto proto, const struct mf_endpoint *peer,
		    const struct mf_endpoint *local, struct mf_session_flow *ret)
{
	struct mf_pf_message m = { .kind = MF_PF_LOOKUP,
				   .q = { .proto = proto, .peer = *peer, .local = *local } },
			     a;
	int e = exchange(ctx, &m, LOOKUP_MS, &a);

	if (e || a.status)
		return e ? e : a.status;
	*ret = (struct mf_session_flow){ .proto = proto, .client = *peer, .server = a.server };
	return 0;
}

int mf_pf_find_process(void *ctx, const struct mf_session_flow *flow, struct mf_process *ret)
{
	struct mf_pf_message m = { .kind = MF_PF_OWNER,
				   .q = { .proto = flow->proto,
					  .peer = flow->client,
					  .local = flow->server } },
			     a;
	struct mf_pf *pf = ctx;

	if (exchange(pf, &m, LOOKUP_MS, &a) || a.status)
		return MF_E_NOENT;
	return mf_process_read(a.value, &pf->process, ret);
}

int mf_pf_check(struct mf_pf *pf, uint32_t *ret_health)
{
	struct mf_pf_message m = { .kind = MF_PF_CHECK }, a;
	int e = exchange(pf, &m, WORK_MS, &a);

	if (!e)
		*ret_health = a.value;
	return e;
}

int mf_pf_reload(struct mf_pf *pf)
{
	struct mf_pf_message m = { .kind = MF_PF_RELOAD }, a;
	int e = exchange(pf, &m, WORK_MS, &a);

	return e ? e : a.status;
}

int mf_pf_fd(const struct mf_pf *pf)
{
	return pf->sock;
}

int mf_pf_stop(struct mf_pf *pf, struct mf_err *err)
{
	struct mf_pf_message m = { .kind = MF_PF_STOP }, a = { 0 };
	bool clean;
	int e, status = -1;

	if (!pf)
		return 0;
	e = exchange(pf, &m, WORK_MS, &a);
	/* Closed, it cleans up all the same, and its exit status tells. One that hangs is not waited for. */
	if (pf->sock >= 0)
		close(pf->sock);
	pf->sock = -1;
	clean = e != MF_E_TIME && reap(pf->broker, &status) == 0 && WIFEXITED(status) &&
		WEXITSTATUS(status) == 0;
	free_pf(pf);
	if (clean)
		return 0;
	e = e ? e : a.status ? a.status : MF_E_IO;
	return mf_err_set(
		err, e,
		"pf's rules may not have been removed (%s): see the system's log, or start and "
		"stop once more",
		mf_strerror(e));
}
