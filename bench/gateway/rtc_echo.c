// SPDX-License-Identifier: Apache-2.0
// Data channels: an echo of datagrams by our WebRTC, on loopback, and what an idle session takes.
//
//	bench_rtc_echo [sessions=1] [window=64] [len=1200] [seconds=5] [mtu=0] [client=1280] [rate=0] [idle=0]
//
// The server is a process of its own, and what is told of it is its own processor time: echoes a second of one core that does nothing
// else. The client is our own stack in the browser's role (tests/unit/proxies/rtc_agent.h), which costs as much again on the other
// core. client=1280: it sends SCTP packets of 1,192 bytes, as browsers do (Chromium: 1,191), so that 1,200 bytes come in two of them.
// mtu=0: what the server begins with by default, and finds longer packets by probes.
// rate=N: that many messages a second, evenly, and as many datagrams of the same length between them to a plain UDP echo in the same
// server's loop: how long both take there and back. What exceeds the peer's is ours.
// idle=N: that many sessions are connected and left alone; told is the server's heap (mallinfo2) and resident memory for each.
#include <event2/event.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "proxies/rtc/rtc.h"
#include "proxies/sock.h"
#include "proxies/timeouts.h"
#include "tests/unit/proxies/rtc_agent.h"

enum {
	SESSIONS_MAX = 4000,
	RTTS = 1 << 20,
};

static unsigned session_cnt = 1, window = 64, len = 1200, seconds = 5, mtu, client_mtu = 1280, rate,
		idle;
static struct event_base *base;

/* what the server says when it is asked */
struct report {
	uint64_t cpu_us, user_us, heap, resident, messages, packets_in, packets_out, probes;
};

/* --- server --- */

static struct mf_rtc *rtc;

static bool on_channel(void *ctx, struct mf_rtc_channel *ch, const struct mf_rtc_channel_info *info)
{
	(void)ctx;
	(void)ch;
	(void)info;
	return true;
}

static void on_message(void *ctx, struct mf_rtc_channel *ch, bool text, struct mf_span data)
{
	(void)ctx;
	(void)mf_rtc_send(ch, text, data);
}

static const struct mf_rtc_handler handler = { .channel = on_channel, .message = on_message };

/* The peer: what any server does at least */
static void on_plain(evutil_socket_t fd, short what, void *ctx)
{
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	uint8_t buf[8192];
	ssize_t n;

	(void)what;
	(void)ctx;
	while ((n = recvfrom((int)fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from,
			     &from_len)) > 0)
		(void)!sendto((int)fd, buf, (size_t)n, 0, (struct sockaddr *)&from, from_len);
}

