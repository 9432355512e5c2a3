/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c - moonfence run: a command behind the fence
 *
 * Puts four things together and lets the loop run: a capture backend that makes the command's traffic arrive at
 * listeners, the proxies that serve those listeners, the runtime whose policies judge, and the events that tell of it.
 * The order matters: the capture forks first (before there are threads), and the command starts last, after the capture
 * has been proven and the policies are in force.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/approval_terminal.h"
#include "cli/attach.h"
#include "cli/commands.h"
#include "cli/flow_view.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/paths.h"
#include "cli/run_command.h"
#include "cli/run_metrics.h"
#include "cli/run_packets.h"
#include "cli/run_signals.h"
#include "cli/summary.h"
#include "core/names/correlation.h"
#include "core/observe/events.h"
#include "core/observe/metrics.h"
#include "proxies/tls_authority.h"

/* ---- sinks ----------------------------------------------------------------------------------------------------- */

static void notice(void *ctx, const char *text, size_t len)
{
	char line[MF_EVENT_NOTICE_MAX + 1];

	(void)ctx;
	snprintf(line, sizeof(line), "%.*s", (int)len, text);
	fputs("moonfence: ", stderr);
	mf_output_text(stderr, line);
	fputc('\n', stderr);
}

static int open_events(struct mf_run *r, struct mf_err *err)
{
	struct mf_events_options o = { .notice = notice };
	int rc;

	mf_policy_host_listen(&r->host);
	rc = mf_policy_host_open_events(&r->host, &o, err);
	if (rc == 0 && r->want_summary) {
		r->summary = mf_summary_new();
		rc = r->summary ? mf_events_add_callback(r->host.events, mf_summary_on_event,
							 r->summary, "summary", err)
				: mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	return rc;
}

/* ---- set-up ---------------------------------------------------------------------------------------------------- */

static void name_session(struct mf_run *r)
{
	struct timespec now;
	struct tm tm;
	char stamp[32];

	if (r->session_name) {
		snprintf(r->id, sizeof(r->id), "%s", r->session_name);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm);
	snprintf(r->id, sizeof(r->id), "run-%s-%d", stamp, (int)getpid());
}

static void fill_session(struct mf_run *r)
{
	r->session = (struct mf_session){
		.id = r->id,
		.source = "session",
		.labels = r->labels.rows,
		.label_cnt = r->labels.cnt,
		.vm = r->host.vm,
		.names = r->names,
		.events = r->host.events,
		.metrics = r->metrics,
		.log = &r->host.log,
		.approvals = r->host.approvals,
	};
	mf_capture_get_ops(r->capture, &r->session.ops);
}

static void event_of(struct mf_run *r, struct mf_event *ev, enum mf_event_type type)
{
	mf_event_begin(ev, &(struct mf_event_head){
				   .type = type, .session_id = r->id, .source = "session" });
}

static void tell_start(struct mf_run *r, char *const *command)
{
	struct mf_capture_timing t;
	struct mf_event ev;
	size_t argc = 0;

	mf_capture_get_timing(r->capture, &t);
	event_of(r, &ev, MF_EV_TRANSPARENT_NET_SETUP);
	mf_event_add_cstr(&ev, MF_EVF_BACKEND, mf_capture_backend_name(r->backend));
	mf_event_add_int(&ev, MF_EVF_DURATION_MS, (int64_t)(t.total_ns / MF_NS_PER_MS));
	mf_events_send(r->host.events, &ev);
	event_of(r, &ev, MF_EV_CAPTURE_READY);
	mf_event_add_cstr(&ev, MF_EVF_BACKEND, mf_capture_backend_name(r->backend));
	mf_event_add_int(&ev, MF_EVF_PROBE_MS, (int64_t)(t.probes_ns / MF_NS_PER_MS));
	mf_events_send(r->host.events, &ev);
	while (command[argc])
		argc++;
	event_of(r, &ev, MF_EV_SESSION_START);
	mf_event_add_list(&ev, MF_EVF_ARGV, (const char *const *)command, argc);
	mf_event_add_cstr(&ev, MF_EVF_BACKEND, mf_capture_backend_name(r->backend));
	mf_event_add_int(&ev, MF_EVF_GENERATION, (int64_t)mf_runtime_generation(r->host.runtime));
	mf_events_send(r->host.events, &ev);
}

static void tell_end(struct mf_run *r)
{
	struct mf_proxy_stats s = { .size = sizeof(s) };
	struct mf_event ev;

	mf_run_files_settle(&r->files);
	// Connections that are still open count, and end before the session does.
	mf_proxy_cut(r->proxy, "session end");
	mf_proxy_get_stats(r->proxy, &s);
	mf_run_metrics_gather(r->metrics, &(struct mf_run_metrics){ r->host.vm, r->names,
								    r->host.events, r->proxy });
	mf_capture_gather(r->capture, r->metrics);
	mf_flow_view_close(r->flows);
	mf_proxy_stop(r->proxy);
	r->proxy = NULL;
	event_of(r, &ev, MF_EV_SESSION_END);
	mf_event_add_int(&ev, MF_EVF_EXIT_CODE, r->exited.status);
	if (r->exited.signal)
		mf_event_add_int(&ev, MF_EVF_SIGNAL, r->exited.signal);
	mf_event_add_int(
		&ev, MF_EVF_DURATION_MS,
		(int64_t)((mf_clock_now(&mf_clock_system) - r->started_ns) / MF_NS_PER_MS));
	mf_event_add_int(&ev, MF_EVF_CONNECTIONS, (int64_t)s.tcp_accepted);
	mf_event_add_int(&ev, MF_EVF_DNS_QUERIES, (int64_t)s.dns_queries);
	mf_event_add_int(&ev, MF_EVF_DENIED,
			 (int64_t)(s.tcp_denied + s.udp_denied + s.dns_denied + s.sni_denied));
	mf_event_add_int(&ev, MF_EVF_BYTES_SENT, (int64_t)s.bytes_to_server);
	mf_event_add_int(&ev, MF_EVF_BYTES_RECEIVED, (int64_t)s.bytes_to_client);
	mf_events_send(r->host.events, &ev);
}

/* ---- the loop -------------------------------------------------------------------------------------------------- */

static void on_drift(struct mf_run *r, const char *what)
{
	struct mf_event ev;

	mf_log_error(&r->host.log,
		     "the fence is not as it was built, all traffic of the session has ended: %s",
		     what);
	mf_proxy_cut(r->proxy, what);
	event_of(r, &ev, MF_EV_CAPTURE_DRIFT);
	mf_event_add_cstr(&ev, MF_EVF_BACKEND, mf_capture_backend_name(r->backend));
	mf_event_add_cstr(&ev, MF_EVF_REASON, what);
	mf_event_add_cstr(&ev, MF_EVF_ACTION, "cut");
	mf_events_send(r->host.events, &ev);
}

/* What somebody in the session tried and may not, and sockets of the host that appeared: no decision of a policy. */
static void on_fence(struct mf_run *r, const struct mf_capture_event *what)
{
	bool refused = what->kind == MF_CAPTURE_REFUSED;
	struct mf_event ev;

	mf_event_begin(&ev, &(struct mf_event_head){ .type = refused ? MF_EV_CAPTURE_REFUSED
								     : MF_EV_CAPTURE_MASKED,
						     .session_id = r->id,
						     .source = "session",
						     .pid = what->pid,
						     .path = refused ? NULL : what->text,
						     .effective_action = "blocked" });
	mf_event_add_cstr(&ev, MF_EVF_BACKEND, mf_capture_backend_name(r->backend));
	if (refused)
		mf_event_add_cstr(&ev, MF_EVF_REASON, what->text);
	mf_events_send(r->host.events, &ev);
}

/* Failures of the packets' way, and their end: no decision of a policy either. */
static void on_packets(struct mf_run *r, const char *what)
{
	struct mf_event ev;

	mf_log_warning(&r->host.log, "%s", what);
	event_of(r, &ev, MF_EV_CAPTURE_PACKETS);
	mf_event_add_cstr(&ev, MF_EVF_BACKEND, mf_capture_backend_name(r->backend));
	mf_event_add_cstr(&ev, MF_EVF_REASON, what);
	mf_events_send(r->host.events, &ev);
}

static void on_capture(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_run *r = ctx;
	struct mf_capture_event ev;

	(void)fd;
	(void)what;
	while (mf_capture_next_event(r->capture, &ev)) {
		switch (ev.kind) {
		case MF_CAPTURE_EXITED:
			r->exited = ev;
			event_base_loopbreak(r->base);
			return;
		case MF_CAPTURE_STOPPED:
			mf_events_flush(r->host.events, 1000);
			mf_capture_stop_like(r->capture, &ev);
			break;
		case MF_CAPTURE_DRIFT:
			on_drift(r, ev.text);
			break;
		case MF_CAPTURE_MASKED:
		case MF_CAPTURE_REFUSED:
			on_fence(r, &ev);
			break;
		case MF_CAPTURE_PACKETS:
			on_packets(r, ev.text);
			break;
		case MF_CAPTURE_RESUMED:
		case MF_CAPTURE_EVENT_NUM:
			break;
		}
	}
}

static void on_queued(void *ctx)
{
	on_capture(-1, 0, ctx);
}

static void on_reload(void *ctx)
{
	struct mf_run *r = ctx;

	mf_policy_host_reload(&r->host);
}

/* The command is killed with the capture. */
static void on_stop(void *ctx, int status)
{
	struct mf_run *r = ctx;

	r->exited = (struct mf_capture_event){ .kind = MF_CAPTURE_EXITED, .status = status };
	event_base_loopbreak(r->base);
}

/* Where the session could reach its own control socket: whoever is of it may not ask there, nor anybody when it is over. */
static bool is_inside(void *ctx, int64_t pid)
{
	struct mf_run *r = ctx;
	bool inside;

	pthread_mutex_lock(&r->inside_lock);
	inside = r->inside_over || mf_capture_is_inside(r->capture, pid);
	pthread_mutex_unlock(&r->inside_lock);
	return inside;
}

static int serve(struct mf_run *r, char *const *command, struct mf_err *err, int *ret_status)
{
	const struct mf_run_signals_ops signals = { on_reload, on_stop, r };
	struct event *on_child;
	int rc = MF_E_NOMEM;

	r->base = event_base_new();
	on_child = r->base ? event_new(r->base, mf_capture_fd(r->capture), EV_READ | EV_PERSIST,
				       on_capture, r)
			   : NULL;
	r->signals = r->base ? mf_run_signals_new(r->base, &signals) : NULL;
	if (!on_child || !r->signals || event_add(on_child, NULL)) {
		mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
		goto out;
	}
	rc = mf_proxy_start(r->base, &r->session, &r->proxy_options, &r->proxy, err);
	if (rc < 0)
		goto out;
	if (r->host.ask.terminal)
		rc = mf_approval_terminal_begin(r->base, r->host.approvals, &r->terminal, err);
	if (rc < 0)
		goto out;
	rc = mf_run_packets_begin(r->base, r->capture, r->proxy, on_queued, r, &r->packets, err);
	if (rc < 0)
		goto out;
	rc = mf_flow_view_new(r->base, r->proxy, &r->flows, err);
	if (rc < 0)
		goto out;
	mf_policy_host_serve(&r->host, &(struct mf_session_card){
					       .kind = "run",
					       .id = r->id,
					       .backend = mf_capture_backend_name(r->backend),
					       .command = (const char *const *)command,
					       .labels = r->labels.rows,
					       .label_cnt = r->labels.cnt,
					       .names = r->names,
					       .flows = mf_flow_view_ask,
					       .flows_ctx = r->flows,
					       .is_inside = is_inside,
					       .inside_ctx = r,
				       });
	if (r->daemon)
		rc = mf_attach_begin(r->daemon, mf_control_path(r->host.control), &r->host.log,
				     &r->attach, err);
	if (rc < 0)
		goto out;
	tell_start(r, command);
	rc = mf_capture_exec(r->capture, ret_status, err);
	if (rc < 0)
		goto out;
	// The command may have ended before the loop looks.
	event_active(on_child, EV_READ, 0);
	mf_run_packets_dispatch(r->packets);
	tell_end(r);
out:
	mf_approval_terminal_end(r->terminal);
	mf_run_packets_end(r->packets);
	if (on_child)
		event_free(on_child);
	return rc;
}

static void take_listeners(struct mf_run *r)
{
	struct mf_proxy_options *o = &r->proxy_options;
	int fd;

	for (unsigned i = 0; (fd = mf_capture_tcp_fd(r->capture, i)) >= 0; i++)
		o->tcp_fds[o->tcp_fd_cnt++] = fd;
	for (unsigned i = 0; (fd = mf_capture_udp_fd(r->capture, i)) >= 0; i++)
		o->udp_fds[o->udp_fd_cnt++] = fd;
}

_Static_assert(MF_CAPTURE_LISTENERS_MAX <= MF_PROXY_LISTENERS_MAX, "the proxies serve them all");

static int set_up(struct mf_run *r, struct mf_err *err, int *ret_status)
{
	int rc = open_events(r, err);

	if (rc < 0)
		return rc;
	r->metrics = mf_metrics_new(0);
	if (!r->metrics)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	rc = mf_names_new(NULL, &r->names, err);
	if (rc < 0)
		return rc;
	r->host.workspace = r->files.workspace;
	r->host.session = r->id;
	rc = mf_policy_host_load(&r->host, err);
	if (rc < 0) {
		*ret_status = MF_EXIT_FAULT;
		return rc;
	}
	rc = mf_capture_prove(r->capture, err);
	if (rc < 0) {
		struct mf_event ev;

		event_of(r, &ev, MF_EV_TRANSPARENT_NET_FAILED);
		mf_event_add_cstr(&ev, MF_EVF_BACKEND, mf_capture_backend_name(r->backend));
		mf_event_add_cstr(&ev, MF_EVF_ERROR, err->msg);
		mf_events_send(r->host.events, &ev);
		return rc;
	}
	fill_session(r);
	rc = mf_run_files_begin(&r->files, mf_capture_take_workspace(r->capture),
				mf_capture_pid(r->capture), &r->host, &r->session, err);
	if (rc < 0)
		return rc;
	take_listeners(r);
	r->proxy_options.tls_authority = r->authority;
	if (r->services.envp) {
		r->proxy_options.services = mf_run_services_current;
		r->proxy_options.services_ctx = &r->services;
	}
	if (r->backend != MF_CAPTURE_TPROXY) {
		r->proxy_options.find_flow = mf_capture_find_flow;
		r->proxy_options.find_flow_ctx = r->capture;
	}
	return 0;
}

static void write_metrics(struct mf_run *r)
{
	struct mf_err err = { 0 };

	if (mf_run_metrics_write(r->metrics, r->metrics_path, &err) < 0)
		mf_log_error(&r->host.log, "%s", err.msg);
}

static void free_run(struct mf_run *r)
{
	mf_label_options_done(&r->labels);
	mf_run_services_done(&r->services);
	pthread_mutex_destroy(&r->inside_lock);
	free(r);
}

static void tear_down(struct mf_run *r)
{
	mf_flow_view_close(r->flows);
	mf_proxy_stop(r->proxy);
	pthread_mutex_lock(&r->inside_lock);
	r->inside_over = true;
	pthread_mutex_unlock(&r->inside_lock);
	// Whoever of the session is left goes with the capture; its files are served until then.
	mf_capture_free(r->capture), r->capture = NULL;
	mf_run_files_end(&r->files);
	if (r->metrics_path && r->metrics)
		write_metrics(r);
	mf_attach_end(r->attach);
	mf_policy_host_unload(&r->host);
	// After everything that sends events, before what the sinks write to.
	mf_policy_host_close_events(&r->host);
	mf_flow_view_free(r->flows);
	if (r->summary)
		mf_summary_print(r->summary, stderr, r->id);
	mf_summary_free(r->summary);
	mf_tls_authority_free(r->authority);
	mf_names_free(r->names);
	mf_metrics_free(r->metrics);
	// Who ends the console waits for everything before this.
	mf_run_signals_free(r->signals);
	if (r->base)
		event_base_free(r->base);
}

int mf_cmd_run(int argc, char **argv)
{
	struct mf_run *r = calloc(1, sizeof(*r));
	struct mf_capture_options capture_options = { .size = sizeof(capture_options),
						      .own_sighup = true };
	char authority_dir[MF_PATH_MAX];
	struct mf_err err = { 0 };
	char *const *command;
	int status = MF_EXIT_SETUP, rc;

	if (!r)
		return MF_EXIT_SETUP;
	pthread_mutex_init(&r->inside_lock, NULL);
	mf_policy_host_init(&r->host);
	mf_trash_choice_init(&r->files.trash_choice);
	r->backend = mf_capture_backend_default();
	r->proxy_options = (struct mf_proxy_options){ .size = sizeof(r->proxy_options) };
	if (!mf_run_options_parse(r, argc, argv, &command, &status)) {
		free_run(r);
		return status;
	}
	r->started_ns = mf_clock_now(&mf_clock_system);
	name_session(r);
	capture_options.argv = command;
	capture_options.backend = r->backend;
	capture_options.mtu = r->mtu;
	capture_options.fail_open = r->fail_open;
	capture_options.prove_timeout_ms = r->prove_timeout_ms;
	capture_options.tun_queues = r->tun_queues;
	capture_options.unix_allow = r->unix_allow;
	capture_options.unix_allow_cnt = r->unix_cnt;
	capture_options.keep_fds = r->keep_fds;
	capture_options.keep_fd_cnt = r->keep_fd_cnt;
	capture_options.log = &r->host.log;
	capture_options.own_orphans = true;
	// The key of the local authority must not serve those whom the fence holds back.
	capture_options.hidden_dir = mf_paths_authority(authority_dir);
	capture_options.hidden_run = mf_control_dir(&r->host.log);
	status = MF_EXIT_SETUP;
	rc = r->ca_dir ? mf_tls_authority_open(r->ca_dir, &r->authority, &err)
		       : mf_tls_authority_new(r->id, &r->authority, &err);
	if (rc == 0)
		capture_options.extra_ca_pem = mf_tls_authority_pem(r->authority);
	if (rc == 0)
		rc = mf_run_files_prepare(&r->files, &r->host.log, &err);
	if (rc == 0)
		rc = mf_run_services_prepare(&r->services, &r->host, &err);
	capture_options.envp = r->services.envp;
	capture_options.workspace = r->files.place.source;
	capture_options.directory = r->files.place.directory;
	capture_options.hidden_trash = r->files.trash_path;
	// It forks, and must do so before there are threads.
	if (rc == 0)
		rc = mf_capture_new(&capture_options, &r->capture, &err);
	if (rc == 0)
		rc = set_up(r, &err, &status);
	if (rc == 0)
		rc = serve(r, command, &err, &status);
	if (rc < 0) {
		fputs("moonfence: ", stderr);
		mf_output_problem(&err);
	}
	tear_down(r);
	if (rc == 0) {
		struct mf_capture_event exited = r->exited;

		free_run(r);
		mf_capture_exit_like(&exited);
	}
	free_run(r);
	return status;
}
