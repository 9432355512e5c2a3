/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_net_linux.c - moonfence vm-net: the network of virtual machines, under policies
 *
 * Puts together: the wires (vm_wire.h), a session of guests whose packets arrive at listeners, and the proxies that serve those.
 * What makes connections of packets is the kernel, in a namespace of our own (capture.h), or lwIP (vm_stack.h). No
 * privileges are wanted.
 */
#include <event2/event.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture/capture.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/run_metrics.h"
#include "cli/summary.h"
#include "cli/vm_net.h"
#include "cli/vm_stack.h"
#include "core/base/clock.h"
#include "core/names/correlation.h"
#include "core/observe/events.h"
#include "core/observe/metrics.h"
#include "proxies/sock.h"
#include "proxies/tls_authority.h"

struct vm_net {
	struct mf_vm_net_wishes *w;
	struct mf_policy_host *host;
	struct mf_capture_guests guests;
	struct mf_capture *capture; /* or: */
	struct mf_vm_stack *stack;
	struct mf_metrics *metrics;
	struct mf_summary *summary;
	struct mf_names *names;
	struct mf_session session;
	struct mf_tls_authority *authority;
	struct event_base *base;
	struct mf_proxy *proxy;
	struct mf_vm_wire *wire;
	uint64_t started_ns;
};

static const char *backend_name(const struct vm_net *v)
{
	return v->stack ? "lwip" : mf_capture_backend_name(MF_CAPTURE_TPROXY);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static void event_of(struct vm_net *v, struct mf_event *ev, enum mf_event_type type)
{
	mf_event_begin(ev, &(struct mf_event_head){
				   .type = type, .session_id = v->w->id, .source = "nic" });
}

static void on_drift(struct vm_net *v, const char *what)
{
	struct mf_event ev;

	mf_log_error(&v->host->log,
		     "the fence is not as it was built, all traffic of the machines has ended: %s",
		     what);
	mf_proxy_cut(v->proxy, what);
	event_of(v, &ev, MF_EV_CAPTURE_DRIFT);
	mf_event_add_cstr(&ev, MF_EVF_BACKEND, backend_name(v));
	mf_event_add_cstr(&ev, MF_EVF_REASON, what);
	mf_event_add_cstr(&ev, MF_EVF_ACTION, "cut");
	mf_events_send(v->host->events, &ev);
}

/* Packets that are neither TCP nor UDP */
static void on_refused(struct vm_net *v, const char *what)
{
	struct mf_event ev;

	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_CAPTURE_REFUSED,
						     .session_id = v->w->id,
						     .source = "nic",
						     .effective_action = "blocked" });
	mf_event_add_cstr(&ev, MF_EVF_BACKEND, backend_name(v));
	mf_event_add_cstr(&ev, MF_EVF_REASON, what);
	mf_events_send(v->host->events, &ev);
}

static void on_capture(evutil_socket_t fd, short what, void *ctx)
{
	struct vm_net *v = ctx;
	struct mf_capture_event ev;

	(void)fd;
	(void)what;
	while (mf_capture_next_event(v->capture, &ev)) {
		if (ev.kind == MF_CAPTURE_DRIFT)
			on_drift(v, ev.text);
		else if (ev.kind == MF_CAPTURE_REFUSED)
			on_refused(v, ev.text);
	}
}

static void on_reload(evutil_socket_t fd, short what, void *ctx)
{
	struct vm_net *v = ctx;

	(void)fd;
	(void)what;
	mf_policy_host_reload(v->host);
}

static void on_end(evutil_socket_t fd, short what, void *ctx)
{
	struct vm_net *v = ctx;

	(void)fd;
	(void)what;
	event_base_loopbreak(v->base);
}

