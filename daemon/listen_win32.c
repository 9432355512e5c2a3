/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen_win32.c - see listen.h: a named pipe, whose access list says who may
 *
 * Nobody but the daemon's user, administrators and the system, and who is named, can open it at all, and nobody over the
 * network: so mf_listen_accept() finds none that may not. Clients may not make instances of the pipe: they open it with
 * MF_PIPE_CLIENT_ACCESS. One thread takes connections and gives each a bridge (bridge_win32.h).
 */
#include "daemon/bridge_win32.h"
/* winsock2.h stands before windows.h */
#include <sddl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/win32.h"
#include "daemon/listen.h"
#include "daemon/pipe_win32.h"

#define CONNECTIONS_MAX 128 /* each has two threads */
#define WAITING_MAX	16  /* that the loop has not taken */
#define ACL_ROOM	8192

struct waiting {
	SOCKET fd;
	DWORD pid;
};

struct mf_listen {
	wchar_t *path;
	PSECURITY_DESCRIPTOR sd;
	HANDLE thread, stop; /* an event */
	HANDLE room;	     /* a semaphore: connections that may still come */
	HANDLE first;	     /* the instance that holds the name, until the thread has it */
	SOCKET wake[2];	     /* a byte for each connection that waits */
	CRITICAL_SECTION lock;
	struct waiting waiting[WAITING_MAX]; /* under lock */
	size_t cnt;
	atomic_int users; /* the listener and its bridges: the semaphore goes last */
};

/* --- who may ----------------------------------------------------------------------------------------------------- */

static int fail(struct mf_err *err, const char *what, const char *path)
{
	DWORD code = GetLastError();
	char text[200];

	return mf_err_set(err, code == ERROR_ACCESS_DENIED ? MF_E_EXIST : MF_E_IO, "%s %s: %s",
			  what, path, mf_win32_message(code, text, sizeof(text)));
}

static bool add_sid(char *acl, PSID sid)
{
	size_t len = strlen(acl);
	char *text;
	int n;

	if (!ConvertSidToStringSidA(sid, &text))
		return false;
	n = snprintf(acl + len, ACL_ROOM - len, "(A;;0x%lx;;;%s)",
		     (unsigned long)MF_PIPE_CLIENT_ACCESS, text);
	LocalFree(text);
	return n > 0 && (size_t)n < ACL_ROOM - len;
}

static int add_name(char *acl, const char *name, struct mf_err *err)
{
	wchar_t *wide = mf_win32_wide(name), domain[256];
	BYTE sid[SECURITY_MAX_SID_SIZE];
	DWORD sid_len = sizeof(sid), domain_len = 256;
	SID_NAME_USE use;
	bool good =
		wide && LookupAccountNameW(NULL, wide, sid, &sid_len, domain, &domain_len, &use);

	free(wide);
	if (!good)
		return mf_err_set(err, MF_E_NOENT, "there is no account '%.80s'", name);
	return add_sid(acl, sid) ? 0 : mf_err_set(err, MF_E_LIMIT, "too many accounts");
}

/* Ourselves as a client: the owner's entry lets the daemon make instances. */
static bool add_self(char *acl)
{
	union {
		TOKEN_USER user;
		BYTE room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
	} u;
	DWORD size = sizeof(u);
	HANDLE token;
	size_t len = strlen(acl);
	char *text = NULL;
	bool good;

	if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
		return false;
	good = GetTokenInformation(token, TokenUser, &u, size, &size) &&
	       ConvertSidToStringSidA(u.user.User.Sid, &text);
	if (good)
		snprintf(acl + len, ACL_ROOM - len, "(A;;FA;;;%s)", text);
	LocalFree(text);
	CloseHandle(token);
	return good;
}

