// SPDX-License-Identifier: Apache-2.0
// The proxies on loopback listeners, for tests that need no capture: each loopback address that a client connects to
// stands for an original destination (UDP without a map goes where it arrived).
//
//	proxy_host --policy PATH --tcp PORT [--udp ADDR:PORT] --dns RESOLVER --events FILE [--map 127.0.0.N=ADDR:PORT]...
//	           [--name NAME=ADDR]... [--hello-ms N] [--dial-ms N] [--idle-ms N] [--udp-idle-ms N] [--dns-ms N] [--hosts FILE]
//	           [--dns-cache BYTES|off] [--dns-stale SECONDS]
//	           [--without METHOD]... [--copy-only 1] [--authority FILE]
//	           [--names-later FILE]
//
// --names-later: for the ties of names to addresses it is later by as many seconds as FILE says. Stands first.
// --without tells libevent which of its methods not to use: without epoll and poll it selects, as it does on Windows.
// Prints "ready" and how it waits, then a line of counters at the end (SIGTERM, SIGINT).
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/names/correlation.h"
#include "core/observe/events.h"
#include "proxies/proxy.h"
#include "proxies/sock.h"
#include "proxies/tls_authority.h"

enum { MAPS_MAX = 32 };

struct map {
	struct mf_addr from;
	struct mf_endpoint to;
};

static struct map maps[MAPS_MAX];
static unsigned map_cnt;

static void die(const char *what)
{
	fprintf(stderr, "proxy_host: %s\n", what);
	exit(1);
}

static struct mf_endpoint parse_endpoint(const char *text)
{
	struct mf_endpoint ep = { 0 };
	const char *host;
	size_t len;

	if (mf_hostport_parse(text, strlen(text), &host, &len, &ep.port) < 0 ||
	    mf_addr_parse(host, len, &ep.addr) < 0)
		die(text);
	return ep;
}

static int find_flow(void *ctx, enum mf_proto proto, const struct mf_endpoint *peer,
		     const struct mf_endpoint *local, struct mf_session_flow *ret)
{
	(void)ctx;
	(void)peer;
	for (unsigned i = 0; i < map_cnt; i++) {
		if (mf_addr_eq(&maps[i].from, &local->addr)) {
			ret->server = maps[i].to;
			return 0;
		}
	}
	return proto == MF_UDP ? 0 /* arrives unchanged */ : MF_E_NOENT;
}

static int make_socket(bool tcp, const struct mf_endpoint *ep)
{
	int fd = mf_sock_listen(ep, tcp, 64);

	char text[MF_ENDPOINT_TEXT_MAX];

	if (fd < 0) {
		fprintf(stderr, "%s: %s\n", mf_endpoint_format(ep, text, sizeof(text)),
			mf_sock_error_text(mf_sock_last_error()));
		die("cannot listen");
	}
	return fd;
}

static void tie(struct mf_names *names, char *arg)
{
	char *eq = strchr(arg, '=');
	struct mf_addr addr;
	struct mf_names_answer a = {
		.question = arg, .addrs = &addr, .addr_cnt = 1, .ttl_s = 3600
	};

	if (!eq || mf_addr_parse(eq + 1, strlen(eq + 1), &addr) < 0)
		die(arg);
	a.question_len = (size_t)(eq - arg);
	if (mf_names_learn(names, &a) < 0)
		die(arg);
}

static int refuse_udp(void *ctx, const struct mf_session_flow *flow, const uint8_t *packet,
		      size_t len)
{
	(void)ctx;
	(void)flow;
	(void)packet;
	(void)len;
	printf("refused udp\n");
	fflush(stdout);
	return 0;
}

struct setup {
	const char *policy, *events;
	struct mf_proxy_options o;
	struct mf_session session;
	struct event_config *loop;
	struct mf_clock names_clock;
};

static uint64_t names_now(void *ctx)
{
	FILE *f = fopen(ctx, "r");
	uint64_t later_s = 0;

	if (f && fscanf(f, "%" SCNu64, &later_s) != 1)
		later_s = 0;
	if (f)
		fclose(f);
	return mf_clock_now(&mf_clock_system) + later_s * MF_NS_PER_S;
}

static void make_names(struct setup *s)
{
	const struct mf_names_options o = { .clock = s->names_clock.ctx ? &s->names_clock : NULL };
	struct mf_err err;

	if (mf_names_new(&o, &s->session.names, &err) < 0)
		die(err.msg);
}

static void on_term(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(ctx);
}

static void add_dns(struct mf_proxy_options *o, const char *text)
{
	struct mf_err err;

	if (o->dns_server_cnt == MF_PROXY_DNS_SERVERS_MAX ||
	    mf_dns_server_parse(text, &o->dns_servers[o->dns_server_cnt++], &err) < 0)
		die(text);
}

/* Server names are then changed by bridges, whose certificates are good for who trusts @path. */
static void make_authority(struct setup *s, const char *path)
{
	FILE *f = fopen(path, "w");
	struct mf_err err;

	if (!f || mf_tls_authority_new("test", &s->o.tls_authority, &err) < 0)
		die(path);
	fputs(mf_tls_authority_pem(s->o.tls_authority), f);
	fclose(f);
}

