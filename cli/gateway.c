/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway.c - moonfence gateway: networking for browsers under the policies
 *
 * Sockets are bound and files of secrets are read first; then rights are given up; policies are read, and reloaded, by
 * whom we are from then on. SIGTERM ends it in order: no new sessions, what is open is told, and has a moment.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/gateway_command.h"
#include "cli/output.h"
#include "cli/run_metrics.h"
#include "core/base/files.h"
#include "proxies/http_service.h"
#include "proxies/sock.h"
#include "proxies/tls_server.h"

enum {
	BACKLOG = 1024,
	GRACE_S = 10,
	TICK_MS = 20,
	LOOK_S = 2,
};

/* ---- set-up ---------------------------------------------------------------------------------------------------- */

static int bind_all(struct mf_gateway_command *g, struct mf_err *err)
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
	struct mf_gateway_command *g = ctx;

	(void)fd;
	(void)what;
	if (mf_gateway_stop(g->gw) == 0 || ++g->ticks >= GRACE_S * 1000 / TICK_MS)
		event_base_loopbreak(g->base);
}

/* The second time at once. */
static void on_stop(evutil_socket_t sig, short what, void *ctx)
{
	struct mf_gateway_command *g = ctx;
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

static void reload_keys(struct mf_gateway_command *g)
{
	struct mf_err err = { 0 };
	struct mf_keyring *ring;

	if (mf_gateway_keys_load(&g->keys, &ring, &err) < 0)
		mf_log_warning(&g->host.log, "the keys stay as they are: %s", err.msg);
	else
		mf_keyring_replace(g->ring, ring);
}

/* Files of keys are looked at from time to time. */
static void on_look(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_gateway_command *g = ctx;

	(void)fd;
	(void)what;
	if (g->host.watch && mf_gateway_keys_changed(&g->keys))
		reload_keys(g);
}

static void on_reload(evutil_socket_t sig, short what, void *ctx)
{
	struct mf_gateway_command *g = ctx;
	struct mf_err err = { 0 };
	SSL_CTX *tls;

	(void)sig;
	(void)what;
	mf_policy_host_reload(&g->host);
	reload_keys(g);
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

static bool look_often(struct mf_gateway_command *g)
{
	const struct timeval often = { LOOK_S, 0 };

	g->look = event_new(g->base, -1, EV_PERSIST, on_look, g);
	return g->look && event_add(g->look, &often) == 0;
}

static bool watch_signal(struct mf_gateway_command *g, int sig, event_callback_fn fn)
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

static int start_loop(struct mf_gateway_command *g, struct mf_err *err)
{
	int reload = mf_daemon_reload_signal();

	g->base = mf_sock_start() < 0 ? NULL : event_base_new();
	if (!g->base || !look_often(g) || !watch_signal(g, SIGINT, on_stop) ||
	    !watch_signal(g, SIGTERM, on_stop) ||
	    (reload >= 0 && !watch_signal(g, reload, on_reload)))
		return mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
	return 0;
}

static void gather(void *ctx, struct mf_metrics *m)
{
	struct mf_gateway_command *g = ctx;
	struct mf_run_metrics from = { .proxy = g->proxy,
				       .vm = g->host.vm,
				       .events = g->host.events };

	mf_run_metrics_gather(m, &from);
}

/* A network for guests, where this system has a stack for them. */
static int open_guests(struct mf_gateway_command *g, struct mf_err *err)
{
	const struct mf_gateway_guests_options o = { .l2 = g->opt.l2,
						     .pcap_dir = g->pcap_dir,
						     .log = &g->host.log };
	int rc = g->no_ethernet ? MF_E_UNSUPPORTED : mf_gateway_guests_new(&o, &g->guests, err);

	if (rc < 0)
		return rc == MF_E_UNSUPPORTED ? 0 : rc;
	mf_gateway_guests_get_ops(g->guests, &g->session.ops);
	g->opt.frames = mf_gateway_guests_frames(g->guests);
	g->proxy_options.datagrams_given = true;
	return 0;
}

static int serve(struct mf_gateway_command *g, struct mf_err *err)
{
	struct mf_http_service_options http = { .size = sizeof(http),
						.connections_max = 4096,
						.head_max = 32768,
						.body_max = 1 << 20,
						.balancers = g->access.proxies,
						.balancer_cnt = g->access.forwarding.trusted_cnt };
	int rc;

	g->session = (struct mf_session){ .id = g->session_name,
					  .source = "gateway",
					  .vm = g->host.vm,
					  .events = g->host.events,
					  .log = &g->host.log,
					  .approvals = g->host.approvals };
	g->opt.keys = g->ring;
	g->opt.open = g->open;
	g->opt.open_cnt = g->open_cnt;
	g->opt.origins = (const char *const *)g->origins;
	g->opt.origin_cnt = g->origin_cnt;
	mf_gateway_access_apply(&g->access, &g->opt);
	mf_gateway_wisp_apply(g);
	g->opt.gather = gather;
	g->opt.gather_ctx = g;
	rc = open_guests(g, err);
	if (rc == 0)
		rc = mf_proxy_start(g->base, &g->session, &g->proxy_options, &g->proxy, err);
	if (rc == 0)
		rc = mf_http_service_new(g->base, &http, &g->http, err);
	if (rc == 0)
		rc = mf_gateway_new(g->base, g->proxy, g->http, &g->opt, &g->gw, err);
	if (rc == 0 && g->guests)
		rc = mf_gateway_guests_begin(g->guests, g->base, g->proxy, g->gw, err);
	for (size_t i = 0; i < g->listen_cnt && rc == 0; i++) {
		rc = (g->access.proxy_protocol
			      ? mf_http_service_listen_proxied
			      : mf_http_service_listen)(g->http, g->listen[i].fd, g->tls, err);
		if (rc == 0)
			g->listen[i].fd = -1;
	}
	return rc;
}

static int set_up(struct mf_gateway_command *g, struct mf_err *err, int *ret_status)
{
	int rc = start_loop(g, err);

	*ret_status = MF_EXIT_SETUP;
	if (rc == 0 && g->tls_cert)
		rc = mf_tls_server_open(g->tls_cert, g->tls_key, &g->tls, err);
	if (rc == 0)
		rc = mf_gateway_keys_load(&g->keys, &g->ring, err);
	if (rc == 0)
		rc = bind_all(g, err);
	if (rc == 0)
		rc = mf_gateway_rtc_open(g, err);
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

static void tell_places(const struct mf_gateway_command *g)
{
	char text[MF_ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < g->listen_cnt; i++)
		printf("%s://%s/\n", g->tls ? "https" : "http",
		       mf_endpoint_format(&g->listen[i].at, text, sizeof(text)));
	mf_gateway_rtc_tell(g);
	fflush(stdout);
}

static void tear_down(struct mf_gateway_command *g)
{
	mf_http_service_free(g->http);
	mf_gateway_free(g->gw);
	mf_gateway_guests_end(g->guests);
	mf_gateway_rtc_close(g);
	mf_proxy_stop(g->proxy);
	mf_gateway_guests_free(g->guests);
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
	if (g->look)
		event_free(g->look);
	if (g->base)
		event_base_free(g->base);
	for (size_t i = 0; i < g->origin_cnt; i++)
		free(g->origins[i]);
	mf_gateway_access_done(&g->access);
	mf_gateway_texts_free(&g->texts);
	mf_keyring_free(g->ring);
	mf_gateway_wisp_done(&g->wisp);
	free(g);
}

int mf_cmd_gateway(int argc, char **argv)
{
	struct mf_gateway_command *g = calloc(1, sizeof(*g));
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
	status = mf_gateway_options_parse(g, argc, argv);
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
