// SPDX-License-Identifier: Apache-2.0
/*
 * bench_detect.c - what dev-server detection costs: idle, when servers come, and what the kernel's events would cost instead
 *
 *	bench_detect [--json] [--servers N] [--ticks N]
 *
 * A child process listens on N ports (20). Detection finds them; then its ticks are counted in processor time of the process
 * (all its threads), with ticks closer together than usual so that a run is short: idle cost is that of a tick, divided by
 * the usual time between two. Afterwards the servers are closed and opened again, and the time until each is told of is taken.
 *
 * The last row is the reason why there are ticks: subscribed to the kernel's events of destroyed sockets, what every connection
 * of the host costs more.
 */
#include <arpa/inet.h>
#include <event2/event.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench.h"
#include "core/base/err.h"
#include "proxies/dev_servers.h"

#define NAME	      "bench_detect"
#define USUAL_TICK_MS 400
#define BENCH_TICK_MS 10
#define SERVERS_MAX   200
#define CONNECTIONS   3000

static uint64_t process_cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000u +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000u;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* --- the servers ---------------------------------------------------------------------------------------------------- */

static int listen_at(struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	socklen_t len = sizeof(*at);

	at->sin_family = AF_INET;
	at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)at, sizeof(*at)) < 0 || listen(fd, 64) < 0 ||
	    getsockname(fd, (struct sockaddr *)at, &len) < 0)
		bench_die(NAME, "cannot listen");
	return fd;
}

static void answer(evutil_socket_t fd, short what, void *ctx)
{
	static const char text[] = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
	char buf[4096];
	int c = accept(fd, NULL, NULL);

	(void)what;
	(void)ctx;
	if (c < 0)
		return;
	if (read(c, buf, sizeof(buf)) > 0 && write(c, text, sizeof(text) - 1) < 0)
		bench_die(NAME, "cannot answer");
	close(c);
}

/* The child: ports are written to @to; a byte from @from closes and opens the servers anew, its end ends it. */
_Noreturn static void serve(int cnt, int from, int to)
{
	struct event_base *base = event_base_new();
	struct sockaddr_in at[SERVERS_MAX] = { 0 };
	struct event *ev[SERVERS_MAX];
	int fd[SERVERS_MAX];
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		for (int i = 0; i < cnt; i++) {
			at[i].sin_port = 0;
			fd[i] = listen_at(&at[i]);
			ev[i] = event_new(base, fd[i], EV_READ | EV_PERSIST, answer, NULL);
			event_add(ev[i], NULL);
		}
		if (write(to, "", 1) != 1)
			_exit(1);
		fd_set set;

		for (;;) {
			struct timeval soon = { 0, 1000 };

			event_base_loop(base, EVLOOP_NONBLOCK);
			FD_ZERO(&set);
			FD_SET(from, &set);
			if (select(from + 1, &set, NULL, NULL, &soon) > 0)
				break;
		}
		if (read(from, &byte, 1) != 1)
			_exit(0);
		for (int i = 0; i < cnt; i++) {
			event_free(ev[i]);
			close(fd[i]);
		}
		if (byte == 'c' && (write(to, "", 1) != 1 || read(from, &byte, 1) != 1))
			_exit(1);
	}
}

/* --- detection ------------------------------------------------------------------------------------------------------ */

static struct event_base *base;
static int listed, wanted;
static uint64_t began_ns;
static double found_ms[SERVERS_MAX];

static void told(void *ctx, enum mf_dev_change change, const struct mf_dev_server *server)
{
	(void)ctx;
	if (server->speech != MF_DEV_HTTP)
		return;
	if (change == MF_DEV_APPEARED)
		found_ms[listed++ % SERVERS_MAX] = (double)(now_ns() - began_ns) / 1e6;
	if (change == MF_DEV_DISAPPEARED)
		listed--;
	if (listed == wanted)
		event_base_loopbreak(base);
}

static void wait_for(int cnt)
{
	wanted = cnt;
	if (listed != cnt)
		event_base_dispatch(base);
}

static void wait_ticks(struct mf_dev_servers *d, uint64_t cnt)
{
	struct mf_dev_servers_stats s = { .size = sizeof(s) };
	uint64_t until;

	mf_dev_servers_get_stats(d, &s);
	for (until = s.ticks + cnt; s.ticks < until; mf_dev_servers_get_stats(d, &s))
		event_base_loop(base, EVLOOP_ONCE);
}

/* --- the kernel's events -------------------------------------------------------------------------------------------- */

