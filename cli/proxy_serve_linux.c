/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_serve_linux.c - starting the service of "moonfence proxy": listeners, authority, background; as root a broker
 *
 * Without privileges there is one process. As root, and unless --listen was given, there are two: the service, which runs as a
 * user of its own, and before it the broker (proxy_broker_linux.c), which keeps the rules and the hosts file and removes
 * both when either of them ends.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "capture/host_redirect.h"
#include "cli/commands.h"
#include "cli/proxy_int.h"
#include "cli/proxy_serve_linux.h"
#include "proxies/dns_listen.h"
#include "proxies/sock.h"
#include "proxies/tls_authority.h"

#define DEFAULT_USER "moonfence"
#define BACKLOG	     1024
#define DESCRIPTORS  262144 /* as root, where nobody has said otherwise */

int mf_proxy_pid(void)
{
	return (int)getpid();
}

/* --- directories, the lock, the control socket ------------------------------------------------------------------------- */

/* @path and what leads there; only the last one gets the mode and the owner. */
static int make_dir(const char *path, mode_t mode, uid_t uid, gid_t gid, struct mf_err *err)
{
	char text[MF_PATH_MAX];
	struct stat st;

	snprintf(text, sizeof(text), "%s", path);
	for (char *p = text + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		(void)mkdir(text, 0755);
		*p = '/';
	}
	if (mkdir(text, mode) < 0 && errno != EEXIST)
		return mf_err_set(err, MF_E_IO, "cannot make %s: %s", path, strerror(errno));
	if (lstat(text, &st) < 0 || !S_ISDIR(st.st_mode))
		return mf_err_set(err, MF_E_IO, "%s is no directory", path);
	if (geteuid() == 0 && st.st_uid != uid && chown(text, uid, gid) < 0)
		return mf_err_set(err, MF_E_IO, "cannot give %s away: %s", path, strerror(errno));
	return 0;
}

static int make_dirs(struct mf_proxy_start *s, struct mf_err *err)
{
	const struct mf_proxy_places *p = &s->wishes->places;
	/* the service writes its settings itself */
	uid_t uid = s->brokered ? s->uid : geteuid();
	gid_t gid = s->brokered ? s->gid : getegid();
	int r;

	if (strcmp(p->dir, p->state) == 0)
		return make_dir(p->dir, 0700, uid, gid, err);
	r = make_dir(p->dir, geteuid() == 0 ? 0755 : 0700, geteuid(), getegid(), err);
	return r == 0 ? make_dir(p->state, 0700, uid, gid, err) : r;
}

/* One service for each directory: held while it runs. */
static int take_lock(struct mf_proxy_start *s, struct mf_err *err)
{
	char path[MF_PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/proxy.lock", s->wishes->places.dir);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return mf_err_set(err, MF_E_IO, "cannot open %s: %s", path, strerror(errno));
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return mf_err_set(err, MF_E_EXIST, "another service is starting or ending in %s",
			  s->wishes->places.dir);
}

static int open_control(struct mf_proxy_start *s, struct mf_err *err)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	mode_t old;
	int r;

	strcpy(at.sun_path, s->wishes->places.socket);
	s->control_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->control_fd < 0)
		return mf_err_set(err, MF_E_IO, "no control socket: %s", strerror(errno));
	(void)unlink(at.sun_path); /* nobody serves it: we have the lock */
	old = umask(0177);
	r = bind(s->control_fd, (struct sockaddr *)&at, sizeof(at));
	umask(old);
	if (r < 0 || listen(s->control_fd, 16) < 0)
		return mf_err_set(err, MF_E_IO, "cannot listen on %s: %s", at.sun_path,
				  strerror(errno));
	return 0;
}

/* --- listeners and users ---------------------------------------------------------------------------------------------- */

static int add_listener(struct mf_proxy_start *s, const char *addr, const struct mf_endpoint *at,
			struct mf_err *err)
{
	struct mf_endpoint any = { .port = 0 };
	int fd;

