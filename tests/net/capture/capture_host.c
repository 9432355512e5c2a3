/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_host.c - the smallest host of a captured session, for tests and benches
 *
 *	capture_host [--report FILE] [--allow PATH]... [--keep-fd N] [--rescan MS] [--ca FILE] [--exit-like] [--timing]
 *	    [--backend NAME] [--mtu BYTES] [--tun-queues N] -- COMMAND...
 *
 * It answers every TCP connection and UDP datagram with one line that says where it was going, and writes each event as
 * a JSON line into FILE. UDP to port 9 is refused, and to port 7 echoed; TCP to port 7 is echoed until end of file. With
 * a backend that has packets, flows to port 13 are refused before their first packet is answered. Queues of a TUN device
 * are carried by their threads from the first packet on, as otherwise only under load.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capture/capture.h"
#include "capture/pipeline.h"
#include "core/base/clock.h"

#include "core/base/printf.h"

/* Of somebody who says nothing. */
#define LIMIT_MS 5000
/* Of somebody who goes on, but on a busy machine. */
#define PATIENCE_MS 60000

struct host {
	struct mf_capture *cap;
	struct mf_session_ops ops;
	FILE *report;
	bool exit_like;
};

static void log_line(void *ctx, enum mf_log_level level, const char *text)
{
	(void)ctx;
	if (level <= MF_LOG_INFO)
		fprintf(stderr, "capture_host: %s\n", text);
}

static void report(struct host *h, const char *fmt, ...) MF_PRINTF(2, 3);
static void report(struct host *h, const char *fmt, ...)
{
	va_list ap;

	if (!h->report)
		return;
	va_start(ap, fmt);
	vfprintf(h->report, fmt, ap);
	va_end(ap);
	fputc('\n', h->report);
	fflush(h->report);
}

static void report_flow(struct host *h, const struct mf_session_flow *f, const char *verdict)
{
	char client[MF_ENDPOINT_TEXT_MAX], server[MF_ENDPOINT_TEXT_MAX];
	struct mf_process p = { 0 };
	int r = h->ops.find_process(h->ops.ctx, f, &p);

	report(h,
	       "{\"event\":\"flow\",\"proto\":\"%s\",\"client\":\"%s\",\"server\":\"%s\","
	       "\"verdict\":\"%s\","
	       "\"found\":%d,\"pid\":%lld,\"parent\":%lld,\"name\":\"%s\",\"exe\":\"%s\",\"user\":"
	       "\"%s\","
	       "\"arg0\":\"%s\"}",
	       f->proto == MF_TCP ? "tcp" : "udp",
	       mf_endpoint_format(&f->client, client, sizeof(client)),
	       mf_endpoint_format(&f->server, server, sizeof(server)), verdict, r, (long long)p.pid,
	       (long long)p.parent, r ? "" : p.name, r ? "" : p.exe, r ? "" : p.user,
	       r || !p.args[0] ? "" : p.args[0]);
}

/* Wait until @fd has something, and carry packets meanwhile: without them nothing would ever come. */
static bool wait_for(struct host *h, int fd, short events, int limit_ms)
{
	struct pollfd p[] = { { fd, events, 0 }, { mf_capture_packet_fd(h->cap), POLLIN, 0 } };

	for (;;) {
		while (mf_capture_run_packets(h->cap) > 0)
			;
		p[0].revents = p[1].revents = 0;
		if (poll(p, 2, limit_ms) <= 0)
			return false;
		if (p[0].revents)
			return true;
	}
}

static bool write_all(struct host *h, int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = send(fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			buf += n;
			len -= (size_t)n;
		} else if (errno != EAGAIN || !wait_for(h, fd, POLLOUT, PATIENCE_MS)) {
			return false;
		}
	}
	return true;
}

