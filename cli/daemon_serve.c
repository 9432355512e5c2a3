/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_serve.c - moonfence daemon: policies of one host, asked and steered over a control socket
 *
 * One thread has the loop: the API, and what it asks of its VM. docs/internals/daemon.md has the whole of it.
 */
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api_http.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/daemon_config.h"
#include "cli/daemon_sessions.h"
#include "cli/daemon_trash.h"
#include "cli/notify.h"
#include "cli/output.h"
#include "cli/policy_host.h"
#include "cli/service.h"
#include "core/loop/loop_wake.h"
#include "daemon/config.h"
#include "daemon/openapi.h"
#include "daemon/routes.h"
#include "daemon/work.h"
#include "proxies/sock.h"

enum {
	SIGNALS_MAX = 3,
	STOP_MS = 5000,		  /* that open requests have, once the daemon is to stop */
	SERVICES_STOP_MS = 10000, /* that what the configuration runs has */
	STOP_LOOK_MS = 20,
	GENERATIONS_KEPT = 8, /* that can be gone back to, and the one in force */
};

enum {
	OPT_CONFIG = 1,
	OPT_SOCKET,
	OPT_POLICY,
	OPT_VAR,
	OPT_TRUST_STORE,
	OPT_SIGNING,
	OPT_EVENTS,
	OPT_EVENTS_ROTATE,
	OPT_CHECK,
	OPT_OPENAPI,
	OPT_INSTALL,
	OPT_UNINSTALL,
	OPT_SERVICE,
	OPT_VERBOSE
};

static const struct mf_option options[] = {
	{ OPT_CONFIG, 'c', "config", "FILE",
	  "moonfence.yaml (default: /etc/moonfence/moonfence.yaml, for users below ~/.config, if "
	  "it is there)" },
	{ OPT_SOCKET, 's', "socket", "PATH", "control socket, in place of api.socket" },
	{ OPT_POLICY, 'p', "policy", "PATH",
	  "policies, in place of policy.paths; may be repeated" },
	{ OPT_VAR, 0, "var", "NAME=VALUE", MF_VAR_OPTION_HELP },
	{ OPT_TRUST_STORE, 0, "trust-store", "DIR", MF_TRUST_STORE_OPTION_HELP },
	{ OPT_SIGNING, 0, "signing", "MODE", MF_SIGNING_OPTION_HELP },
	{ OPT_EVENTS, 'e', "events", "FILE", MF_EVENTS_OPTION_HELP },
	{ OPT_EVENTS_ROTATE, 0, "events-rotate", "WHEN", MF_EVENTS_ROTATE_OPTION_HELP },
	{ OPT_CHECK, 0, "check", NULL, "read the configuration, say what is wrong in it, and end" },
	{ OPT_OPENAPI, 0, "openapi", NULL, "print the API's OpenAPI document and end" },
	{ OPT_INSTALL, 0, "install", NULL,
	  "Windows: have the system start this, with --config FILE, as a service" },
	{ OPT_UNINSTALL, 0, "uninstall", NULL, "Windows: stop and remove that service" },
	{ OPT_SERVICE, 0, "service", NULL, "Windows: be it; only the service manager says this" },
	{ OPT_VERBOSE, 'v', "verbose", NULL, "log to stderr what moonfence does" },
};

static const struct mf_usage usage = {
	.name = "daemon",
	.synopsis = "[OPTION]...",
	.text = "Serves policies to this host's programs over a control socket (HTTP, /v1; "
		"moonfence ctl asks it)\n"
		"until SIGTERM or SIGINT. Tells on stdout where, when it is ready. SIGHUP reloads "
		"policies and\n"
		"its configuration, and tells which keys want a restart.\n"
		"Exit status: 0 stopped, 1 a policy's fault, 2 wrong usage or configuration, 125 "
		"it "
		"cannot begin.\n",
	.example = "  moonfence daemon --socket /run/user/1000/mf.sock --policy my.lua\n"
		   "  moonfence daemon --config moonfence.yaml --check\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct daemon {
	/* as asked for */
	struct mf_config config;
	struct mf_daemon_config again; /* when its file is read while we run */
	const char *config_path, *socket, *events, *events_rotate;
	bool check, openapi;
	int service; /* OPT_INSTALL, OPT_UNINSTALL, OPT_SERVICE; 0: none of them */
	char socket_path[MF_PATH_MAX], default_config[MF_PATH_MAX];
	/* as it runs */
	struct mf_policy_host host;
	struct event_base *base;
	struct event *signals[SIGNALS_MAX], *stopping;
	size_t signal_cnt;
	struct mf_metrics *metrics;
	struct mf_api *api;
	struct mf_routes_status *status;
	struct mf_routes_decide *decide;
	struct mf_routes_policy *policy;
	struct mf_daemon_sessions *sessions;
	struct mf_daemon_trash *trash;
	struct mf_work *work;
	struct mf_loop_wake *wake, *stop_wake;
	struct mf_listen *listen;
	struct mf_api_http *http;
	uint64_t stop_at_ns, services_stop_at_ns;
	struct mf_notify manager;
	struct event *alive;
	unsigned reloads; /* that are not over */
};

