/* SPDX-License-Identifier: Apache-2.0 */
/* host.c - named pipe server around the model; see host.h and wire.h */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "wire.h"

#define CONNECTIONS_MAX 512

struct connection {
	struct wdd_host *host;
	HANDLE pipe, thread;
	bool owns; /* control: closing it closes the handle */
	bool open;
	unsigned handle;
};

struct wdd_host {
	CRITICAL_SECTION lock;
	CONDITION_VARIABLE changed;
	struct wdd_model *model;
	uint64_t clock_ms;
	char name[96];
	HANDLE first; /* of the pipe's instances: there before anybody opens the DLL */
	HANDLE acceptor;
	struct connection connections[CONNECTIONS_MAX];
	unsigned connections_cnt;
	bool stopping;
};

static uint64_t now_ms(void *ctx)
{
	return ((struct wdd_host *)ctx)->clock_ms;
}

static int64_t timestamp(void *ctx)
{
	LARGE_INTEGER t;

	(void)ctx;
	QueryPerformanceCounter(&t);
	return t.QuadPart;
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

/* Waits for something to receive; the lock is held. */
static uint32_t receive(struct connection *c, const struct wdd_request *rq, uint8_t **ret_data,
			uint32_t *ret_len, uint8_t *addrs, uint32_t *ret_cnt)
{
	uint32_t room = rq->a > 64u << 20 ? 64u << 20 : (uint32_t)rq->a, code;

	*ret_data = malloc(room + 1);
	if (!*ret_data)
		return 8;
	while ((code = wdd_model_recv(c->host->model, c->handle, *ret_data, room, ret_len, addrs,
				      (uint32_t)rq->b, ret_cnt)) == WDD_WAIT) {
		if (c->host->stopping)
			return 995;
		SleepConditionVariableCS(&c->host->changed, &c->host->lock, INFINITE);
	}
	return code;
}

static void serve(struct connection *c, const struct wdd_request *rq, uint8_t *data,
		  struct wdd_answer *an, uint8_t **ret_data, uint8_t *addrs)
{
	struct wdd_model *m = c->host->model;
	uint32_t cnt = 0, sent = 0;
	unsigned handle = 0;

	switch (rq->op) {
	case WDD_OP_OPEN:
		data[rq->data_len] = 0;
		an->code = wdd_model_open(m, (char *)data, (int)rq->a, (int)(int64_t)rq->b, rq->c,
					  &handle);
		c->owns = c->open = !an->code;
		an->value = c->handle = handle;
		break;
	case WDD_OP_ATTACH:
		c->handle = (unsigned)rq->a;
		break;
	case WDD_OP_RECV:
		an->code = receive(c, rq, ret_data, &an->data_len, addrs, &cnt);
		an->addrs_len = cnt * WDD_ADDRESS_SIZE;
		break;
	case WDD_OP_SEND:
		an->code = wdd_model_send(m, c->handle, data, rq->data_len, data + rq->data_len,
					  rq->addrs_len / WDD_ADDRESS_SIZE, &sent);
		an->value = sent;
		break;
	case WDD_OP_SHUTDOWN:
		an->code = wdd_model_shutdown(m, c->handle, (int)(int64_t)rq->a);
		break;
	case WDD_OP_SET:
		an->code = wdd_model_set_param(m, c->handle, (int)(int64_t)rq->a, rq->b);
		break;
	case WDD_OP_GET:
		an->code = wdd_model_get_param(m, c->handle, (int)(int64_t)rq->a, &an->value);
		break;
	case WDD_OP_CLOSE:
		an->code = wdd_model_close(m, c->handle);
		c->open = false;
		break;
	default:
		an->code = 87;
	}
}

static DWORD WINAPI serve_thread(void *arg)
{
	struct connection *c = arg;
	struct wdd_host *host = c->host;
	struct wdd_request rq;
	uint8_t addrs[WDD_BATCH_MAX * WDD_ADDRESS_SIZE];
	bool ok = true;

	while (ok && read_all(c->pipe, &rq, sizeof(rq))) {
		struct wdd_answer an = { 0 };
		uint8_t *out = NULL, *data = NULL;

		if (rq.data_len > WDD_BATCH_MAX * WDD_PACKET_MAX || rq.addrs_len > sizeof(addrs))
			break;
		data = malloc((size_t)rq.data_len + rq.addrs_len + 1);
		ok = data && read_all(c->pipe, data, rq.data_len + rq.addrs_len);
		if (ok) {
			EnterCriticalSection(&host->lock);
			serve(c, &rq, data, &an, &out, addrs);
			WakeAllConditionVariable(&host->changed);
			LeaveCriticalSection(&host->lock);
			ok = write_all(c->pipe, &an, sizeof(an)) &&
			     write_all(c->pipe, out, an.data_len) &&
			     write_all(c->pipe, addrs, an.addrs_len);
		}
		free(out);
		free(data);
	}
	EnterCriticalSection(&host->lock);
	if (c->owns && c->open)
		wdd_model_close(host->model, c->handle); /* its process has died */
	c->open = false;
	WakeAllConditionVariable(&host->changed);
	LeaveCriticalSection(&host->lock);
	return 0;
}

static HANDLE new_instance(const struct wdd_host *host)
{
	return CreateNamedPipeA(host->name, PIPE_ACCESS_DUPLEX, PIPE_TYPE_BYTE | PIPE_WAIT,
				PIPE_UNLIMITED_INSTANCES, 1 << 20, 1 << 20, 0, NULL);
}

/* Return: whether there is to be another connection */
static bool take_connection(struct wdd_host *host, HANDLE pipe)
{
	bool more;

	EnterCriticalSection(&host->lock);
	more = !host->stopping && host->connections_cnt < CONNECTIONS_MAX;
	if (more) {
		struct connection *c = &host->connections[host->connections_cnt++];

		c->host = host;
		c->pipe = pipe;
		c->thread = CreateThread(NULL, 0, serve_thread, c, 0, NULL);
	}
	LeaveCriticalSection(&host->lock);
	if (!more)
		CloseHandle(pipe);
	return more;
}

/*
 * The pipe's name is there from the beginning to the end, or who opens it would find no driver: an instance whose client
 * has gone before it was taken is used again, and the next one is made before the last one is handed over.
 */
static DWORD WINAPI accept_thread(void *arg)
{
	struct wdd_host *host = arg;
	HANDLE pipe = host->first;
	bool more = true;

	while (more && pipe != INVALID_HANDLE_VALUE) {
		HANDLE taken = pipe;

		if (!ConnectNamedPipe(pipe, NULL) && GetLastError() != ERROR_PIPE_CONNECTED) {
			DisconnectNamedPipe(pipe);
			continue;
		}
		pipe = new_instance(host);
		more = take_connection(host, taken);
	}
	if (pipe != INVALID_HANDLE_VALUE)
		CloseHandle(pipe);
	return 0;
}

struct wdd_host *wdd_host_start(void)
{
	static LONG serial;
	struct wdd_host *host = calloc(1, sizeof(*host));

	if (!host)
		return NULL;
	InitializeCriticalSection(&host->lock);
	InitializeConditionVariable(&host->changed);
	host->clock_ms = 1000000;
	host->model = wdd_model_new(now_ms, timestamp, host);
	snprintf(host->name, sizeof(host->name), "\\\\.\\pipe\\windivert-double-%lu-%ld",
		 GetCurrentProcessId(), InterlockedIncrement(&serial));
	SetEnvironmentVariableA(WDD_ENV_PIPE, host->name);
	host->first = new_instance(host);
	if (host->first != INVALID_HANDLE_VALUE)
		host->acceptor = CreateThread(NULL, 0, accept_thread, host, 0, NULL);
	if (!host->acceptor) {
		SetEnvironmentVariableA(WDD_ENV_PIPE, NULL);
		wdd_model_free(host->model);
		DeleteCriticalSection(&host->lock);
		free(host);
		return NULL;
	}
	return host;
}

void wdd_host_stop(struct wdd_host *host)
{
	HANDLE probe;

	EnterCriticalSection(&host->lock);
	host->stopping = true;
	WakeAllConditionVariable(&host->changed);
	LeaveCriticalSection(&host->lock);
	/* A connection wakes it; between two instances of the pipe there is none to connect to. */
	do {
		probe = CreateFileA(host->name, GENERIC_READ | GENERIC_WRITE, 0, NULL,
				    OPEN_EXISTING, 0, NULL);
		if (probe != INVALID_HANDLE_VALUE)
			CloseHandle(probe);
	} while (WaitForSingleObject(host->acceptor, 10) == WAIT_TIMEOUT);
	CloseHandle(host->acceptor);
	for (unsigned i = 0; i < host->connections_cnt; i++) {
		struct connection *c = &host->connections[i];

		/* A thread that waits for a request of a client that is still there is waked by this. */
		for (unsigned n = 0; WaitForSingleObject(c->thread, 50) == WAIT_TIMEOUT; n++) {
			CancelSynchronousIo(c->thread);
			if (n > 20)
				DisconnectNamedPipe(c->pipe); /* where cancelling does nothing */
		}
		CloseHandle(c->thread);
		DisconnectNamedPipe(c->pipe);
		CloseHandle(c->pipe);
	}
	wdd_model_free(host->model);
	DeleteCriticalSection(&host->lock);
	SetEnvironmentVariableA(WDD_ENV_PIPE, NULL);
	free(host);
}

static void enter(struct wdd_host *host)
{
	EnterCriticalSection(&host->lock);
}

static void leave(struct wdd_host *host)
{
	WakeAllConditionVariable(&host->changed);
	LeaveCriticalSection(&host->lock);
}

bool wdd_host_play(struct wdd_host *host, const struct wdd_play *how, const uint8_t *pkt,
		   uint32_t len)
{
	bool ok;

	enter(host);
	ok = wdd_model_play(host->model, how, pkt, len);
	leave(host);
	return ok;
}

bool wdd_host_event(struct wdd_host *host, const struct wdd_socket_event *ev)
{
	bool ok;

	enter(host);
	ok = wdd_model_event(host->model, ev);
	leave(host);
	return ok;
}

void wdd_host_fail(struct wdd_host *host, enum wdd_call call, uint32_t code, unsigned skip,
		   unsigned times)
{
	enter(host);
	wdd_model_fail(host->model, call, code, skip, times);
	leave(host);
}

void wdd_host_add_local(struct wdd_host *host, const struct wdd_ip *ip)
{
	enter(host);
	wdd_model_add_local(host->model, ip);
	leave(host);
}

void wdd_host_set_version(struct wdd_host *host, unsigned major, unsigned minor)
{
	enter(host);
	wdd_model_set_version(host->model, major, minor);
	leave(host);
}

void wdd_host_advance(struct wdd_host *host, uint64_t ms)
{
	enter(host);
	host->clock_ms += ms;
	leave(host);
}

bool wdd_host_wait(struct wdd_host *host, bool (*cond)(const struct wdd_model *m, void *ctx),
		   void *ctx)
{
	uint64_t end = GetTickCount64() + WDD_HOST_PATIENCE_MS;
	bool ok;

	EnterCriticalSection(&host->lock);
	while (!(ok = cond(host->model, ctx)) && GetTickCount64() < end)
		SleepConditionVariableCS(&host->changed, &host->lock, 1000);
	LeaveCriticalSection(&host->lock);
	return ok;
}

struct wdd_output *wdd_host_try(struct wdd_host *host)
{
	struct wdd_output *out;

	EnterCriticalSection(&host->lock);
	out = wdd_model_take_output(host->model);
	LeaveCriticalSection(&host->lock);
	return out;
}

void wdd_host_some(struct wdd_host *host, unsigned ms)
{
	EnterCriticalSection(&host->lock);
	if (!wdd_model_has_output(host->model))
		SleepConditionVariableCS(&host->changed, &host->lock, ms);
	LeaveCriticalSection(&host->lock);
}

struct wdd_output *wdd_host_next(struct wdd_host *host)
{
	uint64_t end = GetTickCount64() + WDD_HOST_PATIENCE_MS;
	struct wdd_output *out;

	EnterCriticalSection(&host->lock);
	while (!(out = wdd_model_take_output(host->model)) && GetTickCount64() < end)
		SleepConditionVariableCS(&host->changed, &host->lock, 1000);
	LeaveCriticalSection(&host->lock);
	return out;
}

static bool is_drained(const struct wdd_model *m, void *ctx)
{
	return wdd_model_queued(m, *(int *)ctx) == 0;
}

bool wdd_host_drained(struct wdd_host *host, int layer)
{
	return wdd_host_wait(host, is_drained, &layer);
}

static bool is_open(const struct wdd_model *m, void *ctx)
{
	return wdd_model_open_handles(m) == *(unsigned *)ctx;
}

bool wdd_host_opened(struct wdd_host *host, unsigned cnt)
{
	return wdd_host_wait(host, is_open, &cnt);
}

struct wdd_counts wdd_host_counts(struct wdd_host *host)
{
	struct wdd_counts c;

	EnterCriticalSection(&host->lock);
	c = *wdd_model_counts(host->model);
	LeaveCriticalSection(&host->lock);
	return c;
}
