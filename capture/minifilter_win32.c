/* SPDX-License-Identifier: Apache-2.0 */
/*
 * minifilter_win32.c - the filter manager's port, and the thread that listens to it
 *
 * FilterGetMessage() is used with an OVERLAPPED: only so does it say how long a message is, and can be ended by closing.
 */
#include "capture/minifilter_win32.h"

#include <stdlib.h>
#include <windows.h>

#include "core/base/win32.h"

typedef HRESULT(WINAPI *connect_fn)(const wchar_t *port, DWORD options, const void *context,
				    WORD context_len, LPSECURITY_ATTRIBUTES security, HANDLE *ret);
typedef HRESULT(WINAPI *get_fn)(HANDLE port, void *buf, DWORD room, OVERLAPPED *o);
typedef HRESULT(WINAPI *send_fn)(HANDLE port, void *msg, DWORD len, void *answer, DWORD room,
				 DWORD *ret_len);
typedef HRESULT(WINAPI *reply_fn)(HANDLE port, void *reply, DWORD len);

struct port {
	HMODULE lib;
	connect_fn connect;
	get_fn get;
	send_fn send;
	reply_fn reply;
	SRWLOCK lock; /* shared: the handle is used; exclusive: it changes */
	HANDLE handle;
	HANDLE event; /* of the receiving thread's OVERLAPPED */
};

struct mf_minifilter {
	struct port *port; /* NULL: another transport */
	struct mf_minifilter_client *client;
	HANDLE thread, stop;
};

/* ---- the port -------------------------------------------------------------------------------------------------- */

static int code_of(HRESULT r)
{
	switch ((DWORD)r) {
	case 0x80070002: /* file not found: no such port */
	case 0x80070003:
		return MF_E_NOENT;
	case 0x80070005:
		return MF_E_PERM;
	case 0x80070006: /* handle is invalid: closed meanwhile */
	case 0x800703e3: /* cancelled */
	case 0x8007006d: /* broken pipe */
	case 0x800704d2: /* connection was graceful, but has ended */
		return MF_E_CLOSED;
	default:
		return MF_E_IO;
	}
}

static int port_connect(void *ctx, const uint8_t *context, size_t len, struct mf_err *err)
{
	struct port *p = ctx;
	wchar_t *name = mf_win32_wide(MF_MINIFILTER_PORT);
	HANDLE h = INVALID_HANDLE_VALUE;
	char text[256];
	HRESULT r;
	int code;

	if (!name)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	r = p->connect(name, 0, context, (WORD)len, NULL, &h);
	free(name);
	if (FAILED(r)) {
		code = code_of(r);
		return mf_err_set(
			err, code, "cannot reach the minifilter driver at %s: %s",
			MF_MINIFILTER_PORT,
			mf_win32_message((unsigned long)(r & 0xffff), text, sizeof(text)));
	}
	AcquireSRWLockExclusive(&p->lock);
	p->handle = h;
	ReleaseSRWLockExclusive(&p->lock);
	return 0;
}

static int port_receive(void *ctx, uint8_t *buf, size_t room)
{
	struct port *p = ctx;
	OVERLAPPED o = { .hEvent = p->event };
	DWORD len = 0;
	HANDLE h;
	HRESULT r;

	AcquireSRWLockShared(&p->lock);
	h = p->handle;
	r = h == INVALID_HANDLE_VALUE ? E_HANDLE : p->get(h, buf, (DWORD)room, &o);
	ReleaseSRWLockShared(&p->lock);
	if (FAILED(r) && (DWORD)r != 0x800703e5) /* pending */
		return code_of(r);
	// The memory of the request is ours until it has ended: it is awaited, also after a cancellation.
	if (WaitForSingleObject(p->event, INFINITE) != WAIT_OBJECT_0)
		return MF_E_IO;
	if (!GetOverlappedResult(h, &o, &len, FALSE))
		return code_of(HRESULT_FROM_WIN32(GetLastError())) == MF_E_CLOSED ? MF_E_CLOSED
										  : MF_E_IO;
	return (int)len;
}

static int port_send(void *ctx, const uint8_t *msg, size_t len, uint8_t *answer, size_t room)
{
	struct port *p = ctx;
	uint8_t copy[MF_MINIFILTER_SIZE_MAX];
	DWORD got = 0;
	HRESULT r = E_HANDLE;

	if (len > sizeof(copy))
		return MF_E_INVAL;
	memcpy(copy, msg, len);
	AcquireSRWLockShared(&p->lock);
	if (p->handle != INVALID_HANDLE_VALUE)
		r = p->send(p->handle, copy, (DWORD)len, answer, (DWORD)room, &got);
	ReleaseSRWLockShared(&p->lock);
	return FAILED(r) ? code_of(r) : (int)got;
}

