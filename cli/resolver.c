/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver.c - moonfence resolver: the policies' DNS for whoever asks, without a fence around anybody
 *
 * Sockets are bound and files of secrets are read first; then rights are given up; policies are read, and reloaded, by
 * whom we are from then on.
 */
#include <event2/event.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/authority_watch.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/host_options.h"
#include "cli/output.h"
#include "proxies/dns_https.h"
#include "proxies/dns_listen.h"
#include "proxies/http_service.h"
#include "proxies/sock.h"
#include "proxies/tls_authority.h"
#include "proxies/tls_server.h"

enum {
	LISTENERS_MAX = 8, /* of each kind */
	SIGNALS_MAX = 3,
	BACKLOG = 512,
};

/* What a shell exits with when it cannot set up what was asked, as moonfence run. */

enum {
	OPT_LISTEN = 1,
	OPT_DOH,
	OPT_TLS,
	OPT_CA,
	OPT_SESSION,
	OPT_USER,
	OPT_APPROVALS,
};

static const struct mf_option options[] = {
	MF_HOST_OPTION_POLICY,
	MF_HOST_OPTION_VAR,
	MF_HOST_OPTION_TRUST_STORE,
	MF_HOST_OPTION_SIGNING,
	{ OPT_LISTEN, 0, "listen", "ADDR[:PORT]",
	  "answer by UDP and TCP there, port 53, 0 for any that is free; may be repeated" },
	{ OPT_DOH, 0, "doh", "ADDR[:PORT]",
	  "answer by HTTPS (with --tls or --ca) or HTTP there, port 443; may be repeated" },
	{ OPT_TLS, 0, "tls", "CERT,KEY",
	  "PEM files for --doh; without them it speaks cleartext, to stand behind a proxy" },
	{ OPT_CA, 0, "ca", "DIR",
	  "directory of the local authority, which signs for --doh in place of --tls" },
	MF_HOST_OPTION_DNS,
	MF_HOST_OPTION_DNS_CACHE,
	MF_HOST_OPTION_DNS_STALE,
	MF_HOST_OPTION_EVENTS,
	MF_HOST_OPTION_EVENTS_ROTATE,
	MF_HOST_OPTION_EVENTS_STRICT,
	{ OPT_SESSION, 's', "session", "NAME", "name in events and policies (default: resolver)" },
	{ OPT_USER, 'u', "user", "USER",
	  "who to be once sockets and keys are open; wanted when root starts it" },
	{ OPT_APPROVALS, 0, "approvals", "WHERE", MF_APPROVALS_OPTION_HELP },
	MF_HOST_OPTION_NO_WATCH,
	MF_HOST_OPTION_VERBOSE,
};

static const struct mf_usage usage = {
	.name = "resolver",
	.synopsis = "[OPTION]...",
	.text = "Answers DNS questions by UDP, TCP and HTTPS (RFC 8484 at /dns-query, JSON at "
		"/resolve) as the\n"
		"policies say, until SIGTERM or SIGINT. Tells on stdout where, one line each, when "
		"it is ready.\n"
		"Policies are reloaded when their files change, and on SIGHUP, as is the "
		"certificate of\n"
		"--tls; an authority that was rotated is noticed. Ends with 0; with "
		"125 "
		"when it\n"
		"cannot begin, 1 when a policy does not load.\n",
	.example = "  moonfence resolver --policy my.lua --listen 127.0.0.1:5353 --doh "
		   "127.0.0.1:8053\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct place {
	struct mf_endpoint at;
	int tcp, udp; /* -1: none, or somebody else's by now */
};

struct resolver {
	/* as asked for */
	struct mf_policy_host host;
	struct place listen[LISTENERS_MAX], doh[LISTENERS_MAX];
	size_t listen_cnt, doh_cnt;
	const char *session_name, *user, *ca_dir;
	char *tls_cert, *tls_key; /* one string */
	struct mf_proxy_options proxy_options;
	/* as it runs */
	struct mf_tls_authority *authority;
	struct mf_authority_watch watch;
	SSL_CTX *tls;
	struct mf_session session;
	struct event_base *base;
	struct event *signals[SIGNALS_MAX];
	size_t signal_cnt;
	struct mf_proxy *proxy;
	struct mf_dns_listen *listeners[LISTENERS_MAX];
	struct mf_http_service *http;
	struct mf_dns_https *https;
};