/* Processor time of the whole process for connections that are made and closed, each. */
static double connection_ns(bool subscribed)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK,
				  .nl_groups = 1u << (SKNLGRP_INET_TCP_DESTROY - 1) };
	int events = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	struct sockaddr_in at = { 0 };
	int l = listen_at(&at), seen = 0;
	char buf[8192];
	uint64_t began, ended;

	if (events < 0 || (subscribed && bind(events, (struct sockaddr *)&nl, sizeof(nl)) < 0))
		bench_die(NAME, "cannot subscribe to destroyed sockets");
	began = process_cpu_ns();
	for (int i = 0; i < CONNECTIONS; i++) {
		struct linger hard = { 1, 0 };
		int c = socket(AF_INET, SOCK_STREAM, 0), s;

		if (connect(c, (struct sockaddr *)&at, sizeof(at)) < 0)
			bench_die(NAME, "cannot connect");
		s = accept(l, NULL, NULL);
		setsockopt(c, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(c);
		close(s);
		while (subscribed && recv(events, buf, sizeof(buf), 0) > 0)
			seen++;
	}
	ended = process_cpu_ns();
	close(l);
	close(events);
	if (subscribed && !seen)
		bench_die(NAME, "no events came");
	return (double)(ended - began) / CONNECTIONS;
}

int main(int argc, char **argv)
{
	struct bench_report report = { .name_width = 28, .value_width = 10, .decimals = 3 };
	struct mf_dev_servers_options o = { .size = sizeof(o), .told = told };
	struct mf_dev_servers_stats stats = { .size = sizeof(stats) };
	struct mf_dev_servers *d;
	int cnt = 20, ticks = 300, down[2], up[2];
	uint64_t cpu, tick_ns, come_ns;
	struct mf_err err;
	pid_t child;
	char byte;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			report.json = true;
		else if (strcmp(argv[i], "--servers") == 0 && i + 1 < argc)
			cnt = atoi(argv[++i]);
		else if (strcmp(argv[i], "--ticks") == 0 && i + 1 < argc)
			ticks = atoi(argv[++i]);
		else
			bench_die(NAME, "usage: bench_detect [--json] [--servers N] [--ticks N]");
	}
	if (cnt < 1 || cnt > SERVERS_MAX || ticks < 1 || pipe(down) < 0 || pipe(up) < 0)
		bench_die(NAME, "cannot begin");
	child = fork();
	if (child == 0) {
		close(down[1]);
		serve(cnt, down[0], up[1]);
	}
	if (child < 0 || read(up[0], &byte, 1) != 1)
		bench_die(NAME, "no servers");
	base = event_base_new();

	/* idle: ticks that come soon after one another */
	o.tick_ms = BENCH_TICK_MS;
	if (mf_dev_servers_start(base, &o, &d, &err) < 0)
		bench_die(NAME, err.msg);
	wait_for(cnt);
	wait_ticks(d, 20);
	cpu = process_cpu_ns();
	wait_ticks(d, (uint64_t)ticks);
	tick_ns = (process_cpu_ns() - cpu) / (uint64_t)ticks;
	mf_dev_servers_stop(d);
	listed = 0;

	/* as it runs usually: from listen() until it is told */
	o.tick_ms = USUAL_TICK_MS;
	if (mf_dev_servers_start(base, &o, &d, &err) < 0)
		bench_die(NAME, err.msg);
	wait_for(cnt);
	if (write(down[1], "c", 1) != 1 || read(up[0], &byte, 1) != 1)
		bench_die(NAME, "the servers have gone");
	began_ns = now_ns();
	wait_for(0);
	double gone_ms = (double)(now_ns() - began_ns) / 1e6;

	cpu = process_cpu_ns();
	if (write(down[1], "o", 1) != 1 || read(up[0], &byte, 1) != 1)
		bench_die(NAME, "the servers have gone");
	began_ns = now_ns();
	wait_for(cnt);
	come_ns = (process_cpu_ns() - cpu) / (uint64_t)cnt;
	double come_ms = found_ms[0];

	for (int i = 1; i < cnt; i++)
		come_ms = found_ms[i] > come_ms ? found_ms[i] : come_ms;
	mf_dev_servers_get_stats(d, &stats);
	mf_dev_servers_stop(d);
	close(down[1]);
	waitpid(child, NULL, 0);

	double plain = connection_ns(false), watched = connection_ns(true);

	bench_begin(&report);
	bench_row(&report, "idle", (double)tick_ns / (USUAL_TICK_MS * 1e6) * 100, "%", "of a core");
	bench_row(&report, "tick", (double)tick_ns / 1e3, "us", "processor time of one look");
	bench_row(&report, "come_cpu", (double)come_ns / 1e3, "us",
		  "processor time for a new server");
	bench_row(&report, "come", come_ms, "ms", "until the last of all is told of");
	bench_row(&report, "gone", gone_ms, "ms", "until the end of the last is told");
	bench_row(&report, "destroy_events", (watched - plain) / 1e3, "us",
		  "what the kernel's events would add to each connection");
	bench_end(&report);
	event_base_free(base);
	return 0;
}
