/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_broker_linux.c - the privileged process beside the service: rules and hosts file, and nothing else
 *
 * Between the two is a socket pair with packets. The service says 'R' (ready: redirect now) and 'N' with the names that
 * should lead here, one a line. The broker says 'H' with '+' or '-' and a
 * sentence: how the rules are; 'D' with '+' or '-' and JSON: a development server, which only the broker can see the
 * owner and the project of, where it is another user's; and 'U' with '+' or '-', a line on the DNS path, and then which door
 * stands for which resolver, one a line; and 'K' with the key and the certificate of an authority that has come into
 * force: the service could not read them. When one ends, the other sees the end of the pair, or of its child,
 * and ends as well; on both ways rules and names go.
 *
 * The service speaks for whoever broke into it: the broker takes at most so many names, writes only canonical ones, and only with
 * loopback addresses.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/host_flows.h"
#include "capture/host_redirect.h"
#include "cli/authority_watch.h"
#include "cli/commands.h"
#include "cli/hosts_block.h"
#include "cli/proxy_serve_linux.h"
#include "core/base/strbuf.h"
#include "core/names/canonical.h"
#include "proxies/dev_servers.h"
#include "proxies/tls_authority.h"

enum {
	MESSAGE_MAX = MF_PROXY_MESSAGE_MAX,
	RESOLVERS_S = 2,      /* how often is looked whether others are asked */
	PART_MS = 2000,	      /* how long a service waits for the rules' end */
	STOP_WAIT_MS = 10000, /* a service that does not end by itself is killed */
};

struct broker {
	struct mf_proxy_start *s;
	struct event_base *base;
	struct mf_host_redirect *rules;
	pid_t child;
	int status;
	bool gone; /* the child was waited for */
	bool named, dns_on;
	struct mf_proxy_resolvers resolvers;
	struct event *resolvers_ev;
	struct mf_authority_watch watch;
	char *names; /* that should lead here, as they were told last; or NULL */
	struct mf_dev_servers *dev;
	int result;
	struct mf_err *err;
	char *buf;
	char gone_word[3], there_word[3]; /* what a packet about a server begins with */
};

static const char *hosts_path(const struct mf_proxy_start *s)
{
	return s->wishes->hosts_file ? s->wishes->hosts_file : "/etc/hosts";
}

/* --- the broker --------------------------------------------------------------------------------------------------------- */