static void echo(struct host *h, int fd)
{
	static char buf[1 << 16];
	ssize_t n;

	while (wait_for(h, fd, POLLIN, PATIENCE_MS) &&
	       (n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		if (!write_all(h, fd, buf, (size_t)n))
			break;
}

static void serve_tcp(struct host *h)
{
	struct mf_session_flow f = { .proto = MF_TCP };
	struct sockaddr_storage peer, self;
	struct mf_endpoint from, local;
	socklen_t peer_len = sizeof(peer), self_len = sizeof(self);
	char line[128], server[MF_ENDPOINT_TEXT_MAX];
	int fd = accept4(mf_capture_tcp_fd(h->cap, 0), (struct sockaddr *)&peer, &peer_len,
			 SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (getsockname(fd, (struct sockaddr *)&self, &self_len) == 0 &&
	    mf_endpoint_from_sockaddr(&from, (struct sockaddr *)&peer) &&
	    mf_endpoint_from_sockaddr(&local, (struct sockaddr *)&self) &&
	    mf_capture_find_flow(h->cap, MF_TCP, &from, &local, &f) == 0) {
		report_flow(h, &f, "allow");
		if (f.server.port == 7) {
			echo(h, fd);
		} else {
			snprintf(line, sizeof(line), "HTTP/1.0 200 OK\r\n\r\nserver %s\n",
				 mf_endpoint_format(&f.server, server, sizeof(server)));
			(void)write_all(h, fd, line, strlen(line));
			/* To close with unread bytes would be a reset. */
			(void)shutdown(fd, SHUT_WR);
			while (wait_for(h, fd, POLLIN, LIMIT_MS) &&
			       recv(fd, line, sizeof(line), MSG_DONTWAIT) > 0)
				;
		}
	} else {
		report(h, "{\"event\":\"stranger\"}");
	}
	close(fd);
}

static bool read_original(struct msghdr *m, struct mf_endpoint *ret)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_ORIGDSTADDR) ||
		    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR))
			return mf_endpoint_from_sockaddr(ret, (struct sockaddr *)CMSG_DATA(c));
	return false;
}

static void answer_udp(struct host *h, const struct mf_session_flow *f, struct msghdr *from,
		       const char *data, size_t len)
{
	int fd = h->ops.open_udp(h->ops.ctx, f);

	if (fd >= 0) {
		(void)!send(fd, data, len, 0);
		close(fd);
	} else if (fd == MF_E_UNSUPPORTED) {
		(void)!sendto(mf_capture_udp_fd(h->cap, 0), data, len, 0, from->msg_name,
			      from->msg_namelen);
	} else {
		report(h, "{\"event\":\"open_udp_failed\",\"code\":%d}", fd);
	}
}

