/* SPDX-License-Identifier: Apache-2.0 */
/* bridge.c - real listeners of the machine, dialled over loopback for what reaches their ports; see stack.h */
#include "stack_internal.h"

#include <stdlib.h>
#include <string.h>

static int to_sockaddr(const struct wdd_end *e, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (wdd_ip_is4(&e->ip)) {
		struct sockaddr_in *in = (struct sockaddr_in *)ret;

		in->sin_family = AF_INET;
		in->sin_port = htons(e->port);
		memcpy(&in->sin_addr, e->ip.b + 12, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(e->port);
	memcpy(&in6->sin6_addr, e->ip.b, 16);
	return sizeof(*in6);
}

static bool bind_to(SOCKET s, const struct wdd_end *e)
{
	struct sockaddr_storage sa;
	int len = to_sockaddr(e, &sa);

	return bind(s, (struct sockaddr *)&sa, len) == 0;
}

static bool connect_to(SOCKET s, const struct wdd_end *e)
{
	struct sockaddr_storage sa;
	int len = to_sockaddr(e, &sa);

	return connect(s, (struct sockaddr *)&sa, len) == 0;
}

static SOCKET new_socket(const struct wdd_read *r)
{
	int type = r->k.proto == 6 ? SOCK_STREAM : SOCK_DGRAM;

	return socket(r->k.version == 4 ? AF_INET : AF_INET6, type, 0);
}

/* From the ends that the packet has, if this host has them; else from loopback to loopback. */
static SOCKET dial(const struct wdd_read *r, bool *ret_bound)
{
	struct wdd_end loopback = wdd_end_of(r->k.version == 4 ? "127.0.0.1" : "::1", r->dst.port),
		       any;
	SOCKET s = new_socket(r);

	*ret_bound = true;
	if (s != INVALID_SOCKET && bind_to(s, &r->src) && connect_to(s, &r->dst))
		return s;
	if (s != INVALID_SOCKET)
		closesocket(s);
	*ret_bound = false;
	s = new_socket(r);
	any = loopback;
	any.port = 0;
	if (s != INVALID_SOCKET && bind_to(s, &any) && connect_to(s, &loopback))
		return s;
	if (s != INVALID_SOCKET)
		closesocket(s);
	return INVALID_SOCKET;
}

/* What the listener says becomes packets. */
static DWORD WINAPI read_real(void *arg)
{
	struct wdd_socket *b = arg;
	struct wdd_stack *st = b->st;
	uint8_t buf[16384], pkt[sizeof(buf) + 100];
	int n;

	while ((n = recv(b->real, (char *)buf, sizeof(buf), 0)) > 0) {
		bool ok = true;

		EnterCriticalSection(&st->lock);
		if (b->proto == 6)
			ok = wdd_flow_put(b, buf, (size_t)n);
		else
			wdd_flow_play(st, pkt,
				      wdd_craft_udp(pkt, b->local, b->remote, buf, (uint32_t)n));
		LeaveCriticalSection(&st->lock);
		if (!ok)
			return 0;
	}
	EnterCriticalSection(&st->lock);
	if (b->proto == 6 && !b->reset && !st->stopping) {
		if (n == 0) {
			wdd_flow_segment(b, WDD_FIN | WDD_ACK, NULL, 0);
			b->fin_sent = true;
		} else {
			wdd_flow_segment(b, WDD_RST | WDD_ACK, NULL, 0);
			b->reset = true;
		}
	}
	WakeAllConditionVariable(&st->changed);
	LeaveCriticalSection(&st->lock);
	return 0;
}

struct wdd_socket *wdd_bridge_new(struct wdd_stack *st, const struct wdd_read *r)
{
	struct sockaddr_storage sa;
	int len = sizeof(sa);
	struct wdd_socket *b;
	bool bound;
	SOCKET s;

	/* A datagram's socket connects to a closed port as well: who does not listen is found by the answer. */
	s = dial(r, &bound);
	if (s == INVALID_SOCKET)
		return NULL;
	b = wdd_flow_new(st, r->k.proto, r->dst, r->src);
	if (!b) {
		closesocket(s);
		return NULL;
	}
	st->faults.unbound += !bound;
	b->bridge = true;
	b->established = true;
	b->real = s;
	if (getsockname(s, (struct sockaddr *)&sa, &len) == 0)
		b->real_port = ntohs(((struct sockaddr_in *)&sa)->sin_port);
	b->rcv_next = r->seq + 1;
	b->thread = CreateThread(NULL, 0, read_real, b, 0, NULL);
	return b;
}

void wdd_bridge_stop(struct wdd_socket *b)
{
	shutdown(b->real, SD_BOTH);
	closesocket(b->real);
	while (WaitForSingleObject(b->thread, 50) == WAIT_TIMEOUT)
		WakeAllConditionVariable(&b->st->changed);
	CloseHandle(b->thread);
}
