/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_win32.c - a session on Windows: a job of processes, and what stands between them and the network
 *
 * WINDIVERT: the driver diverts packets, the pipeline sends those of the job's processes to our listeners.
 * BLOCK: no driver; the Windows Filtering Platform refuses all connections of the job's programs.
 * docs/internals/capture-windows.md is the map.
 */
#include <winsock2.h>
#include <ws2tcpip.h>

#include <windows.h>

#include <stdio.h>
#include <stdlib.h>

#include "capture/internal_win32.h"
#include "capture/minifilter_win32.h"
#include "capture/pipeline.h"
#include "capture/wfp_win32.h"
#include "core/base/win32.h"

#include <bcrypt.h>

#define PROVE_TIMEOUT_MS 20000
/* Where a firewall keeps IPv6 from us each session waits this long for nothing. */
#define PROVE6_TIMEOUT_MS 3000
#define PORT_TRIES	  32
#define LISTEN_BACKLOG	  1024
#define CA_MAX		  65536

/* ---- events ---------------------------------------------------------------------------------------------------- */

void mf_capture_tell(struct mf_capture *cap, enum mf_capture_event_kind kind, const char *text)
{
	struct mf_capture_event *ev;

	if (cap->queue_cnt == MF_CAPTURE_EVENTS_MAX) {
		if (!cap->queue_lost++)
			mf_log_warning(cap->options.log, "events of the capture are lost");
		return;
	}
	ev = &cap->queue[(cap->queue_first + cap->queue_cnt++) % MF_CAPTURE_EVENTS_MAX];
	*ev = (struct mf_capture_event){ .kind = kind };
	snprintf(ev->text, sizeof(ev->text), "%s", text);
	mf_wake_set(&cap->events_wake);
}

void mf_capture_wake_all(void *ctx)
{
	struct mf_capture *cap = ctx;

	mf_wake_set(&cap->packets_wake);
	mf_wake_set(&cap->events_wake);
}

bool mf_capture_has_event(const struct mf_capture *cap)
{
	return cap->queue_cnt > 0;
}

bool mf_capture_next_event(struct mf_capture *cap, struct mf_capture_event *ret)
{
	uint32_t code;

	mf_wake_clear(&cap->events_wake);
	mf_capture_take_processes(cap);
	if (cap->queue_cnt) {
		*ret = cap->queue[cap->queue_first];
		cap->queue_first = (cap->queue_first + 1) % MF_CAPTURE_EVENTS_MAX;
		cap->queue_cnt--;
		return true;
	}
	if (cap->state != MF_CAPTURE_RUNNING || !mf_job_ended(cap->job, &code))
		return false;
	cap->state = MF_CAPTURE_ENDED;
	*ret = (struct mf_capture_event){ .kind = MF_CAPTURE_EXITED, .status = (int)code };
	return true;
}

int mf_capture_fd(const struct mf_capture *cap)
{
	return cap->events_wake.fd;
}

/* ---- processes ------------------------------------------------------------------------------------------------- */

/* Closed is closed: what cannot be fenced must not run. */
static void give_up(struct mf_capture *cap, const char *why)
{
	if (cap->cut)
		return;
	mf_capture_cut(cap);
	mf_capture_tell(cap, MF_CAPTURE_DRIFT, why);
}

static void block(struct mf_capture *cap, uint32_t pid)
{
	struct mf_process_info info;
	struct mf_err err = { 0 };
	int r = mf_process_read(pid, 0, &info);

	if (r == 0 && info.exe)
		r = mf_wfp_block(cap->wfp, info.exe, &err);
	else if (r == 0)
		r = mf_err_set(&err, MF_E_IO, "the program of process %u is not known", pid);
	mf_process_info_done(&info);
	// One that has ended already needs no filter.
	if (r < 0 && r != MF_E_EXIST && mf_job_has(cap->job, pid))
		give_up(cap, err.msg[0] ? err.msg : "a program of the session cannot be blocked");
}

static void admit(struct mf_capture *cap, uint32_t pid)
{
	int r = mf_capture_packets_add_pid(cap, pid);

	if (cap->wfp)
		block(cap, pid);
	if (r < 0 && r != MF_E_EXIST)
		give_up(cap, "the session has more processes than can be followed");
}

