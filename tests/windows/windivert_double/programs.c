/* SPDX-License-Identifier: Apache-2.0 */
/* programs.c - scripted programs of the machine: what they call, and what that raises and sends; see stack.h */
#include "stack_internal.h"

#include <stdlib.h>
#include <string.h>

static void raise_event(struct wdd_socket *s, int event)
{
	struct wdd_socket_event ev = { .event = event,
				       .pid = s->pid,
				       .local = s->local.ip,
				       .remote = s->remote.ip,
				       .local_port = s->local.port,
				       .remote_port = s->remote.port,
				       .proto = s->proto,
				       .outbound = true };

	wdd_host_event(s->st->host, &ev);
}

struct wdd_socket *wdd_tcp_connect(struct wdd_stack *st, uint32_t pid, struct wdd_end local,
				   struct wdd_end remote, bool event_first)
{
	uint64_t end = GetTickCount64() + WDD_HOST_PATIENCE_MS;
	struct wdd_socket *s;
	bool ok;

	EnterCriticalSection(&st->lock);
	s = wdd_flow_new(st, 6, local, remote);
	if (!s) {
		LeaveCriticalSection(&st->lock);
		return NULL;
	}
	s->pid = pid;
	if (event_first)
		raise_event(s, WDD_CONNECT);
	wdd_flow_segment(s, WDD_SYN, NULL, 0);
	if (!event_first)
		raise_event(s, WDD_CONNECT);
	while (!s->established && !s->reset && !s->refused && wdd_flow_wait(st, end))
		;
	ok = s->established && !s->reset;
	LeaveCriticalSection(&st->lock);
	if (ok)
		return s;
	wdd_socket_close(s);
	return NULL;
}

bool wdd_tcp_send(struct wdd_socket *s, const void *data, size_t len)
{
	uint64_t end;
	bool ok;

	EnterCriticalSection(&s->st->lock);
	ok = wdd_flow_put(s, data, len);
	end = GetTickCount64() + WDD_HOST_PATIENCE_MS;
	while (ok && s->snd_una != s->snd_next && !s->reset)
		ok = wdd_flow_wait(s->st, end);
	ok = ok && !s->reset;
	LeaveCriticalSection(&s->st->lock);
	return ok;
}

int wdd_tcp_recv(struct wdd_socket *s, void *buf, size_t room)
{
	uint64_t end = GetTickCount64() + WDD_HOST_PATIENCE_MS;
	bool waited = true;
	int n;

	EnterCriticalSection(&s->st->lock);
	while (!s->in_len && !s->fin_seen && !s->reset && waited)
		waited = wdd_flow_wait(s->st, end);
	n = s->in_len	  ? (int)(s->in_len < room ? s->in_len : room)
	    : s->reset	  ? -1
	    : s->fin_seen ? 0
			  : -2;
	if (n > 0) {
		memcpy(buf, s->in, (size_t)n);
		s->in_len -= (size_t)n;
		memmove(s->in, s->in + n, s->in_len);
	}
	LeaveCriticalSection(&s->st->lock);
	return n;
}

void wdd_tcp_finish(struct wdd_socket *s)
{
	EnterCriticalSection(&s->st->lock);
	if (!s->fin_sent && !s->reset) {
		wdd_flow_segment(s, WDD_FIN | WDD_ACK, NULL, 0);
		s->fin_sent = true;
	}
	LeaveCriticalSection(&s->st->lock);
}

struct wdd_socket *wdd_udp_open(struct wdd_stack *st, uint32_t pid, struct wdd_end local,
				struct wdd_end remote)
{
	struct wdd_socket *s;

	EnterCriticalSection(&st->lock);
	s = wdd_flow_new(st, 17, local, remote);
	if (s)
		s->pid = pid;
	LeaveCriticalSection(&st->lock);
	return s;
}

void wdd_udp_send(struct wdd_socket *s, const void *data, size_t len)
{
	uint8_t *pkt = malloc(len + 100);

	if (!pkt)
		return;
	EnterCriticalSection(&s->st->lock);
	if (!s->connect_told)
		raise_event(s, WDD_CONNECT);
	s->connect_told = true;
	wdd_flow_play(s->st, pkt, wdd_craft_udp(pkt, s->local, s->remote, data, (uint32_t)len));
	LeaveCriticalSection(&s->st->lock);
	free(pkt);
}

int wdd_udp_recv(struct wdd_socket *s, void *buf, size_t room)
{
	uint64_t end = GetTickCount64() + WDD_HOST_PATIENCE_MS;
	struct wdd_datagram *d;
	bool waited = true;
	int n = -2;

	EnterCriticalSection(&s->st->lock);
	while (!s->datagrams && !s->refused && waited)
		waited = wdd_flow_wait(s->st, end);
	d = s->datagrams;
	if (d) {
		s->datagrams = d->next;
		n = (int)(d->len < room ? d->len : room);
		memcpy(buf, d->bytes, (size_t)n);
		free(d);
	} else if (s->refused) {
		n = -1;
	}
	LeaveCriticalSection(&s->st->lock);
	return n;
}

void wdd_socket_close(struct wdd_socket *s)
{
	struct wdd_stack *st = s->st;

	EnterCriticalSection(&st->lock);
	raise_event(s, WDD_CLOSE);
	if (s->proto == 6 && s->established && !s->reset) {
		if (!s->fin_seen)
			wdd_flow_segment(s, WDD_RST | WDD_ACK, NULL, 0);
		else if (!s->fin_sent)
			wdd_flow_segment(s, WDD_FIN | WDD_ACK, NULL, 0);
	}
	while (s->datagrams) {
		struct wdd_datagram *d = s->datagrams;

		s->datagrams = d->next;
		free(d);
	}
	/* Its memory is kept until the stack ends: late packets are of this flow, and of nobody else. */
	LeaveCriticalSection(&st->lock);
}
