/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway.c - moonfence gateway: networking for browsers under the policies
 *
 * Sockets are bound and files of secrets are read first; then rights are given up; policies are read, and reloaded, by
 * whom we are from then on. SIGTERM ends it in order: no new sessions, what is open is told, and has a moment.
 */
#include <errno.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/dns_options.h"
#include "cli/output.h"
#include "cli/policy_host.h"
#include "cli/run_metrics.h"
#include "core/base/files.h"
#include "core/match/cidr_set.h"
#include "proxies/gateway/gateway.h"
#include "proxies/gateway/origin.h"
#include "proxies/http_service.h"
#include "proxies/sock.h"
#include "proxies/tls_server.h"

enum {
	LISTENERS_MAX = 8,
	OPENED_MAX = 64,
	ORIGINS_MAX = 64,
	SIGNALS_MAX = 3,
	BACKLOG = 1024,
	SECRET_MAX = 4096,
	GRACE_S = 10,
	TICK_MS = 20,
};

enum {
	OPT_POLICY = 1,
	OPT_VAR,
	OPT_TRUST_STORE,
	OPT_SIGNING,
	OPT_LISTEN,
	OPT_TLS_CERT,
	OPT_TLS_KEY,
	OPT_AUTH,
	OPT_SECRET,
	OPT_JWT_SECRET,
	OPT_JWT_AUDIENCE,
	OPT_JWT_ISSUER,
	OPT_API_KEY,
	OPT_ORIGIN,
	OPT_OPEN,
	OPT_ALLOW_PRIVATE,
	OPT_DNS,
	OPT_DNS_RATE,
	OPT_CONNECTIONS,
	OPT_MEMBER_CONNECTIONS,
	OPT_DIAL_TIMEOUT,
	OPT_IDLE_TIMEOUT,
	OPT_EVENTS,
	OPT_EVENTS_ROTATE,
	OPT_SESSION,
	OPT_USER,
	OPT_APPROVALS,
	OPT_NO_WATCH,
	OPT_VERBOSE,
};

static const struct mf_option options[] = {
	{ OPT_LISTEN, 0, "listen", "ADDR:PORT",
	  "serve HTTP and WebSockets there, port 0 for any that is free; may be repeated" },
	{ OPT_TLS_CERT, 0, "tls-cert", "FILE", "PEM certificates; without them it is cleartext" },
	{ OPT_TLS_KEY, 0, "tls-key", "FILE", "PEM key" },
	{ OPT_AUTH, 0, "auth", "KINDS",
	  "how clients say who they are: session, jwt, key, with commas; none (default: session)" },
	{ OPT_SECRET, 0, "session-secret-file", "FILE",
	  "signs session tokens; several gateways with one secret accept each other's (default: "
	  "random)" },
	{ OPT_JWT_SECRET, 0, "jwt-secret-file", "FILE", "of --auth jwt (HS256)" },
	{ OPT_JWT_AUDIENCE, 0, "jwt-audience", "TEXT", "that a JWT must be for" },
	{ OPT_JWT_ISSUER, 0, "jwt-issuer", "TEXT", "that a JWT must be from" },
	{ OPT_API_KEY, 0, "api-key-file", "FILE", "of --auth key" },
	{ OPT_ORIGIN, 0, "origin", "ORIGIN",
	  "web pages that may ask, as https://app.example; * for all; may be repeated (default: "
	  "those of the same host)" },
	{ OPT_OPEN, 0, "open", "NETWORK",
	  "addresses that are not public and may be asked about all the same; may be repeated" },
	{ OPT_ALLOW_PRIVATE, 0, "allow-private", NULL, "all of them" },
	{ OPT_POLICY, 'p', "policy", "PATH", MF_POLICY_OPTION_HELP },
	{ OPT_VAR, 0, "var", "NAME=VALUE", MF_VAR_OPTION_HELP },
	{ OPT_TRUST_STORE, 0, "trust-store", "DIR", MF_TRUST_STORE_OPTION_HELP },
	{ OPT_SIGNING, 0, "signing", "MODE", MF_SIGNING_OPTION_HELP },
	{ OPT_DNS, 0, "dns", "RESOLVER", MF_DNS_OPTION_HELP },
	{ OPT_DNS_RATE, 0, "dns-rate", "N",
	  "questions a second of one address (default: 10; 0: any)" },
	{ OPT_CONNECTIONS, 0, "max-connections", "N", "open WebSockets (default: 16384)" },
	{ OPT_MEMBER_CONNECTIONS, 0, "max-session-connections", "N",
	  "open TCP connections of one session (default: 1024)" },
	{ OPT_DIAL_TIMEOUT, 0, "connect-timeout", "SECONDS", "default: 10" },
	{ OPT_IDLE_TIMEOUT, 0, "idle-timeout", "SECONDS", "of a TCP connection; default: 300" },
	{ OPT_EVENTS, 'e', "events", "FILE", MF_EVENTS_OPTION_HELP },
	{ OPT_EVENTS_ROTATE, 0, "events-rotate", "WHEN", MF_EVENTS_ROTATE_OPTION_HELP },
	{ OPT_SESSION, 's', "session", "NAME", "name of the whole in events (default: gateway)" },
	{ OPT_USER, 'u', "user", "USER",
	  "who to be once sockets and keys are open; wanted when root starts it" },
	{ OPT_APPROVALS, 0, "approvals", "WHERE", MF_APPROVALS_OPTION_HELP },
	{ OPT_NO_WATCH, 0, "no-watch", NULL, "do not reload policies when their files change" },
	{ OPT_VERBOSE, 'v', "verbose", NULL, "log to stderr what moonfence does" },
};