/* ---- arguments ------------------------------------------------------------------------------------------------- */

/* "ADDR", "ADDR:PORT", "[ADDR]:PORT"; a port of 0 stays 0, @ret->port is the default before */
static bool parse_place(const char *text, struct mf_endpoint *ret)
{
	const char *host;
	size_t len;

	return mf_addr_parse(text, strlen(text), &ret->addr) == 0 ||
	       (mf_hostport_parse(text, strlen(text), &host, &len, &ret->port) == 0 &&
		mf_addr_parse(host, len, &ret->addr) == 0);
}

static int add_place(const char *option, const char *value, struct place *places, size_t *cnt,
		     uint16_t port)
{
	struct place *p = &places[*cnt];

	if (*cnt == LISTENERS_MAX)
		return mf_options_wrong(&usage, "--%s: at most %d", option, LISTENERS_MAX);
	*p = (struct place){ .at = { .port = port }, .tcp = -1, .udp = -1 };
	if (!parse_place(value, &p->at))
		return mf_options_wrong(&usage,
					"--%s wants an address, with a port or without: '%s'",
					option, value);
	(*cnt)++;
	return 0;
}

static int set_tls(struct resolver *r, const char *value)
{
	char *comma;

	free(r->tls_cert);
	r->tls_cert = strdup(value);
	comma = r->tls_cert ? strchr(r->tls_cert, ',') : NULL;
	if (!comma || !comma[1] || comma == r->tls_cert)
		return mf_options_wrong(&usage, "--tls wants two files, CERT,KEY: '%s'", value);
	*comma = '\0';
	r->tls_key = comma + 1;
	return 0;
}

static int take_option(struct resolver *r, int opt, const char *value)
{
	int status = mf_host_options_take(&usage, &r->host, &r->proxy_options, opt, value);

	if (status >= 0)
		return status;
	switch (opt) {
	case OPT_LISTEN:
		return add_place("listen", value, r->listen, &r->listen_cnt, 53);
	case OPT_DOH:
		return add_place("doh", value, r->doh, &r->doh_cnt, 443);
	case OPT_TLS:
		return set_tls(r, value);
	case OPT_CA:
		r->ca_dir = value;
		return 0;
	case OPT_SESSION:
		r->session_name = value;
		return 0;
	case OPT_USER:
		r->user = value;
		return 0;
	case OPT_APPROVALS:
		return mf_approval_options_take(&usage, &r->host.ask, value, false);
	}
	return 0;
}

static int parse(struct resolver *r, int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(r, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt)
		return mf_options_wrong(&usage, "nothing but options is wanted: '%s'",
					o.operands[0]);
	if (!r->listen_cnt && !r->doh_cnt)
		return mf_options_wrong(&usage,
					"where shall it answer? --listen or --doh is missing");
	if ((r->tls_cert || r->ca_dir) && !r->doh_cnt)
		return mf_options_wrong(&usage, "--tls and --ca are for --doh");
	if (r->tls_cert && r->ca_dir)
		return mf_options_wrong(&usage, "one of --tls and --ca is wanted");
	return -1;
}

/* ---- sockets --------------------------------------------------------------------------------------------------- */

static int no_socket(const struct mf_endpoint *at, const char *proto, struct mf_err *err)
{
	const char *why = mf_sock_error_text(mf_sock_last_error());
	char text[MF_ENDPOINT_TEXT_MAX];

	return mf_err_set(err, MF_E_IO, "cannot answer at %s by %s: %s",
			  mf_endpoint_format(at, text, sizeof(text)), proto, why);
}

static int bind_pair(struct place *p, struct mf_err *err)
{
	const char *failed;

	return mf_dns_listen_bind(&p->at, BACKLOG, &p->udp, &p->tcp, &failed) < 0
		       ? no_socket(&p->at, failed, err)
		       : 0;
}