/* ---- arguments and configuration -------------------------------------------------------------------------------- */

static int take_option(struct daemon *d, int opt, const char *value)
{
	switch (opt) {
	case OPT_CONFIG:
		d->config_path = value;
		return 0;
	case OPT_SOCKET:
		d->socket = value;
		return 0;
	case OPT_POLICY:
		return mf_policy_host_add(&usage, &d->host, value);
	case OPT_VAR:
		return mf_policy_host_add_variable(&usage, &d->host, value);
	case OPT_TRUST_STORE:
		d->host.signing.trust_store = value;
		return 0;
	case OPT_SIGNING:
		return mf_policy_signing_take_mode(&usage, &d->host.signing, value);
	case OPT_EVENTS:
		d->events = value;
		return 0;
	case OPT_EVENTS_ROTATE:
		d->events_rotate = value;
		return 0;
	case OPT_CHECK:
		d->check = true;
		return 0;
	case OPT_OPENAPI:
		d->openapi = true;
		return 0;
	case OPT_INSTALL:
	case OPT_UNINSTALL:
	case OPT_SERVICE:
		d->service = opt;
		return 0;
	case OPT_VERBOSE:
		d->host.verbose = true;
		return 0;
	}
	return 0;
}

static int parse(struct daemon *d, int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(d, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt)
		return mf_options_wrong(&usage, "nothing but options is wanted: '%s'",
					o.operands[0]);
	return -1;
}

/* Which keys the command line says, so that the file does not. */
static void note_said(struct daemon *d)
{
	const struct mf_policy_signing *s = &d->host.signing;
	const struct {
		bool said;
		const char *key;
	} all[] = {
		{ d->socket != NULL, "api.socket" },
		{ d->host.policy_cnt != 0, "policy.paths" },
		{ d->host.variables.cnt != 0, "policy.variables" },
		{ s->trust_store || s->said, "policy.signing" },
		{ s->trust_store || s->said, "policy.trust_store" },
		{ d->events != NULL, "events.file" },
		{ d->events_rotate != NULL, "events.rotate" },
	};
	size_t cnt = 0;

	_Static_assert(MF_ARRAY_SIZE(all) <= MF_DAEMON_SAID_MAX, "all find room");
	for (size_t i = 0; i < MF_ARRAY_SIZE(all); i++)
		if (all[i].said)
			d->again.said[cnt++] = all[i].key;
}

static void sign_as_configured(struct daemon *d)
{
	const struct mf_config *c = &d->config;
	struct mf_policy_signing *s = &d->host.signing;

	s->may_change = d->config_path != NULL;
	if (s->trust_store || s->said)
		return;
	s->trust_store = c->trust_store;
	s->said = c->signing != NULL;
	if (c->signing)
		s->mode = mf_policy_signing_mode(c->signing);
}

/* What the command line says stands; the file fills in the rest. */
static int apply_config(struct daemon *d)
{
	const struct mf_config *c = &d->config;
	int status = 0;

	note_said(d);
	sign_as_configured(d);

	d->socket = d->socket ? d->socket : c->socket;
	d->host.events_path = d->events ? d->events : c->events_file;
	d->host.events_rotate = d->events_rotate ? d->events_rotate : c->events_rotate;
	d->host.watch = c->watch;
	d->host.workspace = c->workspace;
	if (!d->host.policy_cnt)
		for (size_t i = 0; i < c->policies.cnt && status == 0; i++)
			status = mf_policy_host_add(&usage, &d->host, c->policies.items[i]);
	if (!d->host.variables.cnt)
		for (size_t i = 0; i < c->variables.cnt && status == 0; i++)
			status = mf_policy_host_add_variable(&usage, &d->host,
							     c->variables.items[i]);
	if (status == 0 && !d->socket && !(d->socket = mf_paths_control(d->socket_path)))
		return mf_options_wrong(&usage, "nobody knows where this user's socket should be: "
						"give --socket");
	return status;
}

