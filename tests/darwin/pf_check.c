/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pf_check.c - what nobody could try while it was written: the pf backend, on a real Mac
 *
 *	sudo ./pf-check [PROXY_UID [CLIENT_UID]]
 *
 * Loads rules into an anchor of its own for one port (TCP and UDP 48123) that nobody uses, lets processes of both users
 * connect to documentation addresses that nobody has, and looks where they arrive. Other traffic is not touched. Says of each
 * check "ok", "FAILED" or "skipped"; the exit status is the number of failures. Users: _www (70) and the one behind sudo.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/pf.h"
#include "core/base/clock.h"

#define PORT	48123
#define ANCHOR	"com.apple/050.moonfence-check"
#define RECORD	"/var/run/moonfence-pf-check"
#define WAIT_MS 3000

static unsigned failures;
static uint32_t proxy_user = 70, client_user;

static void __attribute__((format(printf, 2, 0)))
say(const char *result, const char *fmt, va_list ap)
{
	printf("%-8s ", result);
	vprintf(fmt, ap);
	printf("\n");
	fflush(stdout);
}

static void __attribute__((format(printf, 2, 3))) check(bool ok, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(ok ? "ok" : "FAILED", fmt, ap);
	va_end(ap);
	failures += !ok;
}

static void __attribute__((format(printf, 1, 2))) skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("skipped", fmt, ap);
	va_end(ap);
}

static void log_line(void *ctx, enum mf_log_level level, const char *text)
{
	(void)ctx;
	(void)level;
	printf("         %s\n", text);
}

/* ------------------------------------------------------------------------------------------------------------------ */

static struct mf_endpoint endpoint(const char *addr, uint16_t port)
{
	struct mf_endpoint ep = { .port = port };

	if (mf_addr_parse(addr, strlen(addr), &ep.addr))
		abort();
	return ep;
}

static bool ends_of(int fd, struct mf_endpoint *peer, struct mf_endpoint *local)
{
	struct sockaddr_storage a, b;
	socklen_t a_len = sizeof(a), b_len = sizeof(b);

	return getpeername(fd, (struct sockaddr *)&a, &a_len) == 0 &&
	       getsockname(fd, (struct sockaddr *)&b, &b_len) == 0 &&
	       mf_endpoint_from_sockaddr(peer, (struct sockaddr *)&a) &&
	       mf_endpoint_from_sockaddr(local, (struct sockaddr *)&b);
}

/* A socket at loopback; TCP ones listen. Return: descriptor, -1 */
static int open_listener(const char *addr, int type, uint16_t *port)
{
	struct mf_endpoint at = endpoint(addr, *port);
	struct sockaddr_storage ss;
	socklen_t len = (socklen_t)mf_endpoint_to_sockaddr(&at, false, &ss);
	int fd = socket(ss.ss_family, type, 0);

	if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
	    bind(fd, (struct sockaddr *)&ss, len) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 16) < 0))
		return -1;
	len = sizeof(ss);
	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
	    !mf_endpoint_from_sockaddr(&at, (struct sockaddr *)&ss))
		return -1;
	*port = at.port;
	return fd;
}

/*
 * A process of @user that connects (or sends) to @to, stays a while, and ends with 0, or with an errno at once. The parent
 * is told nothing else: what arrives at the listeners counts.
 */
static pid_t start_client(uint32_t user, int type, const struct mf_endpoint *to)
{
	struct sockaddr_storage ss;
	socklen_t len = (socklen_t)mf_endpoint_to_sockaddr(to, false, &ss);
	pid_t pid = fork();
	int fd;

	if (pid != 0)
		return pid;
	if (setgid(20) < 0 || setuid(user) < 0)
		_exit(EPERM);
	fd = socket(ss.ss_family, type, 0);
	alarm(2 * WAIT_MS / 1000);
	if (fd < 0 || connect(fd, (struct sockaddr *)&ss, len) < 0 ||
	    (type == SOCK_DGRAM && send(fd, "?", 1, 0) < 0))
		_exit(errno);
	pause();
	_exit(0);
}