static uint64_t resident(void)
{
	unsigned long all, there = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%lu %lu", &all, &there) != 2)
		there = 0;
	if (f)
		fclose(f);
	return (uint64_t)there * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* An offer comes: the answer goes. One byte: the report. */
static void on_control(evutil_socket_t fd, short what, void *ctx)
{
	static struct mf_rtc_remote remote;
	struct mf_rtc_local local;
	struct mf_rtc_session *s;
	ssize_t n = recv((int)fd, &remote, sizeof(remote), 0);

	(void)what;
	(void)ctx;
	if (n == sizeof(remote)) {
		if (mf_rtc_session_new(rtc, &remote, &handler, NULL, &s, &local, NULL) < 0)
			exit(1);
		if (send((int)fd, &local, sizeof(local), 0) < 0)
			exit(1);
	} else if (n == 1) {
		struct rusage ru;
		struct mf_rtc_stats st;
		struct mallinfo2 mi = mallinfo2();
		struct report r;

		getrusage(RUSAGE_SELF, &ru);
		mf_rtc_get_stats(rtc, &st);
		r.user_us = (uint64_t)ru.ru_utime.tv_sec * 1000000 + (uint64_t)ru.ru_utime.tv_usec;
		r.cpu_us = r.user_us + (uint64_t)ru.ru_stime.tv_sec * 1000000 +
			   (uint64_t)ru.ru_stime.tv_usec;
		r.heap = mi.uordblks + mi.hblkhd;
		r.resident = resident();
		r.messages = st.messages_in;
		r.packets_in = st.datagrams_in;
		r.packets_out = st.datagrams_out;
		r.probes = st.probes;
		(void)!send((int)fd, &r, sizeof(r), 0);
	} else {
		exit(0);
	}
}

static void serve(int control, int fd, int plain)
{
	struct mf_rtc_options o = { .size = sizeof(o),
				    .fds = &fd,
				    .fd_cnt = 1,
				    .mtu = (uint16_t)mtu,
				    .consent_timeout_ms = 600000 };
	struct event *ev;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	base = event_base_new();
	if (mf_rtc_new(base, &o, &rtc, NULL) < 0)
		exit(1);
	ev = event_new(base, control, EV_READ | EV_PERSIST, on_control, NULL);
	event_add(ev, NULL);
	ev = event_new(base, plain, EV_READ | EV_PERSIST, on_plain, NULL);
	event_add(ev, NULL);
	event_base_dispatch(base);
	exit(0);
}

/* --- client --- */

static struct client {
	struct agent a;
	int fd;
	struct event *ev;
	unsigned out; /* messages on their way */
	uint64_t seq;
} * clients;

static struct samples {
	uint32_t us[RTTS];
	size_t cnt;
} ours, peers;

static void sample(struct samples *to, struct mf_span d)
{
	to->us[to->cnt++ % RTTS] =
		(uint32_t)((mf_clock_now(&mf_clock_system) - mf_load_be64(d.ptr)) / 1000);
}

static uint64_t echoes;
static unsigned up_cnt;
static bool running;

static void client_send(struct agent *a, struct mf_span d)
{
	(void)!send(((struct client *)a->user)->fd, d.ptr, d.len, MSG_DONTWAIT);
}

static void pour(struct client *c)
{
	struct mf_sctp_way way = { .stream = 0,
				   .ppid = MF_DCEP_BINARY,
				   .unordered = true,
				   .max_retransmits = 0,
				   .max_life_ms = -1 };
	uint8_t data[8192];

	memset(data, 7, len);
	for (; running && c->out < window; c->out++) {
		mf_store_be64(data, mf_clock_now(&mf_clock_system));
		if (mf_sctp_send(c->a.sctp, &way, mf_span_of(data, len)) < 0)
			return;
	}
}

static void client_message(struct agent *a, uint16_t stream, uint32_t ppid, struct mf_span d)
{
	struct client *c = a->user;

	(void)stream;
	(void)ppid;
	echoes++;
	if (d.len >= 8)
		sample(&ours, d);
	if (c->out)
		c->out--;
	if (!rate)
		pour(c);
}

static void client_up(struct agent *a)
{
	static const struct mf_rtc_channel_info info = { .label = { (const uint8_t *)"udp", 3 },
							 .max_life_ms = -1 };

	up_cnt++;
	(void)agent_open(a, 0, &info);
}

static void on_datagram(evutil_socket_t fd, short what, void *ctx)
{
	struct client *c = ctx;
	uint8_t buf[2048];
	ssize_t n;

	(void)what;
	for (int i = 0; i < 64 && (n = recv((int)fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0; i++)
		agent_input(&c->a, mf_span_of(buf, (size_t)n));
}

static void wait_ms(unsigned ms)
{
	uint64_t end = mf_now_ms() + ms;

	while (mf_now_ms() < end) {
		event_base_loopexit(base, &(struct timeval){ .tv_usec = 20000 });
		event_base_dispatch(base);
		for (unsigned i = 0; running && i < session_cnt; i++) {
			/* what was lost is not waited for */
			if (clients[i].out == window && echoes == clients[i].seq)
				clients[i].out = 0;
			clients[i].seq = echoes;
			pour(&clients[i]);
		}
	}
}

static void connect_client(struct client *c, int control, const struct mf_endpoint *at,
			   struct mf_dtls_identity *id)
{
	struct sockaddr_storage ss;
	size_t sl = mf_endpoint_to_sockaddr(at, false, &ss);
	int size = 4 << 20;

	c->a.user = c;
	c->a.mtu = (uint16_t)client_mtu;
	c->a.send = client_send;
	c->a.message = client_message;
	c->a.up = client_up;
	agent_init(&c->a, id);
	if (send(control, &c->a.offer, sizeof(c->a.offer), 0) < 0 ||
	    recv(control, &c->a.answer, sizeof(c->a.answer), 0) != sizeof(c->a.answer))
		exit(1);
	c->fd = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (connect(c->fd, (struct sockaddr *)&ss, (socklen_t)sl) < 0)
		exit(1);
	c->ev = event_new(base, c->fd, EV_READ | EV_PERSIST, on_datagram, c);
	event_add(c->ev, NULL);
	agent_check(&c->a, true);
}

static struct report ask(int control)
{
	struct report r;

	if (send(control, "r", 1, 0) < 0 || recv(control, &r, sizeof(r), 0) != sizeof(r))
		exit(1);
	return r;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void connect_all(int control, const struct mf_endpoint *at, struct mf_dtls_identity *id,
			unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		connect_client(&clients[i], control, at, id);
		if (i % 16 == 15)
			wait_ms(20);
	}
	for (unsigned tries = 0; up_cnt < cnt && tries < 200; tries++) {
		for (unsigned i = 0; i < cnt; i++) {
			if (!clients[i].a.is_up) {
				agent_check(&clients[i].a, true);
				agent_tick(&clients[i].a);
			}
		}
		wait_ms(50);
	}
	if (up_cnt < cnt) {
		fprintf(stderr, "only %u of %u sessions came up\n", up_cnt, cnt);
		exit(1);
	}
}

static uint32_t percentile(struct samples *x, unsigned permille)
{
	size_t cnt = x->cnt < RTTS ? x->cnt : RTTS;

	qsort(x->us, cnt, sizeof(x->us[0]), by_size);
	return cnt ? x->us[cnt * permille / 1000] : 0;
}

static void echo(int control)
{
	struct report before, after;
	uint64_t t0, t1, e0;
	double wall, all;

	running = true;
	wait_ms(500);
	ours.cnt = 0;
	e0 = echoes;
	before = ask(control);
	t0 = mf_clock_now(&mf_clock_system);
	wait_ms(seconds * 1000);
	t1 = mf_clock_now(&mf_clock_system);
	after = ask(control);
	wall = (double)(t1 - t0) / 1e9;
	all = (double)(after.messages - before.messages);
	printf("sessions %u window %u len %u mtu %u client %u: %.0f echoes/s, server %.0f%% of a "
	       "core "
	       "(%.0f%% user), %.0f echoes/s of one core; packets of an echo: %.2f in, %.2f out; "
	       "rtt p50 %u us p99 %u us\n",
	       session_cnt, window, len, mtu, client_mtu, (double)(echoes - e0) / wall,
	       (double)(after.cpu_us - before.cpu_us) / wall / 1e4,
	       (double)(after.user_us - before.user_us) / wall / 1e4,
	       all * 1e6 / (double)(after.cpu_us - before.cpu_us),
	       (double)(after.packets_in - before.packets_in) / all,
	       (double)(after.packets_out - before.packets_out) / all, percentile(&ours, 500),
	       percentile(&ours, 990));
}

/* --- at a rate --- */

static struct {
	int fd;
	unsigned turn;
	double due; /* messages that should have been sent by now, and have not */
	uint64_t sent_ns;
} pace;

static void on_pace(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_sctp_way way = { .stream = 0,
				   .ppid = MF_DCEP_BINARY,
				   .unordered = true,
				   .max_retransmits = 0,
				   .max_life_ms = -1 };
	uint64_t now = mf_clock_now(&mf_clock_system);
	uint8_t data[8192] = { 0 };

	(void)fd;
	(void)what;
	(void)ctx;
	pace.due += (double)(now - pace.sent_ns) * 2 * rate / 1e9;
	pace.sent_ns = now;
	/* a pause of the machine is not made good by a burst */
	for (pace.due = pace.due > 8 ? 8 : pace.due; pace.due >= 1; pace.due--) {
		mf_store_be64(data, mf_clock_now(&mf_clock_system));
		if (pace.turn++ & 1)
			(void)!send(pace.fd, data, len, MSG_DONTWAIT);
		else
			(void)mf_sctp_send(clients[0].a.sctp, &way, mf_span_of(data, len));
	}
}

static void on_plain_back(evutil_socket_t fd, short what, void *ctx)
{
	uint8_t buf[8192];
	ssize_t n;

	(void)what;
	(void)ctx;
	while ((n = recv((int)fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 8)
		sample(&peers, mf_span_of(buf, (size_t)n));
}

static void at_a_rate(int control, const struct mf_endpoint *plain)
{
	struct sockaddr_storage ss;
	size_t sl = mf_endpoint_to_sockaddr(plain, false, &ss);
	struct event *tick = event_new(base, -1, EV_PERSIST, on_pace, NULL), *back;
	struct report before, after;

	pace.fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (pace.fd < 0 || connect(pace.fd, (struct sockaddr *)&ss, (socklen_t)sl) < 0)
		exit(1);
	back = event_new(base, pace.fd, EV_READ | EV_PERSIST, on_plain_back, NULL);
	event_add(back, NULL);
	pace.sent_ns = mf_clock_now(&mf_clock_system);
	event_add(tick, &(struct timeval){ .tv_usec = 200 });
	wait_ms(500);
	ours.cnt = peers.cnt = 0;
	before = ask(control);
	wait_ms(seconds * 1000);
	after = ask(control);
	printf("rate %u len %u mtu %u client %u: server %.0f%% of a core; data channel %zu echoes "
	       "p50 %u us p99 "
	       "%u us; plain UDP %zu echoes p50 %u us p99 %u us\n",
	       rate, len, mtu, client_mtu, (double)(after.cpu_us - before.cpu_us) / (seconds * 1e4),
	       ours.cnt, percentile(&ours, 500), percentile(&ours, 990), peers.cnt,
	       percentile(&peers, 500), percentile(&peers, 990));
	event_free(tick);
	event_free(back);
	close(pace.fd);
}

int main(int argc, char **argv)
{
	struct mf_endpoint at = { .addr = { .family = 4, .bytes = { 127, 0, 0, 1 } } },
			   plain_at = at;
	int pair[2], fd, plain;
	struct event_config *config = event_config_new();
	struct mf_dtls_identity *id;
	struct report before, after;

	for (int i = 1; i < argc; i++) {
		if (sscanf(argv[i], "sessions=%u", &session_cnt) != 1 &&
		    sscanf(argv[i], "window=%u", &window) != 1 &&
		    sscanf(argv[i], "len=%u", &len) != 1 &&
		    sscanf(argv[i], "seconds=%u", &seconds) != 1 &&
		    sscanf(argv[i], "mtu=%u", &mtu) != 1 &&
		    sscanf(argv[i], "client=%u", &client_mtu) != 1 &&
		    sscanf(argv[i], "rate=%u", &rate) != 1 &&
		    sscanf(argv[i], "idle=%u", &idle) != 1)
			return 2;
	}
	if (idle)
		session_cnt = idle;
	if (session_cnt > SESSIONS_MAX || len < 8 || len > 4352)
		return 2;
	mf_sock_start();
	fd = mf_sock_listen(&at, false, 0);
	plain = mf_sock_listen(&plain_at, false, 0);
	if (fd < 0 || plain < 0 || !mf_sock_local(fd, &at) || !mf_sock_local(plain, &plain_at) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		return 1;
	if (fork() == 0) {
		close(pair[0]);
		serve(pair[1], fd, plain);
	}
	close(pair[1]);
	/* ticks of less than a millisecond */
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	base = event_base_new_with_config(config);
	event_config_free(config);
	id = mf_dtls_identity_new();
	clients = calloc(session_cnt, sizeof(*clients));
	if (!id || !clients || mf_sctp_engine_use(base) < 0)
		return 1;
	before = ask(pair[0]);
	connect_all(pair[0], &at, id, session_cnt);
	wait_ms(500);
	if (idle) {
		wait_ms(1000);
		after = ask(pair[0]);
		printf("idle sessions %u: %.1f KB of heap each, %.1f KB of resident memory each\n",
		       idle, (double)(after.heap - before.heap) / 1024 / idle,
		       ((double)after.resident - (double)before.resident) / 1024 / idle);
	} else if (rate) {
		at_a_rate(pair[0], &plain_at);
	} else {
		echo(pair[0]);
	}
	close(pair[0]);
	wait(NULL);
	return 0;
}
