/* SPDX-License-Identifier: Apache-2.0 */
/* port_dll_win32.c - the double's rules, asked of WinDivert.dll over its pipe; see port.h */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#include "port.h"
#include "windivert_double/host.h"

static struct wdd_host *host;
static HANDLE (*wd_open)(const char *, INT, INT16, UINT64);
static BOOL (*wd_recv_ex)(HANDLE, void *, UINT, UINT *, UINT64, void *, UINT *, OVERLAPPED *);
static BOOL (*wd_send_ex)(HANDLE, const void *, UINT, UINT *, UINT64, const void *, UINT,
			  OVERLAPPED *);
static BOOL (*wd_shutdown)(HANDLE, INT);
static BOOL (*wd_close)(HANDLE);
static BOOL (*wd_set)(HANDLE, INT, UINT64);
static BOOL (*wd_get)(HANDLE, INT, UINT64 *);

static void *find(HMODULE dll, const char *name)
{
	void *fn = (void *)GetProcAddress(dll, name);

	if (!fn) {
		fprintf(stderr, "WinDivert.dll has no %s\n", name);
		exit(1);
	}
	return fn;
}

void port_begin(void)
{
	if (!wd_open) {
		HMODULE dll = LoadLibraryA("WinDivert.dll");

		if (!dll) {
			fprintf(stderr, "no WinDivert.dll beside the test: %lu\n", GetLastError());
			exit(1);
		}
		wd_recv_ex = find(dll, "WinDivertRecvEx");
		wd_send_ex = find(dll, "WinDivertSendEx");
		wd_shutdown = find(dll, "WinDivertShutdown");
		wd_close = find(dll, "WinDivertClose");
		wd_set = find(dll, "WinDivertSetParam");
		wd_get = find(dll, "WinDivertGetParam");
		wd_open = find(dll, "WinDivertOpen");
	}
	host = wdd_host_start();
}

void port_end(void)
{
	wdd_host_stop(host);
}

static uint32_t code_of(BOOL ok)
{
	return ok ? 0 : GetLastError();
}

uint32_t port_open(const char *filter, int layer, int priority, uint64_t flags, uintptr_t *ret)
{
	HANDLE h = wd_open(filter, layer, (INT16)priority, flags);

	*ret = (uintptr_t)h;
	return code_of(h != INVALID_HANDLE_VALUE && h);
}

uint32_t port_recv(uintptr_t h, uint8_t *buf, uint32_t room, uint32_t *ret_len, uint8_t *addrs,
		   uint32_t *cnt)
{
	UINT len = 0, bytes = *cnt * WDD_ADDRESS_SIZE;
	uint32_t code = code_of(wd_recv_ex((HANDLE)h, buf, room, &len, 0, addrs, &bytes, NULL));

	*ret_len = len;
	*cnt = bytes / WDD_ADDRESS_SIZE;
	return code;
}

uint32_t port_send(uintptr_t h, const uint8_t *pkts, uint32_t len, const uint8_t *addrs,
		   uint32_t cnt)
{
	UINT sent;

	return code_of(
		wd_send_ex((HANDLE)h, pkts, len, &sent, 0, addrs, cnt * WDD_ADDRESS_SIZE, NULL));
}

uint32_t port_shutdown(uintptr_t h, int how)
{
	return code_of(wd_shutdown((HANDLE)h, how));
}

uint32_t port_close(uintptr_t h)
{
	return code_of(wd_close((HANDLE)h));
}

uint32_t port_set(uintptr_t h, int param, uint64_t value)
{
	return code_of(wd_set((HANDLE)h, param, value));
}

uint32_t port_get(uintptr_t h, int param, uint64_t *ret)
{
	UINT64 v = 0;
	uint32_t code = code_of(wd_get((HANDLE)h, param, &v));

	*ret = v;
	return code;
}

bool port_play(const struct wdd_play *how, const uint8_t *pkt, uint32_t len)
{
	return wdd_host_play(host, how, pkt, len);
}

bool port_event(const struct wdd_socket_event *ev)
{
	return wdd_host_event(host, ev);
}

void port_fail(enum wdd_call call, uint32_t code, unsigned times)
{
	wdd_host_fail(host, call, code, 0, times);
}

void port_add_local(const struct wdd_ip *ip)
{
	wdd_host_add_local(host, ip);
}

void port_advance(uint64_t ms)
{
	wdd_host_advance(host, ms);
}

struct wdd_output *port_take(void)
{
	return wdd_host_try(host);
}

struct wdd_counts port_counts(void)
{
	return wdd_host_counts(host);
}
