// SPDX-License-Identifier: Apache-2.0
// The proxies of moonfence on one listener, whose connections all mean to go to one server: what `moonfence run` does with a
// policy that says terminate, without a session's command and capture.
//
//	bench_intercept_host POLICY PORT SERVER-PORT NAME    on 127.0.0.1; NAME is tied to the server's address
//
// SIGTERM ends.
#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/names/correlation.h"
#include "proxies/proxy.h"
#include "proxies/sock.h"
#include "proxies/tls_authority.h"

static struct mf_endpoint server = { .addr = { .family = 4, .bytes = { 127, 0, 0, 1 } } };

static void on_term(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(ctx);
}

static int find_flow(void *ctx, enum mf_proto proto, const struct mf_endpoint *peer,
		     const struct mf_endpoint *local, struct mf_session_flow *ret)
{
	(void)ctx;
	(void)local;
	*ret = (struct mf_session_flow){ .proto = proto, .client = *peer, .server = server };
	return 0;
}

static int start_policy(const char *path, struct mf_runtime **rt, struct mf_vm **vm,
			struct mf_err *err)
{
	struct mf_runtime_options o = { .size = sizeof(o) };
	int r = mf_runtime_new(&o, rt, err);

	if (r == 0)
		r = mf_runtime_load(*rt, &path, 1, err);
	return r ? r : mf_vm_new(*rt, vm, err);
}

static int listen_at(int port)
{
	struct mf_endpoint at = { .addr = { .family = 4, .bytes = { 127, 0, 0, 1 } },
				  .port = (uint16_t)port };
	int fd = mf_sock_listen(&at, true, 4096);

	if (fd < 0) {
		perror("listener");
		exit(2);
	}
	return fd;
}

int main(int argc, char **argv)
{
	struct mf_session session = { .id = "bench", .source = "session" };
	struct mf_proxy_options o = { .size = sizeof(o), .tcp_fd_cnt = 1, .find_flow = find_flow };
	struct mf_names_answer tie = { .addrs = &server.addr, .addr_cnt = 1, .ttl_s = 3600 };
	struct mf_runtime *rt = NULL;
	struct mf_proxy *proxy = NULL;
	struct event_base *base;
	struct event *term;
	struct mf_err err;
	char text[1200];

	if (argc < 5 || mf_sock_start() < 0)
		return 1;
	base = event_base_new();
	server.port = (uint16_t)atoi(argv[3]);
	tie.question = argv[4];
	tie.question_len = strlen(argv[4]);
	o.tcp_fds[0] = listen_at(atoi(argv[2]));
	o.dns_server_cnt = 1;
	o.dns_servers[0] = (struct mf_dns_server){ .at = { .addr = server.addr, .port = 53 } };
	if (start_policy(argv[1], &rt, &session.vm, &err) < 0 ||
	    mf_names_new(NULL, &session.names, &err) < 0 ||
	    mf_names_learn(session.names, &tie) < 0 ||
	    mf_tls_authority_new("bench", &o.tls_authority, &err) < 0 ||
	    mf_proxy_start(base, &session, &o, &proxy, &err) < 0) {
		fprintf(stderr, "%s\n", mf_err_format(&err, text, sizeof(text)));
		return 2;
	}
	term = evsignal_new(base, SIGTERM, on_term, base);
	event_add(term, NULL);
	event_base_dispatch(base);
	mf_proxy_stop(proxy);
	mf_tls_authority_free(o.tls_authority);
	event_free(term);
	event_base_free(base);
	mf_vm_free(session.vm);
	mf_runtime_free(rt);
	mf_names_free(session.names);
	return 0;
}