static void admit_all(struct mf_capture *cap)
{
	static const char too_many[] = "the processes of the session cannot be listed";
	uint32_t *pids = malloc(65536 * sizeof(*pids));
	int n = pids ? mf_job_list(cap->job, pids, 65536) : MF_E_NOMEM;

	for (int i = 0; i < n; i++)
		admit(cap, pids[i]);
	if (n < 0)
		give_up(cap, too_many);
	free(pids);
}

static void take_from(struct mf_capture *cap, const struct mf_session_events *source)
{
	struct mf_session_event ev;

	while (source->next(source->ctx, &ev) > 0) {
		switch (ev.kind) {
		case MF_SESSION_CREATED:
			admit(cap, ev.pid);
			break;
		case MF_SESSION_EXITED:
			// Two sources tell the same; the number may be that of a new process of ours by now.
			if (!mf_job_has(cap->job, ev.pid))
				mf_capture_packets_remove_pid(cap, ev.pid);
			break;
		case MF_SESSION_LOST:
			mf_log_warning(cap->options.log,
				       "%u events of processes were lost (%s): they are read anew",
				       ev.pid, source->name);
			admit_all(cap);
			break;
		case MF_SESSION_EVENT_NUM:
			break;
		}
	}
}

void mf_capture_take_processes(struct mf_capture *cap)
{
	struct mf_session_events source;

	if (!cap->job)
		return;
	source = mf_job_events(cap->job);
	take_from(cap, &source);
	if (cap->minifilter) {
		source = mf_minifilter_client_events(mf_minifilter_client(cap->minifilter));
		take_from(cap, &source);
	}
}

/* ---- set-up ---------------------------------------------------------------------------------------------------- */

/* @at: its port is filled in. Return: the socket; -1, and WSAGetLastError() */
static int listen_at(struct mf_endpoint *at, bool tcp)
{
	struct sockaddr_storage sa;
	int len = (int)mf_endpoint_to_sockaddr(at, false, &sa), on = 1, code;
	SOCKET s = WSASocketW(sa.ss_family, tcp ? SOCK_STREAM : SOCK_DGRAM,
			      tcp ? IPPROTO_TCP : IPPROTO_UDP, NULL, 0,
			      WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
	bool ip6 = at->addr.family == 6;
	u_long nonblocking = 1;

	// Without exclusive use anybody could bind to the same port and take connections.
	if (s != INVALID_SOCKET &&
	    setsockopt(s, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (char *)&on, sizeof(on)) == 0 &&
	    (!ip6 || setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, (char *)&on, sizeof(on)) == 0) &&
	    bind(s, (struct sockaddr *)&sa, len) == 0 &&
	    getsockname(s, (struct sockaddr *)&sa, &len) == 0 &&
	    mf_endpoint_from_sockaddr(at, (struct sockaddr *)&sa) &&
	    ioctlsocket(s, (long)FIONBIO, &nonblocking) == 0 &&
	    (!tcp || listen(s, LISTEN_BACKLOG) == 0))
		return (int)s;
	code = WSAGetLastError();
	if (s != INVALID_SOCKET)
		closesocket(s);
	WSASetLastError(code);
	return -1;
}

/*
 * The listeners of a protocol, at one port for both families: then nothing between them and the driver's filter needs to
 * know of more than one. The port that is free in one may be taken in the other; a machine may have no IPv6.
 */
static int listen_twice(bool tcp, int *ret_fd4, int *ret_fd6, uint16_t *ret_port,
			struct mf_err *err)
{
	char text[256];

	*ret_fd4 = *ret_fd6 = -1;
	for (int i = 0; i < PORT_TRIES; i++) {
		struct mf_endpoint four = { .addr = { .family = 4, .bytes = { 127, 0, 0, 1 } } };
		struct mf_endpoint six = { .addr = { .family = 6 } };

		*ret_fd4 = listen_at(&four, tcp);
		if (*ret_fd4 < 0)
			return mf_err_set(err, MF_E_IO, "cannot listen on 127.0.0.1: %s",
					  mf_win32_message((unsigned long)WSAGetLastError(), text,
							   sizeof(text)));
		*ret_port = six.port = four.port;
		*ret_fd6 = listen_at(&six, tcp);
		if (*ret_fd6 >= 0 ||
		    (WSAGetLastError() != WSAEADDRINUSE && WSAGetLastError() != WSAEACCES))
			return 0;
		closesocket((SOCKET)*ret_fd4);
		*ret_fd4 = -1;
	}
	return mf_err_set(err, MF_E_FULL, "no port is free for both IPv4 and IPv6");
}

