/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pf_system_darwin.c - pfctl, /dev/pf, the record and the self-test's sockets; see pf_system_darwin.h
 *
 * pfctl is run by its full path with arguments of ours, an environment of ours, and no descriptor but its three.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/owner_table.h"
#include "capture/pf_system_darwin.h"
#include "core/base/clock.h"

#ifndef PFCTL /* tests have another program, and less time */
#define PFCTL	 "/sbin/pfctl"
#define PFCTL_MS 10000 /* it takes some milliseconds; then it is ended */
#define PROBE_MS 2000
#endif
#define PFCTL_ARGS   12
#define PROBE_GUESTS 16 /* strangers that may connect to the self-test's listener meanwhile */

struct probe {
	int listener, reserved, client, server;
	struct mf_pf_probe ports;
};

struct mf_pf_real {
	int pf, lock;
	const char *record_path;
	char new_path[1024];
	struct mf_owner_table *owners;
	struct probe probes[2]; /* IPv4, IPv6 */
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* pfctl                                                                                                              */

struct pipes {
	int in[2], out[2]; /* read end, write end */
};

static void close_pipes(struct pipes *p)
{
	for (int i = 0; i < 2; i++) {
		close_fd(&p->in[i]);
		close_fd(&p->out[i]);
	}
}

static int open_pipes(struct pipes *p, bool input)
{
	*p = (struct pipes){ { -1, -1 }, { -1, -1 } };
	if (pipe(p->out) < 0 || (input && pipe(p->in) < 0)) {
		close_pipes(p);
		return MF_E_IO;
	}
	for (int i = 0; i < 2; i++) { /* EBADF without input */
		(void)fcntl(p->in[i], F_SETFD, FD_CLOEXEC);
		(void)fcntl(p->out[i], F_SETFD, FD_CLOEXEC);
	}
	return 0;
}

static int add_actions(posix_spawn_file_actions_t *a, const struct pipes *p)
{
	int e = p->in[0] >= 0 ? posix_spawn_file_actions_adddup2(a, p->in[0], 0)
			      : posix_spawn_file_actions_addopen(a, 0, "/dev/null", O_RDONLY, 0);

	if (!e)
		e = posix_spawn_file_actions_adddup2(a, p->out[1], 1);
	return e ? e : posix_spawn_file_actions_adddup2(a, p->out[1], 2);
}

static int set_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int e;

	sigemptyset(&none);
	sigfillset(&all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	e = posix_spawnattr_setsigmask(attr, &none);
	if (!e)
		e = posix_spawnattr_setsigdefault(attr, &all);
	/* Everything but what the actions made is closed. */
	return e ? e
		 : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							  POSIX_SPAWN_CLOEXEC_DEFAULT);
}

