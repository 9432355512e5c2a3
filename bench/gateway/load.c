// SPDX-License-Identifier: Apache-2.0
// WebSocket clients that cost next to nothing, and the servers behind: so that what is measured is who stands between.
//
//	bench_gateway_load serve PORT                   PORT echoes, PORT+1 floods whoever connects, PORT+2 takes everything,
//	                                                PORT+3 floods evenly: small buffers, a piece of each connection a turn
//	bench_gateway_load rr    ADDR:PORT PATH CONNECTIONS SECONDS   1 KiB messages there and back, one of each under way
//	bench_gateway_load down  ADDR:PORT PATH CONNECTIONS SECONDS   bytes of a flood, after a word of the client's
//	bench_gateway_load up    ADDR:PORT PATH CONNECTIONS SECONDS   messages of 64 KiB
//	bench_gateway_load mux   ADDR:PORT PATH STREAMS SECONDS       floods through one "aero-tcp-mux-v1"; PATH: the servers' port; longer
//	                                                              than SECONDS where a stream had less than 32 pieces by then
//	bench_gateway_load idle  ADDR:PORT PATH COUNT [tls]           sessions that say nothing, until stdin ends
//
// Prints "begin" when all connections stand, and a JSON object: "rate" (messages or bytes a second, as they lie on the wire), "slowest" and
// "fastest" (of one connection or stream, beside the mean), "p50_us" and "p99_us" of rr.
//
// Clients come from many addresses of 127.0.0.0/8, 200 connections each: a gateway bounds what one may have.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
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
	CHUNK = 1 << 18,
	MESSAGE = 1024,
	BIG = 65536,
	EVEN_BUF = 131072,  // bytes that one even flood has under way
	UNDER_WAY = 524288, // bytes of a stream after which it is counted
	PIECES_MIN = 32,
	LONGER_MAX = 10, // times the seconds that were asked for
	HEAD_MAX = 14,
	EVENTS = 256,
	PER_ADDRESS = 200,
	IDLE_FROM = 100000, // not the addresses of those who are busy
	SAMPLES_MAX = 4000000,
	MUX_HEAD = 9,
};

struct client {
	int fd;
	uint64_t done;	// messages or bytes
	size_t at;	// of the message that is being sent, or read
	double sent_at; // rr
};

static uint8_t chunk[CHUNK], message[HEAD_MAX + MESSAGE], big[HEAD_MAX + BIG];
static size_t message_len, big_len;
static struct sockaddr_in gateway;
static const char *path;
static SSL_CTX *tls;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench_gateway_load: %s: %s\n", what, strerror(errno));
	exit(2);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

// --- the servers behind -----------------------------------------------------------------------------------------------

static int listen_at(int ep, int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons((uint16_t)port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, 4096) < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("listen");
	return fd;
}

// What an echo could not send at once is read no further: its client has one message under way.
static bool serve_one(int fd, unsigned what, uint32_t events)
{
	ssize_t n;

	if (what & 1 && events & EPOLLOUT &&
	    send(fd, chunk, what == 3 ? BIG : CHUNK, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
	    errno != EAGAIN)
		return false;
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return true;
	n = recv(fd, chunk, CHUNK, MSG_DONTWAIT | (what == 2 ? MSG_TRUNC : 0));
	if (n == 0 || (n < 0 && errno != EAGAIN))
		return false;
	return what || n <= 0 || send(fd, chunk, (size_t)n, MSG_NOSIGNAL) == n;
}

static _Noreturn void serve(int port)
{
	int ep = epoll_create1(0), listeners[4], one = 1, even = EVEN_BUF;
	static uint8_t kinds[1 << 20];
	struct epoll_event evs[EVENTS];

	for (int i = 0; i < 4; i++)
		listeners[i] = listen_at(ep, port + i);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(ep, evs, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = evs[i].data.fd, c;
			unsigned k = 0;

			while (k < 4 && listeners[k] != fd)
				k++;
			if (k == 4) {
				if (!serve_one(fd, kinds[fd], evs[i].events))
					close(fd);
				continue;
			}
			while ((c = accept4(fd, NULL, NULL, k ? SOCK_NONBLOCK : 0)) >= 0) {
				struct epoll_event ev = { .events = k & 1 ? EPOLLIN | EPOLLOUT
									  : EPOLLIN,
							  .data.fd = c };

				setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				if (k == 3)
					setsockopt(c, SOL_SOCKET, SO_SNDBUF, &even, sizeof(even));
				kinds[c] = (uint8_t)k;
				epoll_ctl(ep, EPOLL_CTL_ADD, c, &ev);
			}
		}
	}
}

// --- WebSockets by hand -----------------------------------------------------------------------------------------------