/* A machine's counters outlive it, under its MAC: one that comes back goes on with them. */
static void count_guest(struct vm_net *v, const char *mac, const struct mf_guest_stats *s)
{
	static const char frames[] = "moonfence_guest_frames_total",
			  bytes[] = "moonfence_guest_bytes_total",
			  dropped[] = "moonfence_guest_dropped_total";
	const struct {
		const char *family, *help, *name, *value;
		uint64_t n;
	} rows[] = {
		{ frames, "Frames of virtual machines", "direction", "from_guest", s->frames.in },
		{ frames, "", "direction", "to_guest", s->frames.out },
		{ bytes, "Bytes of these frames", "direction", "from_guest", s->frames.in_bytes },
		{ bytes, "", "direction", "to_guest", s->frames.out_bytes },
	};
	struct mf_label labels[2] = { { "guest", mac } };

	for (size_t i = 0; i < MF_ARRAY_SIZE(rows); i++) {
		labels[1] = (struct mf_label){ rows[i].name, rows[i].value };
		mf_counter_add(mf_metrics_counter(v->metrics, rows[i].family, rows[i].help, labels,
						  MF_ARRAY_SIZE(labels)),
			       rows[i].n);
	}
	for (int i = 0; i < MF_GUEST_DROP_NUM; i++) {
		if (!s->dropped[i])
			continue;
		labels[1] =
			(struct mf_label){ "reason", mf_guest_drop_name((enum mf_guest_drop)i) };
		mf_counter_add(mf_metrics_counter(v->metrics, dropped,
						  "Frames of machines, or to them, that went "
						  "nowhere",
						  labels, MF_ARRAY_SIZE(labels)),
			       s->dropped[i]);
	}
}

static void add_stats(struct mf_event *ev, const struct mf_guest_stats *s)
{
	char text[MF_GUEST_DROP_NUM][48];
	const char *list[MF_GUEST_DROP_NUM];
	size_t cnt = 0;

	for (int i = 0; i < MF_GUEST_DROP_NUM; i++) {
		if (!s->dropped[i])
			continue;
		snprintf(text[cnt], sizeof(text[cnt]), "%s=%llu",
			 mf_guest_drop_name((enum mf_guest_drop)i),
			 (unsigned long long)s->dropped[i]);
		list[cnt] = text[cnt];
		cnt++;
	}
	mf_event_add_int(ev, MF_EVF_BYTES_SENT, (int64_t)s->frames.in_bytes);
	mf_event_add_int(ev, MF_EVF_BYTES_RECEIVED, (int64_t)s->frames.out_bytes);
	if (cnt)
		mf_event_add_list(ev, MF_EVF_DROPPED, list, cnt);
}

static void add_prefix(struct mf_event *ev, const uint8_t prefix[8])
{
	struct mf_addr net = { .family = 6 };
	char text[MF_ADDR_TEXT_MAX + 4];

	memcpy(net.bytes, prefix, 8);
	mf_addr_format(&net, text, sizeof(text));
	strcat(text, "/64");
	mf_event_add_cstr(ev, MF_EVF_PREFIX, text);
}

static void on_guest(void *ctx, const struct mf_guest *guest, enum mf_vm_guest_left left,
		     uint64_t ns)
{
	static const char *const reasons[] = {
		[MF_VM_GUEST_CLOSED] = "closed",
		[MF_VM_GUEST_MALFORMED] = "malformed",
		[MF_VM_GUEST_REPLACED] = "replaced",
		[MF_VM_GUEST_SESSION_END] = "session_end",
	};
	struct vm_net *v = ctx;
	const uint8_t *m = mf_guest_mac(guest);
	struct mf_addr address = { .family = 4 };
	struct mf_guest_stats stats;
	struct mf_event ev;
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		 m[5]);
	memcpy(address.bytes, mf_guest_address4(guest), 4);
	event_of(v, &ev, left ? MF_EV_GUEST_LEFT : MF_EV_GUEST_JOINED);
	mf_event_add_int(&ev, MF_EVF_GUEST, mf_guest_number(guest));
	mf_event_add_cstr(&ev, MF_EVF_MAC, mac);
	mf_event_add_addr(&ev, MF_EVF_ADDRESS, &address);
	if (left) {
		mf_guest_get_stats(guest, &stats);
		mf_event_add_cstr(&ev, MF_EVF_REASON, reasons[left]);
		mf_event_add_int(&ev, MF_EVF_DURATION_MS, (int64_t)(ns / MF_NS_PER_MS));
		add_stats(&ev, &stats);
		count_guest(v, mac, &stats);
	} else if (!v->w->wire_options.net.no6) {
		add_prefix(&ev, mf_guest_prefix6(guest));
	}
	mf_events_send(v->host->events, &ev);
}