static int spawn(const char *const *args, const struct pipes *p, pid_t *ret)
{
	char path[] = "PATH=/usr/bin:/bin:/usr/sbin:/sbin", locale[] = "LC_ALL=C", name[] = "pfctl";
	char *env[] = { path, locale, NULL }, *argv[PFCTL_ARGS + 2] = { name };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int e;

	for (size_t i = 0; args[i]; i++) {
		if (i == PFCTL_ARGS)
			return MF_E_BUG;
		argv[i + 1] = (char *)(uintptr_t)args[i]; /* posix_spawn() does not change them */
	}
	if (posix_spawn_file_actions_init(&actions))
		return MF_E_NOMEM;
	if (posix_spawnattr_init(&attr)) {
		posix_spawn_file_actions_destroy(&actions);
		return MF_E_NOMEM;
	}
	e = add_actions(&actions, p);
	if (!e)
		e = set_attributes(&attr);
	if (!e)
		e = posix_spawn(ret, PFCTL, &actions, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return e == 0 ? 0 : e == ENOENT ? MF_E_NOENT : e == EACCES ? MF_E_PERM : MF_E_IO;
}

/* Hand over the input and take the output, both at once: neither fits into a pipe. Return: 0, MF_E_TIME, MF_E_IO */
static int talk(struct pipes *p, const char *input, struct mf_strbuf *out)
{
	uint64_t deadline = mf_clock_now(&mf_clock_system) + PFCTL_MS * MF_NS_PER_MS;
	size_t left = input ? strlen(input) : 0;
	char buf[4096];

	for (;;) {
		struct pollfd f[2] = { { .fd = p->out[0], .events = POLLIN },
				       { .fd = p->in[1], .events = POLLOUT } };
		uint64_t now = mf_clock_now(&mf_clock_system);
		ssize_t n;

		if (p->in[1] >= 0 && !left)
			close_fd(&p->in[1]);
		f[1].fd = p->in[1];
		if (now >= deadline)
			return MF_E_TIME;
		if (poll(f, 2, (int)((deadline - now) / MF_NS_PER_MS) + 1) < 0 && errno != EINTR)
			return MF_E_IO;
		if (f[1].fd >= 0 && f[1].revents) {
			n = write(p->in[1], input, left);
			if (n >= 0) {
				input += n;
				left -= (size_t)n;
			} else if (errno != EAGAIN && errno != EINTR) {
				left = 0; /* it does not want more: its status tells why */
			}
		}
		if (!f[0].revents)
			continue;
		n = read(p->out[0], buf, sizeof(buf));
		if (n > 0)
			mf_strbuf_add(out, buf, (size_t)n);
		else if (n == 0)
			return 0;
		else if (errno != EAGAIN && errno != EINTR)
			return MF_E_IO;
	}
}

static int reap(pid_t pid)
{
	int status;
	pid_t r;

	do
		r = waitpid(pid, &status, 0);
	while (r < 0 && errno == EINTR);
	if (r < 0 || !WIFEXITED(status))
		return MF_E_IO;
	return WEXITSTATUS(status);
}

static int real_pfctl(void *ctx, const char *const *args, const char *input, struct mf_strbuf *out)
{
	struct pipes p;
	pid_t pid;
	int e = open_pipes(&p, input != NULL), status;

	(void)ctx;
	if (e)
		return e;
	e = spawn(args, &p, &pid);
	if (e) {
		close_pipes(&p);
		return e;
	}
	close_fd(&p.in[0]);
	close_fd(&p.out[1]);
	(void)fcntl(p.in[1], F_SETFL, O_NONBLOCK); /* no descriptor without input: EBADF then */
	(void)fcntl(p.out[0], F_SETFL, O_NONBLOCK);
	e = talk(&p, input, out);
	if (e)
		(void)kill(pid, SIGKILL);
	close_pipes(&p);
	status = reap(pid);
	return e ? e : status;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* The kernel                                                                                                         */

static int real_natlook(void *ctx, struct mf_pf_natlook *nl)
{
	struct mf_pf_real *real = ctx;

	if (ioctl(real->pf, (unsigned long)MF_PF_ABI_NATLOOK, nl) == 0)
		return 0;
	switch (errno) {
	case ENOENT:
		return MF_E_NOENT;
	case EINVAL:
		return MF_E_INVAL;
	case EPERM:
	case EACCES:
		return MF_E_PERM;
	default:
		return MF_E_IO;
	}
}

static int real_find_owner(void *ctx, const struct mf_flow *flow, uint32_t *ret_pid)
{
	struct mf_pf_real *real = ctx;

	return mf_owner_table_find(real->owners, flow, mf_clock_now(&mf_clock_system), ret_pid);
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* The record                                                                                                         */

static int real_read_record(void *ctx, char *buf, size_t room)
{
	struct mf_pf_real *real = ctx;
	int fd = open(real->record_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? MF_E_NOENT : errno == ELOOP ? MF_E_PERM : MF_E_IO;
	/* Whatever stands in it makes root flush an anchor: only root may have written it. */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != 0 || st.st_nlink != 1 ||
	    (st.st_mode & 022)) {
		close(fd);
		return MF_E_PERM;
	}
	do
		n = read(fd, buf, room);
	while (n < 0 && errno == EINTR);
	close(fd);
	return n < 0 ? MF_E_IO : (int)n;
}

/* Beside it first, then over it: there is always a whole one. */
static int real_write_record(void *ctx, const char *text, size_t len)
{
	struct mf_pf_real *real = ctx;
	bool ok;
	int fd;

	(void)unlink(real->new_path);
	fd = open(real->new_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return MF_E_IO;
	ok = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
	ok = close(fd) == 0 && ok;
	if (ok && rename(real->new_path, real->record_path) == 0)
		return 0;
	(void)unlink(real->new_path);
	return MF_E_IO;
}

static int real_remove_record(void *ctx)
{
	struct mf_pf_real *real = ctx;

	return unlink(real->record_path) == 0 || errno == ENOENT ? 0 : MF_E_IO;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* The self-test                                                                                                      */

static bool endpoint_of(int fd, bool peer, struct mf_endpoint *ret)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int r = peer ? getpeername(fd, (struct sockaddr *)&ss, &len)
		     : getsockname(fd, (struct sockaddr *)&ss, &len);

	return r == 0 && mf_endpoint_from_sockaddr(ret, (struct sockaddr *)&ss);
}

/* A TCP socket bound to @addr and a port that the system chooses; -1 */
static int bound_socket(const struct mf_addr *addr, unsigned scope, uint16_t *ret_port)
{
	struct mf_endpoint ep = { .addr = *addr };
	struct sockaddr_storage ss;
	socklen_t len = (socklen_t)mf_endpoint_to_sockaddr(&ep, false, &ss);
	int fd = socket(addr->family == 4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);

	if (fd < 0)
		return -1;
	if (addr->family == 6 && !mf_addr_is_loopback(addr))
		((struct sockaddr_in6 *)&ss)->sin6_scope_id = scope;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
	    bind(fd, (struct sockaddr *)&ss, len) < 0 || !endpoint_of(fd, false, &ep)) {
		close(fd);
		return -1;
	}
	*ret_port = ep.port;
	return fd;
}

static struct mf_addr loopback(uint8_t family)
{
	static const uint8_t four[4] = { 127, 0, 0, 1 }, six[16] = { [15] = 1 };
	struct mf_addr a;

	mf_addr_from_bytes(&a, family == 4 ? four : six, family == 4 ? 4 : 16);
	return a;
}

static void real_close_probe(void *ctx, uint8_t family)
{
	struct mf_pf_real *real = ctx;
	struct probe *p = &real->probes[family == 6];

	close_fd(&p->server);
	close_fd(&p->client);
	close_fd(&p->reserved);
	close_fd(&p->listener);
}

static int real_open_probe(void *ctx, const struct mf_addr *target, struct mf_pf_probe *ret)
{
	struct mf_pf_real *real = ctx;
	struct probe *p = &real->probes[target->family == 6];
	struct mf_addr here = loopback(target->family);

	p->listener = bound_socket(target, if_nametoindex("lo0"), &p->ports.listener);
	p->reserved = bound_socket(&here, 0, &p->ports.port);
	if (p->listener < 0 || p->reserved < 0 || listen(p->listener, PROBE_GUESTS) < 0) {
		real_close_probe(ctx, target->family);
		return MF_E_IO;
	}
	*ret = p->ports;
	return 0;
}

/* Take what comes until it is our own. */
static int accept_own(struct probe *p, uint16_t client_port, uint64_t deadline)
{
	for (unsigned guests = 0; guests < PROBE_GUESTS;) {
		struct pollfd f = { .fd = p->listener, .events = POLLIN };
		uint64_t now = mf_clock_now(&mf_clock_system);
		struct mf_endpoint peer;
		int fd;

		if (now >= deadline)
			return MF_E_TIME;
		if (poll(&f, 1, (int)((deadline - now) / MF_NS_PER_MS) + 1) <= 0)
			continue;
		fd = accept(p->listener, NULL, NULL);
		if (fd < 0)
			continue;
		if (endpoint_of(fd, true, &peer) && peer.port == client_port) {
			p->server = fd;
			return 0;
		}
		close(fd);
		guests++;
	}
	return MF_E_TIME;
}

static int real_run_probe(void *ctx, uint8_t family, struct mf_pf_question *ret)
{
	struct mf_pf_real *real = ctx;
	struct probe *p = &real->probes[family == 6];
	struct mf_endpoint to = { .addr = loopback(family), .port = p->ports.port };
	uint64_t deadline = mf_clock_now(&mf_clock_system) + PROBE_MS * MF_NS_PER_MS;
	struct sockaddr_storage ss;
	socklen_t len = (socklen_t)mf_endpoint_to_sockaddr(&to, false, &ss);
	uint16_t client_port;
	int e;

	p->client = bound_socket(&to.addr, 0, &client_port);
	if (p->client < 0)
		return MF_E_IO;
	if (connect(p->client, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
		return MF_E_IO;
	e = accept_own(p, client_port, deadline);
	if (e)
		return e;
	*ret = (struct mf_pf_question){ .proto = MF_TCP };
	return endpoint_of(p->server, true, &ret->peer) &&
			       endpoint_of(p->server, false, &ret->local)
		       ? 0
		       : MF_E_IO;
}

/* ------------------------------------------------------------------------------------------------------------------ */

/* Held as long as the broker lives: two would remove each other's rules. */
static int lock_record(struct mf_pf_real *real, struct mf_err *err)
{
	char path[1024];

	if (snprintf(path, sizeof(path), "%s.lock", real->record_path) >= (int)sizeof(path) ||
	    snprintf(real->new_path, sizeof(real->new_path), "%s.new", real->record_path) >=
		    (int)sizeof(real->new_path))
		return mf_err_set(err, MF_E_INVAL, "the path of pf's record is too long");
	real->lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (real->lock < 0)
		return mf_err_set(err, MF_E_IO, "cannot open %s: %s", path, strerror(errno));
	if (flock(real->lock, LOCK_EX | LOCK_NB) < 0)
		return mf_err_set(err, MF_E_EXIST, "another broker holds %s: it owns pf's rules",
				  path);
	return 0;
}

static int open_all(struct mf_pf_real *real, struct mf_err *err)
{
	real->pf = open("/dev/pf", O_RDWR | O_CLOEXEC);
	if (real->pf < 0)
		return mf_err_set(err, errno == EACCES || errno == EPERM ? MF_E_PERM : MF_E_IO,
				  "cannot open /dev/pf: %s", strerror(errno));
	if (mf_owner_table_new(&mf_owner_source_system, &real->owners, err))
		return MF_E_NOMEM;
	return lock_record(real, err);
}

int mf_pf_real_open(const char *record_path, struct mf_pf_real **ret,
		    struct mf_pf_system *ret_system, struct mf_err *err)
{
	struct mf_pf_real *real = calloc(1, sizeof(*real));
	int e;

	if (!real)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	real->pf = real->lock = -1;
	real->record_path = record_path;
	for (int i = 0; i < 2; i++)
		real->probes[i] = (struct probe){ -1, -1, -1, -1, { 0, 0 } };
	e = open_all(real, err);
	if (e) {
		mf_pf_real_close(real);
		return e;
	}
	*ret = real;
	*ret_system = (struct mf_pf_system){ .pfctl = real_pfctl,
					     .natlook = real_natlook,
					     .find_owner = real_find_owner,
					     .read_record = real_read_record,
					     .write_record = real_write_record,
					     .remove_record = real_remove_record,
					     .open_probe = real_open_probe,
					     .run_probe = real_run_probe,
					     .close_probe = real_close_probe,
					     .lo0_index = if_nametoindex("lo0"),
					     .ctx = real };
	return 0;
}

void mf_pf_real_close(struct mf_pf_real *real)
{
	if (!real)
		return;
	real_close_probe(real, 4);
	real_close_probe(real, 6);
	mf_owner_table_free(real->owners);
	close_fd(&real->pf);
	close_fd(&real->lock);
	free(real);
}