static const struct mf_usage usage = {
	.name = "gateway",
	.synopsis = "[OPTION]...",
	.text = "Gives browsers TCP, UDP and names over WebSockets and HTTP, as the policies say, "
		"until SIGTERM\n"
		"or SIGINT. Tells on stdout where, one line each, when it is ready. Policies and "
		"certificates are\n"
		"reloaded on SIGHUP, policies also when their files change. Ends with 0; with 125 "
		"when it cannot\n"
		"begin, 1 when a policy does not load.\n",
	.example = "  moonfence gateway --listen 127.0.0.1:8080 --policy my.lua --origin "
		   "https://app.example\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct secret {
	const char *path;
	char *text;
	size_t len;
};

struct gateway {
	/* as asked for */
	struct mf_policy_host host;
	struct {
		struct mf_endpoint at;
		int fd;
	} listen[LISTENERS_MAX];
	size_t listen_cnt;
	const char *tls_cert, *tls_key, *session_name, *user;
	struct secret secret, jwt_secret, api_key;
	struct mf_cidr open[OPENED_MAX];
	size_t open_cnt;
	char *origins[ORIGINS_MAX];
	size_t origin_cnt;
	struct mf_gateway_options opt;
	struct mf_proxy_options proxy_options;
	/* as it runs */
	struct mf_session session;
	struct event_base *base;
	struct event *signals[SIGNALS_MAX], *grace;
	size_t signal_cnt;
	unsigned ticks; /* since it is to end */
	SSL_CTX *tls;
	struct mf_proxy *proxy;
	struct mf_http_service *http;
	struct mf_gateway *gw;
};

/* ---- arguments ------------------------------------------------------------------------------------------------- */

static int add_listener(struct gateway *g, const char *value)
{
	struct mf_endpoint *at = &g->listen[g->listen_cnt].at;
	const char *colon = strrchr(value, ':');
	char addr[MF_ADDR_TEXT_MAX + 2];
	size_t len = colon ? (size_t)(colon - value) : 0;
	unsigned long port;
	char *end;

	if (g->listen_cnt == LISTENERS_MAX)
		return mf_options_wrong(&usage, "--listen: at most %d", LISTENERS_MAX);
	if (len >= 2 && value[0] == '[' && value[len - 1] == ']') {
		value++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(addr) || colon[1] < '0' || colon[1] > '9')
		return mf_options_wrong(&usage, "--listen wants ADDR:PORT: '%s'", value);
	memcpy(addr, value, len);
	addr[len] = '\0';
	port = strtoul(colon + 1, &end, 10);
	if (*end || port > UINT16_MAX || mf_addr_parse(addr, len, &at->addr) < 0)
		return mf_options_wrong(&usage, "--listen wants ADDR:PORT: '%s'", value);
	at->port = (uint16_t)port;
	g->listen[g->listen_cnt++].fd = -1;
	return 0;
}