static int check_options(const struct mf_capture_options *o, struct mf_err *err)
{
	if (o->size != sizeof(*o) || !o->argv || !o->argv[0])
		return mf_err_set(err, MF_E_INVAL, "a command is needed");
	if (o->backend != MF_CAPTURE_WINDIVERT && o->backend != MF_CAPTURE_BLOCK)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "Windows captures with '%s', or blocks with '%s'",
				  mf_capture_backend_name(MF_CAPTURE_WINDIVERT),
				  mf_capture_backend_name(MF_CAPTURE_BLOCK));
	if (o->fail_open && o->backend != MF_CAPTURE_WINDIVERT)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "with '%s' nothing passes: the fail mode 'open' is for '%s'",
				  mf_capture_backend_name(o->backend),
				  mf_capture_backend_name(MF_CAPTURE_WINDIVERT));
	if (o->unix_allow_cnt || o->keep_fd_cnt)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "Unix sockets and inherited descriptors cannot be chosen on "
				  "Windows: the command inherits its standard handles alone");
	if (o->extra_ca_pem && (!strstr(o->extra_ca_pem, "-----BEGIN CERTIFICATE-----") ||
				strnlen(o->extra_ca_pem, CA_MAX + 1) > CA_MAX))
		return mf_err_set(err, MF_E_INVAL,
				  "extra_ca_pem is no certificate in PEM of at most %u bytes",
				  CA_MAX);
	return 0;
}

static int build(struct mf_capture *cap, struct mf_err *err)
{
	const struct mf_session_wake wake = { mf_capture_wake_all, cap };
	WSADATA wsa;
	int r;

	if (WSAStartup(MAKEWORD(2, 2), &wsa) != 0)
		return mf_err_set(err, MF_E_UNSUPPORTED, "this Windows has no sockets");
	cap->started_sockets = true;
	r = mf_wake_init(&cap->events_wake, err);
	if (r == 0)
		r = mf_wake_init(&cap->packets_wake, err);
	if (r == 0)
		r = listen_twice(true, &cap->listeners[0].tcp_fd, &cap->listeners[1].tcp_fd,
				 &cap->tcp_port, err);
	if (r == 0)
		r = listen_twice(false, &cap->listeners[0].udp_fd, &cap->listeners[1].udp_fd,
				 &cap->udp_port, err);
	if (r == 0)
		r = mf_owner_table_new(&mf_owner_source_system, &cap->owners, err);
	if (r == 0)
		r = mf_job_new(&wake, &cap->job, err);
	return r;
}

int mf_capture_new(const struct mf_capture_options *options, struct mf_capture **ret,
		   struct mf_err *err)
{
	struct mf_capture *cap;
	struct mf_err local;
	int r;

	err = err ? err : &local;
	r = check_options(options, err);
	if (r < 0)
		return r;
	cap = calloc(1, sizeof(*cap));
	if (!cap)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	cap->options = *options;
	for (unsigned i = 0; i < 2; i++)
		cap->listeners[i] = (struct mf_listeners){ -1, -1 };
	cap->events_wake.fd = cap->packets_wake.fd = -1;
	cap->started_ns = mf_clock_now(&mf_clock_system);
	r = build(cap, err);
	if (r < 0) {
		mf_capture_free(cap);
		return r;
	}
	*ret = cap;
	return 0;
}

/* The driver that may be there: it makes news of processes better, and nothing depends on it. */
static void open_minifilter(struct mf_capture *cap)
{
	struct mf_minifilter_options o = { .size = sizeof(o),
					   .own_pid = GetCurrentProcessId(),
					   .wake = { mf_capture_wake_all, cap },
					   .log = cap->options.log };
	struct mf_err err = { 0 };

	if (BCryptGenRandom(NULL, (UCHAR *)&o.token, sizeof(o.token),
			    BCRYPT_USE_SYSTEM_PREFERRED_RNG) != 0)
		return;
	o.token |= 1;
	if (mf_minifilter_open(&o, &cap->minifilter, &err) < 0) {
		cap->minifilter = NULL;
		mf_log_info(cap->options.log, "without a minifilter driver: %s", err.msg);
	}
}

static void close_listeners(struct mf_listeners *l)
{
	if (l->tcp_fd >= 0)
		closesocket((SOCKET)l->tcp_fd);
	if (l->udp_fd >= 0)
		closesocket((SOCKET)l->udp_fd);
	*l = (struct mf_listeners){ -1, -1 };
}

