/* SPDX-License-Identifier: Apache-2.0 */
/* dll.c - WinDivert.dll's calls, each one a question to the host over a named pipe; see wire.h */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "packet.h"
#include "wire.h"

#define API   __declspec(dllexport)

#define SLOTS 32

enum { CONNECT_MS = 60000 };

struct slot {
	bool used, closing;
	unsigned users;
	HANDLE control, receive;
	CRITICAL_SECTION control_lock, receive_lock;
};

static CRITICAL_SECTION table_lock;
static struct slot slots[SLOTS];

/* The exports, as the published documentation declares them. */
API HANDLE WinDivertOpen(const char *filter, INT layer, INT16 priority, UINT64 flags);
API BOOL WinDivertRecv(HANDLE h, void *buf, UINT room, UINT *ret_len, void *ret_addr);
API BOOL WinDivertRecvEx(HANDLE h, void *buf, UINT room, UINT *ret_len, UINT64 flags,
			 void *ret_addrs, UINT *addrs_bytes, OVERLAPPED *overlapped);
API BOOL WinDivertSend(HANDLE h, const void *pkt, UINT len, UINT *ret_sent, const void *addr);
API BOOL WinDivertSendEx(HANDLE h, const void *pkts, UINT len, UINT *ret_sent, UINT64 flags,
			 const void *addrs, UINT addrs_bytes, OVERLAPPED *overlapped);
API BOOL WinDivertShutdown(HANDLE h, INT how);
API BOOL WinDivertClose(HANDLE h);
API BOOL WinDivertSetParam(HANDLE h, INT param, UINT64 value);
API BOOL WinDivertGetParam(HANDLE h, INT param, UINT64 *ret_value);
BOOL WINAPI DllMain(HINSTANCE dll, DWORD reason, void *reserved);

BOOL WINAPI DllMain(HINSTANCE dll, DWORD reason, void *reserved)
{
	(void)dll;
	(void)reserved;
	if (reason == DLL_PROCESS_ATTACH)
		InitializeCriticalSection(&table_lock);
	return TRUE;
}

static BOOL result(DWORD code)
{
	SetLastError(code);
	return code == 0;
}

static bool read_all(HANDLE pipe, void *buf, DWORD len)
{
	for (DWORD n; len; len -= n, buf = (char *)buf + n)
		if (!ReadFile(pipe, buf, len, &n, NULL) || !n)
			return false;
	return true;
}

static bool write_all(HANDLE pipe, const void *buf, DWORD len)
{
	for (DWORD n; len; len -= n, buf = (const char *)buf + n)
		if (!WriteFile(pipe, buf, len, &n, NULL))
			return false;
	return true;
}

/* One question. The answer's bytes go to @data and @addrs, which have the room that was asked for. */
static DWORD ask(HANDLE pipe, const struct wdd_request *rq, const void *data, const void *addrs,
		 struct wdd_answer *ret, void *ret_data, void *ret_addrs)
{
	if (!write_all(pipe, rq, sizeof(*rq)) || !write_all(pipe, data, rq->data_len) ||
	    !write_all(pipe, addrs, rq->addrs_len) || !read_all(pipe, ret, sizeof(*ret)) ||
	    !read_all(pipe, ret_data, ret->data_len) || !read_all(pipe, ret_addrs, ret->addrs_len))
		return ERROR_INVALID_HANDLE;
	return ret->code;
}

static HANDLE connect_host(const char *name)
{
	ULONGLONG end = GetTickCount64() + CONNECT_MS;
	HANDLE pipe;

	/* Between two instances of the host's pipe none is free, for a moment. */
	while ((pipe = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0,
				   NULL)) == INVALID_HANDLE_VALUE &&
	       GetLastError() == ERROR_PIPE_BUSY && GetTickCount64() < end)
		(void)WaitNamedPipeA(name, 1000);
	return pipe;
}

static DWORD env_number(const char *name)
{
	char text[32];
	DWORD n = GetEnvironmentVariableA(name, text, sizeof(text));

	return n && n < sizeof(text) ? (DWORD)strtoul(text, NULL, 10) : 0;
}

/* The slot of a handle, kept from going away until put(); NULL and an error for anything else. */
static struct slot *get(HANDLE h)
{
	struct slot *s = NULL;

