/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway.c - moonfence gateway: networking for browsers under the policies
 *
 * Sockets are bound and files of secrets are read first; then rights are given up; policies are read, and reloaded, by
 * whom we are from then on. gateway_threads.c has the threads, gateway_life.c signals, certificates and the end.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/gateway_command.h"
#include "cli/output.h"
#include "core/base/files.h"
#include "proxies/sock.h"

enum {
	DRAIN_S = 30,
};

/* ---- set-up ---------------------------------------------------------------------------------------------------- */

static int set_up(struct mf_gateway_command *g, struct mf_err *err, int *ret_status)
{
	int rc;

	*ret_status = MF_EXIT_SETUP;
	g->base = mf_sock_start() < 0 ? NULL : event_base_new();
	rc = g->base ? mf_gateway_watch_all(g, err)
		     : mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
	if (rc == 0 && g->tls_cert)
		rc = mf_gateway_open_tls(g, err);
	if (rc == 0)
		rc = mf_gateway_keys_load(&g->keys, &g->ring, err);
	if (rc == 0)
		rc = mf_gateway_bind(g, err);
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
	g->opt.keys = g->ring;
	g->opt.open = g->open;
	g->opt.open_cnt = g->open_cnt;
	g->opt.origins = (const char *const *)g->origins;
	g->opt.origin_cnt = g->origin_cnt;
	mf_gateway_access_apply(&g->access, &g->opt);
	mf_gateway_wisp_apply(g);
	return mf_gateway_make_threads(g, err);
}

/* The last of it: from here on nothing is done that was not done before, but by policies' reloads. */
static int confine(struct mf_gateway_command *g, struct mf_err *err)
{
	int r = g->no_seccomp ? 0 : mf_gateway_confine(err);

	if (r == 0 && g->host.verbose)
		mf_log_warning(&g->host.log, "system calls are not filtered");
	return r < 0 ? r : 0;
}

static void serve(struct mf_gateway_command *g)
{
	char text[64];

	snprintf(text, sizeof(text), "READY=1\nSTATUS=serving, %zu threads", g->worker_cnt);
	(void)mf_notify_tell(&g->manager, text);
	event_base_dispatch(g->base);
	(void)mf_notify_tell(&g->manager, "STOPPING=1");
	mf_gateway_join_threads(g);
}

/*
 * What scripts that start Aero's own server wait for: its host is looked for without colons. The first line on stdout with any of these is
 * enough for them.
 */
static void tell_as_aero(const struct mf_gateway_command *g, const struct mf_endpoint *at)
{
	static const uint8_t zero[16];
	char text[MF_ENDPOINT_TEXT_MAX], local[32];

	mf_endpoint_format(at, text, sizeof(text));
	if (at->addr.family != 4 &&
	    (mf_addr_is_loopback(&at->addr) || memcmp(at->addr.bytes, zero, sizeof(zero)) == 0)) {
		snprintf(local, sizeof(local), "localhost:%u", at->port);
		printf("aero-l2-proxy listening on http%s://%s\n", g->tls ? "s" : "", local);
	} else {
		printf("aero-l2-proxy listening on http%s://%s\n", g->tls ? "s" : "", text);
	}
	if (!g->no_ethernet)
		printf("AERO_L2_PROXY_READY ws%s://%s/l2\n", g->tls ? "s" : "", text);
}

static void tell_places(const struct mf_gateway_command *g)
{
	char text[MF_ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < g->listen_cnt; i++)
		printf("%s://%s/\n", g->tls ? "https" : "http",
		       mf_endpoint_format(&g->listen[i].at, text, sizeof(text)));
	mf_gateway_rtc_tell(g);
	for (size_t i = 0; i < g->listen_cnt && g->env == MF_GATEWAY_ENV_AERO; i++)
		tell_as_aero(g, &g->listen[i].at);
	fflush(stdout);
}

static void tear_down(struct mf_gateway_command *g)
{
	mf_gateway_join_threads(g);
	mf_gateway_free_threads(g);
	mf_gateway_rtc_close(g);
	mf_policy_host_unload(&g->host);
	mf_policy_host_close_events(&g->host);
	SSL_CTX_free(g->tls);
	mf_gateway_unwatch_all(g);
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
	mf_notify_begin(&g->manager);
	mf_policy_host_init(&g->host);
	for (size_t i = 0; i < MF_GATEWAY_LISTENERS_MAX; i++)
		g->listen[i].fd = -1;
	g->drain_s = DRAIN_S;
	g->session_name = "gateway";
	g->opt = (struct mf_gateway_options){ .size = sizeof(g->opt),
					      .auth = MF_GW_BY_SESSION,
					      .dns_rate = 10 };
	g->proxy_options = (struct mf_proxy_options){ .size = sizeof(g->proxy_options),
						      .given_only = true,
						      .tcp_idle_ms = 300000,
						      .udp_flows_each = 256 };
	rc = mf_gateway_take_given(g, &err);
	status = rc == 0 ? mf_gateway_options_parse(g, argc, argv) : -1;
	if (status < 0) {
		if (rc == 0)
			rc = set_up(g, &err, &status);
		else
			status = MF_EXIT_SETUP;
		if (rc == 0)
			rc = mf_gateway_start_threads(g, &err);
		if (rc == 0) {
			mf_policy_host_serve(&g->host, &(struct mf_session_card){
							       .kind = "gateway",
							       .id = g->session_name,
						       });
			rc = confine(g, &err);
			status = MF_EXIT_SETUP;
		}
		if (rc == 0) {
			tell_places(g);
			serve(g);
			status = MF_EXIT_GOOD;
		} else {
			fputs("moonfence: ", stderr);
			mf_output_problem(&err);
		}
	}
	tear_down(g);
	return status;
}