	if (!at)
		(void)mf_addr_parse(addr, strlen(addr), &any.addr);
	fd = mf_sock_listen(at ? at : &any, true, BACKLOG);
	if (fd < 0) {
		char text[MF_ENDPOINT_TEXT_MAX];

		return mf_err_set(err, MF_E_IO, "cannot listen on %s: %s",
				  mf_endpoint_format(at ? at : &any, text, sizeof(text)),
				  mf_sock_error_text(mf_sock_last_error()));
	}
	(void)mf_sock_local(fd, &s->listeners[s->fd_cnt]);
	s->fds[s->fd_cnt++] = fd;
	return 0;
}

static int open_listeners(struct mf_proxy_start *s, struct mf_err *err)
{
	int r;

	if (!s->brokered)
		return add_listener(s, NULL, &s->wishes->listen, err);
	r = add_listener(s, "127.0.0.1", NULL, err);
	if (r == 0)
		(void)add_listener(s, "::1", NULL, NULL); /* where there is IPv6 */
	return r;
}

/* Doors that nobody can be led to are not made. */
static int open_dns(struct mf_proxy_start *s, struct mf_err *err)
{
	const struct mf_proxy_wishes *w = s->wishes;
	size_t cnt =
		s->brokered ? w->no_dns ? 0 : MF_PROXY_DNS_MAX : w->dns_listen.addr.family != 0;

	for (size_t i = 0; i < cnt; i++) {
		struct mf_proxy_dns *d = &s->dns[i];
		const char *addr = i < MF_PROXY_DNS_MAX / 2 ? "127.0.0.1" : "::1", *failed;

		*d = (struct mf_proxy_dns){ .at = w->dns_listen, .udp = -1, .tcp = -1 };
		s->dns_cnt++;
		if (s->brokered)
			(void)mf_addr_parse(addr, strlen(addr), &d->at.addr);
		if (mf_dns_listen_bind(&d->at, BACKLOG, &d->udp, &d->tcp, &failed) < 0) {
			const char *why = mf_sock_error_text(mf_sock_last_error());
			char text[MF_ENDPOINT_TEXT_MAX];

			if (s->brokered && d->at.addr.family == 6) {
				s->dns_cnt--; /* there is no IPv6 */
				return 0;
			}
			return mf_err_set(err, MF_E_IO, "cannot listen on %s by %s: %s",
					  mf_endpoint_format(&d->at, text, sizeof(text)), failed,
					  why);
		}
	}
	return 0;
}

static int find_user(const char *name, uid_t *uid, gid_t *gid, struct mf_err *err)
{
	const struct passwd *pw = getpwnam(name);
	char *end;
	long number = strtol(name, &end, 10);

	if (pw) {
		*uid = pw->pw_uid;
		*gid = pw->pw_gid;
		return 0;
	}
	if (*end || end == name || number < 0 || number > INT32_MAX)
		return mf_err_set(err, MF_E_NOENT, "there is no user '%s'%s", name,
				  strcmp(name, DEFAULT_USER) == 0
					  ? ": 'moonfence proxy setup' makes it"
					  : "");
	*uid = (uid_t)number;
	*gid = (gid_t)number;
	return 0;
}

static int find_users(struct mf_proxy_start *s, struct mf_err *err)
{
	const struct mf_proxy_wishes *w = s->wishes;
	gid_t unused;
	int r = find_user(w->user ? w->user : DEFAULT_USER, &s->uid, &s->gid, err);

	if (r == 0 && s->uid == 0)
		r = mf_err_set(err, MF_E_INVAL,
			       "the service must not run as root: its own "
			       "connections are known by its user");
	for (size_t i = 0; i < w->for_user_cnt && r == 0; i++)
		r = find_user(w->for_users[i], &s->for_uids[i], &unused, err);
	return r;
}