static int port_reply(void *ctx, const uint8_t *reply, size_t len)
{
	struct port *p = ctx;
	uint8_t copy[MF_MINIFILTER_REPLY_MAX] __attribute__((aligned(8)));
	HRESULT r = E_HANDLE;

	if (len > sizeof(copy))
		return MF_E_INVAL;
	memcpy(copy, reply, len);
	AcquireSRWLockShared(&p->lock);
	if (p->handle != INVALID_HANDLE_VALUE)
		r = p->reply(p->handle, copy, (DWORD)len);
	ReleaseSRWLockShared(&p->lock);
	return FAILED(r) ? code_of(r) : 0;
}

static void port_disconnect(void *ctx)
{
	struct port *p = ctx;

	AcquireSRWLockExclusive(&p->lock);
	if (p->handle != INVALID_HANDLE_VALUE) {
		(void)CancelIoEx(p->handle, NULL);
		CloseHandle(p->handle);
		p->handle = INVALID_HANDLE_VALUE;
	}
	ReleaseSRWLockExclusive(&p->lock);
}

static void port_free(struct port *p)
{
	if (!p)
		return;
	port_disconnect(p);
	if (p->event)
		CloseHandle(p->event);
	if (p->lib)
		FreeLibrary(p->lib);
	free(p);
}

static void (*symbol(HMODULE lib, const char *name))(void)
{
	return (void (*)(void))GetProcAddress(lib, name);
}

static int port_new(struct port **ret, struct mf_err *err)
{
	struct port *p = calloc(1, sizeof(*p));

	if (!p)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	InitializeSRWLock(&p->lock);
	p->handle = INVALID_HANDLE_VALUE;
	p->lib = LoadLibraryExW(L"fltlib.dll", NULL, LOAD_LIBRARY_SEARCH_SYSTEM32);
	if (p->lib) {
		p->connect = (connect_fn)symbol(p->lib, "FilterConnectCommunicationPort");
		p->get = (get_fn)symbol(p->lib, "FilterGetMessage");
		p->send = (send_fn)symbol(p->lib, "FilterSendMessage");
		p->reply = (reply_fn)symbol(p->lib, "FilterReplyMessage");
	}
	p->event = CreateEventW(NULL, TRUE, FALSE, NULL);
	if (!p->connect || !p->get || !p->send || !p->reply || !p->event) {
		port_free(p);
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "this Windows has no filter manager (fltlib.dll)");
	}
	*ret = p;
	return 0;
}

/* ---- the thread ------------------------------------------------------------------------------------------------ */

static DWORD WINAPI serve_main(void *arg)
{
	struct mf_minifilter *m = arg;
	const DWORD first = MF_MINIFILTER_RETRY_FIRST_MS, max = MF_MINIFILTER_RETRY_MAX_MS;

	while (mf_minifilter_client_serve(m->client) == MF_E_CLOSED) {
		DWORD wait = first;

		while (WaitForSingleObject(m->stop, wait) == WAIT_TIMEOUT &&
		       mf_minifilter_client_connect(m->client, NULL) < 0)
			wait = wait * 2 > max ? max : wait * 2;
	}
	return 0;
}

static int start(struct mf_minifilter *m, const struct mf_minifilter_options *options,
		 const struct mf_minifilter_transport *transport, struct mf_err *err)
{
	int r = mf_minifilter_client_new(options, transport, &m->client, err);

	if (r == 0)
		r = mf_minifilter_client_connect(m->client, err);
	if (r < 0)
		return r;
	m->stop = CreateEventW(NULL, TRUE, FALSE, NULL);
	m->thread = m->stop ? CreateThread(NULL, 131072, serve_main, m, 0, NULL) : NULL;
	return m->thread ? 0 : mf_err_set(err, MF_E_IO, "cannot start a thread");
}

int mf_minifilter_open_over(const struct mf_minifilter_options *options,
			    const struct mf_minifilter_transport *transport,
			    struct mf_minifilter **ret, struct mf_err *err)
{
	struct mf_minifilter *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	r = start(m, options, transport, err);
	if (r < 0) {
		mf_minifilter_close(m);
		return r;
	}
	*ret = m;
	return 0;
}

int mf_minifilter_open(const struct mf_minifilter_options *options, struct mf_minifilter **ret,
		       struct mf_err *err)
{
	struct mf_minifilter_transport transport = { .connect = port_connect,
						     .receive = port_receive,
						     .send = port_send,
						     .reply = port_reply,
						     .disconnect = port_disconnect };
	struct port *port = NULL;
	int r = port_new(&port, err);

	if (r < 0)
		return r;
	transport.ctx = port;
	r = mf_minifilter_open_over(options, &transport, ret, err);
	if (r < 0)
		port_free(port);
	else
		(*ret)->port = port;
	return r;
}

struct mf_minifilter_client *mf_minifilter_client(struct mf_minifilter *m)
{
	return m->client;
}

void mf_minifilter_close(struct mf_minifilter *m)
{
	if (!m)
		return;
	if (m->stop)
		(void)SetEvent(m->stop);
	if (m->client)
		mf_minifilter_client_stop(m->client);
	if (m->thread) {
		(void)WaitForSingleObject(m->thread, INFINITE);
		CloseHandle(m->thread);
	}
	mf_minifilter_client_free(m->client);
	port_free(m->port);
	if (m->stop)
		CloseHandle(m->stop);
	free(m);
}
