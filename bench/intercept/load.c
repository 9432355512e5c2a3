// SPDX-License-Identifier: Apache-2.0
// TLS clients (quick.h) and the server that they want, in one loop on one core, so that the proxy between them has the other
// core alone and neither side waits for the machine to wake a process.
//
//	bench_intercept_load NAME CERT KEY TICKETS    the server's certificate and key (PEM), tickets that it gives to each client
//
// Prints the server's port on 127.0.0.1. Then each line of stdin, "PORT CONNECTIONS SECONDS", keeps so many clients busy with
// that port: connection, handshake, request, answer, end; one line of JSON says how many there were and what they cost here.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/intercept/quick.h"

enum { EVENTS = 64, IN_MAX = 16384, BODY = 100, STALL_MS = 20000 };

struct conn {
	int fd;
	bool begun;
	SSL *ssl; // of the server's side; NULL: a client
	char in[IN_MAX + 1];
	int have;
	struct quick quick; // of a client
};

static SSL_CTX *server;
static int ep, listener;
static struct sockaddr_in target;
static uint64_t done, resumed;
static bool refill; // whether a client that has ended is followed by another one
static int alive;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench_intercept_load: %s: %s\n", what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(2);
}

static double clock_s(clockid_t which)
{
	struct timespec ts;

	clock_gettime(which, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

// @c: with its socket
static void watch(struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };
	int one = 1;

	if (setsockopt(c->fd, SOL_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		die("connection");
}

// --- clients --------------------------------------------------------------------------------------------------------

static void dial(struct conn *c)
{
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&target, sizeof(target)) < 0 &&
			  errno != EINPROGRESS))
		die("connect");
	c->begun = false;
	watch(c);
}

static void flush(struct conn *c)
{
	if (c->quick.out_len &&
	    send(c->fd, c->quick.out, c->quick.out_len, MSG_NOSIGNAL) != (ssize_t)c->quick.out_len)
		die("a client cannot send");
	c->quick.out_len = 0;
}

static bool is_answered(const struct quick *q)
{
	const char *text = (const char *)q->answer, *head;

	if (!q->answer_len || !(head = strstr(text, "\r\n\r\n")))
		return false;
	if (strncmp(text, "HTTP/1.1 200", 12) != 0)
		die("not answered by 200");
	return q->answer_len >= (size_t)(head + 4 - text) + BODY;
}

static void step_client(struct conn *c)
{
	ssize_t n;

	if (!c->begun) {
		c->begun = true;
		quick_begin(&c->quick);
		flush(c);
	}
	while ((n = recv(c->fd, c->in, IN_MAX, 0)) > 0) {
		if (!quick_take(&c->quick, (const uint8_t *)c->in, (size_t)n))
			die("a client does not understand what it hears");
		flush(c);
		if (is_answered(&c->quick))
			break;
		if (n < IN_MAX)
			return;
	}
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		die("a client was not answered");
	done++;
	quick_end(&c->quick);
	flush(c);
	close(c->fd);
	if (refill) {
		dial(c);
		return;
	}
	quick_free(&c->quick);
	free(c);
	alive--;
}

// --- the server -----------------------------------------------------------------------------------------------------

static void accept_all(void)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct conn *c = malloc(sizeof(*c));

		if (!c)
			die("accept");
		c->fd = fd;
		c->have = 0;
		c->ssl = SSL_new(server);
		if (!c->ssl || SSL_set_fd(c->ssl, fd) != 1)
			die("accept");
		SSL_set_accept_state(c->ssl);
		watch(c);
	}
}

static void answer(struct conn *c)
{
	char text[512];
	int len = snprintf(
		text, sizeof(text),
		"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n\r\n%0*d",
		BODY, BODY, 0);

	if (SSL_write(c->ssl, text, len) != len)
		die("the server cannot answer");
	c->have = 0;
}

// Return: whether it is over
static bool serve(struct conn *c)
{
	int n = 0;

	ERR_clear_error();
	if (!SSL_is_init_finished(c->ssl)) {
		n = SSL_do_handshake(c->ssl);
		if (n != 1)
			return SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ;
		resumed += (uint64_t)SSL_session_reused(c->ssl);
	}
	while (c->have < IN_MAX && (n = SSL_read(c->ssl, c->in + c->have, IN_MAX - c->have)) > 0) {
		c->have += n;
		c->in[c->have] = '\0';
		if (strstr(c->in, "\r\n\r\n"))
			answer(c);
	}
	return c->have == IN_MAX || SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ;
}

static void step_server(struct conn *c)
{
	if (!serve(c))
		return;
	SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	close(c->fd);
	free(c);
}

// --- the loop -------------------------------------------------------------------------------------------------------

static void turn(void)
{
	struct epoll_event evs[EVENTS]; // no connection but that of an event ends in its step
	int n = epoll_wait(ep, evs, EVENTS, STALL_MS);

	if (n <= 0)
		die("nothing happens any more");
	for (int i = 0; i < n; i++) {
		if (evs[i].data.ptr == &listener)
			accept_all();
		else if (((struct conn *)evs[i].data.ptr)->ssl)
			step_server(evs[i].data.ptr);
		else
			step_client(evs[i].data.ptr);
	}
}

static void run(int port, int conns, double seconds)
{
	double start, cpu;

	target = (struct sockaddr_in){ .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	done = resumed = 0;
	refill = true;
	start = clock_s(CLOCK_MONOTONIC);
	cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
	for (alive = 0; alive < conns; alive++) {
		struct conn *c = calloc(1, sizeof(*c));

		if (!c)
			die("clients");
		dial(c);
	}
	while (clock_s(CLOCK_MONOTONIC) - start < seconds)
		turn();
	refill = false;
	while (alive)
		turn();
	printf("{\"done\": %llu, \"resumed\": %llu, \"seconds\": %.6f, \"cpu\": %.6f}\n",
	       (unsigned long long)done, (unsigned long long)resumed,
	       clock_s(CLOCK_MONOTONIC) - start, clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	fflush(stdout);
}

static void start_listener(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &listener };
	socklen_t len = sizeof(sin);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&sin, len) < 0 ||
	    listen(listener, 4096) < 0 ||
	    getsockname(listener, (struct sockaddr *)&sin, &len) < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev) < 0)
		die("listener");
	printf("%d\n", ntohs(sin.sin_port));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static char request[512];
	int port, conns;
	double seconds;

	if (argc != 5)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	ep = epoll_create1(0);
	server = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_read_ahead(server, 1);
	if (SSL_CTX_use_certificate_chain_file(server, argv[2]) != 1 ||
	    SSL_CTX_use_PrivateKey_file(server, argv[3], SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_set_num_tickets(server, (size_t)atoi(argv[4])) != 1)
		die("certificate");
	snprintf(request, sizeof(request), "GET /small HTTP/1.1\r\nHost: %s\r\n\r\n", argv[1]);
	quick_start(argv[1], request);
	start_listener();
	while (scanf("%d %d %lf", &port, &conns, &seconds) == 3)
		run(port, conns, seconds);
	return 0;
}