static int make_acl(struct mf_listen *l, const struct mf_listen_options *o, struct mf_err *err)
{
	char acl[ACL_ROOM] = "D:P(D;;FA;;;NU)(A;;FA;;;SY)(A;;FA;;;BA)";
	int r = add_self(acl) ? 0 : fail(err, "cannot find out who serves", o->path);

	for (size_t i = 0; i < o->user_cnt && r == 0; i++)
		r = add_name(acl, o->users[i], err);
	for (size_t i = 0; i < o->group_cnt && r == 0; i++)
		r = add_name(acl, o->groups[i], err);
	if (r == 0 && !ConvertStringSecurityDescriptorToSecurityDescriptorA(acl, SDDL_REVISION_1,
									    &l->sd, NULL))
		r = fail(err, "cannot make the access list of", o->path);
	return r;
}

/* --- connections ------------------------------------------------------------------------------------------------- */

static HANDLE new_instance(struct mf_listen *l, bool first)
{
	SECURITY_ATTRIBUTES attributes = { sizeof(attributes), l->sd, FALSE };

	return CreateNamedPipeW(l->path,
				PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED |
					(first ? FILE_FLAG_FIRST_PIPE_INSTANCE : 0),
				PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT |
					PIPE_REJECT_REMOTE_CLIENTS,
				PIPE_UNLIMITED_INSTANCES, 65536, 65536, 0, &attributes);
}

static void unuse(struct mf_listen *l)
{
	if (atomic_fetch_sub(&l->users, 1) > 1)
		return;
	CloseHandle(l->room);
	DeleteCriticalSection(&l->lock);
	free(l);
}

static void on_left(void *ctx)
{
	struct mf_listen *l = ctx;

	ReleaseSemaphore(l->room, 1, NULL);
	unuse(l);
}

/* Return: false: the loop does not take them as fast as they come */
static bool hand_over(struct mf_listen *l, SOCKET fd, DWORD pid)
{
	bool room;

	EnterCriticalSection(&l->lock);
	room = l->cnt < WAITING_MAX;
	if (room)
		l->waiting[l->cnt++] = (struct waiting){ fd, pid };
	LeaveCriticalSection(&l->lock);
	if (room)
		(void)send(l->wake[1], "", 1, 0);
	return room;
}

static void take_client(struct mf_listen *l, HANDLE pipe)
{
	ULONG pid = 0;
	SOCKET fd;

	(void)GetNamedPipeClientProcessId(pipe, &pid);
	atomic_fetch_add(&l->users, 1);
	fd = mf_bridge_start(pipe, on_left, l);
	if (fd == INVALID_SOCKET)
		on_left(l);
	else if (!hand_over(l, fd, pid))
		closesocket(fd);
}

/* Return: false: stop */
static bool wait_client(struct mf_listen *l, HANDLE pipe, HANDLE event)
{
	OVERLAPPED o = { .hEvent = event };
	HANDLE either[] = { l->stop, event };
	DWORD n;

	if (ConnectNamedPipe(pipe, &o) || GetLastError() == ERROR_PIPE_CONNECTED) {
		take_client(l, pipe);
		return true;
	}
	if (GetLastError() == ERROR_IO_PENDING) {
		if (WaitForMultipleObjects(2, either, FALSE, INFINITE) == WAIT_OBJECT_0) {
			CancelIoEx(pipe, &o);
			(void)GetOverlappedResult(pipe, &o, &n, TRUE);
			CloseHandle(pipe);
			return false;
		}
		if (GetOverlappedResult(pipe, &o, &n, FALSE)) {
			take_client(l, pipe);
			return true;
		}
	}
	/* a client that came and went */
	CloseHandle(pipe);
	ReleaseSemaphore(l->room, 1, NULL);
	return true;
}

static DWORD WINAPI run(void *arg)
{
	struct mf_listen *l = arg;
	HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL), pipe = l->first;
	HANDLE either[] = { l->stop, l->room };

	l->first = INVALID_HANDLE_VALUE;
	while (event && pipe != INVALID_HANDLE_VALUE && wait_client(l, pipe, event)) {
		pipe = INVALID_HANDLE_VALUE;
		if (WaitForMultipleObjects(2, either, FALSE, INFINITE) == WAIT_OBJECT_0)
			break;
		ResetEvent(event);
		pipe = new_instance(l, false);
	}
	if (event)
		CloseHandle(event);
	return 0;
}

/* --- life -------------------------------------------------------------------------------------------------------- */