static void tell_health(struct broker *b, bool ok, const char *detail)
{
	char text[200];
	int n = snprintf(text, sizeof(text), "H%c%s", ok ? '+' : '-', detail);

	(void)send(b->s->broker_fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void fail(struct broker *b, int code)
{
	b->result = code;
	event_base_loopbreak(b->base);
}

/* --- development servers -------------------------------------------------------------------------------------------------- */

static void on_server(void *ctx, enum mf_dev_change change, const struct mf_dev_server *server)
{
	struct broker *b = ctx;
	json_t *o = mf_dev_server_to_json(server);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	struct iovec parts[] = { { .iov_base = change == MF_DEV_DISAPPEARED ? b->gone_word
									    : b->there_word,
				   .iov_len = 2 },
				 { .iov_base = text, .iov_len = text ? strlen(text) : 0 } };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };

	if (text && sendmsg(b->s->broker_fd, &m, MSG_NOSIGNAL) < 0)
		fprintf(stderr, "moonfence: a development server was lost: %s\n", strerror(errno));
	free(text);
	json_decref(o);
}

/* Whose: those whose connections are redirected; else of who called us by sudo; else everybody's. */
static void detect(struct broker *b)
{
	const struct mf_proxy_start *s = b->s;
	struct mf_dev_servers_options o = { .size = sizeof(o),
					    .uids = s->for_uids,
					    .uid_cnt = s->wishes->for_user_cnt,
					    .told = on_server,
					    .ctx = b };
	const char *sudo = getenv("SUDO_UID");
	uint16_t ours[2];
	uint32_t caller;
	struct mf_err err;

	if (s->wishes->no_detection)
		return;
	for (size_t i = 0; i < s->fd_cnt; i++)
		ours[i] = s->listeners[i].port;
	o.skip_ports = ours;
	o.skip_port_cnt = s->fd_cnt;
	if (!o.uid_cnt && sudo && sscanf(sudo, "%u", &caller) == 1 && caller) {
		o.uids = &caller;
		o.uid_cnt = 1;
	}
	o.every_uid = !o.uid_cnt;
	if (mf_dev_servers_start(b->base, &o, &b->dev, &err) < 0)
		fprintf(stderr, "moonfence: no development servers are looked for: %s\n", err.msg);
}

/* --- questions of the host's programs ---------------------------------------------------------------------------------------- */

/* A door for each resolver, of its family; more resolvers than doors are left alone. Return: how many are led */
static size_t give_doors(const struct broker *b, struct mf_host_redirect_dns *ret,
			 struct mf_strbuf *doors)
{
	const struct mf_proxy_start *s = b->s;
	size_t next[2] = { 0, MF_PROXY_DNS_MAX / 2 }, ends[2] = { next[1], s->dns_cnt }, cnt = 0;
	char text[MF_ADDR_TEXT_MAX];

	for (size_t i = 0; i < b->resolvers.cnt; i++) {
		const struct mf_addr *addr = &b->resolvers.at[i].addr;
		unsigned six = addr->family == 6;
		size_t door = next[six];

		if (door >= ends[six])
			continue;
		next[six]++;
		ret[cnt++] = (struct mf_host_redirect_dns){ .resolver = *addr,
							    .port = s->dns[door].at.port };
		mf_strbuf_addf(doors, "%zu %s\n", door, mf_addr_format(addr, text, sizeof(text)));
	}
	return cnt;
}

static void fill_rules(const struct mf_proxy_start *s, struct mf_host_redirect_options *o)
{
	*o = (struct mf_host_redirect_options){ .exempt_uid = s->uid,
						.uids = s->for_uids,
						.uid_cnt = s->wishes->for_user_cnt,
						.http = s->wishes->http };
	for (size_t i = 0; i < s->fd_cnt; i++)
		*(s->listeners[i].addr.family == 4 ? &o->port4 : &o->port6) = s->listeners[i].port;
}

static void tell_doors(struct broker *b, const char *detail, const struct mf_strbuf *doors)
{
	struct mf_strbuf text = MF_STRBUF_INIT(MESSAGE_MAX);

	mf_strbuf_addf(&text, "U%c%s\n", b->dns_on ? '+' : '-', detail);
	if (b->dns_on && doors->str)
		mf_strbuf_adds(&text, doors->str);
	if (!text.failed)
		(void)send(b->s->broker_fd, text.str, text.len, MSG_NOSIGNAL);
	mf_strbuf_done(&text);
}

/* Rules with the questions; where nftables has something against those, without. Return: 0, MF_E_* of the rules without */
static int apply_rules(struct broker *b, struct mf_err *err)
{
	struct mf_host_redirect_dns dns[MF_PROXY_RESOLVERS_MAX];
	struct mf_strbuf doors = MF_STRBUF_INIT(MESSAGE_MAX);
	const char *detail = "the host's questions are answered on their way to its resolvers";
	struct mf_host_redirect_options o;
	int r = MF_E_NOENT;

	fill_rules(b->s, &o);
	o.dns = dns;
	o.dns_cnt = give_doors(b, dns, &doors);
	b->dns_on = o.dns_cnt && !doors.failed;
	if (!b->dns_on)
		detail = b->s->wishes->no_dns ? "not wanted" : "no resolver in /etc/resolv.conf";
	else
		r = b->rules ? mf_host_redirect_change(b->rules, &o, err)
			     : mf_host_redirect_open(&o, &b->rules, err);
	if (r < 0) {
		if (b->dns_on)
			detail = "nftables refuses to redirect questions";
		b->dns_on = false;
		o.dns_cnt = 0;
		r = b->rules ? mf_host_redirect_change(b->rules, &o, err)
			     : mf_host_redirect_open(&o, &b->rules, err);
	}
	tell_doors(b, detail, &doors);
	mf_strbuf_done(&doors);
	return r;
}

/* Multicast DNS has these: where a system does that, the hosts file is the only place before it. */
static bool is_multicast(const char *name)
{
	static const char local[] = ".local";
	size_t len = strlen(name), own = sizeof(local) - 1;

	return len > own && strcmp(name + len - own, local) == 0;
}

/* Into the hosts file: all of them, or with a DNS path those that it does not help. */
static void write_names(struct broker *b)
{
	static const char *names[MF_HOSTS_BLOCK_MAX];
	char *text = b->names ? strdup(b->names) : NULL, *save;
	struct mf_err err;
	size_t cnt = 0;

	if (!b->s->wishes->no_hosts && text && b->rules) {
		for (char *name = strtok_r(text, "\n", &save); name && cnt < MF_HOSTS_BLOCK_MAX;
		     name = strtok_r(NULL, "\n", &save))
			if (!b->dns_on || is_multicast(name))
				names[cnt++] = name;
		b->named = true;
		if (mf_hosts_block_write(hosts_path(b->s), names, cnt, &err) < 0)
			fprintf(stderr, "moonfence: %s\n", err.msg);
	}
	free(text);
}

static void keep_names(struct broker *b, const char *text)
{
	free(b->names);
	b->names = strdup(text);
	write_names(b);
}

/* Whoever manages this host's network may have changed whom its programs ask. */
static void on_resolvers(evutil_socket_t fd, short what, void *ctx)
{
	struct broker *b = ctx;
	struct mf_err err;

	(void)fd;
	(void)what;
	if (!b->rules || b->s->wishes->no_dns || !mf_proxy_resolvers_read(&b->resolvers))
		return;
	if (apply_rules(b, &err) < 0)
		tell_health(b, false, err.msg);
	write_names(b);
}

/* --- the authority -------------------------------------------------------------------------------------------------------- */

static void on_authority(void *ctx, const char *why)
{
	struct broker *b = ctx;
	char *key = NULL, letter[] = "K";
	int len = why ? 0 : mf_tls_authority_export(b->s->authority, &key);
	struct iovec parts[] = { { .iov_base = letter, .iov_len = 1 },
				 { .iov_base = key, .iov_len = len > 0 ? (size_t)len : 0 } };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };

	/* a temporary one has no directory, yet */
	if (why && !b->s->temporary)
		fprintf(stderr, "moonfence: the authority stays as it is: %s\n", why);
	if (key && sendmsg(b->s->broker_fd, &m, MSG_NOSIGNAL) < 0)
		fprintf(stderr, "moonfence: the new authority was lost: %s\n", strerror(errno));
	if (key)
		OPENSSL_clear_free(key, (size_t)len);
	b->s->temporary &= why != NULL;
}

