// SPDX-License-Identifier: Apache-2.0
// Load for relays: a server that sends, echoes or answers, and clients that measure bulk, request/response, connections.
//
//	bench_relay_load server PORT...
//	bench_relay_load bulk ADDR PORT CONNECTIONS MEBIBYTES      -> "bulk GBIT_PER_S"
//	bench_relay_load rr ADDR PORT CONNECTIONS SECONDS          -> "rr PER_S P50_US P99_US"
//	bench_relay_load conn ADDR PORT CONNECTIONS SECONDS        -> "conn PER_S P50_US P99_US"
//	bench_relay_load idle ADDR PORT CONNECTIONS                -> "idle OPEN", then waits for the end of stdin
//
// The first byte of a connection tells the server what to do: 'B' and a 64-bit size (send so much, then close), 'R' (echo
// 1 KiB messages), 'I' (nothing), 0x16 (a TLS hello: send 64 bytes and close).
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	RR_LEN = 1024,
	BULK_BUF = 1 << 18,
	EVENTS = 256,
	REPLY_LEN = 64,
	FDS_MAX = 70000,
	SAMPLES_MAX = 4000000
};

struct peer {
	char mode; // 0: not known yet
	uint64_t left;
	uint32_t have; // bytes of the current message
	double start;
};

static struct peer peers[FDS_MAX];
static uint8_t buf[BULK_BUF];
static float samples[SAMPLES_MAX];
static size_t sample_cnt;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void set_int(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)) < 0)
		die("setsockopt");
}

static void watch(int ep, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("epoll_ctl");
}

/* --- server ---------------------------------------------------------------------------------------------------- */

static void send_bulk(int fd, struct peer *p)
{
	while (p->left) {
		ssize_t n = send(fd, buf, p->left < BULK_BUF ? p->left : BULK_BUF, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		p->left -= (uint64_t)n;
	}
	close(fd);
}

static void serve(int fd, struct peer *p)
{
	uint8_t in[16384];
	ssize_t n;

	if (p->mode == 'B') {
		send_bulk(fd, p);
		return;
	}
	while ((n = recv(fd, in, sizeof(in), 0)) > 0) {
		if (!p->mode)
			p->mode = (char)in[0];
		switch (p->mode) {
		case 'B':
			memcpy(&p->left, in + 1, 8);
			send_bulk(fd, p);
			return;
		case 'R':
			// A client whose time is over has reset the connection: not this server's end.
			if (send(fd, in, (size_t)n, MSG_NOSIGNAL) < n) {
				close(fd);
				return;
			}
			break;
		case 0x16:
			if (send(fd, buf, REPLY_LEN, MSG_NOSIGNAL) < 0)
				break;
			close(fd);
			return;
		default:
			break;
		}
		if (n < (ssize_t)sizeof(in))
			return;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN))
		close(fd);
}

static _Noreturn void run_server(int argc, char **argv)
{
	int ep = epoll_create1(0);
	struct epoll_event evs[EVENTS];
	bool is_listener[1024] = { false };

	for (int i = 0; i < argc; i++) {
		struct sockaddr_in sin = { .sin_family = AF_INET,
					   .sin_port = htons((uint16_t)atoi(argv[i])) };
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

		set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
		set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, 4096) < 0)
			die("listen");
		is_listener[fd] = true;
		watch(ep, fd, EPOLLIN);
	}
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(ep, evs, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = evs[i].data.fd, c;

			if (fd >= 1024 || !is_listener[fd]) {
				serve(fd, &peers[fd]);
				continue;
			}
			while ((c = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				peers[c] = (struct peer){ 0 };
				watch(ep, c, EPOLLIN | EPOLLOUT | EPOLLET);
				serve(c, &peers[c]);
			}
		}
	}
}

/* --- clients --------------------------------------------------------------------------------------------------- */

static struct sockaddr_in target;

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0 || fd >= FDS_MAX)
		die("socket");
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (connect(fd, (struct sockaddr *)&target, sizeof(target)) < 0 && errno != EINPROGRESS)
		die("connect");
	peers[fd] = (struct peer){ .start = now_s() };
	return fd;
}

static void sample(double s)
{
	if (sample_cnt < SAMPLES_MAX)
		samples[sample_cnt++] = (float)(s * 1e6);
}

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void report(const char *what, double seconds)
{
	qsort(samples, sample_cnt, sizeof(samples[0]), compare);
	if (sample_cnt == 0) {
		fprintf(stderr, "%s: nothing came back\n", what);
		exit(2);
	}
	printf("%s %.1f %.1f %.1f\n", what, (double)sample_cnt / seconds,
	       (double)samples[sample_cnt / 2], (double)samples[sample_cnt - 1 - sample_cnt / 100]);
}

static int run_bulk(int conns, uint64_t mib)
{
	int ep = epoll_create1(0), open_cnt = conns;
	struct epoll_event evs[EVENTS];
	uint64_t total = 0;
	double start = now_s();

	for (int i = 0; i < conns; i++)
		watch(ep, dial(), EPOLLIN | EPOLLOUT | EPOLLET);
	while (open_cnt) {
		int n = epoll_wait(ep, evs, EVENTS, 20000);

		if (n <= 0)
			die("bulk stalled");
		for (int i = 0; i < n; i++) {
			int fd = evs[i].data.fd;
			struct peer *p = &peers[fd];
			uint8_t ask[9] = "B";
			uint64_t size = (mib << 20) / (uint64_t)conns;
			ssize_t r;

			if (!p->mode && evs[i].events & EPOLLOUT) {
				memcpy(ask + 1, &size, 8);
				p->mode = 'B';
				if (send(fd, ask, 9, MSG_NOSIGNAL) != 9)
					die("ask");
			}
			// MSG_TRUNC: thrown away in the kernel, so that the reader is not the bottleneck
			while ((r = recv(fd, buf, BULK_BUF, MSG_TRUNC)) > 0)
				total += (uint64_t)r;
			if (r == 0) {
				close(fd);
				open_cnt--;
			} else if (errno != EAGAIN) {
				die("recv");
			}
		}
	}
	if (total != (mib << 20) / (uint64_t)conns * (uint64_t)conns) {
		fprintf(stderr, "bulk: %llu bytes came\n", (unsigned long long)total);
		return 2;
	}
	printf("bulk %.3f\n", (double)total * 8 / (now_s() - start) / 1e9);
	return 0;
}