static int add_origin(struct gateway *g, const char *value)
{
	char *text = malloc(MF_ORIGIN_ROOM);

	if (!text || g->origin_cnt == ORIGINS_MAX) {
		free(text);
		return mf_options_wrong(&usage, "--origin: at most %d", ORIGINS_MAX);
	}
	if (strcmp(value, "*") == 0) {
		strcpy(text, "*");
	} else if (mf_origin_normalize(mf_span_str(value), text) < 0) {
		free(text);
		return mf_options_wrong(
			&usage, "--origin wants * or an origin, as https://app.example: '%s'",
			value);
	}
	g->origins[g->origin_cnt++] = text;
	return 0;
}

static int set_auth(struct gateway *g, const char *value)
{
	static const struct {
		const char *name;
		unsigned bit;
	} kinds[] = { { "none", 0 },
		      { "session", MF_GW_BY_SESSION },
		      { "jwt", MF_GW_BY_JWT },
		      { "key", MF_GW_BY_KEY } };
	const char *at = value;

	g->opt.auth = 0;
	while (*at) {
		size_t len = strcspn(at, ","), i = 0;

		while (i < MF_ARRAY_SIZE(kinds) &&
		       (strlen(kinds[i].name) != len || memcmp(kinds[i].name, at, len) != 0))
			i++;
		if (i == MF_ARRAY_SIZE(kinds))
			return mf_options_wrong(
				&usage, "--auth wants session, jwt and key, or none: '%s'", value);
		g->opt.auth |= kinds[i].bit;
		at += len + (at[len] == ',');
	}
	return 0;
}

static int set_number(const char *option, const char *value, uint32_t max, uint32_t scale,
		      uint32_t *ret)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (errno || end == value || *end || value[0] == '-' || n > max)
		return mf_options_wrong(&usage, "--%s wants a number up to %lu: '%s'", option,
					(unsigned long)max, value);
	*ret = (uint32_t)n * scale;
	return 0;
}