static uint64_t prove_deadline(const struct mf_capture *cap, unsigned standard_ms)
{
	unsigned ms = cap->options.prove_timeout_ms;

	return mf_clock_now(&mf_clock_system) + (ms ? ms : standard_ms) * MF_NS_PER_MS;
}

/*
 * IPv4 must arrive. IPv6 may be kept from us, since to a firewall what is reflected comes from the network: then its flows
 * are refused, and programs go on with IPv4.
 */
static int prove_packets(struct mf_capture *cap, struct mf_err *err)
{
	const struct mf_listeners *six = &cap->listeners[1];
	struct mf_err local = { 0 };
	int r = mf_capture_probe(cap, 4, prove_deadline(cap, PROVE_TIMEOUT_MS), &local);

	if (r == MF_E_AGAIN)
		mf_log_warning(cap->options.log, "%s: that traffic is captured is not proven",
			       local.msg);
	else if (r < 0)
		return mf_err_set(err, r,
				  "the capture of traffic could not be proven, so the command is "
				  "not started: %s",
				  local.msg);
	if (six->tcp_fd < 0 || six->udp_fd < 0) {
		mf_log_info(cap->options.log, "this machine has no IPv6");
		return 0;
	}
	r = mf_capture_probe(cap, 6, prove_deadline(cap, PROVE6_TIMEOUT_MS), &local);
	cap->has_ip6 = r == 0;
	if (r == MF_E_AGAIN)
		mf_log_info(cap->options.log, "without IPv6: %s", local.msg);
	else if (r < 0)
		mf_log_warning(cap->options.log, "IPv6 is refused to the session: %s", local.msg);
	return 0;
}

