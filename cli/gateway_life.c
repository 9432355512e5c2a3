/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_life.c - what happens to a `moonfence gateway` while it runs: signals, new certificates and keys, its manager's watchdog, its end
 *
 * SIGTERM: listeners are closed, so that another one can take the place; what is open goes on until it ends, at most as long as --drain
 * says; then it is told (WebSockets: 1001) and has GRACE_S. SIGINT tells at once. Any of them a second time: the end.
 */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/daemon.h"
#include "cli/gateway_command.h"
#include "core/base/clock.h"
#include "proxies/http_service.h"
#include "proxies/tls_server.h"

enum { GRACE_S = 10, TICK_MS = 20, LOOK_S = 2 };

#define NS_PER_S UINT64_C(1000000000)

/* --- the end -------------------------------------------------------------------------------------------------------------- */

static void drain(struct mf_gateway_worker *w, SSL_CTX *tls)
{
	(void)tls;
	mf_gateway_drain(w->gw);
	mf_http_service_unlisten(w->http);
}

static void stop(struct mf_gateway_worker *w, SSL_CTX *tls)
{
	(void)tls;
	(void)mf_gateway_stop(w->gw);
}

static size_t open_now(const struct mf_gateway_command *g)
{
	size_t sum = 0;

	for (size_t i = 0; i < g->worker_cnt; i++)
		sum += g->workers[i].gw ? mf_gateway_open(g->workers[i].gw) : 0;
	return sum;
}

static void tell_all(struct mf_gateway_command *g)
{
	g->phase = MF_GATEWAY_STOPS;
	g->phase_ends_ns = mf_clock_now(&mf_clock_system) + GRACE_S * NS_PER_S;
	mf_gateway_tell_threads(g, stop, NULL);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_gateway_command *g = ctx;
	bool late = mf_clock_now(&mf_clock_system) >= g->phase_ends_ns;

	(void)fd;
	(void)what;
	if (open_now(g) == 0 || (late && g->phase == MF_GATEWAY_STOPS))
		event_base_loopbreak(g->base);
	else if (late)
		tell_all(g);
}

static void begin_end(struct mf_gateway_command *g, uint32_t drain_s)
{
	static const struct timeval often = { 0, TICK_MS * 1000 };
	char text[96];

	snprintf(text, sizeof(text), "STOPPING=1\nSTATUS=waiting for %zu WebSockets, %u s at most",
		 open_now(g), drain_s);
	(void)mf_notify_tell(&g->manager, text);
	mf_gateway_tell_threads(g, drain, NULL);
	g->phase = MF_GATEWAY_DRAINS;
	g->phase_ends_ns = mf_clock_now(&mf_clock_system) + drain_s * NS_PER_S;
	if (drain_s == 0)
		tell_all(g);
	g->end_tick = event_new(g->base, -1, EV_PERSIST, on_tick, g);
	if (!g->end_tick || event_add(g->end_tick, &often) < 0)
		event_base_loopbreak(g->base);
}

static void on_stop(evutil_socket_t sig, short what, void *ctx)
{
	struct mf_gateway_command *g = ctx;

	(void)what;
	if (g->phase != MF_GATEWAY_SERVES)
		event_base_loopbreak(g->base);
	else
		begin_end(g, sig == SIGTERM ? g->drain_s : 0);
}

/* --- certificates, keys --------------------------------------------------------------------------------------------------- */

static struct mf_gateway_file_mark mark_of(const char *path)
{
	struct mf_gateway_file_mark m = { 0 };
	struct stat st;

	if (stat(path, &st) < 0)
		return m;
	m.size = (int64_t)st.st_size;
	m.inode = (uint64_t)st.st_ino;
	m.mtime_s = (int64_t)st.st_mtime;
#ifdef __linux__
	m.mtime_ns = st.st_mtim.tv_nsec;
#endif
	return m;
}

static bool marks_changed(struct mf_gateway_command *g)
{
	const struct mf_gateway_file_mark now[2] = { mark_of(g->tls_cert), mark_of(g->tls_key) };
	bool changed = memcmp(now, g->tls_marks, sizeof(now)) != 0;

	memcpy(g->tls_marks, now, sizeof(now));
	return changed;
}