static int bind_all(struct resolver *r, struct mf_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < r->listen_cnt && rc == 0; i++)
		rc = bind_pair(&r->listen[i], err);
	for (size_t i = 0; i < r->doh_cnt && rc == 0; i++) {
		struct place *p = &r->doh[i];

		p->tcp = mf_sock_listen(&p->at, true, BACKLOG);
		if (p->tcp < 0)
			return no_socket(&p->at, "HTTP", err);
		(void)mf_sock_local(p->tcp, &p->at);
		if (!r->tls && !mf_addr_is_loopback(&p->at.addr))
			mf_log_warning(&r->host.log,
				       "--doh without --tls: questions cross the network in "
				       "the clear");
	}
	return rc;
}

/* ---- set-up ---------------------------------------------------------------------------------------------------- */

static int give_up_rights(struct resolver *r, struct mf_err *err)
{
	if (r->user)
		return mf_daemon_become(r->user, err);
	if (mf_daemon_is_root())
		mf_log_warning(&r->host.log,
			       "this resolver stays root: --user would have it be somebody "
			       "else");
	return 0;
}

static void on_stop(evutil_socket_t sig, short what, void *ctx)
{
	struct resolver *r = ctx;

	(void)sig;
	(void)what;
	event_base_loopbreak(r->base);
}

static void reload_certificate(struct resolver *r)
{
	struct mf_err err = { 0 };
	SSL_CTX *tls;

	if (mf_tls_server_open(r->tls_cert, r->tls_key, &tls, &err) < 0) {
		mf_log_warning(&r->host.log, "the certificate stays as it is: %s", err.msg);
		return;
	}
	mf_http_service_set_alpn(tls);
	mf_http_service_change_tls(r->http, tls);
	SSL_CTX_free(r->tls);
	r->tls = tls;
}

static void on_authority(void *ctx, const char *why)
{
	struct resolver *r = ctx;

	if (why)
		mf_log_warning(&r->host.log, "the authority stays as it is: %s", why);
	else
		mf_log_info(&r->host.log, "another authority is in force");
}

/* Who has given up the right to read the directory keeps what was read. */
static int watch_authority(struct resolver *r, struct mf_err *err)
{
	if (!r->authority || r->user)
		return 0;
	r->watch = (struct mf_authority_watch){
		.authority = r->authority, .path = r->ca_dir, .changed = on_authority, .ctx = r
	};
	return mf_authority_watch_start(&r->watch, r->base) == 0
		       ? 0
		       : mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
}

static void on_reload(evutil_socket_t sig, short what, void *ctx)
{
	struct resolver *r = ctx;

	(void)sig;
	(void)what;
	mf_policy_host_reload(&r->host);
	if (r->tls_cert)
		reload_certificate(r);
	if (r->watch.ev)
		mf_authority_watch_look(&r->watch);
}

static bool watch_signal(struct resolver *r, int sig, event_callback_fn fn)
{
	struct event *ev = evsignal_new(r->base, sig, fn, r);

	if (!ev || event_add(ev, NULL) < 0) {
		if (ev)
			event_free(ev);
		return false;
	}
	r->signals[r->signal_cnt++] = ev;
	return true;
}

static int start_loop(struct resolver *r, struct mf_err *err)
{
	int reload = mf_daemon_reload_signal();

	r->base = mf_sock_start() < 0 ? NULL : event_base_new();
	if (!r->base || !watch_signal(r, SIGINT, on_stop) || !watch_signal(r, SIGTERM, on_stop) ||
	    (reload >= 0 && !watch_signal(r, reload, on_reload)))
		return mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
	return 0;
}

static int serve_http(struct resolver *r, struct mf_err *err)
{
	struct mf_http_service_options o = { .size = sizeof(o), .connections_max = 1024 };
	int rc = mf_http_service_new(r->base, &o, &r->http, err);

	if (rc == 0)
		rc = mf_dns_https_new(r->proxy, r->http, &r->https, err);
	for (size_t i = 0; i < r->doh_cnt && rc == 0; i++) {
		rc = mf_http_service_listen(r->http, r->doh[i].tcp, r->tls, err);
		if (rc == 0)
			r->doh[i].tcp = -1;
	}
	return rc;
}