static size_t make_frame(uint8_t *out, const uint8_t *payload, size_t len)
{
	static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
	size_t at = 0;

	out[at++] = 0x82;
	if (len < 126) {
		out[at++] = (uint8_t)(0x80 | len);
	} else if (len < 65536) {
		out[at++] = 0x80 | 126;
		out[at++] = (uint8_t)(len >> 8);
		out[at++] = (uint8_t)len;
	} else {
		out[at++] = 0x80 | 127;
		for (int i = 7; i >= 0; i--)
			out[at++] = (uint8_t)((uint64_t)len >> (8 * i));
	}
	memcpy(out + at, mask, 4);
	at += 4;
	for (size_t i = 0; i < len; i++)
		out[at + i] = payload[i] ^ mask[i & 3];
	return at + len;
}

// Bytes of the head of an unmasked frame; 0: more are needed. *ret_len: of its payload
static size_t read_head(const uint8_t *in, size_t len, uint64_t *ret_len)
{
	size_t need = len < 2 ? 2 : in[1] == 127 ? 10 : in[1] == 126 ? 4 : 2;

	if (len < need)
		return 0;
	*ret_len = in[1] & 127;
	if (need > 2) {
		*ret_len = 0;
		for (size_t i = 2; i < need; i++)
			*ret_len = *ret_len << 8 | in[i];
	}
	return need;
}

static int dial(size_t nr)
{
	struct sockaddr_in from = { .sin_family = AF_INET,
				    .sin_addr.s_addr =
					    htonl(0x7f010001u + (uint32_t)(nr / PER_ADDRESS)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	    connect(fd, (const struct sockaddr *)&gateway, sizeof(gateway)) < 0)
		die("connect");
	return fd;
}

// What came behind the answer's head is moved to the beginning of @in. Return: its length
static size_t upgrade(int fd, SSL *ssl, const char *to, const char *protocol, char *in, size_t room)
{
	char text[1024], *end;
	int n = snprintf(text, sizeof(text),
			 "GET %s HTTP/1.1\r\nHost: gateway.example\r\nUpgrade: "
			 "websocket\r\nConnection: Upgrade\r\n"
			 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
			 "dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s%s\r\n",
			 to, protocol ? "Sec-WebSocket-Protocol: " : "", protocol ? protocol : "",
			 protocol ? "\r\n" : "");
	size_t have = 0;

	if ((ssl ? SSL_write(ssl, text, n) : send(fd, text, (size_t)n, MSG_NOSIGNAL)) != n)
		die("upgrade");
	do {
		ssize_t r = ssl ? SSL_read(ssl, in + have, (int)(room - have - 1))
				: recv(fd, in + have, room - have - 1, 0);

		if (r <= 0)
			die("upgrade: no answer");
		have += (size_t)r;
		in[have] = '\0';
		end = strstr(in, "\r\n\r\n");
	} while (!end && have < room - 1);
	if (!end || strncmp(in, "HTTP/1.1 101", 12) != 0) {
		fprintf(stderr, "%s\n", in);
		die("upgrade refused");
	}
	have -= (size_t)(end + 4 - in);
	memmove(in, end + 4, have);
	return have;
}

static struct client *open_all(size_t cnt, const char *protocol)
{
	struct client *all = calloc(cnt, sizeof(*all));
	static char in[CHUNK];

	for (size_t i = 0; all && i < cnt; i++) {
		all[i].fd = dial(i);
		(void)upgrade(all[i].fd, NULL, path, protocol, in, sizeof(in));
		fcntl(all[i].fd, F_SETFL, O_NONBLOCK);
	}
	return all;
}

static void begin(void)
{
	printf("begin\n");
	fflush(stdout);
}

static void print_spread(const struct client *all, size_t cnt, double seconds)
{
	uint64_t sum = 0, min = UINT64_MAX, max = 0;

	for (size_t i = 0; i < cnt; i++) {
		sum += all[i].done;
		min = all[i].done < min ? all[i].done : min;
		max = all[i].done > max ? all[i].done : max;
	}
	printf("{\"rate\": %.1f, \"done\": %llu, \"slowest\": %.4f, \"fastest\": %.4f",
	       (double)sum / seconds, (unsigned long long)sum,
	       (double)min * (double)cnt / (double)(sum ? sum : 1),
	       (double)max * (double)cnt / (double)(sum ? sum : 1));
}

// --- what is measured -------------------------------------------------------------------------------------------------

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void ask(struct client *c)
{
	c->at = 0;
	c->sent_at = now_s();
	if (send(c->fd, message, message_len, MSG_NOSIGNAL) != (ssize_t)message_len)
		die("send");
}

static int run_rr(size_t cnt, double seconds)
{
	struct client *all = open_all(cnt, NULL);
	float *samples = malloc(SAMPLES_MAX * sizeof(*samples));
	size_t sample_cnt = 0;
	int ep = epoll_create1(0);
	struct epoll_event evs[EVENTS];
	double start, end, now;

	begin();
	start = now = now_s();
	end = start + seconds;
	for (size_t i = 0; i < cnt; i++) {
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &all[i] };

		epoll_ctl(ep, EPOLL_CTL_ADD, all[i].fd, &ev);
		ask(&all[i]);
	}
	while (now < end) {
		int n = epoll_wait(ep, evs, EVENTS, 10000);

		if (n <= 0)
			die("rr stalled");
		for (int i = 0; i < n; i++) {
			struct client *c = evs[i].data.ptr;
			// frames may come in pieces: what counts is when a message's bytes and one head are there
			ssize_t r = recv(c->fd, chunk, CHUNK, 0);

			if (r == 0 || (r < 0 && errno != EAGAIN))
				die("rr ended early");
			c->at += r > 0 ? (size_t)r : 0;
			if (c->at < MESSAGE + 4)
				continue;
			now = now_s();
			if (sample_cnt < SAMPLES_MAX)
				samples[sample_cnt++] = (float)(now - c->sent_at);
			c->done++;
			ask(c);
		}
		now = now_s();
	}
	print_spread(all, cnt, now - start);
	qsort(samples, sample_cnt, sizeof(*samples), compare);
	printf(", \"p50_us\": %.2f, \"p99_us\": %.2f}\n", (double)samples[sample_cnt / 2] * 1e6,
	       (double)samples[sample_cnt - 1 - sample_cnt / 100] * 1e6);
	return 0;
}