/* Return: -1: go on; else an exit status */
static int configure(struct daemon *d)
{
	struct mf_err err = { 0 };
	bool asked = d->config_path != NULL;
	int r;

	if (!asked)
		d->config_path = mf_paths_config(d->default_config);
	r = d->config_path ? mf_config_read(&d->config, d->config_path, &err) : 0;
	if (r == 0 && d->config_path)
		r = mf_daemon_config_check(&d->config, &err);
	if (r < 0 && (asked || r != MF_E_NOENT)) {
		mf_output_problem(&err);
		return MF_EXIT_USAGE;
	}
	if (r < 0)
		d->config_path = NULL; /* there is none: nothing to read again */
	r = apply_config(d);
	if (r != 0)
		return r;
	if (!d->check)
		return -1;
	printf("the configuration is good\n");
	return MF_EXIT_GOOD;
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

static void look_at_stop(struct daemon *d)
{
	struct timeval soon = { .tv_usec = STOP_LOOK_MS * 1000 };

	uint64_t now = mf_clock_now(&mf_clock_system);
	size_t waiting = mf_daemon_sessions_waiting(d->sessions);

	if (waiting && now >= d->services_stop_at_ns)
		mf_log_warning(&d->host.log, "%zu sessions, mounts or proxies still end", waiting);
	if ((mf_api_http_is_idle(d->http) || now >= d->stop_at_ns) &&
	    (!waiting || now >= d->services_stop_at_ns))
		event_base_loopexit(d->base, &soon); /* so that the last answer is taken */
	else
		event_add(d->stopping, &soon);
}

static void on_stopping(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	look_at_stop(ctx);
}

/* A second time does not wait. */
static void stop(void *ctx)
{
	struct daemon *d = ctx;

	if (d->stop_at_ns) {
		event_base_loopbreak(d->base);
		return;
	}
	d->stop_at_ns = mf_clock_now(&mf_clock_system) + STOP_MS * MF_NS_PER_MS;
	d->services_stop_at_ns = mf_clock_now(&mf_clock_system) + SERVICES_STOP_MS * MF_NS_PER_MS;
	(void)mf_notify_tell(&d->manager, "STOPPING=1");
	mf_api_http_stop(d->http);
	mf_daemon_sessions_stop(d->sessions);
	look_at_stop(d);
}

static void on_stop(evutil_socket_t sig, short what, void *ctx)
{
	(void)sig;
	(void)what;
	stop(ctx);
}

/* ---- the service manager ---------------------------------------------------------------------------------------- */

static void tell_ready(struct daemon *d)
{
	char text[MF_PATH_MAX + 64];

	snprintf(text, sizeof(text), "READY=1\nSTATUS=serving %s", d->socket);
	if (!d->stop_at_ns && mf_notify_tell(&d->manager, text) < 0)
		mf_log_warning(&d->host.log, "the service manager cannot be told at %s",
			       d->manager.path);
}

static void on_alive(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd;
	(void)what;
	(void)mf_notify_tell(&d->manager, "WATCHDOG=1");
}

/* The loop says that it is alive twice as often as the manager wants to hear it. */
static int watch_self(struct daemon *d, struct mf_err *err)
{
	uint64_t us = d->manager.watchdog_us / 2;
	struct timeval often = { .tv_sec = (time_t)(us / 1000000), .tv_usec = (int)(us % 1000000) };

	if (!d->manager.watchdog_us)
		return 0;
	d->alive = event_new(d->base, -1, EV_PERSIST, on_alive, d);
	return d->alive && event_add(d->alive, &often) == 0
		       ? 0
		       : mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
}

/* What went wrong is an event, and in the log. */
static void on_reloaded(void *ctx, const struct mf_err *err)
{
	struct daemon *d = ctx;

	(void)err;
	if (--d->reloads == 0)
		tell_ready(d);
}

static void on_reload(evutil_socket_t sig, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)sig;
	(void)what;
	mf_events_reopen(d->host.events);
	if (d->reloads++ == 0)
		(void)mf_notify_reloading(&d->manager);
	mf_daemon_sessions_reload(d->sessions);
	mf_routes_policy_reload(d->policy, on_reloaded, d);
}