static int serve(struct resolver *r, struct mf_err *err)
{
	int rc;

	r->session = (struct mf_session){ .id = r->session_name,
					  .source = "resolver",
					  .vm = r->host.vm,
					  .events = r->host.events,
					  .log = &r->host.log,
					  .approvals = r->host.approvals };
	rc = mf_proxy_start(r->base, &r->session, &r->proxy_options, &r->proxy, err);
	for (size_t i = 0; i < r->listen_cnt && rc == 0; i++) {
		struct place *p = &r->listen[i];

		rc = mf_dns_listen_new(r->proxy, p->udp, p->tcp, &r->listeners[i], err);
		p->udp = p->tcp = -1;
	}
	if (rc == 0 && r->doh_cnt)
		rc = serve_http(r, err);
	return rc;
}

static void tell_places(const struct resolver *r)
{
	char text[MF_ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < r->listen_cnt; i++)
		printf("dns %s\n", mf_endpoint_format(&r->listen[i].at, text, sizeof(text)));
	for (size_t i = 0; i < r->doh_cnt; i++)
		printf("%s://%s/dns-query\n", r->tls ? "https" : "http",
		       mf_endpoint_format(&r->doh[i].at, text, sizeof(text)));
	fflush(stdout);
}

static int set_up(struct resolver *r, struct mf_err *err, int *ret_status)
{
	int rc = start_loop(r, err);

	*ret_status = MF_EXIT_SETUP;
	if (rc == 0 && r->tls_cert)
		rc = mf_tls_server_open(r->tls_cert, r->tls_key, &r->tls, err);
	if (rc == 0 && r->ca_dir)
		rc = mf_tls_authority_open(r->ca_dir, &r->authority, err);
	if (rc == 0 && r->authority)
		rc = mf_tls_server_certify(r->authority, &r->tls, err);
	if (rc == 0)
		rc = bind_all(r, err);
	if (rc == 0) {
		mf_policy_host_listen(&r->host);
		rc = give_up_rights(r, err);
	}
	if (rc == 0)
		rc = watch_authority(r, err);
	/* without anybody to take them there are no events, and none are made */
	if (rc == 0 && (r->host.events_path || r->host.control))
		rc = mf_policy_host_open_events(&r->host, NULL, err);
	if (rc < 0)
		return rc;
	r->host.session = r->session_name;
	rc = mf_policy_host_load(&r->host, err);
	if (rc < 0) {
		*ret_status = MF_EXIT_FAULT;
		return rc;
	}
	return serve(r, err);
}

static void close_places(struct place *places, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++) {
		if (places[i].tcp >= 0)
			mf_sock_close(places[i].tcp);
		if (places[i].udp >= 0)
			mf_sock_close(places[i].udp);
	}
}

static void tear_down(struct resolver *r)
{
	mf_dns_https_free(r->https);
	mf_http_service_free(r->http);
	for (size_t i = 0; i < r->listen_cnt; i++)
		mf_dns_listen_free(r->listeners[i]);
	close_places(r->listen, r->listen_cnt);
	close_places(r->doh, r->doh_cnt);
	mf_proxy_stop(r->proxy);
	mf_policy_host_unload(&r->host);
	mf_policy_host_close_events(&r->host);
	SSL_CTX_free(r->tls);
	mf_authority_watch_stop(&r->watch);
	mf_tls_authority_free(r->authority);
	for (size_t i = 0; i < r->signal_cnt; i++)
		event_free(r->signals[i]);
	if (r->base)
		event_base_free(r->base);
	free(r->tls_cert);
	free(r);
}

int mf_cmd_resolver(int argc, char **argv)
{
	struct resolver *r = calloc(1, sizeof(*r));
	struct mf_err err = { 0 };
	int status, rc;

	if (!r)
		return MF_EXIT_SETUP;
	mf_policy_host_init(&r->host);
	r->session_name = "resolver";
	r->proxy_options =
		(struct mf_proxy_options){ .size = sizeof(r->proxy_options), .names_only = true };
	status = parse(r, argc, argv);
	if (status < 0) {
		rc = set_up(r, &err, &status);
		if (rc == 0) {
			mf_policy_host_serve(&r->host, &(struct mf_session_card){
							       .kind = "resolver",
							       .id = r->session_name,
						       });
			tell_places(r);
			event_base_dispatch(r->base);
			status = MF_EXIT_GOOD;
		} else {
			fputs("moonfence: ", stderr);
			mf_output_problem(&err);
		}
	}
	tear_down(r);
	return status;
}