static int run_bulk(size_t cnt, double seconds, bool up)
{
	struct client *all = open_all(cnt, NULL);
	int ep = epoll_create1(0);
	struct epoll_event evs[EVENTS];
	double start, end, now;

	for (size_t i = 0; i < cnt && !up; i++) {
		uint8_t word[HEAD_MAX + 4];
		size_t len = make_frame(word, (const uint8_t *)"\001go\n", 4);

		if (send(all[i].fd, word, len, MSG_NOSIGNAL) != (ssize_t)len)
			die("word");
	}
	begin();
	start = now = now_s();
	end = start + seconds;
	for (size_t i = 0; i < cnt; i++) {
		struct epoll_event ev = { .events = up ? EPOLLOUT : EPOLLIN, .data.ptr = &all[i] };

		epoll_ctl(ep, EPOLL_CTL_ADD, all[i].fd, &ev);
	}
	while (now < end) {
		int n = epoll_wait(ep, evs, EVENTS, 10000);

		if (n <= 0)
			die("stalled");
		for (int i = 0; i < n; i++) {
			struct client *c = evs[i].data.ptr;
			// MSG_TRUNC: thrown away in the kernel, so that the reader is not the bottleneck
			ssize_t r = up ? send(c->fd, big + c->at, big_len - c->at, MSG_NOSIGNAL)
				       : recv(c->fd, chunk, CHUNK, MSG_TRUNC);

			if (r == 0 || (r < 0 && errno != EAGAIN))
				die("ended early");
			c->done += r > 0 ? (uint64_t)r : 0;
			c->at = r > 0 && up ? (c->at + (size_t)r) % big_len : c->at;
		}
		now = now_s();
	}
	print_spread(all, cnt, now - start);
	printf("}\n");
	return 0;
}

// Bytes in, payloads counted: of WebSocket frames, whose payloads are mux frames, in pieces as they come.
struct mux {
	struct client *streams;
	size_t keep_len;
	uint8_t kept[MUX_HEAD > 10 ? MUX_HEAD : 10], head[MUX_HEAD];
	uint64_t left;	   // of the WebSocket frame
	size_t head_len;   // of the mux frame's
	uint32_t mux_left; // of its payload
};

static void take_mux(struct mux *m, const uint8_t *in, size_t len)
{
	while (len) {
		size_t n;

		if (m->head_len < MUX_HEAD) {
			m->head[m->head_len++] = *in++;
			len--;
			if (m->head_len < MUX_HEAD)
				continue;
			m->mux_left = (uint32_t)m->head[5] << 24 | (uint32_t)m->head[6] << 16 |
				      (uint32_t)m->head[7] << 8 | m->head[8];
			if (m->head[0] != 2)
				die("a mux frame that is no DATA");
		}
		n = len < m->mux_left ? len : m->mux_left;
		m->streams[((uint32_t)m->head[3] << 8 | m->head[4]) - 1].done += n;
		m->mux_left -= (uint32_t)n;
		in += n;
		len -= n;
		if (m->mux_left == 0)
			m->head_len = 0;
	}
}