static void watch_authority(struct broker *b)
{
	b->watch = (struct mf_authority_watch){ .authority = b->s->authority,
						.path = b->s->wishes->places.authority,
						.changed = on_authority,
						.ctx = b };
	if (mf_authority_watch_start(&b->watch, b->base) < 0)
		fprintf(stderr, "moonfence: whether the authority changes is not looked at\n");
}

/* --- the beginning -------------------------------------------------------------------------------------------------------- */

static void load_rules(struct broker *b)
{
	int r;

	if (!b->s->wishes->no_dns)
		(void)mf_proxy_resolvers_read(&b->resolvers);
	r = b->rules ? 0 : apply_rules(b, b->err);
	if (r < 0) {
		fail(b, r);
		return;
	}
	write_names(b);
	tell_health(b, true,
		    mf_host_redirect_is_owned(b->rules)
			    ? "loaded; the kernel removes them with the service"
			    : "loaded");
	if (mf_proxy_start_say(b->s) < 0)
		fail(b, mf_err_set(b->err, MF_E_CLOSED, "nobody waits for the start any more"));
	mf_proxy_start_detach(b->s);
	watch_authority(b);
	detect(b);
}

static void on_message(evutil_socket_t fd, short what, void *ctx)
{
	struct broker *b = ctx;
	ssize_t n = recv(fd, b->buf, MESSAGE_MAX, MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* the service has closed its end: it is ending */
		event_base_loopbreak(b->base);
		return;
	}
	b->buf[n] = '\0';
	if (b->buf[0] == 'R')
		load_rules(b);
	else if (b->buf[0] == 'N')
		keep_names(b, b->buf + 1);
}

static void on_child(evutil_socket_t fd, short what, void *ctx)
{
	struct broker *b = ctx;

	(void)fd;
	(void)what;
	if (waitpid(b->child, &b->status, WNOHANG) != b->child)
		return;
	b->gone = true;
	event_base_loopbreak(b->base);
}

static void on_signal(evutil_socket_t fd, short what, void *ctx)
{
	struct broker *b = ctx;

	(void)fd;
	(void)what;
	event_base_loopbreak(b->base);
}

static int keep(struct broker *b)
{
	static const struct timeval often = { RESOLVERS_S, 0 };
	struct event *evs[4];
	unsigned made = 0;

	b->base = event_base_new();
	if (!b->base)
		return mf_err_set(b->err, MF_E_NOMEM, "cannot make an event loop");
	evs[0] = event_new(b->base, b->s->broker_fd, EV_READ | EV_PERSIST, on_message, b);
	evs[1] = evsignal_new(b->base, SIGCHLD, on_child, b);
	evs[2] = evsignal_new(b->base, SIGTERM, on_signal, b);
	evs[3] = evsignal_new(b->base, SIGINT, on_signal, b);
	b->resolvers_ev = event_new(b->base, -1, EV_PERSIST, on_resolvers, b);
	for (unsigned i = 0; i < 4; i++)
		made += evs[i] && event_add(evs[i], NULL) == 0;
	made += b->resolvers_ev && event_add(b->resolvers_ev, &often) == 0;
	on_child(-1, 0, b); /* it may have ended before we looked */
	if (made == 5 && !b->gone)
		event_base_dispatch(b->base);
	mf_dev_servers_stop(b->dev);
	mf_authority_watch_stop(&b->watch);
	for (unsigned i = 0; i < 4; i++)
		if (evs[i])
			event_free(evs[i]);
	if (b->resolvers_ev)
		event_free(b->resolvers_ev);
	event_base_free(b->base);
	return made == 5 ? 0 : mf_err_set(b->err, MF_E_NOMEM, "cannot make an event loop");
}

