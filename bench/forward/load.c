// SPDX-License-Identifier: Apache-2.0
// TLS requests through several proxies by turns, so that what else the machine does meets all of them alike.
//
//	bench_forward_load new  NAME COUNT LABEL=ADDR:PORT...   connection, handshake, request, answer, end
//	bench_forward_load kept NAME COUNT LABEL=ADDR:PORT...   request and answer on a connection that stays
//	bench_forward_load bulk NAME MEBIBYTES CONNECTIONS LABEL=ADDR:PORT...   plain bytes behind a hello, one target after another
//	bench_forward_load idle NAME COUNT LABEL=ADDR:PORT      COUNT connections that have done a handshake, until stdin ends
//	bench_forward_load flood PORT                           the server for bulk: floods whoever says a hello
//
// Prints a JSON object: for new and kept {label: {"p50_us", "p99_us"}}, for bulk {label: Gbit/s}.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
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

enum { TARGETS_MAX = 8, CHUNK = 1 << 18, HELLO_MAX = 2048, ANSWER_MAX = 8192, WARM_UP = 50 };

struct target {
	const char *label;
	struct sockaddr_in at;
	double *samples; // seconds
	SSL *kept;
};

static struct target targets[TARGETS_MAX];
static size_t target_cnt;
static char *server_name;
static SSL_CTX *ctx;
static uint8_t chunk[CHUNK];

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench_forward_load: %s: %s\n", what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(2);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void add_target(char *text)
{
	struct target *t = &targets[target_cnt++];
	char *at = strchr(text, '='), *port = at ? strrchr(at, ':') : NULL;

	if (target_cnt > TARGETS_MAX || !port)
		die(text);
	*at = *port = '\0';
	t->label = text;
	t->at = (struct sockaddr_in){ .sin_family = AF_INET,
				      .sin_port = htons((uint16_t)atoi(port + 1)) };
	if (inet_pton(AF_INET, at + 1, &t->at.sin_addr) != 1)
		die(at + 1);
}

static int dial(const struct target *t)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    connect(fd, (const struct sockaddr *)&t->at, sizeof(t->at)) < 0)
		die(t->label);
	return fd;
}

// --- TLS ------------------------------------------------------------------------------------------------------------

static SSL *shake(const struct target *t)
{
	SSL *ssl = SSL_new(ctx);

	if (!ssl || SSL_set_fd(ssl, dial(t)) != 1 ||
	    SSL_set_tlsext_host_name(ssl, server_name) != 1 || SSL_connect(ssl) != 1)
		die(t->label);
	return ssl;
}

static void hang_up(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_free(ssl);
	close(fd);
}

static void ask(SSL *ssl, const struct target *t)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "GET /small HTTP/1.1\r\nHost: %s\r\n\r\n",
			 server_name);

	if (SSL_write(ssl, text, n) != n)
		die(t->label);
}

// Reads one answer whole, by its Content-Length.
static void take_answer(SSL *ssl, const struct target *t)
{
	char in[ANSWER_MAX + 1];
	int have = 0;

	for (;;) {
		int n = SSL_read(ssl, in + have, ANSWER_MAX - have);
		char *end, *length;

		if (n <= 0)
			die(t->label);
		have += n;
		in[have] = '\0';
		if (strncmp(in, "HTTP/1.1 200", have < 12 ? (size_t)have : 12) != 0)
			die("not answered by 200");
		end = strstr(in, "\r\n\r\n");
		length = end ? strstr(in, "Content-Length: ") : NULL;
		if (length && have >= (int)(end + 4 - in) + atoi(length + 16))
			return;
		if (have == ANSWER_MAX)
			die("the answer is too long");
	}
}

