/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_broker_linux.c - the privileged process beside the service: rules and hosts file, and nothing else
 *
 * Between the two is a socket pair with packets. The service says 'R' (ready: redirect now) and 'N' with the names that
 * should lead here, one a line. The broker says 'H' with '+' or '-' and a
 * sentence: how the rules are; and 'D' with '+' or '-' and JSON: a development server, which only the broker can see the
 * owner and the project of, where it is another user's. When one ends, the other sees the end of the pair, or of its child,
 * and ends as well; on both ways rules and names go.
 *
 * The service speaks for whoever broke into it: the broker takes at most so many names, writes only canonical ones, and only with
 * loopback addresses.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/host_redirect.h"
#include "cli/commands.h"
#include "cli/hosts_block.h"
#include "cli/proxy_serve_linux.h"
#include "core/base/strbuf.h"
#include "core/names/canonical.h"
#include "proxies/dev_servers.h"

enum {
	MESSAGE_MAX = 160 * 1024,
	STOP_WAIT_MS = 10000, /* a service that does not end by itself is killed */
};

struct broker {
	struct mf_proxy_start *s;
	struct event_base *base;
	struct mf_host_redirect *rules;
	pid_t child;
	int status;
	bool gone; /* the child was waited for */
	bool named;
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

/* --- rules and names ------------------------------------------------------------------------------------------------------ */

static void load_rules(struct broker *b)
{
	const struct mf_proxy_start *s = b->s;
	struct mf_host_redirect_options o = { .exempt_uid = s->uid,
					      .uids = s->for_uids,
					      .uid_cnt = s->wishes->for_user_cnt,
					      .http = s->wishes->http };
	int r;

	for (size_t i = 0; i < s->fd_cnt; i++)
		*(s->listeners[i].addr.family == 4 ? &o.port4 : &o.port6) = s->listeners[i].port;
	r = b->rules ? 0 : mf_host_redirect_open(&o, &b->rules, b->err);
	if (r < 0) {
		fail(b, r);
		return;
	}
	tell_health(b, true,
		    mf_host_redirect_is_owned(b->rules)
			    ? "loaded; the kernel removes them with the service"
			    : "loaded");
	if (mf_proxy_start_say(b->s) < 0)
		fail(b, mf_err_set(b->err, MF_E_CLOSED, "nobody waits for the start any more"));
	mf_proxy_start_detach(b->s);
	detect(b);
}

static void write_names(struct broker *b, char *text)
{
	static const char *names[MF_HOSTS_BLOCK_MAX];
	struct mf_err err;
	size_t cnt = 0;

	if (b->s->wishes->no_hosts)
		return;
	for (char *save, *name = strtok_r(text, "\n", &save); name && cnt < MF_HOSTS_BLOCK_MAX;
	     name = strtok_r(NULL, "\n", &save))
		names[cnt++] = name;
	b->named = true;
	if (mf_hosts_block_write(hosts_path(b->s), names, cnt, &err) < 0)
		fprintf(stderr, "moonfence: %s\n", err.msg);
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
		write_names(b, b->buf + 1);
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
	struct event *evs[4];
	unsigned made = 0;

	b->base = event_base_new();
	if (!b->base)
		return mf_err_set(b->err, MF_E_NOMEM, "cannot make an event loop");
	evs[0] = event_new(b->base, b->s->broker_fd, EV_READ | EV_PERSIST, on_message, b);
	evs[1] = evsignal_new(b->base, SIGCHLD, on_child, b);
	evs[2] = evsignal_new(b->base, SIGTERM, on_signal, b);
	evs[3] = evsignal_new(b->base, SIGINT, on_signal, b);
	for (unsigned i = 0; i < 4; i++)
		made += evs[i] && event_add(evs[i], NULL) == 0;
	on_child(-1, 0, b); /* it may have ended before we looked */
	if (made == 4 && !b->gone)
		event_base_dispatch(b->base);
	mf_dev_servers_stop(b->dev);
	for (unsigned i = 0; i < 4; i++)
		if (evs[i])
			event_free(evs[i]);
	event_base_free(b->base);
	return made == 4 ? 0 : mf_err_set(b->err, MF_E_NOMEM, "cannot make an event loop");
}

/* Rules first: from then on new connections go where they want, whatever the service still does. */
static void clean_up(struct broker *b)
{
	struct mf_err err;

	mf_host_redirect_close(b->rules);
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
	free(b.buf);
	if (r == 0)
		r = b.result;
	if (r == 0 && (!WIFEXITED(b.status) || WEXITSTATUS(b.status)))
		r = mf_err_set(err, MF_E_CLOSED,
			       WIFSIGNALED(b.status) ? "the service was killed by signal %d"
						     : "the service could not go on (%d)",
			       WIFSIGNALED(b.status) ? WTERMSIG(b.status) : WEXITSTATUS(b.status));
	return r;
}

/* --- the service's side ---------------------------------------------------------------------------------------------------- */

void mf_proxy_broker_tell_names(void *start, const char *const *names, size_t cnt)
{
	const struct mf_proxy_start *s = start;
	struct mf_strbuf text = MF_STRBUF_INIT(MESSAGE_MAX);

	mf_strbuf_addc(&text, 'N');
	for (size_t i = 0; i < cnt && text.len + MF_NAME_ROOM < MESSAGE_MAX; i++) {
		mf_strbuf_addf(&text, "%s\n", names[i]);
	}
	if (!text.failed && send(s->broker_fd, text.str, text.len, MSG_NOSIGNAL) < 0)
		fprintf(stderr, "moonfence: names for the hosts file were lost: %s\n",
			strerror(errno));
	mf_strbuf_done(&text);
}

int mf_proxy_start_ready(struct mf_proxy_start *s, struct mf_err *err)
{
	if (!s->brokered) {
		int r = mf_proxy_start_say(s);

		mf_proxy_start_detach(s);
		return r;
	}
	mf_proxy_start_detach(s);
	return send(s->broker_fd, "R", 1, MSG_NOSIGNAL) == 1
		       ? 0
		       : mf_err_set(err, MF_E_CLOSED, "the broker has gone");
}

static void take_server(struct mf_proxy_start *s, const char *text)
{
	json_t *server = json_loads(text + 1, 0, NULL);

	if (server)
		mf_proxy_service_change_server(s->service, text[0] == '-', server);
	json_decref(server);
}

static void on_broker(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_proxy_start *s = ctx;
	char text[16384];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		event_base_loopbreak(event_get_base(s->broker_ev));
		return;
	}
	text[n] = '\0';
	if (text[0] == 'H')
		mf_proxy_service_rules(s->service, text[1] == '+', text + 2);
	else if (text[0] == 'D')
		take_server(s, text + 1);
}

int mf_proxy_service_listen_to_broker(struct mf_proxy_start *s, struct event_base *base,
				      struct mf_err *err)
{
	if (!s->brokered)
		return 0;
	mf_proxy_service_rules(s->service, false, "not loaded yet");
	s->broker_ev = event_new(base, s->broker_fd, EV_READ | EV_PERSIST, on_broker, s);
	if (!s->broker_ev || event_add(s->broker_ev, NULL) < 0)
		return mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
	return 0;
}

void mf_proxy_service_stop_listening(struct mf_proxy_start *s)
{
	if (s->broker_ev)
		event_free(s->broker_ev);
	s->broker_ev = NULL;
}