	EnterCriticalSection(&table_lock);
	for (unsigned i = 0; i < SLOTS; i++)
		if ((HANDLE)&slots[i] == h && slots[i].used && !slots[i].closing) {
			s = &slots[i];
			s->users++;
		}
	LeaveCriticalSection(&table_lock);
	if (!s)
		SetLastError(ERROR_INVALID_HANDLE);
	return s;
}

static void put(struct slot *s)
{
	EnterCriticalSection(&table_lock);
	if (--s->users == 0 && s->closing) {
		CloseHandle(s->control);
		CloseHandle(s->receive);
		DeleteCriticalSection(&s->control_lock);
		DeleteCriticalSection(&s->receive_lock);
		s->used = false;
	}
	LeaveCriticalSection(&table_lock);
}

static DWORD open_slot(struct slot *s, const char *filter, INT layer, INT16 priority, UINT64 flags)
{
	struct wdd_request rq = { .op = WDD_OP_OPEN, .a = (uint64_t)(int64_t)layer, .c = flags };
	char name[256];
	DWORD n = GetEnvironmentVariableA(WDD_ENV_PIPE, name, sizeof(name)), code;
	struct wdd_answer answer;

	code = env_number(WDD_ENV_OPEN_ERROR);
	if (code)
		return code;
	if (!n || n >= sizeof(name))
		return ERROR_FILE_NOT_FOUND;
	if (!filter)
		return ERROR_INVALID_PARAMETER;
	s->control = connect_host(name);
	if (s->control == INVALID_HANDLE_VALUE)
		return ERROR_FILE_NOT_FOUND;
	rq.b = (uint64_t)(int64_t)priority;
	rq.data_len = (uint32_t)strlen(filter);
	code = ask(s->control, &rq, filter, NULL, &answer, NULL, NULL);
	if (code) {
		CloseHandle(s->control);
		return code;
	}
	s->receive = connect_host(name);
	rq = (struct wdd_request){ .op = WDD_OP_ATTACH, .a = answer.value };
	code = s->receive == INVALID_HANDLE_VALUE
		       ? ERROR_FILE_NOT_FOUND
		       : ask(s->receive, &rq, NULL, NULL, &answer, NULL, NULL);
	if (code) {
		CloseHandle(s->control);
		if (s->receive != INVALID_HANDLE_VALUE)
			CloseHandle(s->receive);
	}
	return code;
}

HANDLE WinDivertOpen(const char *filter, INT layer, INT16 priority, UINT64 flags)
{
	struct slot *s = NULL;
	DWORD code = ERROR_NO_SYSTEM_RESOURCES;

	if (env_number(WDD_ENV_OPEN_NULL)) {
		SetLastError(ERROR_NOT_ENOUGH_MEMORY);
		return NULL;
	}
	EnterCriticalSection(&table_lock);
	for (unsigned i = 0; i < SLOTS && !s; i++)
		if (!slots[i].used)
			s = &slots[i];
	if (s) {
		memset(s, 0, sizeof(*s));
		code = open_slot(s, filter, layer, priority, flags);
		if (!code) {
			s->used = true;
			InitializeCriticalSection(&s->control_lock);
			InitializeCriticalSection(&s->receive_lock);
		}
	}
	LeaveCriticalSection(&table_lock);
	SetLastError(code);
	return code ? INVALID_HANDLE_VALUE : (HANDLE)s;
}

static BOOL control(HANDLE h, struct wdd_request *rq, const void *data, const void *addrs,
		    uint64_t *ret_value)
{
	struct slot *s = get(h);
	struct wdd_answer answer = { 0 };
	DWORD code;

	if (!s)
		return FALSE;
	EnterCriticalSection(&s->control_lock);
	code = ask(s->control, rq, data, addrs, &answer, NULL, NULL);
	LeaveCriticalSection(&s->control_lock);
	if (rq->op == WDD_OP_CLOSE) {
		EnterCriticalSection(&table_lock);
		s->closing = true;
		LeaveCriticalSection(&table_lock);
	}
	put(s);
	if (ret_value)
		*ret_value = answer.value;
	return result(code);
}