static void serve_udp(struct host *h)
{
	static char data[1 << 16];
	struct mf_session_flow f = { .proto = MF_UDP };
	char control[256] __attribute__((aligned(8))), server[MF_ENDPOINT_TEXT_MAX];
	struct sockaddr_storage from;
	struct iovec iov = { data, sizeof(data) };
	struct msghdr m = { .msg_name = &from,
			    .msg_namelen = sizeof(from),
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct mf_endpoint peer, local;
	ssize_t n = recvmsg(mf_capture_udp_fd(h->cap, 0), &m, 0);

	if (n < 0 || !read_original(&m, &local) ||
	    !mf_endpoint_from_sockaddr(&peer, (struct sockaddr *)&from))
		return;
	if (mf_capture_find_flow(h->cap, MF_UDP, &peer, &local, &f) < 0) {
		report(h, "{\"event\":\"stranger\"}");
		return;
	}
	if (f.server.port == 9) {
		int r = h->ops.refuse_udp(h->ops.ctx, &f, (uint8_t *)data, (size_t)n);

		report_flow(h, &f, r ? "refuse-failed" : "refuse");
		return;
	}
	report_flow(h, &f, "allow");
	if (f.server.port != 7)
		n = snprintf(data, sizeof(data), "server %s\n",
			     mf_endpoint_format(&f.server, server, sizeof(server)));
	answer_udp(h, &f, &m, data, (size_t)n);
}

static int judge(void *ctx, const struct mf_session_flow *f, struct mf_flow_verdict *ret)
{
	if (f->server.port != 13)
		return 0;
	ret->answer = MF_FLOW_DENY;
	report_flow(ctx, f, "deny");
	return 0;
}

/* Return: exit status, -1 to go on */
static int serve_events(struct host *h)
{
	static const char *const names[] = { "exited", "stopped", "resumed", "drift",
					     "masked", "refused", "packets" };
	struct mf_capture_event ev;

	_Static_assert(MF_ARRAY_SIZE(names) == MF_CAPTURE_EVENT_NUM, "a name per event");
	while (mf_capture_next_event(h->cap, &ev)) {
		report(h,
		       "{\"event\":\"%s\",\"status\":%d,\"signal\":%d,\"pid\":%lld,\"text\":\"%"
		       "s\"}",
		       names[ev.kind], ev.status, ev.signal, (long long)ev.pid, ev.text);
		if (ev.kind == MF_CAPTURE_STOPPED)
			mf_capture_stop_like(h->cap, &ev);
		if (ev.kind != MF_CAPTURE_EXITED)
			continue;
		mf_capture_free(h->cap);
		if (h->exit_like)
			mf_capture_exit_like(&ev);
		return ev.status;
	}
	return -1;
}

static int next_ms(const struct host *h)
{
	uint64_t at = mf_capture_packet_deadline(h->cap), now = mf_clock_now(&mf_clock_system);

	return at == UINT64_MAX ? -1 : at <= now ? 0 : (int)((at - now) / MF_NS_PER_MS) + 1;
}

static int run(struct host *h)
{
	int status = -1;

	while (status < 0) {
		struct pollfd p[] = { { mf_capture_fd(h->cap), POLLIN, 0 },
				      { mf_capture_tcp_fd(h->cap, 0), POLLIN, 0 },
				      { mf_capture_udp_fd(h->cap, 0), POLLIN, 0 },
				      { mf_capture_packet_fd(h->cap), POLLIN, 0 } };
		int r;

		if (poll(p, 4, next_ms(h)) < 0 && errno != EINTR)
			return 125;
		while ((r = mf_capture_run_packets(h->cap)) > 0)
			;
		if (p[1].revents)
			serve_tcp(h);
		if (p[2].revents)
			serve_udp(h);
		if (p[0].revents || mf_capture_has_event(h->cap))
			status = serve_events(h);
	}
	return status;
}

static void print_timing(const struct mf_capture *cap)
{
	struct mf_capture_timing t;

	mf_capture_get_timing(cap, &t);
	fprintf(stderr,
		"namespace %.2f ms, links %.2f, rules %.2f, mounts %.2f, restrict %.2f, probes "
		"%.2f, "
		"total %.2f ms\n",
		(double)t.namespace_ns / 1e6, (double)t.links_ns / 1e6, (double)t.rules_ns / 1e6,
		(double)t.mounts_ns / 1e6, (double)t.restrict_ns / 1e6, (double)t.probes_ns / 1e6,
		(double)t.total_ns / 1e6);
}

static const char *read_text(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(buf, 1, size - 1, f) : 0;

	if (f)
		fclose(f);
	buf[n] = '\0';
	return buf;
}

int main(int argc, char **argv)
{
	static const struct mf_log log = { log_line, NULL };
	static char ca[128 * 1024];
	const char *allow[16];
	int keep[16], code, i;
	struct mf_capture_options o = {
		.size = sizeof(o), .log = &log, .unix_allow = allow, .keep_fds = keep
	};
	struct host h = { 0 };
	bool timing = false;
	struct mf_err err;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--exit-like") == 0) {
			h.exit_like = true;
		} else if (strcmp(argv[i], "--timing") == 0) {
			timing = true;
		} else if (strcmp(argv[i], "--report") == 0) {
			h.report = fopen(value, "ae");
			i++;
		} else if (strcmp(argv[i], "--allow") == 0 && o.unix_allow_cnt < 16) {
			allow[o.unix_allow_cnt++] = value;
			i++;
		} else if (strcmp(argv[i], "--keep-fd") == 0 && o.keep_fd_cnt < 16) {
			keep[o.keep_fd_cnt++] = atoi(value);
			i++;
		} else if (strcmp(argv[i], "--rescan") == 0) {
			o.rescan_ms = (unsigned)atoi(value);
			i++;
		} else if (strcmp(argv[i], "--backend") == 0 &&
			   mf_capture_backend_find(value) >= 0) {
			o.backend = (enum mf_capture_backend)mf_capture_backend_find(value);
			i++;
		} else if (strcmp(argv[i], "--mtu") == 0) {
			o.mtu = (uint32_t)atoi(value);
			i++;
		} else if (strcmp(argv[i], "--tun-queues") == 0) {
			o.tun_queues = (unsigned)atoi(value);
			o.tun_lanes_eager = true;
			i++;
		} else if (strcmp(argv[i], "--ca") == 0) {
			o.extra_ca_pem = read_text(value, ca, sizeof(ca));
			i++;
		} else {
			return 2;
		}
	}
	o.argv = argv + (i < argc ? i + 1 : argc);
	if (mf_capture_new(&o, &h.cap, &err) < 0 || mf_capture_prove(h.cap, &err) < 0) {
		fprintf(stderr, "capture_host: %s\n", err.msg);
		mf_capture_free(h.cap);
		return err.code == MF_E_PERM || err.code == MF_E_UNSUPPORTED ? 77 : 125;
	}
	if (timing)
		print_timing(h.cap);
	mf_capture_get_ops(h.cap, &h.ops);
	mf_capture_set_judge(h.cap, judge, &h);
	if (mf_capture_exec(h.cap, &code, &err) < 0) {
		fprintf(stderr, "capture_host: %s\n", err.msg);
		mf_capture_free(h.cap);
		return code;
	}
	return run(&h);
}