static double one_request(struct target *t, bool kept)
{
	double start = now_s();
	SSL *ssl = kept ? t->kept : shake(t);

	ask(ssl, t);
	take_answer(ssl, t);
	start = now_s() - start;
	if (!kept)
		hang_up(ssl);
	return start;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int run_latency(bool kept, long cnt)
{
	for (size_t i = 0; i < target_cnt; i++) {
		targets[i].samples = calloc((size_t)cnt, sizeof(double));
		if (kept)
			targets[i].kept = shake(&targets[i]);
	}
	for (long n = -WARM_UP; n < cnt; n++) {
		for (size_t i = 0; i < target_cnt; i++) {
			// whoever comes first in a round changes, so that no one always follows the same one
			struct target *t = &targets[(i + (size_t)(n + WARM_UP)) % target_cnt];
			double s = one_request(t, kept);

			if (n >= 0)
				t->samples[n] = s;
		}
	}
	printf("{");
	for (size_t i = 0; i < target_cnt; i++) {
		double *s = targets[i].samples;

		qsort(s, (size_t)cnt, sizeof(*s), compare);
		printf("%s\"%s\": {\"p50_us\": %.2f, \"p99_us\": %.2f}", i ? ", " : "",
		       targets[i].label, s[cnt / 2] * 1e6, s[cnt - 1 - cnt / 100] * 1e6);
	}
	printf("}\n");
	return 0;
}

static int run_idle(long cnt)
{
	SSL **all = calloc((size_t)cnt, sizeof(*all));
	char c;

	for (long i = 0; all && i < cnt; i++) {
		all[i] = shake(&targets[0]);
		ask(all[i], &targets[0]);
		take_answer(all[i], &targets[0]);
	}
	printf("idle %ld\n", cnt);
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}

// --- bulk -----------------------------------------------------------------------------------------------------------

/* A hello with the server name that is asked for, as OpenSSL writes it; nobody completes the handshake. */
static size_t make_hello(uint8_t *out)
{
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *sent = BIO_new(BIO_s_mem());
	int n;

	SSL_set_bio(ssl, in, sent);
	SSL_set_tlsext_host_name(ssl, server_name);
	SSL_set_connect_state(ssl);
	SSL_do_handshake(ssl);
	n = BIO_read(sent, out, HELLO_MAX);
	SSL_free(ssl);
	if (n <= 0)
		die("no hello");
	return (size_t)n;
}

static double bulk(const struct target *t, uint64_t mib, int conns)
{
	uint8_t hello[HELLO_MAX];
	size_t len = make_hello(hello);
	int ep = epoll_create1(0);
	uint64_t want = (mib << 20), have = 0;
	struct epoll_event ev = { .events = EPOLLIN }, evs[64];
	int *fds = calloc((size_t)conns, sizeof(*fds));
	double start = now_s();

	for (int i = 0; i < conns; i++) {
		fds[i] = dial(t);
		ev.data.fd = fds[i];
		if (send(fds[i], hello, len, MSG_NOSIGNAL) != (ssize_t)len ||
		    epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &ev) < 0)
			die(t->label);
	}
	while (have < want) {
		int n = epoll_wait(ep, evs, 64, 20000);

		if (n <= 0)
			die("bulk stalled");
		for (int i = 0; i < n; i++) {
			// MSG_TRUNC: thrown away in the kernel, so that the reader is not the bottleneck
			ssize_t r = recv(evs[i].data.fd, chunk, CHUNK, MSG_TRUNC | MSG_DONTWAIT);

			if (r == 0 || (r < 0 && errno != EAGAIN))
				die("bulk ended early");
			have += r > 0 ? (uint64_t)r : 0;
		}
	}
	start = now_s() - start;
	for (int i = 0; i < conns; i++)
		close(fds[i]);
	free(fds);
	close(ep);
	return (double)have * 8 / start / 1e9;
}

static int run_bulk(uint64_t mib, int conns)
{
	printf("{");
	for (size_t i = 0; i < target_cnt; i++)
		printf("%s\"%s\": %.3f", i ? ", " : "", targets[i].label,
		       bulk(&targets[i], mib, conns));
	printf("}\n");
	return 0;
}

static int run_flood(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons((uint16_t)port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
	int ep = epoll_create1(0);
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = listener }, evs[64];

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(listener, 512) < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev) < 0)
		die("listen");
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(ep, evs, 64, -1);

		for (int i = 0; i < n; i++) {
			int fd = evs[i].data.fd, c;
			uint8_t in[HELLO_MAX];

			if (fd == listener) {
				while ((c = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
					ev.events = EPOLLIN;
					ev.data.fd = c;
					epoll_ctl(ep, EPOLL_CTL_ADD, c, &ev);
				}
				continue;
			}
			if (evs[i].events & EPOLLIN) {
				ssize_t r = recv(fd, in, sizeof(in), 0);

				if (r == 0 || (r < 0 && errno != EAGAIN)) {
					close(fd);
					continue;
				}
				ev.events = EPOLLIN | EPOLLOUT;
				ev.data.fd = fd;
				epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev);
			}
			if (evs[i].events & EPOLLOUT && send(fd, chunk, CHUNK, MSG_NOSIGNAL) < 0 &&
			    errno != EAGAIN)
				close(fd);
		}
	}
}

int main(int argc, char **argv)
{
	struct rlimit rl;
	const char *what = argc > 1 ? argv[1] : "";
	int first = !strcmp(what, "bulk") ? 5 : 4;

	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && !strcmp(what, "flood"))
		return run_flood(atoi(argv[2]));
	if (argc <= first)
		return 1;
	server_name = argv[2];
	ctx = SSL_CTX_new(TLS_client_method());
	// What is measured is the way, not the client: certificates are looked at by the tests.
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	for (int i = first; i < argc; i++)
		add_target(argv[i]);
	if (!strcmp(what, "new") || !strcmp(what, "kept"))
		return run_latency(!strcmp(what, "kept"), atol(argv[3]));
	if (!strcmp(what, "bulk"))
		return run_bulk((uint64_t)atoll(argv[3]), atoi(argv[4]));
	if (!strcmp(what, "idle"))
		return run_idle(atol(argv[3]));
	return 1;
}