static int run_rr(int conns, double seconds)
{
	int ep = epoll_create1(0);
	struct epoll_event evs[EVENTS];
	double start = now_s(), t = start;

	/* no word, which might become the method of an HTTP request and would be waited for */
	memset(buf, 0, RR_LEN);
	buf[0] = 'R';
	for (int i = 0; i < conns; i++)
		watch(ep, dial(), EPOLLIN | EPOLLOUT | EPOLLET);
	while (t - start < seconds) {
		int n = epoll_wait(ep, evs, EVENTS, 20000);

		if (n <= 0)
			die("rr stalled");
		t = now_s();
		for (int i = 0; i < n; i++) {
			int fd = evs[i].data.fd;
			struct peer *p = &peers[fd];
			bool fresh = !p->mode;
			ssize_t r;

			if (!fresh) {
				r = recv(fd, buf + BULK_BUF / 2, RR_LEN, 0);
				if (r < 0 && errno == EAGAIN)
					continue;
				if (r <= 0)
					die("rr recv");
				p->have += (uint32_t)r;
				if (p->have < RR_LEN)
					continue;
				sample(t - p->start);
			} else if (!(evs[i].events & EPOLLOUT)) {
				continue;
			}
			p->mode = 'R';
			p->have = 0;
			p->start = t;
			if (send(fd, buf, RR_LEN, MSG_NOSIGNAL) != RR_LEN)
				die("rr send");
		}
	}
	report("rr", now_s() - start);
	return 0;
}

static int run_conn(int conns, double seconds)
{
	int ep = epoll_create1(0), f = open(MF_HELLO, O_RDONLY);
	static uint8_t hello[2048];
	ssize_t hello_len = read(f, hello, sizeof(hello));
	struct epoll_event evs[EVENTS];
	double start = now_s(), t = start;

	if (hello_len <= 0)
		die(MF_HELLO);
	for (int i = 0; i < conns; i++)
		watch(ep, dial(), EPOLLIN | EPOLLOUT | EPOLLET);
	while (t - start < seconds) {
		int n = epoll_wait(ep, evs, EVENTS, 20000);

		if (n <= 0)
			die("conn stalled");
		t = now_s();
		for (int i = 0; i < n; i++) {
			int fd = evs[i].data.fd;
			struct peer *p = &peers[fd];
			ssize_t r;

			if (!p->mode && evs[i].events & EPOLLOUT) {
				p->mode = 0x16;
				if (send(fd, hello, (size_t)hello_len, MSG_NOSIGNAL) != hello_len)
					die("hello");
			}
			while ((r = recv(fd, buf, BULK_BUF, 0)) > 0)
				p->have += (uint32_t)r;
			if (r < 0 && errno == EAGAIN)
				continue;
			if (r < 0 || p->have != REPLY_LEN) {
				fprintf(stderr, "conn: %u bytes, %s\n", p->have,
					r < 0 ? strerror(errno) : "end");
				exit(2);
			}
			sample(t - p->start);
			close(fd);
			watch(ep, dial(), EPOLLIN | EPOLLOUT | EPOLLET);
		}
	}
	report("conn", now_s() - start);
	return 0;
}

static int run_idle(int conns)
{
	char c;

	// a byte through each, so that each is relayed
	for (int i = 0; i < conns; i++) {
		int fd = dial(), flags = fcntl(fd, F_GETFL);

		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
		if (send(fd, "R\n", 2, MSG_NOSIGNAL) != 2 || recv(fd, &c, 1, 0) != 1)
			die("idle");
	}
	printf("idle %d\n", conns);
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	struct rlimit rl = { FDS_MAX, FDS_MAX };

	if (setrlimit(RLIMIT_NOFILE, &rl) < 0) {
		getrlimit(RLIMIT_NOFILE, &rl);
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	signal(SIGPIPE, SIG_IGN);
	if (argc >= 3 && !strcmp(argv[1], "server"))
		run_server(argc - 2, argv + 2);
	if (argc < 5)
		return 1;
	target.sin_family = AF_INET;
	target.sin_port = htons((uint16_t)atoi(argv[3]));
	if (inet_pton(AF_INET, argv[2], &target.sin_addr) != 1)
		return 1;
	if (!strcmp(argv[1], "bulk") && argc == 6)
		return run_bulk(atoi(argv[4]), (uint64_t)atoi(argv[5]));
	if (!strcmp(argv[1], "rr") && argc == 6)
		return run_rr(atoi(argv[4]), atof(argv[5]));
	if (!strcmp(argv[1], "conn") && argc == 6)
		return run_conn(atoi(argv[4]), atof(argv[5]));
	if (!strcmp(argv[1], "idle"))
		return run_idle(atoi(argv[4]));
	return 1;
}