static void on_work(void *ctx)
{
	struct daemon *d = ctx;

	mf_work_finish(d->work);
}

static bool watch_signal(struct daemon *d, int sig, event_callback_fn fn)
{
	struct event *ev = evsignal_new(d->base, sig, fn, d);

	if (!ev || event_add(ev, NULL) < 0) {
		if (ev)
			event_free(ev);
		return false;
	}
	d->signals[d->signal_cnt++] = ev;
	return true;
}

static int start_loop(struct daemon *d, struct mf_err *err)
{
	int reload = mf_daemon_reload_signal();

	d->base = mf_sock_start() < 0 ? NULL : event_base_new();
	if (d->base)
		d->stopping = event_new(d->base, -1, 0, on_stopping, d);
	if (!d->stopping || !watch_signal(d, SIGINT, on_stop) ||
	    !watch_signal(d, SIGTERM, on_stop) ||
	    (reload >= 0 && !watch_signal(d, reload, on_reload)))
		return mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
	return 0;
}

/* ---- set-up ----------------------------------------------------------------------------------------------------- */

/* Every set of routes; the document is the same whether there are policies or not. */
static int make_api(struct daemon *d, struct mf_err *err)
{
	int r;

	d->metrics = mf_metrics_new(0);
	d->api = d->metrics ? mf_api_new(d->metrics, &mf_clock_system) : NULL;
	if (!d->api)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	r = mf_routes_status_new(d->api, d->host.runtime, &d->status, err);
	if (r == 0)
		r = mf_routes_decide_new(d->api, d->host.vm, &d->decide, err);
	if (r == 0)
		r = mf_routes_policy_new(d->api, d->host.runtime, d->work, &d->policy, err);
	d->again.host = &d->host;
	d->again.policy = d->policy;
	d->again.start = &d->config;
	if (r == 0)
		mf_routes_policy_list_sessions(d->policy, mf_daemon_sessions_running, d->sessions);
	if (r == 0)
		r = mf_daemon_trash_new(d->api, d->work, d->host.events, &d->trash, err);
	return r < 0 ? r
		     : mf_daemon_sessions_add(d->sessions, d->api, d->config_path, &d->again, err);
}

static int serve(struct daemon *d, struct mf_err *err)
{
	const struct mf_config *c = &d->config;
	struct mf_listen_options at = { .path = d->socket,
					.users = c->allow_users.items,
					.user_cnt = c->allow_users.cnt,
					.groups = c->allow_groups.items,
					.group_cnt = c->allow_groups.cnt };
	struct mf_api_http_options o = { .connections_max = c->connections_max,
					 .body_max = c->body_max_kib * 1024,
					 .idle_ms = c->idle_s * 1000 };
	int r = mf_listen_new(&at, &d->listen, err);

	return r < 0 ? r : mf_api_http_new(d->base, d->api, d->listen, &o, &d->http, err);
}

static int set_up(struct daemon *d, struct mf_err *err, int *ret_status)
{
	int r = start_loop(d, err);

	*ret_status = MF_EXIT_SETUP;
	if (r == 0)
		r = mf_policy_host_open_events(&d->host, NULL, err);
	if (r == 0)
		r = mf_daemon_sessions_new(d->base, &d->host, &d->sessions, err);
	if (r < 0)
		return r;
	r = mf_policy_host_load(&d->host, err);
	if (r < 0) {
		*ret_status = MF_EXIT_FAULT;
		return r;
	}
	d->wake = mf_loop_wake_new(d->base, on_work, d);
	d->stop_wake = mf_loop_wake_new(d->base, stop, d);
	r = d->wake && d->stop_wake ? mf_work_new(mf_loop_wake, d->wake, &d->work, err)
				    : mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
	if (r == 0)
		r = make_api(d, err);
	if (r == 0)
		r = serve(d, err);
	if (r == 0)
		r = watch_self(d, err);
	return r < 0 ? r : mf_daemon_sessions_start(d->sessions, &d->config, err);
}