/* For good. */
static int drop_privileges(const struct mf_proxy_start *s, struct mf_err *err)
{
	if (setgroups(0, NULL) < 0 || setresgid(s->gid, s->gid, s->gid) < 0 ||
	    setresuid(s->uid, s->uid, s->uid) < 0 || setresuid(0, 0, 0) == 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return mf_err_set(err, MF_E_PERM, "cannot become user %u: %s", (unsigned)s->uid,
				  strerror(errno));
	return 0;
}

/* --- the authority ---------------------------------------------------------------------------------------------------- */

static int write_temporary(struct mf_proxy_start *s, struct mf_err *err)
{
	char path[MF_PATH_MAX + 32];
	FILE *f;

	snprintf(path, sizeof(path), "%s/temporary-ca.pem", s->wishes->places.dir);
	(void)unlink(path);
	f = fopen(path, "wxe");
	if (!f || fputs(mf_tls_authority_pem(s->authority), f) == EOF || fclose(f) != 0)
		return mf_err_set(err, MF_E_IO, "cannot write %s: %s", path, strerror(errno));
	return 0;
}

static int open_authority(struct mf_proxy_start *s, struct mf_err *err)
{
	int r = mf_tls_authority_open(s->wishes->places.authority, &s->authority, err);

	if (r != MF_E_NOENT)
		return r;
	s->temporary = true;
	r = mf_tls_authority_new("domain forwarding", &s->authority, err);
	return r == 0 ? write_temporary(s, err) : r;
}

/* --- the service ------------------------------------------------------------------------------------------------------ */

static void on_stop(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(ctx);
}

static void fill_options(struct mf_proxy_start *s, struct mf_proxy_service_options *o)
{
	*o = (struct mf_proxy_service_options){ .wishes = s->wishes,
						.host = &s->host,
						.fd_cnt = s->fd_cnt,
						.control_fd = s->control_fd,
						.authority = s->authority,
						.authority_is_temporary = s->temporary,
						.is_brokered = s->brokered };
	memcpy(o->fds, s->fds, sizeof(o->fds));
	memcpy(o->dns, s->dns, sizeof(o->dns));
	o->dns_cnt = s->dns_cnt;
	if (!s->brokered)
		return;
	o->find_original = mf_host_redirect_find_original;
	o->names_changed = mf_proxy_broker_tell_names;
	o->ctx = s;
}

/* Of --dns-listen: whoever is asked, it is not us. */
static void look_at_resolvers(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_proxy_start *s = ctx;
	const struct mf_proxy_wishes *w = s->wishes;
	struct mf_endpoint others[MF_PROXY_RESOLVERS_MAX];
	const struct mf_endpoint *from = w->dns_server_cnt ? w->dns_servers : s->resolvers.at;
	bool changed = mf_proxy_resolvers_read(&s->resolvers);
	size_t all = w->dns_server_cnt ? w->dns_server_cnt : s->resolvers.cnt, cnt = 0;

	(void)fd;
	if (what && (!changed || w->dns_server_cnt))
		return;
	for (size_t i = 0; i < all; i++)
		if (from[i].port != s->dns[0].at.port ||
		    !mf_addr_eq(&from[i].addr, &s->dns[0].at.addr))
			others[cnt++] = from[i];
	mf_proxy_service_lead_dns(s->service, 0, others, cnt);
	mf_proxy_service_say_dns(s->service, cnt != 0,
				 cnt ? "for whoever asks the listener"
				     : "the system's resolvers are none but the listener: name "
				       "another with --dns");
}

static int watch_resolvers(struct mf_proxy_start *s, struct event_base *base, struct mf_err *err)
{
	static const struct timeval often = { 2, 0 };

	if (s->brokered || !s->dns_cnt)
		return 0;
	look_at_resolvers(-1, 0, s);
	s->resolvers_ev = event_new(base, -1, EV_PERSIST, look_at_resolvers, s);
	return s->resolvers_ev && event_add(s->resolvers_ev, &often) == 0
		       ? 0
		       : mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
}

static void on_authority(void *ctx, const char *why)
{
	struct mf_proxy_start *s = ctx;

	if (!why) {
		s->temporary = false;
		mf_proxy_service_new_authority(s->service);
	} else if (!s->temporary) {
		fprintf(stderr, "moonfence: the authority stays as it is: %s\n", why);
	}
}

/* Who has a broker hears of it there. */
static int watch_authority(struct mf_proxy_start *s, struct event_base *base, struct mf_err *err)
{
	s->watch = (struct mf_authority_watch){ .authority = s->authority,
						.path = s->wishes->places.authority,
						.changed = on_authority,
						.ctx = s };
	return s->brokered || mf_authority_watch_start(&s->watch, base) == 0
		       ? 0
		       : mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
}

static int run_service(struct mf_proxy_start *s, struct mf_err *err)
{
	struct mf_proxy_service_options o;
	struct mf_proxy_service *service;
	struct event *ends[2];
	struct event_base *base;
	int r;

	if (mf_sock_start() < 0)
		return mf_err_set(err, MF_E_UNSUPPORTED, "this system has no sockets");
	base = event_base_new();
	if (!base)
		return mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
	ends[0] = evsignal_new(base, SIGTERM, on_stop, base);
	ends[1] = evsignal_new(base, SIGINT, on_stop, base);
	fill_options(s, &o);
	r = mf_proxy_service_new(base, &o, &service, err);
	for (size_t i = 0; i < s->dns_cnt; i++)
		s->dns[i].udp = s->dns[i].tcp = -1; /* the service's */
	if (r == 0 && ends[0] && ends[1]) {
		event_add(ends[0], NULL);
		event_add(ends[1], NULL);
		s->service = service;
		r = mf_proxy_service_listen_to_broker(s, base, err);
		if (r == 0)
			r = watch_resolvers(s, base, err);
		if (r == 0)
			r = watch_authority(s, base, err);
		if (r == 0)
			mf_proxy_service_be_session(service);
		if (r == 0)
			r = mf_proxy_start_ready(s, err);
		if (r == 0)
			event_base_dispatch(base);
		mf_proxy_broker_part(s);
		mf_proxy_service_finish_dns(service);
		mf_authority_watch_stop(&s->watch);
		if (s->resolvers_ev)
			event_free(s->resolvers_ev);
		mf_proxy_service_stop_listening(s);
		mf_proxy_service_free(service);
	}
	for (unsigned i = 0; i < 2; i++)
		if (ends[i])
			event_free(ends[i]);
	event_base_free(base);
	return r;
}

int mf_proxy_start_service(struct mf_proxy_start *s, struct mf_err *err)
{
	int r;

	mf_proxy_host_begin(&s->host, s->wishes);
	r = s->brokered ? drop_privileges(s, err) : 0;
	if (r == 0)
		r = run_service(s, err);
	mf_policy_host_close_events(&s->host); /* of a service that was never made */
	return r;
}

/* --- in the background ------------------------------------------------------------------------------------------------ */

static void describe(const struct mf_proxy_start *s, char *text, size_t size)
{
	char at[2][MF_ENDPOINT_TEXT_MAX] = { "", "" };

	for (size_t i = 0; i < s->fd_cnt; i++)
		mf_endpoint_format(&s->listeners[i], at[i], sizeof(at[i]));
	snprintf(text, size, "%s%s%s%s\n",
		 s->brokered ? "Forwarding this host's connections, by " : "Listening on ", at[0],
		 at[1][0] ? " and " : "", at[1]);
}

/* Whoever waits for the start is told that it is done: the caller of "enable", or who reads our output. */
int mf_proxy_start_say(struct mf_proxy_start *s)
{
	char text[256];

	describe(s, text, sizeof(text));
	if (s->ready_fd >= 0) {
		ssize_t n = write(s->ready_fd, text, strlen(text));

		close(s->ready_fd);
		s->ready_fd = -1;
		return n > 0 ? 0 : MF_E_CLOSED;
	}
	fputs(text, stdout);
	if (s->temporary)
		printf("There is no local authority: certificates are signed by a temporary one, "
		       "%s/temporary-ca.pem\n",
		       s->wishes->places.dir);
	return fflush(stdout) == 0 ? 0 : MF_E_CLOSED;
}

static int set_up(struct mf_proxy_start *s, struct mf_err *err)
{
	int r = s->brokered ? find_users(s, err) : 0;

	if (r == 0)
		r = make_dirs(s, err);
	if (r == 0)
		r = take_lock(s, err);
	if (r == 0)
		r = open_listeners(s, err);
	if (r == 0)
		r = open_dns(s, err);
	if (r == 0)
		r = open_authority(s, err);
	return r == 0 ? open_control(s, err) : r;
}

static void tear_down(struct mf_proxy_start *s)
{
	for (size_t i = 0; i < s->fd_cnt; i++)
		if (s->fds[i] >= 0)
			close(s->fds[i]);
	for (size_t i = 0; i < s->dns_cnt; i++) {
		if (s->dns[i].udp >= 0)
			close(s->dns[i].udp);
		if (s->dns[i].tcp >= 0)
			close(s->dns[i].tcp);
	}
	mf_tls_authority_free(s->authority);
	if (s->lock_fd < 0)
		return;
	if (s->control_fd >= 0)
		(void)unlink(s->wishes->places.socket);
	close(s->lock_fd);
}

/* Return: an exit status */
static int serve_here(struct mf_proxy_start *s)
{
	struct mf_err err = { 0 };
	char text[1100];
	int r = set_up(s, &err);

	if (r == 0)
		r = s->brokered ? mf_proxy_broker_run(s, &err) : mf_proxy_start_service(s, &err);
	tear_down(s);
	if (r < 0)
		fprintf(stderr, "moonfence: %s\n", mf_err_format(&err, text, sizeof(text)));
	return r < 0 ? MF_EXIT_FAULT : MF_EXIT_GOOD;
}

/* The caller waits for a line on the pipe; before it everything that is said goes to the caller's own stderr. */
static int wait_for_start(int fd, pid_t child)
{
	char text[256];
	ssize_t n;

	do
		n = read(fd, text, sizeof(text) - 1);
	while (n < 0 && errno == EINTR);
	close(fd);
	if (n <= 0)
		return MF_EXIT_FAULT; /* it has said why */
	text[n] = '\0';
	fputs(text, stdout);
	printf("The service is process %d; 'moonfence proxy disable' ends it.\n", (int)child);
	return MF_EXIT_GOOD;
}

/* From here on nobody reads what is printed: it goes to a log. */
void mf_proxy_start_detach(const struct mf_proxy_start *s)
{
	char path[MF_PATH_MAX + 32];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), log;

	if (s->wishes->foreground)
		return;
	snprintf(path, sizeof(path), "%s/proxy.log", s->wishes->places.dir);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(log >= 0 ? log : null, STDERR_FILENO);
	if (log > STDERR_FILENO)
		close(log);
	if (null > STDERR_FILENO)
		close(null);
}