static int start(struct mf_listen *l, const char *path, struct mf_err *err)
{
	/* the flag for the first instance keeps others out; asking says so where a system does not know the flag */
	if (WaitNamedPipeW(l->path, 1) || GetLastError() == ERROR_SEM_TIMEOUT)
		return mf_err_set(err, MF_E_EXIST, "another daemon serves %s", path);
	l->first = new_instance(l, true);
	if (l->first == INVALID_HANDLE_VALUE) {
		if (GetLastError() == ERROR_ACCESS_DENIED || GetLastError() == ERROR_PIPE_BUSY)
			return mf_err_set(err, MF_E_EXIST, "another daemon serves %s", path);
		return fail(err, "cannot make the pipe", path);
	}
	if (mf_bridge_pair(l->wake) < 0)
		return fail(err, "cannot make sockets for", path);
	(void)ioctlsocket(l->wake[0], FIONBIO, &(u_long){ 1 });
	(void)ioctlsocket(l->wake[1], FIONBIO, &(u_long){ 1 });
	l->thread = CreateThread(NULL, 0, run, l, 0, NULL);
	return l->thread ? 0 : fail(err, "cannot start a thread for", path);
}

int mf_listen_new(const struct mf_listen_options *o, struct mf_listen **ret, struct mf_err *err)
{
	struct mf_listen *l;
	int r;

	if (strncmp(o->path, "\\\\.\\pipe\\", 9) != 0 || !o->path[9] || strlen(o->path) > 250)
		return mf_err_set(err, MF_E_INVAL,
				  "a control pipe is called \\\\.\\pipe\\NAME: %.200s", o->path);
	l = calloc(1, sizeof(*l));
	if (!l)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	InitializeCriticalSection(&l->lock);
	atomic_init(&l->users, 1);
	l->first = INVALID_HANDLE_VALUE;
	l->wake[0] = l->wake[1] = INVALID_SOCKET;
	l->path = mf_win32_wide(o->path);
	l->stop = CreateEventW(NULL, TRUE, FALSE, NULL);
	/* one is taken by the instance that is made at once */
	l->room = CreateSemaphoreW(NULL, CONNECTIONS_MAX - 1, CONNECTIONS_MAX, NULL);
	r = l->path && l->stop && l->room ? make_acl(l, o, err)
					  : mf_err_set(err, MF_E_NOMEM, "out of memory");
	if (r == 0)
		r = start(l, o->path, err);
	if (r < 0)
		mf_listen_free(l);
	else
		*ret = l;
	return r;
}

void mf_listen_free(struct mf_listen *l)
{
	if (!l)
		return;
	if (l->thread) {
		SetEvent(l->stop);
		WaitForSingleObject(l->thread, INFINITE);
		CloseHandle(l->thread);
	}
	if (l->first != INVALID_HANDLE_VALUE)
		CloseHandle(l->first);
	while (l->cnt)
		closesocket(l->waiting[--l->cnt].fd);
	for (int i = 0; i < 2; i++)
		if (l->wake[i] != INVALID_SOCKET)
			closesocket(l->wake[i]);
	if (l->stop)
		CloseHandle(l->stop);
	LocalFree(l->sd);
	free(l->path);
	unuse(l);
}

int mf_listen_fd(const struct mf_listen *l)
{
	return (int)l->wake[0];
}

int mf_listen_accept(struct mf_listen *l, struct mf_peer *ret_peer, bool *ret_may)
{
	struct waiting w = { INVALID_SOCKET, 0 };
	char byte;

	if (recv(l->wake[0], &byte, 1, 0) != 1)
		return MF_E_AGAIN;
	EnterCriticalSection(&l->lock);
	if (l->cnt) {
		w = l->waiting[0];
		memmove(l->waiting, l->waiting + 1, --l->cnt * sizeof(w));
	}
	LeaveCriticalSection(&l->lock);
	if (w.fd == INVALID_SOCKET)
		return MF_E_AGAIN;
	*ret_peer = (struct mf_peer){ .known = true, .pid = w.pid };
	*ret_may = true;
	return (int)w.fd;
}