static int print_openapi(struct daemon *d)
{
	struct mf_err err = { 0 };

	if (mf_daemon_sessions_new(NULL, &d->host, &d->sessions, &err) < 0 ||
	    make_api(d, &err) < 0) {
		mf_output_problem(&err);
		return MF_EXIT_FAULT;
	}
	return mf_output_json(mf_openapi_new(d->api));
}

static void tear_down(struct daemon *d)
{
	mf_work_free(d->work);
	mf_daemon_sessions_end(d->sessions);
	mf_loop_wake_free(d->wake);
	mf_loop_wake_free(d->stop_wake);
	mf_api_http_free(d->http);
	mf_listen_free(d->listen);
	mf_api_free(d->api);
	mf_routes_policy_free(d->policy);
	mf_routes_decide_free(d->decide);
	mf_routes_status_free(d->status);
	mf_policy_host_unload(&d->host);
	mf_policy_host_close_events(&d->host);
	mf_daemon_sessions_free(d->sessions);
	mf_daemon_trash_free(d->trash);
	mf_metrics_free(d->metrics);
	for (size_t i = 0; i < d->signal_cnt; i++)
		event_free(d->signals[i]);
	if (d->alive)
		event_free(d->alive);
	if (d->stopping)
		event_free(d->stopping);
	if (d->base)
		event_base_free(d->base);
	mf_daemon_config_done(&d->again);
	mf_config_done(&d->config);
	free(d);
}

/* Its words are lost where nobody sees stderr: a service's stand in the configuration's events. */
static int run(void *ctx)
{
	struct daemon *d = ctx;
	struct mf_err err = { 0 };
	int status;

	if (set_up(d, &err, &status) < 0) {
		fputs("moonfence: ", stderr);
		mf_output_problem(&err);
		return status;
	}
	printf("serving %s\n", d->socket);
	fflush(stdout);
	tell_ready(d);
	mf_service_ready(mf_loop_wake, d->stop_wake);
	event_base_dispatch(d->base);
	return MF_EXIT_GOOD;
}

static int install(struct daemon *d)
{
	char path[MF_PATH_MAX];
	struct mf_err err = { 0 };

	if (!d->config_path && !(d->config_path = mf_paths_config(d->default_config)))
		return mf_options_wrong(&usage, "--install wants --config FILE");
	if (!mf_paths_absolute(d->config_path, path, sizeof(path)))
		return mf_options_wrong(&usage, "nobody knows where %s is", d->config_path);
	/* "/C:/dir/file" is for policies; Windows' own form has no slash before the drive */
	if (mf_service_install(path[0] == '/' && path[1] && path[2] == ':' ? path + 1 : path,
			       &err) < 0) {
		mf_output_problem(&err);
		return MF_EXIT_FAULT;
	}
	printf("installed: it starts with the system, or by 'net start " MF_SERVICE_NAME "'\n");
	return MF_EXIT_GOOD;
}

static int uninstall(void)
{
	struct mf_err err = { 0 };

	if (mf_service_uninstall(&err) < 0) {
		mf_output_problem(&err);
		return MF_EXIT_FAULT;
	}
	printf("removed\n");
	return MF_EXIT_GOOD;
}

/* A configuration that is wrong ends a service as well: only then is the manager told. */
static int serve_as_service(void *ctx)
{
	struct daemon *d = ctx;
	int status = configure(d);

	return status < 0 ? run(d) : status;
}

static int be_service(struct daemon *d)
{
	struct mf_err err = { 0 };

	if (mf_service_run(serve_as_service, d, &err) == 0)
		return MF_EXIT_GOOD;
	mf_output_problem(&err);
	return MF_EXIT_SETUP;
}

int mf_cmd_daemon(int argc, char **argv)
{
	struct daemon *d = calloc(1, sizeof(*d));
	int status;

	if (!d)
		return MF_EXIT_SETUP;
	mf_notify_begin(&d->manager);
	mf_policy_host_init(&d->host);
	d->host.keep = GENERATIONS_KEPT;
	mf_config_init(&d->config);
	status = parse(d, argc, argv);
	if (status < 0 && d->openapi)
		status = print_openapi(d);
	else if (status < 0 && d->service == OPT_INSTALL)
		status = install(d);
	else if (status < 0 && d->service == OPT_UNINSTALL)
		status = uninstall();
	else if (status < 0 && d->service == OPT_SERVICE)
		status = be_service(d);
	else if (status < 0)
		status = configure(d);
	if (status < 0)
		status = run(d);
	tear_down(d);
	return status;
}