static void on_all_gone(void *ctx)
{
	struct vm_net *v = ctx;

	if (v->w->once)
		event_base_loopbreak(v->base);
}

static void tell_start(struct vm_net *v)
{
	struct mf_capture_timing t = { .total_ns = mf_clock_now(&mf_clock_system) - v->started_ns };
	struct mf_event ev;

	if (v->capture)
		mf_capture_get_timing(v->capture, &t);
	event_of(v, &ev, MF_EV_TRANSPARENT_NET_SETUP);
	mf_event_add_cstr(&ev, MF_EVF_BACKEND, backend_name(v));
	mf_event_add_int(&ev, MF_EVF_DURATION_MS, (int64_t)(t.total_ns / MF_NS_PER_MS));
	mf_events_send(v->host->events, &ev);
	event_of(v, &ev, MF_EV_SESSION_START);
	mf_events_send(v->host->events, &ev);
	for (size_t i = 0; i < v->w->wire_options.place_cnt; i++)
		printf("machines connect at %s\n", mf_vm_wire_place(v->wire, i));
	fflush(stdout);
}

static void log_stack(struct vm_net *v)
{
	struct mf_guest_stack_stats s;

	mf_vm_stack_get_stats(v->stack, &s);
	mf_log_info(&v->host->log,
		    "%llu connections, of which %llu ended early; %llu datagrams from machines, "
		    "%llu to them",
		    (unsigned long long)s.accepted, (unsigned long long)s.resets,
		    (unsigned long long)s.datagrams_in, (unsigned long long)s.datagrams_out);
	for (int i = 0; i < MF_STACK_DROP_NUM; i++)
		if (s.dropped[i])
			mf_log_info(&v->host->log, "%llu packets dropped: %s",
				    (unsigned long long)s.dropped[i],
				    mf_stack_drop_name((enum mf_stack_drop)i));
}

static void log_wire(struct vm_net *v)
{
	struct mf_vm_wire_stats s;

	mf_vm_wire_get_stats(v->wire, &s);
	mf_log_info(&v->host->log,
		    "%llu machines, %llu frames (%llu bytes) from them, %llu (%llu) to them",
		    (unsigned long long)s.guests, (unsigned long long)s.frames_in,
		    (unsigned long long)s.bytes_in, (unsigned long long)s.frames_out,
		    (unsigned long long)s.bytes_out);
	for (int i = 0; i < MF_GUEST_DROP_NUM; i++)
		if (s.dropped[i])
			mf_log_info(&v->host->log, "%llu frames dropped: %s",
				    (unsigned long long)s.dropped[i],
				    mf_guest_drop_name((enum mf_guest_drop)i));
	if (v->stack)
		log_stack(v);
}

static void tell_end(struct vm_net *v)
{
	struct mf_proxy_stats s = { .size = sizeof(s) };
	struct mf_event ev;

	mf_proxy_cut(v->proxy, "session end");
	mf_proxy_get_stats(v->proxy, &s);
	mf_run_metrics_gather(v->metrics, &(struct mf_run_metrics){ v->host->vm, v->names,
								    v->host->events, v->proxy });
	mf_vm_stack_end(v->stack);
	mf_vm_wire_end_proxy(v->wire);
	mf_proxy_stop(v->proxy);
	v->proxy = NULL;
	mf_vm_wire_end_guests(v->wire);
	log_wire(v);
	event_of(v, &ev, MF_EV_SESSION_END);
	mf_event_add_int(&ev, MF_EVF_EXIT_CODE, 0);
	mf_event_add_int(
		&ev, MF_EVF_DURATION_MS,
		(int64_t)((mf_clock_now(&mf_clock_system) - v->started_ns) / MF_NS_PER_MS));
	mf_event_add_int(&ev, MF_EVF_CONNECTIONS, (int64_t)s.tcp_accepted);
	mf_event_add_int(&ev, MF_EVF_DNS_QUERIES, (int64_t)s.dns_queries);
	mf_event_add_int(&ev, MF_EVF_DENIED,
			 (int64_t)(s.tcp_denied + s.udp_denied + s.icmp_denied + s.dns_denied +
				   s.sni_denied));
	mf_events_send(v->host->events, &ev);
}