static int take_option(struct gateway *g, int opt, const char *value)
{
	switch (opt) {
	case OPT_POLICY:
		return mf_policy_host_add(&usage, &g->host, value);
	case OPT_VAR:
		return mf_policy_host_add_variable(&usage, &g->host, value);
	case OPT_TRUST_STORE:
		g->host.signing.trust_store = value;
		return 0;
	case OPT_SIGNING:
		return mf_policy_signing_take_mode(&usage, &g->host.signing, value);
	case OPT_LISTEN:
		return add_listener(g, value);
	case OPT_TLS_CERT:
		g->tls_cert = value;
		return 0;
	case OPT_TLS_KEY:
		g->tls_key = value;
		return 0;
	case OPT_AUTH:
		return set_auth(g, value);
	case OPT_SECRET:
		g->secret.path = value;
		return 0;
	case OPT_JWT_SECRET:
		g->jwt_secret.path = value;
		return 0;
	case OPT_JWT_AUDIENCE:
		g->opt.jwt_audience = value;
		return 0;
	case OPT_JWT_ISSUER:
		g->opt.jwt_issuer = value;
		return 0;
	case OPT_API_KEY:
		g->api_key.path = value;
		return 0;
	case OPT_ORIGIN:
		return add_origin(g, value);
	case OPT_OPEN:
		if (g->open_cnt == OPENED_MAX)
			return mf_options_wrong(&usage, "--open: at most %d", OPENED_MAX);
		if (mf_cidr_parse(value, strlen(value), &g->open[g->open_cnt]) < 0)
			return mf_options_wrong(&usage, "--open wants a network: '%s'", value);
		g->open_cnt++;
		return 0;
	case OPT_ALLOW_PRIVATE:
		g->opt.allow_private = true;
		return 0;
	case OPT_DNS:
		return mf_dns_options_add(&usage, value, &g->proxy_options);
	case OPT_DNS_RATE:
		return set_number("dns-rate", value, 1000000, 1, &g->opt.dns_rate);
	case OPT_CONNECTIONS:
		return set_number("max-connections", value, 1000000, 1, &g->opt.sockets_max);
	case OPT_MEMBER_CONNECTIONS:
		return set_number("max-session-connections", value, 1000000, 1,
				  &g->opt.member_flows_max);
	case OPT_DIAL_TIMEOUT:
		return set_number("connect-timeout", value, 3600, 1000,
				  &g->proxy_options.dial_timeout_ms);
	case OPT_IDLE_TIMEOUT:
		return set_number("idle-timeout", value, 86400, 1000,
				  &g->proxy_options.tcp_idle_ms);
	case OPT_EVENTS:
		g->host.events_path = value;
		return 0;
	case OPT_EVENTS_ROTATE:
		g->host.events_rotate = value;
		return 0;
	case OPT_SESSION:
		g->session_name = value;
		return 0;
	case OPT_USER:
		g->user = value;
		return 0;
	case OPT_APPROVALS:
		return mf_approval_options_take(&usage, &g->host.ask, value, false);
	case OPT_NO_WATCH:
		g->host.watch = false;
		return 0;
	case OPT_VERBOSE:
		g->host.verbose = true;
		return 0;
	}
	return 0;
}

static int parse(struct gateway *g, int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(g, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt)
		return mf_options_wrong(&usage, "nothing but options is wanted: '%s'",
					o.operands[0]);
	if (!g->listen_cnt)
		return mf_options_wrong(&usage, "where shall it serve? --listen is missing");
	if (!g->tls_cert != !g->tls_key)
		return mf_options_wrong(&usage, "--tls-cert and --tls-key belong together");
	if (g->opt.auth & MF_GW_BY_JWT && !g->jwt_secret.path)
		return mf_options_wrong(&usage, "--auth jwt wants --jwt-secret-file");
	if (g->opt.auth & MF_GW_BY_KEY && !g->api_key.path)
		return mf_options_wrong(&usage, "--auth key wants --api-key-file");
	return -1;
}

/* ---- set-up ---------------------------------------------------------------------------------------------------- */

/* A file's first line. */
static int read_secret(struct secret *s, struct mf_err *err)
{
	FILE *f;

	if (!s->path)
		return 0;
	f = mf_fopen(s->path, "rbe");
	s->text = calloc(1, SECRET_MAX + 1);
	if (f && s->text)
		s->len = fread(s->text, 1, SECRET_MAX, f);
	if (!f || !s->text || ferror(f)) {
		int why = errno;

		if (f)
			(void)fclose(f);
		return mf_err_set(err, MF_E_IO, "cannot read %s: %s", s->path, strerror(why));
	}
	(void)fclose(f);
	s->len = strcspn(s->text, "\r\n");
	s->text[s->len] = '\0';
	return s->len ? 0 : mf_err_set(err, MF_E_IO, "%s is empty", s->path);
}

static int bind_all(struct gateway *g, struct mf_err *err)
{
	char text[MF_ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < g->listen_cnt; i++) {
		struct mf_endpoint *at = &g->listen[i].at;

		g->listen[i].fd = mf_sock_listen(at, true, BACKLOG);
		if (g->listen[i].fd < 0)
			return mf_err_set(err, MF_E_IO, "cannot serve at %s: %s",
					  mf_endpoint_format(at, text, sizeof(text)),
					  mf_sock_error_text(mf_sock_last_error()));
		(void)mf_sock_local(g->listen[i].fd, at);
		if (!g->tls && !mf_addr_is_loopback(&at->addr))
			mf_log_warning(&g->host.log,
				       "without --tls-cert everything crosses the network in the "
				       "clear");
	}
	return 0;
}