static void parse_args(struct setup *s, int argc, char **argv)
{
	struct mf_endpoint any = { .addr = { .family = 4 } };

	if (argc > 2 && !strcmp(argv[1], "--names-later"))
		s->names_clock = (struct mf_clock){ .monotonic = names_now,
						    .wall = names_now,
						    .ctx = argv[2] };
	make_names(s);
	for (int i = s->names_clock.ctx ? 3 : 1; i + 1 < argc; i += 2) {
		char *key = argv[i], *v = argv[i + 1], *eq;

		if (!strcmp(key, "--policy")) {
			s->policy = v;
		} else if (!strcmp(key, "--events")) {
			s->events = v;
		} else if (!strcmp(key, "--tcp")) {
			any.port = (uint16_t)atoi(v);
			if (s->o.tcp_fd_cnt == MF_PROXY_LISTENERS_MAX)
				die(key);
			s->o.tcp_fds[s->o.tcp_fd_cnt++] = make_socket(true, &any);
		} else if (!strcmp(key, "--udp")) {
			struct mf_endpoint ep = parse_endpoint(v);

			if (s->o.udp_fd_cnt == MF_PROXY_LISTENERS_MAX)
				die(key);
			s->o.udp_fds[s->o.udp_fd_cnt++] = make_socket(false, &ep);
		} else if (!strcmp(key, "--dns")) {
			add_dns(&s->o, v);
		} else if (!strcmp(key, "--map") && (eq = strchr(v, '=')) && map_cnt < MAPS_MAX) {
			if (mf_addr_parse(v, (size_t)(eq - v), &maps[map_cnt].from) < 0)
				die(v);
			maps[map_cnt++].to = parse_endpoint(eq + 1);
		} else if (!strcmp(key, "--name")) {
			tie(s->session.names, v);
		} else if (!strcmp(key, "--hello-ms")) {
			s->o.hello_timeout_ms = (uint32_t)atoi(v);
		} else if (!strcmp(key, "--dial-ms")) {
			s->o.dial_timeout_ms = (uint32_t)atoi(v);
		} else if (!strcmp(key, "--idle-ms")) {
			s->o.tcp_idle_ms = (uint32_t)atoi(v);
		} else if (!strcmp(key, "--udp-idle-ms")) {
			s->o.udp_idle_ms = (uint32_t)atoi(v);
		} else if (!strcmp(key, "--dns-ms")) {
			s->o.dns_timeout_ms = (uint32_t)atoi(v);
		} else if (!strcmp(key, "--dns-cache")) {
			s->o.dns_cache_off = !strcmp(v, "off");
			s->o.dns_cache_bytes = (size_t)atoi(v);
		} else if (!strcmp(key, "--dns-stale")) {
			s->o.dns_stale_s = (uint32_t)atoi(v);
		} else if (!strcmp(key, "--hosts")) {
			s->o.hosts_file = v;
		} else if (!strcmp(key, "--without")) {
			event_config_avoid_method(s->loop, v);
		} else if (!strcmp(key, "--authority")) {
			make_authority(s, v);
		} else if (!strcmp(key, "--copy-only")) {
			s->o.copy_only = atoi(v);
		} else {
			die(key);
		}
	}
}

int main(int argc, char **argv)
{
	struct setup s = {
		.o = { .size = sizeof(s.o), .find_flow = find_flow },
		.session = { .id = "test",
			     .source = "session",
			     .ops = { .refuse_udp = refuse_udp } },
		.loop = event_config_new(),
	};
	struct mf_runtime_options ro = { .size = sizeof(ro),
					 .stdlib_dir = MF_SOURCE_DIR "/lua/stdlib" };
	struct mf_proxy_stats st = { .size = sizeof(st) };
	struct event_base *base;
	struct event *ends[2];
	struct mf_runtime *rt = NULL;
	struct mf_proxy *proxy = NULL;
	struct mf_err err;
	char text[1200];

	if (mf_sock_start() < 0)
		die("no sockets");
	parse_args(&s, argc, argv);
	base = event_base_new_with_config(s.loop);
	if (!base)
		die("no event loop");
	event_config_free(s.loop);
	ends[0] = evsignal_new(base, SIGTERM, on_term, base);
	ends[1] = evsignal_new(base, SIGINT, on_term, base); /* the one that Windows delivers */
	if (mf_runtime_new(&ro, &rt, &err) < 0 || mf_runtime_load(rt, &s.policy, 1, &err) < 0 ||
	    mf_vm_new(rt, &s.session.vm, &err) < 0 ||
	    mf_events_new(NULL, &s.session.events, &err) < 0 ||
	    mf_events_add_file(s.session.events, s.events, &err) < 0 ||
	    mf_proxy_start(base, &s.session, &s.o, &proxy, &err) < 0)
		die(mf_err_format(&err, text, sizeof(text)));
	event_add(ends[0], NULL);
	event_add(ends[1], NULL);
	printf("ready %s\n", event_base_get_method(base));
	fflush(stdout);
	event_base_dispatch(base);
	mf_proxy_get_stats(proxy, &st);
	printf("accepted %llu allowed %llu denied %llu redirected %llu failed %llu open %llu "
	       "queries %llu\n",
	       (unsigned long long)st.tcp_accepted, (unsigned long long)st.tcp_allowed,
	       (unsigned long long)st.tcp_denied, (unsigned long long)st.tcp_redirected,
	       (unsigned long long)st.tcp_failed, (unsigned long long)st.tcp_open,
	       (unsigned long long)st.dns_queries);
	mf_proxy_stop(proxy);
	mf_tls_authority_free(s.o.tls_authority);
	event_free(ends[0]);
	event_free(ends[1]);
	event_base_free(base);
	mf_vm_free(s.session.vm);
	mf_runtime_free(rt);
	mf_events_free(s.session.events);
	mf_names_free(s.session.names);
	while (s.o.tcp_fd_cnt)
		mf_sock_close(s.o.tcp_fds[--s.o.tcp_fd_cnt]);
	while (s.o.udp_fd_cnt)
		mf_sock_close(s.o.udp_fds[--s.o.udp_fd_cnt]);
	return 0;
}
