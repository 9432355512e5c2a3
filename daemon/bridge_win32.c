/* SPDX-License-Identifier: Apache-2.0 */
/* bridge_win32.c - see bridge_win32.h */
#include "daemon/bridge_win32.h"

#include <moonfence/moonfence.h>
#include <stdatomic.h>
#include <stdlib.h>

#define CHUNK 65536

struct bridge {
	HANDLE pipe;
	SOCKET end; /* ours; blocking */
	atomic_int ways;
	void (*left)(void *ctx);
	void *ctx;
};

/* Windows has no socketpair(): somebody else may connect first, so that ports are compared. */
int mf_bridge_pair(SOCKET ends[2])
{
	SOCKET listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in at = { .sin_family = AF_INET }, from, mine;
	int len = sizeof(at), from_len = sizeof(from), mine_len = sizeof(mine);

	ends[0] = ends[1] = INVALID_SOCKET;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listener == INVALID_SOCKET || bind(listener, (struct sockaddr *)&at, len) != 0 ||
	    listen(listener, 8) != 0 || getsockname(listener, (struct sockaddr *)&at, &len) != 0)
		goto fail;
	ends[1] = socket(AF_INET, SOCK_STREAM, 0);
	if (ends[1] == INVALID_SOCKET ||
	    connect(ends[1], (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    getsockname(ends[1], (struct sockaddr *)&mine, &mine_len) != 0)
		goto fail;
	for (int i = 0; i < 8 && ends[0] == INVALID_SOCKET; i++) {
		ends[0] = accept(listener, (struct sockaddr *)&from, &from_len);
		if (ends[0] != INVALID_SOCKET && from.sin_port != mine.sin_port) {
			closesocket(ends[0]);
			ends[0] = INVALID_SOCKET;
		}
	}
	if (ends[0] == INVALID_SOCKET)
		goto fail;
	closesocket(listener);
	for (int i = 0; i < 2; i++)
		(void)setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, (const char *)&(BOOL){ TRUE },
				 sizeof(BOOL));
	return 0;
fail:
	if (listener != INVALID_SOCKET)
		closesocket(listener);
	for (int i = 0; i < 2; i++)
		if (ends[i] != INVALID_SOCKET)
			closesocket(ends[i]);
	return MF_E_IO;
}

/* The last one out closes; closing the handle leaves what was written to its reader. */
static void leave(struct bridge *b)
{
	void (*left)(void *ctx) = b->left;
	void *ctx = b->ctx;

	if (atomic_fetch_sub(&b->ways, 1) > 1)
		return;
	closesocket(b->end);
	CloseHandle(b->pipe);
	free(b);
	if (left)
		left(ctx);
}

/* Return: bytes, 0 at the end or for any failure */
static DWORD move(struct bridge *b, HANDLE event, char *bytes, DWORD len, BOOL write)
{
	OVERLAPPED o = { .hEvent = event };
	DWORD n = 0;
	BOOL good = write ? WriteFile(b->pipe, bytes, len, NULL, &o)
			  : ReadFile(b->pipe, bytes, len, NULL, &o);

	if (!good && GetLastError() != ERROR_IO_PENDING)
		return 0;
	return GetOverlappedResult(b->pipe, &o, &n, TRUE) ? n : 0;
}

static BOOL send_all(SOCKET s, const char *bytes, DWORD len)
{
	while (len) {
		int n = send(s, bytes, (int)len, 0);

		if (n <= 0)
			return FALSE;
		bytes += n;
		len -= (DWORD)n;
	}
	return TRUE;
}

static DWORD WINAPI from_pipe(void *arg)
{
	struct bridge *b = arg;
	HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
	char *bytes = malloc(CHUNK);
	DWORD n;

	while (event && bytes && (n = move(b, event, bytes, CHUNK, FALSE)) &&
	       send_all(b->end, bytes, n))
		;
	(void)shutdown(b->end, SD_SEND);
	free(bytes);
	if (event)
		CloseHandle(event);
	leave(b);
	return 0;
}

static DWORD WINAPI from_socket(void *arg)
{
	struct bridge *b = arg;
	HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
	char *bytes = malloc(CHUNK);
	int n;

	while (event && bytes && (n = recv(b->end, bytes, CHUNK, 0)) > 0) {
		DWORD done = 0, moved;

		while (done < (DWORD)n &&
		       (moved = move(b, event, bytes + done, (DWORD)n - done, TRUE)))
			done += moved;
		if (done < (DWORD)n)
			break;
	}
	/* the caller has closed his end, or the client its: the other way ends as well */
	(void)shutdown(b->end, SD_BOTH);
	CancelIoEx(b->pipe, NULL);
	free(bytes);
	if (event)
		CloseHandle(event);
	leave(b);
	return 0;
}

SOCKET mf_bridge_start(HANDLE pipe, void (*left)(void *ctx), void *ctx)
{
	struct bridge *b = calloc(1, sizeof(*b));
	HANDLE in, out;
	SOCKET ends[2];

	if (!b || mf_bridge_pair(ends) < 0) {
		CloseHandle(pipe);
		free(b);
		return INVALID_SOCKET;
	}
	*b = (struct bridge){ .pipe = pipe, .end = ends[1], .left = left, .ctx = ctx };
	atomic_init(&b->ways, 2);
	in = CreateThread(NULL, 0, from_pipe, b, CREATE_SUSPENDED, NULL);
	out = in ? CreateThread(NULL, 0, from_socket, b, CREATE_SUSPENDED, NULL) : NULL;
	if (!out) {
		if (in) /* it has not begun, and has nothing */
			TerminateThread(in, 0), CloseHandle(in);
		closesocket(ends[0]);
		closesocket(ends[1]);
		CloseHandle(pipe);
		free(b);
		return INVALID_SOCKET;
	}
	(void)ioctlsocket(ends[0], FIONBIO, &(u_long){ 1 });
	ResumeThread(in);
	ResumeThread(out);
	CloseHandle(in);
	CloseHandle(out);
	return ends[0];
}