static BOOL receive(HANDLE h, void *buf, UINT room, UINT *ret_len, void *addrs, UINT *addrs_bytes)
{
	struct wdd_request rq = { .op = WDD_OP_RECV };
	struct wdd_answer answer = { 0 };
	uint8_t none[WDD_ADDRESS_SIZE];
	struct slot *s;
	DWORD code;

	rq.a = buf ? room : 0;
	rq.b = addrs_bytes && addrs ? *addrs_bytes / WDD_ADDRESS_SIZE : 1;
	if ((room && !buf) || !rq.b)
		return result(ERROR_INVALID_PARAMETER);
	s = get(h);
	if (!s)
		return FALSE;
	EnterCriticalSection(&s->receive_lock);
	code = ask(s->receive, &rq, NULL, NULL, &answer, buf, addrs ? addrs : none);
	LeaveCriticalSection(&s->receive_lock);
	put(s);
	if (ret_len)
		*ret_len = answer.data_len;
	if (addrs_bytes)
		*addrs_bytes = answer.addrs_len;
	return result(code);
}

BOOL WinDivertRecv(HANDLE h, void *buf, UINT room, UINT *ret_len, void *ret_addr)
{
	UINT one = WDD_ADDRESS_SIZE;

	return receive(h, buf, room, ret_len, ret_addr, &one);
}

BOOL WinDivertRecvEx(HANDLE h, void *buf, UINT room, UINT *ret_len, UINT64 flags, void *ret_addrs,
		     UINT *addrs_bytes, OVERLAPPED *overlapped)
{
	if (flags || overlapped)
		return result(ERROR_INVALID_PARAMETER); /* the double has no overlapped handles */
	return receive(h, buf, room, ret_len, ret_addrs, addrs_bytes);
}

static BOOL send_batch(HANDLE h, const void *pkts, UINT len, UINT *ret_sent, const void *addrs,
		       UINT addrs_bytes)
{
	struct wdd_request rq = { .op = WDD_OP_SEND, .data_len = len, .addrs_len = addrs_bytes };
	uint64_t sent = 0;
	BOOL ok;

	if (!pkts || !addrs || !addrs_bytes || addrs_bytes % WDD_ADDRESS_SIZE ||
	    addrs_bytes > WDD_BATCH_MAX * WDD_ADDRESS_SIZE || len > WDD_BATCH_MAX * WDD_PACKET_MAX)
		return result(ERROR_INVALID_PARAMETER);
	ok = control(h, &rq, pkts, addrs, &sent);
	if (ret_sent)
		*ret_sent = ok ? (UINT)sent : 0; /* how far a failed batch got nobody says */
	return ok;
}

BOOL WinDivertSend(HANDLE h, const void *pkt, UINT len, UINT *ret_sent, const void *addr)
{
	return send_batch(h, pkt, len, ret_sent, addr, WDD_ADDRESS_SIZE);
}

BOOL WinDivertSendEx(HANDLE h, const void *pkts, UINT len, UINT *ret_sent, UINT64 flags,
		     const void *addrs, UINT addrs_bytes, OVERLAPPED *overlapped)
{
	if (flags || overlapped)
		return result(ERROR_INVALID_PARAMETER);
	return send_batch(h, pkts, len, ret_sent, addrs, addrs_bytes);
}

BOOL WinDivertShutdown(HANDLE h, INT how)
{
	return control(h,
		       &(struct wdd_request){ .op = WDD_OP_SHUTDOWN, .a = (uint64_t)(int64_t)how },
		       NULL, NULL, NULL);
}

BOOL WinDivertClose(HANDLE h)
{
	return control(h, &(struct wdd_request){ .op = WDD_OP_CLOSE }, NULL, NULL, NULL);
}

BOOL WinDivertSetParam(HANDLE h, INT param, UINT64 value)
{
	return control(h,
		       &(struct wdd_request){
			       .op = WDD_OP_SET, .a = (uint64_t)(int64_t)param, .b = value },
		       NULL, NULL, NULL);
}

BOOL WinDivertGetParam(HANDLE h, INT param, UINT64 *ret_value)
{
	return control(h, &(struct wdd_request){ .op = WDD_OP_GET, .a = (uint64_t)(int64_t)param },
		       NULL, NULL, ret_value);
}
