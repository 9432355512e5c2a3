// SPDX-License-Identifier: Apache-2.0
// TLS clients and the server that they want, in one loop on one core, so that the proxy between them has the other core alone
// and neither side waits for the machine to wake a process.
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

enum { EVENTS = 64, IN_MAX = 2048, BODY = 100, STALL_MS = 20000 };

struct conn {
	int fd;
	SSL *ssl;
	bool is_server, asked;
	char in[IN_MAX + 1];
	int have;
};

static SSL_CTX *clients, *server;
static const char *server_name;
static int ep, listener;
static struct sockaddr_in target;
static uint64_t done;
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

static struct conn *add(int fd, bool is_server)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };
	int one = 1;

	c->fd = fd;
	c->is_server = is_server;
	c->ssl = SSL_new(is_server ? server : clients);
	if (!c->ssl || SSL_set_fd(c->ssl, fd) != 1 ||
	    (!is_server && SSL_set_tlsext_host_name(c->ssl, server_name) != 1) ||
	    setsockopt(fd, SOL_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("connection");
	if (is_server)
		SSL_set_accept_state(c->ssl);
	else
		SSL_set_connect_state(c->ssl);
	return c;
}

static void dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0 ||
	    (connect(fd, (struct sockaddr *)&target, sizeof(target)) < 0 && errno != EINPROGRESS))
		die("connect");
	alive++;
	add(fd, false);
}

static void end(struct conn *c)
{
	SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	close(c->fd);
	if (!c->is_server) {
		alive--;
		if (refill)
			dial();
	}
	free(c);
}

static void send_text(struct conn *c, const char *text, int len)
{
	if (SSL_write(c->ssl, text, len) != len)
		die("write");
}

static void ask(struct conn *c)
{
	char text[512];

	send_text(c, text,
		  snprintf(text, sizeof(text), "GET /small HTTP/1.1\r\nHost: %s\r\n\r\n",
			   server_name));
	c->asked = true;
}

static void answer(struct conn *c)
{
	char text[512];

	send_text(c, text,
		  snprintf(text, sizeof(text),
			   "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: "
			   "text/plain\r\n\r\n%0*d",
			   BODY, BODY, 0));
}

// Whether what came is a whole request, or a whole answer.
static bool is_whole(const struct conn *c)
{
	const char *head = strstr(c->in, "\r\n\r\n");

	if (!head || c->is_server)
		return head != NULL;
	if (strncmp(c->in, "HTTP/1.1 200", 12) != 0)
		die("not answered by 200");
	return c->have >= (int)(head + 4 - c->in) + BODY;
}

// Return: whether the connection is over
static bool take(struct conn *c)
{
	int n = SSL_read(c->ssl, c->in + c->have, IN_MAX - c->have);

	if (n <= 0) {
		if (SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ)
			return false;
		if (!c->is_server)
			die("a client was not answered");
		return true;
	}
	c->have += n;
	c->in[c->have] = '\0';
	if (is_whole(c)) {
		if (!c->is_server) {
			done++;
			return true;
		}
		answer(c);
		c->have = 0;
	}
	return c->have == IN_MAX || take(c);
}

static void step(struct conn *c)
{
	int n = 1;

	ERR_clear_error();
	if (!SSL_is_init_finished(c->ssl)) {
		n = SSL_do_handshake(c->ssl);
		if (n != 1 && SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ)
			return;
		if (n != 1 && !c->is_server)
			die("a client's handshake");
	}
	if (n == 1 && !c->is_server && !c->asked)
		ask(c);
	if (n != 1 || take(c))
		end(c);
}

static void accept_all(void)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
		add(fd, true);
}

static void turn(void)
{
	struct epoll_event evs[EVENTS]; // no connection but that of an event ends in its step
	int n = epoll_wait(ep, evs, EVENTS, STALL_MS);

	if (n <= 0)
		die("nothing happens any more");
	for (int i = 0; i < n; i++) {
		if (evs[i].data.ptr == &listener)
			accept_all();
		else
			step(evs[i].data.ptr);
	}
}

static void run(int port, int conns, double seconds)
{
	double start, cpu;

	target = (struct sockaddr_in){ .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	done = 0;
	refill = true;
	start = clock_s(CLOCK_MONOTONIC);
	cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < conns; i++)
		dial();
	while (clock_s(CLOCK_MONOTONIC) - start < seconds)
		turn();
	refill = false;
	while (alive)
		turn();
	printf("{\"done\": %llu, \"seconds\": %.6f, \"cpu\": %.6f}\n", (unsigned long long)done,
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
	int port, conns;
	double seconds;

	if (argc != 5)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	server_name = argv[1];
	ep = epoll_create1(0);
	clients = SSL_CTX_new(TLS_client_method());
	server = SSL_CTX_new(TLS_server_method());
	// What is measured is the way, not the client: certificates are looked at by the tests.
	SSL_CTX_set_verify(clients, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_session_cache_mode(clients, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_min_proto_version(clients, TLS1_3_VERSION);
	SSL_CTX_set_read_ahead(clients, 1);
	SSL_CTX_set_read_ahead(server, 1);
	if (SSL_CTX_use_certificate_chain_file(server, argv[2]) != 1 ||
	    SSL_CTX_use_PrivateKey_file(server, argv[3], SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_set_num_tickets(server, (size_t)atoi(argv[4])) != 1)
		die("certificate");
	start_listener();
	while (scanf("%d %d %lf", &port, &conns, &seconds) == 3)
		run(port, conns, seconds);
	return 0;
}