static void on_grace_over(evutil_socket_t fd, short what, void *ctx)
{
	struct gateway *g = ctx;

	(void)fd;
	(void)what;
	if (mf_gateway_stop(g->gw) == 0 || ++g->ticks >= GRACE_S * 1000 / TICK_MS)
		event_base_loopbreak(g->base);
}

/* The second time at once. */
static void on_stop(evutil_socket_t sig, short what, void *ctx)
{
	struct gateway *g = ctx;
	const struct timeval often = { 0, TICK_MS * 1000 };

	(void)sig;
	(void)what;
	if (g->grace || mf_gateway_stop(g->gw) == 0) {
		event_base_loopbreak(g->base);
		return;
	}
	g->grace = event_new(g->base, -1, EV_PERSIST, on_grace_over, g);
	if (!g->grace || event_add(g->grace, &often) < 0)
		event_base_loopbreak(g->base);
}

static void on_reload(evutil_socket_t sig, short what, void *ctx)
{
	struct gateway *g = ctx;
	struct mf_err err = { 0 };
	SSL_CTX *tls;

	(void)sig;
	(void)what;
	mf_policy_host_reload(&g->host);
	if (!g->tls)
		return;
	if (mf_tls_server_open(g->tls_cert, g->tls_key, &tls, &err) < 0) {
		mf_log_warning(&g->host.log, "the certificate stays as it is: %s", err.msg);
		return;
	}
	mf_http_service_set_alpn(tls);
	mf_http_service_change_tls(g->http, tls);
	SSL_CTX_free(g->tls);
	g->tls = tls;
}

static bool watch_signal(struct gateway *g, int sig, event_callback_fn fn)
{
	struct event *ev = evsignal_new(g->base, sig, fn, g);

	if (!ev || event_add(ev, NULL) < 0) {
		if (ev)
			event_free(ev);
		return false;
	}
	g->signals[g->signal_cnt++] = ev;
	return true;
}

static int start_loop(struct gateway *g, struct mf_err *err)
{
	int reload = mf_daemon_reload_signal();

	g->base = mf_sock_start() < 0 ? NULL : event_base_new();
	if (!g->base || !watch_signal(g, SIGINT, on_stop) || !watch_signal(g, SIGTERM, on_stop) ||
	    (reload >= 0 && !watch_signal(g, reload, on_reload)))
		return mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
	return 0;
}

static void gather(void *ctx, struct mf_metrics *m)
{
	struct gateway *g = ctx;
	struct mf_run_metrics from = { .proxy = g->proxy,
				       .vm = g->host.vm,
				       .events = g->host.events };

	mf_run_metrics_gather(m, &from);
}

static int serve(struct gateway *g, struct mf_err *err)
{
	struct mf_http_service_options http = { .size = sizeof(http),
						.connections_max = 4096,
						.head_max = 32768 };
	int rc;

	g->session = (struct mf_session){ .id = g->session_name,
					  .source = "gateway",
					  .vm = g->host.vm,
					  .events = g->host.events,
					  .log = &g->host.log,
					  .approvals = g->host.approvals };
	g->opt.secret = mf_span_of(g->secret.text, g->secret.len);
	g->opt.jwt_secret = mf_span_of(g->jwt_secret.text, g->jwt_secret.len);
	g->opt.api_key = g->api_key.text;
	g->opt.open = g->open;
	g->opt.open_cnt = g->open_cnt;
	g->opt.origins = (const char *const *)g->origins;
	g->opt.origin_cnt = g->origin_cnt;
	g->opt.gather = gather;
	g->opt.gather_ctx = g;
	rc = mf_proxy_start(g->base, &g->session, &g->proxy_options, &g->proxy, err);
	if (rc == 0)
		rc = mf_http_service_new(g->base, &http, &g->http, err);
	if (rc == 0)
		rc = mf_gateway_new(g->base, g->proxy, g->http, &g->opt, &g->gw, err);
	for (size_t i = 0; i < g->listen_cnt && rc == 0; i++) {
		rc = mf_http_service_listen(g->http, g->listen[i].fd, g->tls, err);
		if (rc == 0)
			g->listen[i].fd = -1;
	}
	return rc;
}