static void take_ws(struct mux *m, const uint8_t *in, size_t len)
{
	while (len) {
		size_t n;

		if (m->left == 0) {
			m->kept[m->keep_len++] = *in++;
			len--;
			if (read_head(m->kept, m->keep_len, &m->left))
				m->keep_len = 0;
			continue;
		}
		n = len < m->left ? len : (size_t)m->left;
		take_mux(m, in, n);
		m->left -= n;
		in += n;
		len -= n;
	}
}

static int run_mux(size_t cnt, double seconds)
{
	struct mux m = { .streams = calloc(cnt, sizeof(struct client)) };
	uint8_t frame[64];
	uint16_t port = (uint16_t)atoi(path);
	static char early[CHUNK];
	double start = 0, now = 0, end = 0;
	uint64_t sum = 0;
	bool counting = false;
	int fd = dial(0);
	size_t have = upgrade(fd, NULL, "/tcp-mux", "aero-tcp-mux-v1", early, sizeof(early));

	for (size_t i = 1; i <= cnt; i++) {
		uint8_t o[] = { 1,
				0,
				0,
				(uint8_t)(i >> 8),
				(uint8_t)i,
				0,
				0,
				0,
				15,
				0,
				9,
				'1',
				'2',
				'7',
				'.',
				'0',
				'.',
				'0',
				'.',
				'1',
				(uint8_t)(port >> 8),
				(uint8_t)port,
				0,
				0 };
		size_t len = make_frame(frame, o, sizeof(o));

		if (send(fd, frame, len, MSG_NOSIGNAL) != (ssize_t)len)
			die("open");
	}
	take_ws(&m, (uint8_t *)early, have);
	while (!counting || now < end ||
	       (sum < (uint64_t)cnt * PIECES_MIN * BIG && now < start + seconds * LONGER_MAX)) {
		ssize_t n = recv(fd, chunk, CHUNK, 0);

		if (n <= 0)
			die("the mux ended early");
		take_ws(&m, chunk, (size_t)n);
		sum += (uint64_t)n;
		if (!counting) { // once every stream is well under way
			for (size_t i = 0; i < cnt; i++)
				if (m.streams[i].done < UNDER_WAY)
					n = 0;
			if (n == 0)
				continue;
			counting = true;
			sum = 0;
			for (size_t i = 0; i < cnt; i++)
				m.streams[i].done = 0;
			begin();
			start = now_s();
			end = start + seconds;
		}
		now = now_s();
	}
	print_spread(m.streams, cnt, now - start);
	printf("}\n");
	return 0;
}

static int run_idle(size_t cnt, bool with_tls)
{
	static char in[8192];
	char c;

	if (with_tls)
		tls = SSL_CTX_new(TLS_client_method());
	for (size_t i = 0; i < cnt; i++) {
		int fd = dial(IDLE_FROM + i);
		SSL *ssl = with_tls ? SSL_new(tls) : NULL;

		if (ssl && (SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1))
			die("TLS");
		(void)upgrade(fd, ssl, path, strstr(path, "/tcp-mux") ? "aero-tcp-mux-v1" : NULL,
			      in, sizeof(in));
		// the client's own half of TLS is of no use any more; its socket stays
		if (ssl) {
			SSL_set_quiet_shutdown(ssl, 1);
			SSL_free(ssl);
		}
	}
	begin();
	while (read(0, &c, 1) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	char *port = argc > 2 ? strrchr(argv[2], ':') : NULL;
	struct rlimit rl;
	size_t cnt;

	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && !strcmp(what, "serve"))
		serve(atoi(argv[2]));
	if (argc < 5 || !port)
		return 1;
	*port = '\0';
	gateway = (struct sockaddr_in){ .sin_family = AF_INET,
					.sin_port = htons((uint16_t)atoi(port + 1)) };
	if (inet_pton(AF_INET, argv[2], &gateway.sin_addr) != 1)
		die(argv[2]);
	path = argv[3];
	cnt = (size_t)atol(argv[4]);
	message_len = make_frame(message, chunk, MESSAGE);
	big_len = make_frame(big, chunk, BIG);
	if (!strcmp(what, "idle"))
		return run_idle(cnt, argc > 5);
	if (argc != 6)
		return 1;
	if (!strcmp(what, "rr"))
		return run_rr(cnt, atof(argv[5]));
	if (!strcmp(what, "down") || !strcmp(what, "up"))
		return run_bulk(cnt, atof(argv[5]), !strcmp(what, "up"));
	if (!strcmp(what, "mux"))
		return run_mux(cnt, atof(argv[5]));
	return 1;
}