/* What connection tracking remembers leads there even without rules; who still waits is served by the service before it ends. */
static void forget_questions(const struct mf_proxy_start *s, bool answered)
{
	uint16_t ports[MF_PROXY_DNS_MAX];

	for (size_t i = 0; i < s->dns_cnt; i++)
		ports[i] = s->dns[i].at.port;
	mf_host_flows_forget(ports, s->dns_cnt, answered);
}

/* Rules first: from then on new connections go where they want, whatever the service still does. */
static void clean_up(struct broker *b)
{
	struct mf_err err;

	mf_host_redirect_stop(b->rules);
	forget_questions(b->s, true);
	if (b->named && mf_hosts_block_write(hosts_path(b->s), NULL, 0, &err) < 0)
		fprintf(stderr, "moonfence: %s\n", err.msg);
	close(b->s->broker_fd);
	if (!b->gone)
		(void)kill(b->child, SIGTERM);
	for (unsigned ms = 0; !b->gone && ms < STOP_WAIT_MS; ms += 10) {
		b->gone = waitpid(b->child, &b->status, WNOHANG) == b->child;
		if (!b->gone)
			usleep(10000);
	}
	if (b->gone)
		return;
	(void)kill(b->child, SIGKILL);
	(void)waitpid(b->child, &b->status, 0);
}

/* The service's own error was printed by it. */
_Noreturn static void be_service(struct mf_proxy_start *s)
{
	struct mf_err err = { 0 };
	char text[1100];
	int r;

	if (s->ready_fd >= 0)
		close(s->ready_fd);
	s->ready_fd = -1;
	r = mf_proxy_start_service(s, &err);
	if (r < 0)
		fprintf(stderr, "moonfence: %s\n", mf_err_format(&err, text, sizeof(text)));
	fflush(NULL);
	_exit(r < 0 ? MF_EXIT_FAULT : MF_EXIT_GOOD);
}

/* What the service has is not needed here, and must not outlive it. */
static void forget_sockets(struct mf_proxy_start *s)
{
	for (size_t i = 0; i < s->fd_cnt; i++) {
		close(s->fds[i]);
		s->fds[i] = -1;
	}
	for (size_t i = 0; i < s->dns_cnt; i++) {
		close(s->dns[i].udp);
		close(s->dns[i].tcp);
		s->dns[i].udp = s->dns[i].tcp = -1;
	}
	close(s->control_fd);
}

int mf_proxy_broker_run(struct mf_proxy_start *s, struct mf_err *err)
{
	struct broker b = { .s = s, .err = err, .gone_word = "D-", .there_word = "D+" };
	int pair[2], r;

	/* lines that an earlier service left when it was killed */
	if (!s->wishes->no_hosts && mf_hosts_block_write(hosts_path(s), NULL, 0, err) < 0)
		return MF_E_IO;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return mf_err_set(err, MF_E_IO, "no socket pair: %s", strerror(errno));
	fflush(NULL);
	b.child = fork();
	if (b.child < 0)
		return mf_err_set(err, MF_E_IO, "cannot fork: %s", strerror(errno));
	s->broker_fd = pair[b.child ? 0 : 1];
	close(pair[b.child ? 1 : 0]);
	if (!b.child)
		be_service(s);
	forget_sockets(s);
	b.buf = malloc(MESSAGE_MAX + 1);
	r = b.buf ? keep(&b) : mf_err_set(err, MF_E_NOMEM, "no memory for the broker");
	clean_up(&b);
	mf_host_redirect_close(b.rules);
	forget_questions(s, false);
	free(b.buf);
	free(b.names);
	if (r == 0)
		r = b.result;
	if (r == 0 && (!WIFEXITED(b.status) || WEXITSTATUS(b.status)))
		r = mf_err_set(err, MF_E_CLOSED,
			       WIFSIGNALED(b.status) ? "the service was killed by signal %d"
						     : "the service could not go on (%d)",
			       WIFSIGNALED(b.status) ? WTERMSIG(b.status) : WEXITSTATUS(b.status));
	return r;
}