static int set_up(struct gateway *g, struct mf_err *err, int *ret_status)
{
	int rc = start_loop(g, err);

	*ret_status = MF_EXIT_SETUP;
	if (rc == 0 && g->tls_cert)
		rc = mf_tls_server_open(g->tls_cert, g->tls_key, &g->tls, err);
	if (rc == 0)
		rc = read_secret(&g->secret, err);
	if (rc == 0)
		rc = read_secret(&g->jwt_secret, err);
	if (rc == 0)
		rc = read_secret(&g->api_key, err);
	if (rc == 0)
		rc = bind_all(g, err);
	if (rc == 0) {
		mf_policy_host_listen(&g->host);
		if (g->user)
			rc = mf_daemon_become(g->user, err);
		else if (mf_daemon_is_root())
			mf_log_warning(&g->host.log, "this gateway stays root: --user would have "
						     "it be somebody else");
	}
	if (rc == 0 && (g->host.events_path || g->host.control))
		rc = mf_policy_host_open_events(&g->host, NULL, err);
	if (rc < 0)
		return rc;
	g->host.session = g->session_name;
	rc = mf_policy_host_load(&g->host, err);
	if (rc < 0) {
		*ret_status = MF_EXIT_FAULT;
		return rc;
	}
	return serve(g, err);
}

static void tell_places(const struct gateway *g)
{
	char text[MF_ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < g->listen_cnt; i++)
		printf("%s://%s/\n", g->tls ? "https" : "http",
		       mf_endpoint_format(&g->listen[i].at, text, sizeof(text)));
	fflush(stdout);
}

static void tear_down(struct gateway *g)
{
	struct secret *secrets[] = { &g->secret, &g->jwt_secret, &g->api_key };

	mf_http_service_free(g->http);
	mf_gateway_free(g->gw);
	mf_proxy_stop(g->proxy);
	for (size_t i = 0; i < g->listen_cnt; i++)
		if (g->listen[i].fd >= 0)
			mf_sock_close(g->listen[i].fd);
	mf_policy_host_unload(&g->host);
	mf_policy_host_close_events(&g->host);
	SSL_CTX_free(g->tls);
	for (size_t i = 0; i < g->signal_cnt; i++)
		event_free(g->signals[i]);
	if (g->grace)
		event_free(g->grace);
	if (g->base)
		event_base_free(g->base);
	for (size_t i = 0; i < g->origin_cnt; i++)
		free(g->origins[i]);
	for (size_t i = 0; i < MF_ARRAY_SIZE(secrets); i++)
		free(secrets[i]->text);
	free(g);
}

int mf_cmd_gateway(int argc, char **argv)
{
	struct gateway *g = calloc(1, sizeof(*g));
	struct mf_err err = { 0 };
	int status, rc;

	if (!g)
		return MF_EXIT_SETUP;
	mf_policy_host_init(&g->host);
	g->session_name = "gateway";
	g->opt = (struct mf_gateway_options){ .size = sizeof(g->opt),
					      .auth = MF_GW_BY_SESSION,
					      .dns_rate = 10 };
	g->proxy_options = (struct mf_proxy_options){ .size = sizeof(g->proxy_options),
						      .given_only = true,
						      .tcp_idle_ms = 300000 };
	status = parse(g, argc, argv);
	if (status < 0) {
		rc = set_up(g, &err, &status);
		if (rc == 0) {
			mf_policy_host_serve(&g->host, &(struct mf_session_card){
							       .kind = "gateway",
							       .id = g->session_name,
						       });
			tell_places(g);
			event_base_dispatch(g->base);
			status = MF_EXIT_GOOD;
		} else {
			fputs("moonfence: ", stderr);
			mf_output_problem(&err);
		}
	}
	tear_down(g);
	return status;
}