/* Two descriptors for each connection: the usual soft limit of 1,024 would be reached before any of ours. */
static void raise_limits(void)
{
	struct rlimit now, wish = { DESCRIPTORS, DESCRIPTORS };

	if (getrlimit(RLIMIT_NOFILE, &now) < 0)
		return;
	if (now.rlim_max >= wish.rlim_max || setrlimit(RLIMIT_NOFILE, &wish) < 0) {
		now.rlim_cur = now.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &now);
	}
}

int mf_proxy_serve(const struct mf_proxy_wishes *w)
{
	static struct mf_proxy_start s;
	int ready[2];
	pid_t child;

	s = (struct mf_proxy_start){ .wishes = w,
				     .brokered = !w->listen.addr.family,
				     .ready_fd = -1,
				     .lock_fd = -1,
				     .control_fd = -1,
				     .broker_fd = -1 };
	if (s.brokered && geteuid() != 0) {
		fprintf(stderr, "moonfence: redirecting connections needs root; without, give "
				"--listen ADDR:PORT\n");
		return MF_EXIT_FAULT;
	}
	raise_limits();
	if (w->foreground)
		return serve_here(&s);
	if (pipe2(ready, O_CLOEXEC) < 0 || (child = fork()) < 0) {
		fprintf(stderr, "moonfence: cannot go to the background: %s\n", strerror(errno));
		return MF_EXIT_FAULT;
	}
	if (child) {
		close(ready[1]);
		return wait_for_start(ready[0], child);
	}
	close(ready[0]);
	(void)setsid();
	s.ready_fd = ready[1];
	return serve_here(&s);
}