/* Ends it; Return: what it ended with of its own accord, 0 if it was still there */
static int end_client(pid_t pid)
{
	int status = 0;

	if (waitpid(pid, &status, WNOHANG) == 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return 0;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

static bool wait_for(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

/* ------------------------------------------------------------------------------------------------------------------ */

struct listeners {
	int tcp4, tcp6, udp4, udp6;
	uint16_t tcp_port, udp_port;
};

static bool open_listeners(struct listeners *l)
{
	memset(l, 0, sizeof(*l));
	l->tcp4 = open_listener("127.0.0.1", SOCK_STREAM, &l->tcp_port);
	l->tcp6 = open_listener("::1", SOCK_STREAM, &l->tcp_port);
	l->udp4 = open_listener("127.0.0.1", SOCK_DGRAM, &l->udp_port);
	l->udp6 = open_listener("::1", SOCK_DGRAM, &l->udp_port);
	return l->tcp4 >= 0 && l->tcp6 >= 0 && l->udp4 >= 0 && l->udp6 >= 0;
}

static struct mf_pf *start(const struct listeners *l, struct mf_err *err)
{
	static const struct mf_log log = { .fn = log_line };
	const struct mf_pf_ports ports[] = { { MF_TCP, PORT, PORT, l->tcp_port },
					     { MF_UDP, PORT, PORT, l->udp_port } };
	const struct mf_pf_options o = { .size = sizeof(o),
					 .rules = { .anchor = ANCHOR,
						    .ports = ports,
						    .port_cnt = 2,
						    .proxy_user = proxy_user,
						    .ip4 = true,
						    .ip6 = true },
					 .record_path = RECORD,
					 .log = &log };
	struct mf_pf *pf;

	return mf_pf_start(&o, &pf, err) ? NULL : pf;
}

/* What "pfctl -a ANCHOR -s nat" says, in how many bytes beyond its usual noise. */
static bool anchor_is_empty(void)
{
	FILE *f = popen("/sbin/pfctl -q -a " ANCHOR " -s nat 2>/dev/null; /sbin/pfctl -q -a " ANCHOR
			" -s rules 2>/dev/null",
			"r");
	bool empty = f && fgetc(f) == EOF;

	if (f)
		pclose(f);
	return empty;
}

static void check_flow(struct mf_pf *pf, enum mf_proto proto, const struct mf_endpoint *peer,
		       const struct mf_endpoint *local, const struct mf_endpoint *want,
		       pid_t client)
{
	char got_text[MF_ENDPOINT_TEXT_MAX] = "nothing", want_text[MF_ENDPOINT_TEXT_MAX];
	struct mf_session_flow flow;
	struct mf_process process = { 0 };
	int e = mf_pf_find_flow(pf, proto, peer, local, &flow);

	mf_endpoint_format(want, want_text, sizeof(want_text));
	if (!e)
		mf_endpoint_format(&flow.server, got_text, sizeof(got_text));
	check(!e && mf_addr_eq(&flow.server.addr, &want->addr) && flow.server.port == want->port,
	      "its original destination is %s (the kernel says %s; %s)", want_text, got_text,
	      mf_strerror(e));
	if (e)
		return;
	e = mf_pf_find_process(pf, &flow, &process);
	check(!e && process.pid == client, "it belongs to process %d (found: %lld, %s, user %s)",
	      (int)client, (long long)process.pid, process.exe ? process.exe : "?",
	      process.user ? process.user : "?");
}

static void check_tcp(struct mf_pf *pf, int listener, const char *addr)
{
	struct mf_endpoint to = endpoint(addr, PORT), peer, local;
	pid_t client = start_client(client_user, SOCK_STREAM, &to);
	int fd = -1, e;

	if (wait_for(listener, WAIT_MS))
		fd = accept(listener, NULL, NULL);
	if (fd >= 0 && ends_of(fd, &peer, &local)) {
		check(true, "TCP to %s arrives at our listener", addr);
		check_flow(pf, MF_TCP, &peer, &local, &to, client);
	}
	e = end_client(client);
	if (fd >= 0)
		close(fd);
	else if (e == ENETUNREACH || e == EHOSTUNREACH)
		skip("TCP to %s: no route out (%s)", addr, strerror(e));
	else
		check(false, "TCP to %s arrives at our listener (the client: %s)", addr,
		      strerror(e));
}

static void check_udp(struct mf_pf *pf, int listener, const char *loopback, uint16_t port,
		      const char *addr)
{
	struct mf_endpoint to = endpoint(addr, PORT), peer, local = endpoint(loopback, port);
	pid_t client = start_client(client_user, SOCK_DGRAM, &to);
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	char byte;
	int e;

	if (wait_for(listener, WAIT_MS) &&
	    recvfrom(listener, &byte, 1, 0, (struct sockaddr *)&from, &len) == 1 &&
	    mf_endpoint_from_sockaddr(&peer, (struct sockaddr *)&from)) {
		check(true, "UDP to %s arrives at our socket", addr);
		check_flow(pf, MF_UDP, &peer, &local, &to, client);
		(void)end_client(client);
		return;
	}
	e = end_client(client);
	if (e == ENETUNREACH || e == EHOSTUNREACH)
		skip("UDP to %s: no route out (%s)", addr, strerror(e));
	else
		check(false, "UDP to %s arrives at our socket (the client: %s)", addr, strerror(e));
}

static void check_proxy_user(int listener)
{
	struct mf_endpoint to = endpoint("192.0.2.1", PORT);
	pid_t client = start_client(proxy_user, SOCK_STREAM, &to);

	check(!wait_for(listener, WAIT_MS), "what user %u sends is not redirected",
	      (unsigned)proxy_user);
	(void)end_client(client);
}

static void check_direct(struct mf_pf *pf, int listener, uint16_t port)
{
	struct mf_endpoint to = endpoint("127.0.0.1", port), peer, local;
	pid_t client = start_client(client_user, SOCK_STREAM, &to);
	struct mf_session_flow flow;
	int fd = wait_for(listener, WAIT_MS) ? accept(listener, NULL, NULL) : -1;

	check(fd >= 0 && ends_of(fd, &peer, &local) &&
		      mf_pf_find_flow(pf, MF_TCP, &peer, &local, &flow) == MF_E_NOENT,
	      "who connects to the listener itself is told apart");
	if (fd >= 0)
		close(fd);
	(void)end_client(client);
}

static void check_own_address(int listener)
{
	struct mf_endpoint to = endpoint("127.0.0.1", PORT);
	pid_t client = start_client(client_user, SOCK_STREAM, &to);

	check(!wait_for(listener, WAIT_MS / 3), "what stays on this machine is not redirected");
	(void)end_client(client);
}

static void check_killed(const struct listeners *l)
{
	uint64_t deadline;
	pid_t proxy = fork();

	if (proxy == 0) {
		struct mf_err err;

		(void)start(l, &err);
		raise(SIGKILL);
	}
	waitpid(proxy, NULL, 0);
	deadline = mf_clock_now(&mf_clock_system) + 10000 * MF_NS_PER_MS;
	while ((access(RECORD, F_OK) == 0 || !anchor_is_empty()) &&
	       mf_clock_now(&mf_clock_system) < deadline)
		(void)poll(NULL, 0, 100);
	check(access(RECORD, F_OK) != 0 && anchor_is_empty(),
	      "a proxy that is killed leaves no rules and no record");
}

int main(int argc, char **argv)
{
	const char *sudo = getenv("SUDO_UID");
	struct listeners l;
	struct mf_err err;
	struct mf_pf *pf;
	uint32_t health = 0;

	client_user = sudo ? (uint32_t)strtoul(sudo, NULL, 10) : 501;
	if (argc > 1)
		proxy_user = (uint32_t)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		client_user = (uint32_t)strtoul(argv[2], NULL, 10);
	signal(SIGPIPE, SIG_IGN);
	if (!open_listeners(&l)) {
		perror("listeners");
		return 99;
	}
	pf = start(&l, &err);
	check(pf != NULL, "rules are loaded and the self-test passes%s%s", pf ? "" : ": ",
	      pf ? "" : err.msg);
	if (!pf)
		return 1;
	check(mf_pf_check(pf, &health) == 0 && health == MF_PF_OK_ALL,
	      "all is healthy (0x%02x of 0x%02x)", (unsigned)health, MF_PF_OK_ALL);
	check_tcp(pf, l.tcp4, "192.0.2.1");
	check_tcp(pf, l.tcp6, "2001:db8::1");
	check_udp(pf, l.udp4, "127.0.0.1", l.udp_port, "192.0.2.1");
	check_udp(pf, l.udp6, "::1", l.udp_port, "2001:db8::1");
	check_proxy_user(l.tcp4);
	check_own_address(l.tcp4);
	check_direct(pf, l.tcp4, l.tcp_port);
	check(mf_pf_reload(pf) == 0 && mf_pf_check(pf, &health) == 0 && health == MF_PF_OK_ALL,
	      "rules can be loaded again");
	check(mf_pf_stop(pf, &err) == 0, "it stops");
	check(anchor_is_empty() && access(RECORD, F_OK) != 0, "no rules and no record are left");
	check_killed(&l);
	printf("%u failures\n", failures);
	return failures > 98 ? 98 : (int)failures;
}