int mf_capture_prove(struct mf_capture *cap, struct mf_err *err)
{
	struct mf_err local;
	uint64_t began;
	int r;

	err = err ? err : &local;
	if (cap->state != MF_CAPTURE_BUILDING)
		return mf_err_set(err, MF_E_INVAL, "a session is proven once");
	cap->state = MF_CAPTURE_BROKEN;
	began = mf_clock_now(&mf_clock_system);
	if (cap->options.backend == MF_CAPTURE_BLOCK) {
		r = mf_wfp_new(NULL, &cap->wfp, err);
	} else {
		r = mf_capture_packets_new(cap, err);
		cap->timing.rules_ns = mf_clock_now(&mf_clock_system) - began;
		began = mf_clock_now(&mf_clock_system);
		if (r == 0)
			r = prove_packets(cap, err);
		cap->timing.probes_ns = mf_clock_now(&mf_clock_system) - began;
	}
	// They can be reached from elsewhere: not without need.
	if (!cap->has_ip6)
		close_listeners(&cap->listeners[1]);
	if (r < 0)
		return r;
	open_minifilter(cap);
	cap->state = MF_CAPTURE_PROVEN;
	cap->timing.total_ns = mf_clock_now(&mf_clock_system) - cap->started_ns;
	return 0;
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

int mf_capture_exec(struct mf_capture *cap, int *ret_exit_code, struct mf_err *err)
{
	char **env = NULL;
	struct mf_err local;
	int r;

	err = err ? err : &local;
	if (ret_exit_code)
		*ret_exit_code = 126;
	if (cap->state != MF_CAPTURE_PROVEN || cap->cut)
		return mf_err_set(err, MF_E_INVAL, "the capture of traffic is not proven");
	r = mf_capture_environment(cap, &env, err);
	if (r == 0)
		r = mf_job_set_directory(cap->job, cap->options.directory, err);
	if (r == 0)
		r = mf_job_spawn(cap->job, cap->options.argv, env, ret_exit_code, err);
	free(env);
	if (r < 0)
		return r;
	// Everything knows of it before its first instruction.
	admit(cap, mf_job_pid(cap->job));
	if (cap->minifilter)
		(void)mf_minifilter_client_register(mf_minifilter_client(cap->minifilter),
						    mf_job_pid(cap->job));
	if (cap->cut)
		return mf_err_set(err, MF_E_IO, "the command cannot be fenced");
	r = mf_job_resume(cap->job, err);
	if (r == 0)
		cap->state = MF_CAPTURE_RUNNING;
	return r;
}

/* ---- what the proxies ask -------------------------------------------------------------------------------------- */

static int find_owner(struct mf_capture *cap, const struct mf_session_flow *flow, uint32_t *ret_pid)
{
	struct mf_flow f;

	if (!mf_flow_make(&f, flow->proto == MF_UDP ? MF_PROTO_UDP : MF_PROTO_TCP, &flow->client,
			  &flow->server))
		return MF_E_NOENT;
	return mf_owner_table_find(cap->owners, &f, mf_clock_now(&mf_clock_system), ret_pid);
}

static int find_process(void *ctx, const struct mf_session_flow *flow, struct mf_process *ret)
{
	struct mf_capture *cap = ctx;
	uint64_t began = 0;
	uint32_t pid;

	if (mf_capture_packets_find_pid(cap, flow, &pid, &began) < 0 &&
	    find_owner(cap, flow, &pid) < 0)
		return MF_E_NOENT;
	mf_process_info_done(&cap->info);
	if (mf_process_read(pid, began, &cap->info) < 0)
		return MF_E_NOENT;
	*ret = (struct mf_process){ .pid = pid,
				    .parent = cap->info.parent,
				    .name = cap->info.name ? cap->info.name : "",
				    .exe = cap->info.exe ? cap->info.exe : "",
				    .user = cap->info.user ? cap->info.user : "",
				    .args = cap->info.args ? (const char *const *)cap->info.args
							   : cap->no_args };
	return 0;
}

static int refuse_udp(void *ctx, const struct mf_session_flow *flow, const uint8_t *packet,
		      size_t len)
{
	return mf_capture_packets_refuse_udp(ctx, flow, packet, len);
}

/* Answers leave through the socket that received: there is no address of the server's here to bind another one to. */
void mf_capture_get_ops(struct mf_capture *cap, struct mf_session_ops *ret)
{
	*ret = (struct mf_session_ops){ .find_process = find_process,
					.refuse_udp = refuse_udp,
					.ctx = cap };
}

enum mf_capture_backend mf_capture_backend_default(void)
{
	return MF_CAPTURE_WINDIVERT;
}

int mf_capture_take_workspace(struct mf_capture *cap)
{
	(void)cap;
	return -1;
}

int mf_capture_tcp_fd(const struct mf_capture *cap, unsigned i)
{
	return i < 1u + cap->has_ip6 ? cap->listeners[i].tcp_fd : -1;
}

int mf_capture_udp_fd(const struct mf_capture *cap, unsigned i)
{
	return i < 1u + cap->has_ip6 ? cap->listeners[i].udp_fd : -1;
}

int64_t mf_capture_pid(const struct mf_capture *cap)
{
	return mf_job_pid(cap->job);
}

void mf_capture_get_timing(const struct mf_capture *cap, struct mf_capture_timing *ret)
{
	*ret = cap->timing;
}

/* ---- the end --------------------------------------------------------------------------------------------------- */

/* Windows knows no stopping by signal. */
void mf_capture_stop_like(struct mf_capture *cap, const struct mf_capture_event *ev)
{
	(void)cap;
	(void)ev;
}

/* To end diverting would be to let traffic go unfiltered: its processes end instead. */
void mf_capture_cut(struct mf_capture *cap)
{
	cap->cut = true;
	if (cap->job)
		mf_job_kill(cap->job, 1);
}

bool mf_capture_is_inside(const struct mf_capture *cap, int64_t pid)
{
	return pid <= 0 || pid > UINT32_MAX || !cap->job ||
	       mf_job_may_have(cap->job, (uint32_t)pid);
}

void mf_capture_free(struct mf_capture *cap)
{
	if (!cap)
		return;
	// First whose traffic it is, then what stands between them and the network (W4).
	mf_minifilter_close(cap->minifilter);
	if (cap->job)
		mf_job_kill(cap->job, 1);
	if (cap->packets)
		mf_capture_packets_free(cap);
	mf_job_free(cap->job);
	mf_wfp_free(cap->wfp);
	mf_owner_table_free(cap->owners);
	mf_process_info_done(&cap->info);
	mf_capture_environment_done(cap);
	close_listeners(&cap->listeners[0]);
	close_listeners(&cap->listeners[1]);
	mf_wake_done(&cap->events_wake);
	mf_wake_done(&cap->packets_wake);
	if (cap->started_sockets)
		WSACleanup();
	free(cap);
}

_Noreturn void mf_capture_exit_like(const struct mf_capture_event *exited)
{
	exit(exited->status);
}
