// SPDX-License-Identifier: Apache-2.0
// The proxies of moonfence on listeners that this program makes: what `moonfence run` does, without a session's command.
//
//	bench_relay_host POLICY PORT [NAME=ADDR]...    transparent TCP listener on PORT (needs CAP_NET_ADMIN)
//
// Names given are tied to their addresses as if the session had resolved them. SIGUSR1 prints heap and open connections,
// SIGTERM ends.
#include <arpa/inet.h>
#include <event2/event.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/names/correlation.h"
#include "core/observe/events.h"
#include "proxies/proxy.h"

static struct mf_proxy *proxy;

static void on_usr1(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_proxy_stats st = { .size = sizeof(st) };
	struct mallinfo2 mi = mallinfo2();

	(void)fd;
	(void)what;
	(void)ctx;
	mf_proxy_get_stats(proxy, &st);
	printf("heap %zu open %llu accepted %llu allowed %llu denied %llu failed %llu hellos "
	       "%llu\n",
	       mi.uordblks, (unsigned long long)st.tcp_open, (unsigned long long)st.tcp_accepted,
	       (unsigned long long)st.tcp_allowed, (unsigned long long)st.tcp_denied,
	       (unsigned long long)st.tcp_failed, (unsigned long long)st.tls_hellos);
	fflush(stdout);
}

static void on_term(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(ctx);
}

static int make_listener(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (setsockopt(fd, SOL_IP, IP_TRANSPARENT, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, 4096) < 0) {
		perror("transparent listener");
		exit(2);
	}
	return fd;
}

static void learn(struct mf_names *names, char *arg)
{
	char *eq = strchr(arg, '=');
	struct mf_addr addr;
	struct mf_names_answer a = {
		.question = arg, .addrs = &addr, .addr_cnt = 1, .ttl_s = 3600
	};

	if (!eq || mf_addr_parse(eq + 1, strlen(eq + 1), &addr) < 0)
		exit(1);
	a.question_len = (size_t)(eq - arg);
	if (mf_names_learn(names, &a) < 0)
		exit(1);
}

static int start_policy(const char *path, struct mf_runtime **rt, struct mf_vm **vm,
			struct mf_err *err)
{
	struct mf_runtime_options o = { .size = sizeof(o),
					.stdlib_dir = getenv("MOONFENCE_STDLIB") };
	int r = mf_runtime_new(&o, rt, err);

	if (r == 0)
		r = mf_runtime_load(*rt, &path, 1, err);
	return r ? r : mf_vm_new(*rt, vm, err);
}

int main(int argc, char **argv)
{
	struct mf_session session = { .id = "bench", .source = "session" };
	struct mf_proxy_options o = { .size = sizeof(o), .tcp_fd_cnt = 1 };
	struct rlimit rl = { 200000, 200000 };
	struct mf_runtime *rt = NULL;
	struct mf_err err;
	struct event_base *base = event_base_new();
	struct event *usr1, *term;
	char text[1200];

	if (argc < 3)
		return 1;
	setrlimit(RLIMIT_NOFILE, &rl);
	signal(SIGPIPE, SIG_IGN);
	o.tcp_fds[0] = make_listener(atoi(argv[2]));
	o.dns_server_cnt = 1;
	o.dns_servers[0] =
		(struct mf_dns_server){ .at = { .addr = { .family = 4, .bytes = { 127, 0, 0, 1 } },
						.port = 53 } };
	if (start_policy(argv[1], &rt, &session.vm, &err) < 0 ||
	    mf_names_new(NULL, &session.names, &err) < 0 ||
	    (getenv("MF_BENCH_EVENTS") &&
	     (mf_events_new(NULL, &session.events, &err) < 0 ||
	      mf_events_add_file(session.events, getenv("MF_BENCH_EVENTS"), &err) < 0)) ||
	    mf_proxy_start(base, &session, &o, &proxy, &err) < 0) {
		fprintf(stderr, "%s\n", mf_err_format(&err, text, sizeof(text)));
		return 2;
	}
	for (int i = 3; i < argc; i++)
		learn(session.names, argv[i]);
	usr1 = evsignal_new(base, SIGUSR1, on_usr1, NULL);
	term = evsignal_new(base, SIGTERM, on_term, base);
	event_add(usr1, NULL);
	event_add(term, NULL);
	printf("ready\n");
	fflush(stdout);
	event_base_dispatch(base);
	mf_proxy_stop(proxy);
	event_free(usr1);
	event_free(term);
	event_base_free(base);
	mf_vm_free(session.vm);
	mf_runtime_free(rt);
	mf_events_free(session.events);
	mf_names_free(session.names);
	return 0;
}
