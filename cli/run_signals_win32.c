/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_signals_win32.c - see run_signals.h
 *
 * Windows calls the handler in a thread of its own. It writes one byte to a socket that the loop watches; for the ends of
 * the console it then waits until the session is over, since the process is ended as soon as it returns. SIGTERM comes from our
 * own control socket alone (control_place.h), in its thread.
 */
#include <windows.h>
#include <winsock2.h>

#include <event2/event.h>
#include <event2/util.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "cli/run_signals.h"

enum { END_WAIT_MS = 4500 }; /* Windows itself waits 5 s */

struct mf_run_signals {
	struct mf_run_signals_ops ops;
	struct event *told;
	evutil_socket_t ends[2]; /* read, write */
	HANDLE over;
	unsigned interrupts;
};

/* The handler has no argument of ours. */
static _Atomic(struct mf_run_signals *) current;

static BOOL WINAPI on_control(DWORD kind)
{
	struct mf_run_signals *s = atomic_load(&current);
	bool interrupt = kind == CTRL_C_EVENT || kind == CTRL_BREAK_EVENT;
	char byte = interrupt ? 'i' : 'e';

	if (!s)
		return FALSE;
	(void)send((SOCKET)s->ends[1], &byte, 1, 0);
	if (!interrupt)
		WaitForSingleObject(s->over, END_WAIT_MS);
	return TRUE;
}

static void on_term(int sig)
{
	struct mf_run_signals *s = atomic_load(&current);

	(void)sig;
	if (s)
		(void)send((SOCKET)s->ends[1], "e", 1, 0);
}

static void on_told(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_run_signals *s = ctx;
	char bytes[16];
	int n = recv((SOCKET)fd, bytes, sizeof(bytes), 0);

	(void)what;
	for (int i = 0; i < n; i++) {
		if (bytes[i] == 'i' && ++s->interrupts < 2)
			continue;
		s->ops.stop(s->ops.ctx, (int)STATUS_CONTROL_C_EXIT);
		return;
	}
}

struct mf_run_signals *mf_run_signals_new(struct event_base *base,
					  const struct mf_run_signals_ops *ops)
{
	struct mf_run_signals *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->ops = *ops;
	s->ends[0] = s->ends[1] = -1;
	s->over = CreateEventW(NULL, TRUE, FALSE, NULL);
	if (!s->over || evutil_socketpair(AF_INET, SOCK_STREAM, 0, s->ends) < 0)
		goto fail;
	evutil_make_socket_nonblocking(s->ends[0]);
	evutil_make_socket_nonblocking(s->ends[1]);
	for (unsigned i = 0; i < 2; i++)
		SetHandleInformation((HANDLE)s->ends[i], HANDLE_FLAG_INHERIT, 0);
	s->told = event_new(base, s->ends[0], EV_READ | EV_PERSIST, on_told, s);
	if (!s->told || event_add(s->told, NULL))
		goto fail;
	atomic_store(&current, s);
	signal(SIGTERM, on_term);
	if (SetConsoleCtrlHandler(on_control, TRUE))
		return s;
fail:
	mf_run_signals_free(s);
	return NULL;
}

void mf_run_signals_free(struct mf_run_signals *s)
{
	if (!s)
		return;
	SetConsoleCtrlHandler(on_control, FALSE);
	signal(SIGTERM, SIG_DFL);
	atomic_store(&current, NULL);
	if (s->told)
		event_free(s->told);
	for (unsigned i = 0; i < 2; i++)
		if (s->ends[i] >= 0)
			evutil_closesocket(s->ends[i]);
	if (s->over) {
		/* a handler may still wait for it: it stays, as does the struct, until the process ends */
		SetEvent(s->over);
	}
}