static void change_tls(struct mf_gateway_worker *w, SSL_CTX *tls)
{
	mf_http_service_change_tls(w->http, tls);
}

/* The files' marks are taken before they are read: what changes meanwhile is looked at again. */
int mf_gateway_open_tls(struct mf_gateway_command *g, struct mf_err *err)
{
	SSL_CTX *tls;
	int r;

	(void)marks_changed(g);
	r = mf_tls_server_open(g->tls_cert, g->tls_key, &tls, err);
	if (r < 0)
		return r;
	mf_http_service_set_alpn(tls);
	mf_gateway_tell_threads(g, change_tls, tls);
	SSL_CTX_free(g->tls);
	g->tls = tls;
	return 0;
}

static void reopen_tls(struct mf_gateway_command *g)
{
	struct mf_err err = { 0 };

	if (mf_gateway_open_tls(g, &err) < 0)
		mf_log_warning(&g->host.log, "the certificate stays as it is: %s", err.msg);
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

/* Two files are seldom changed at once: a pair that does not match is tried again when the other has followed. */
static void on_look(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_gateway_command *g = ctx;

	(void)fd;
	(void)what;
	if (!g->host.watch)
		return;
	if (g->tls && marks_changed(g))
		reopen_tls(g);
	if (mf_gateway_keys_changed(&g->keys))
		reload_keys(g);
}

/* --- signals, the manager ------------------------------------------------------------------------------------------------- */

static void on_reload(evutil_socket_t sig, short what, void *ctx)
{
	struct mf_gateway_command *g = ctx;

	(void)sig;
	(void)what;
	(void)mf_notify_reloading(&g->manager);
	mf_policy_host_reload(&g->host);
	reload_keys(g);
	if (g->tls)
		reopen_tls(g);
	(void)mf_notify_tell(&g->manager, "READY=1");
}

static void on_thread_lives(void *ctx, struct mf_gateway *gw)
{
	(void)ctx;
	(void)gw;
}

static void on_all_live(void *ctx, struct mf_gateway *gw)
{
	struct mf_gateway_command *g = ctx;

	g->watchdog_asks = false;
	if (gw)
		(void)mf_notify_tell(&g->manager, "WATCHDOG=1");
}

/* Every thread has to have its turn: one that hangs is noticed. */
static void on_watchdog(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_gateway_command *g = ctx;

	(void)fd;
	(void)what;
	if (g->watchdog_asks || !g->workers[0].gw)
		return;
	g->watchdog_asks = true;
	if (mf_gateway_go_round(g->workers[0].gw, on_thread_lives, on_all_live, g) < 0)
		g->watchdog_asks = false;
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

static bool watch_time(struct mf_gateway_command *g, uint64_t us, event_callback_fn fn,
		       struct event **ret)
{
	struct timeval often = { .tv_sec = (long)(us / 1000000), .tv_usec = (long)(us % 1000000) };

	*ret = event_new(g->base, -1, EV_PERSIST, fn, g);
	return *ret && event_add(*ret, &often) == 0;
}

int mf_gateway_watch_all(struct mf_gateway_command *g, struct mf_err *err)
{
	int reload = mf_daemon_reload_signal();
	bool good = watch_signal(g, SIGINT, on_stop) && watch_signal(g, SIGTERM, on_stop) &&
		    (reload < 0 || watch_signal(g, reload, on_reload));

	if (good)
		good = watch_time(g, LOOK_S * UINT64_C(1000000), on_look, &g->look);
	if (good && g->manager.watchdog_us)
		good = watch_time(g, g->manager.watchdog_us / 2, on_watchdog, &g->watchdog);
	return good ? 0 : mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
}

void mf_gateway_unwatch_all(struct mf_gateway_command *g)
{
	struct event *all[] = { g->end_tick, g->look, g->watchdog };

	for (size_t i = 0; i < MF_ARRAY_SIZE(all); i++)
		if (all[i])
			event_free(all[i]);
	for (size_t i = 0; i < g->signal_cnt; i++)
		event_free(g->signals[i]);
}