static int serve(struct vm_net *v, struct mf_err *err)
{
	struct event *events[4] = { NULL };
	size_t cnt = 0;
	int r = MF_E_NOMEM;

	v->base = event_base_new();
	if (v->base) {
		events[cnt++] = evsignal_new(v->base, SIGHUP, on_reload, v);
		events[cnt++] = evsignal_new(v->base, SIGTERM, on_end, v);
		events[cnt++] = evsignal_new(v->base, SIGINT, on_end, v);
		if (v->capture)
			events[cnt++] = event_new(v->base, mf_capture_fd(v->capture),
						  EV_READ | EV_PERSIST, on_capture, v);
	}
	for (size_t i = 0; i < cnt || !cnt; i++) {
		if (!events[i] || event_add(events[i], NULL)) {
			mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
			goto out;
		}
	}
	r = mf_proxy_start(v->base, &v->session, &v->w->proxy_options, &v->proxy, err);
	if (r < 0)
		goto out;
	r = v->stack ? mf_vm_wire_begin_stack(v->wire, v->base, v->stack, v->proxy, err)
		     : mf_vm_wire_begin(v->wire, v->base, mf_capture_take_guests(v->capture),
					v->proxy, err);
	if (r < 0)
		goto out;
	tell_start(v);
	mf_policy_host_serve(v->host, &(struct mf_session_card){
					      .kind = "vm-net",
					      .id = v->w->id,
					      .backend = backend_name(v),
					      .labels = v->w->labels.rows,
					      .label_cnt = v->w->labels.cnt,
					      .names = v->names,
				      });
	event_base_dispatch(v->base);
	tell_end(v);
out:
	for (size_t i = 0; i < MF_ARRAY_SIZE(events); i++)
		if (events[i])
			event_free(events[i]);
	return r;
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

static void fill_session(struct vm_net *v)
{
	v->session = (struct mf_session){
		.id = v->w->id,
		.source = "nic",
		.labels = v->w->labels.rows,
		.label_cnt = v->w->labels.cnt,
		.vm = v->host->vm,
		.names = v->names,
		.events = v->host->events,
		.metrics = v->metrics,
		.log = &v->host->log,
	};
	if (v->stack)
		mf_vm_stack_get_ops(v->stack, &v->session.ops);
	else
		mf_capture_get_ops(v->capture, &v->session.ops);
	mf_vm_wire_get_echo_ops(v->wire, &v->session.ops);
	/* What runs in a machine is nobody's process here. */
	v->session.ops.find_process = NULL;
}

static int open_events(struct vm_net *v, struct mf_err *err)
{
	int r;

	mf_policy_host_listen(v->host);
	r = mf_policy_host_open_events(v->host, NULL, err);
	if (r < 0 || !v->w->want_summary)
		return r;
	v->summary = mf_summary_new();
	return v->summary ? mf_events_add_callback(v->host->events, mf_summary_on_event, v->summary,
						   "summary", err)
			  : mf_err_set(err, MF_E_NOMEM, "out of memory");
}

static int set_up(struct vm_net *v, int *ret_status, struct mf_err *err)
{
	struct mf_proxy_options *o = &v->w->proxy_options;
	int r = open_events(v, err);

	if (r < 0)
		return r;
	v->metrics = mf_metrics_new(0);
	if (!v->metrics)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	r = mf_names_new(NULL, &v->names, err);
	if (r < 0)
		return r;
	v->host->session = v->w->id;
	r = mf_policy_host_load(v->host, err);
	if (r < 0) {
		*ret_status = MF_EXIT_FAULT;
		return r;
	}
	r = v->capture ? mf_capture_prove(v->capture, err) : 0;
	if (r < 0) {
		struct mf_event ev;

		event_of(v, &ev, MF_EV_TRANSPARENT_NET_FAILED);
		mf_event_add_cstr(&ev, MF_EVF_ERROR, err->msg);
		mf_events_send(v->host->events, &ev);
		return r;
	}
	fill_session(v);
	if (v->stack) {
		o->tcp_fds[o->tcp_fd_cnt++] = mf_vm_stack_listener(v->stack);
		o->find_flow = mf_vm_stack_find_flow;
		o->find_flow_ctx = v->stack;
	} else {
		o->tcp_fds[o->tcp_fd_cnt++] = mf_capture_tcp_fd(v->capture, 0);
		o->udp_fds[o->udp_fd_cnt++] = mf_capture_udp_fd(v->capture, 0);
	}
	o->tls_authority = v->authority;
	return 0;
}

static void tear_down(struct vm_net *v)
{
	struct mf_err err = { 0 };

	mf_vm_stack_end(v->stack);
	mf_vm_wire_end_proxy(v->wire);
	mf_proxy_stop(v->proxy);
	if (mf_vm_wire_free(v->wire, &err) < 0)
		mf_log_error(&v->host->log, "%s", err.msg);
	mf_vm_stack_free(v->stack);
	mf_capture_free(v->capture);
	if (v->w->metrics_path && v->metrics &&
	    mf_run_metrics_write(v->metrics, v->w->metrics_path, &err) < 0)
		mf_log_error(&v->host->log, "%s", err.msg);
	mf_policy_host_unload(v->host);
	mf_policy_host_close_events(v->host);
	if (v->summary)
		mf_summary_print(v->summary, stderr, v->w->id);
	mf_summary_free(v->summary);
	mf_tls_authority_free(v->authority);
	mf_names_free(v->names);
	mf_metrics_free(v->metrics);
	if (v->base)
		event_base_free(v->base);
}

/* The networks that guests get (guest_net.h) are those of the namespace. */
static void choose_networks(struct vm_net *v)
{
	static const uint8_t net4[4] = { 10, 0, 2, 0 };
	static const uint8_t net6[6] = { 0xfd, 0x6d, 0x6f, 0x6f, 0x6e, 0x67 };
	struct mf_guest_net_options *net = &v->w->wire_options.net;

	memcpy(net->net4, net4, sizeof(net4));
	memcpy(net->net6, net6, sizeof(net6));
	memcpy(v->guests.net4, net4, sizeof(net4));
	memcpy(v->guests.net6, net6, sizeof(net6));
	v->guests.mtu = net->mtu;
}

static bool may_administrate_networks(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	return syscall(SYS_capget, &h, caps) == 0 &&
	       caps[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN);
}

static bool wants_lwip(const struct vm_net *v)
{
	return v->w->stack == MF_VM_STACK_LWIP ||
	       (v->w->stack == MF_VM_STACK_ANY && !may_administrate_networks());
}

static int begin_lwip(struct vm_net *v, struct mf_err *err)
{
	const struct mf_vm_stack_options o = { .mtu = v->w->wire_options.net.mtu, .large = true };

	return mf_vm_stack_new(&o, &v->stack, err);
}

static int begin(struct vm_net *v, struct mf_err *err)
{
	struct mf_capture_options o = { .size = sizeof(o),
					.backend = MF_CAPTURE_TPROXY,
					.guests = &v->guests,
					.log = &v->host->log };
	int r;

	r = v->w->ca_dir ? mf_tls_authority_open(v->w->ca_dir, &v->authority, err)
			 : mf_tls_authority_new(v->w->id, &v->authority, err);
	if (r < 0)
		return r;
	r = mf_vm_wire_open(&v->w->wire_options, &v->wire, err);
	if (r == 0 && wants_lwip(v))
		return begin_lwip(v, err);
	/* It forks, and must do so before there are threads. */
	return r < 0 ? r : mf_capture_new(&o, &v->capture, err);
}

void mf_vm_net_set_source(const struct mf_addr *addr)
{
	mf_sock_set_source(addr);
}

int mf_vm_net_run(struct mf_vm_net_wishes *wishes)
{
	struct vm_net v = { .w = wishes, .host = &wishes->host };
	struct mf_err err = { 0 };
	int status = MF_EXIT_SETUP, r;

	v.started_ns = mf_clock_now(&mf_clock_system);
	wishes->wire_options.all_gone = on_all_gone;
	wishes->wire_options.guest = on_guest;
	wishes->wire_options.ctx = &v;
	choose_networks(&v);
	r = begin(&v, &err);
	if (r == 0)
		r = set_up(&v, &status, &err);
	if (r == 0)
		r = serve(&v, &err);
	if (r < 0) {
		fputs("moonfence: ", stderr);
		mf_output_problem(&err);
	} else {
		status = MF_EXIT_GOOD;
	}
	tear_down(&v);
	return status;
}
