/* SPDX-License-Identifier: Apache-2.0 */
/* stack.c - what reaches the machine's stack, and the flows of programs; see stack.h */
#include "stack_internal.h"

#include <stdlib.h>
#include <string.h>

void wdd_flow_play(struct wdd_stack *st, const uint8_t *pkt, uint32_t len)
{
	wdd_host_play(st->host,
		      &(struct wdd_play){ .outbound = true,
					  .if_idx = st->if_idx,
					  .sub_if_idx = st->sub_if_idx },
		      pkt, len);
}

struct wdd_socket *wdd_flow_find(struct wdd_stack *st, uint8_t proto, const struct wdd_end *local,
				 const struct wdd_end *remote)
{
	for (unsigned i = 0; i < FLOWS_MAX; i++) {
		struct wdd_socket *s = st->flows[i];

		if (s && s->used && s->proto == proto && wdd_end_eq(&s->local, local) &&
		    wdd_end_eq(&s->remote, remote))
			return s;
	}
	return NULL;
}

struct wdd_socket *wdd_flow_new(struct wdd_stack *st, uint8_t proto, struct wdd_end local,
				struct wdd_end remote)
{
	struct wdd_socket *old = wdd_flow_find(st, proto, &local, &remote);

	if (old)
		old->used = false; /* its threads may still look at it */
	for (unsigned i = 0; i < FLOWS_MAX; i++)
		if (!st->flows[i]) {
			struct wdd_socket *s = calloc(1, sizeof(*s));

			if (!s)
				return NULL;
			*s = (struct wdd_socket){ .st = st,
						  .used = true,
						  .proto = proto,
						  .local = local,
						  .remote = remote,
						  .real = INVALID_SOCKET,
						  .snd_next = 0x10000000u + i * 0x01000000u };
			s->snd_una = s->snd_next;
			st->flows[i] = s;
			return s;
		}
	return NULL;
}

void wdd_flow_segment(struct wdd_socket *s, uint8_t flags, const void *data, uint32_t len)
{
	uint8_t pkt[SEGMENT + 100];
	uint32_t n =
		wdd_craft_tcp(pkt, s->local, s->remote, flags, s->snd_next, s->rcv_next, data, len);

	s->snd_next += len + ((flags & (WDD_SYN | WDD_FIN)) != 0);
	wdd_flow_play(s->st, pkt, n);
}

bool wdd_flow_wait(struct wdd_stack *st, uint64_t end)
{
	uint64_t now = GetTickCount64();

	if (now >= end || st->stopping)
		return false;
	SleepConditionVariableCS(&st->changed, &st->lock,
				 end - now > 1000 ? 1000 : (DWORD)(end - now));
	return true;
}

bool wdd_flow_put(struct wdd_socket *s, const uint8_t *data, size_t len)
{
	uint64_t end = GetTickCount64() + WDD_HOST_PATIENCE_MS;

	while (len && !s->reset) {
		uint32_t n = len < SEGMENT ? (uint32_t)len : SEGMENT;

		if (s->snd_next - s->snd_una + n > WINDOW) {
			if (!wdd_flow_wait(s->st, end))
				return false;
			continue;
		}
		wdd_flow_segment(s, WDD_ACK | WDD_PSH, data, n);
		data += n;
		len -= n;
		end = GetTickCount64() + WDD_HOST_PATIENCE_MS;
	}
	return !s->reset;
}

/* ---- arriving ---- */

static void take_data(struct wdd_socket *s, const uint8_t *data, uint32_t len)
{
	if (s->bridge) {
		/* Without the lock: the listener may not read on before somebody takes what it wrote. */
		LeaveCriticalSection(&s->st->lock);
		for (int n = 1; len && n > 0; data += n, len -= (uint32_t)n) {
			n = send(s->real, (const char *)data, (int)len, 0);
			if (n <= 0)
				break; /* the reading thread sees what it is */
		}
		EnterCriticalSection(&s->st->lock);
	} else if (len && s->in_len + len <= BUFFER_MAX) {
		uint8_t *more = realloc(s->in, s->in_len + len);

		if (more) {
			memcpy(more + s->in_len, data, len);
			s->in = more;
			s->in_len += len;
		}
	}
}

static void on_reset(struct wdd_socket *s)
{
	s->reset = true;
	if (s->bridge) {
		struct linger abort = { .l_onoff = 1 };

		setsockopt(s->real, SOL_SOCKET, SO_LINGER, (const char *)&abort, sizeof(abort));
		shutdown(s->real, SD_BOTH);
	} else {
		s->st->faults.resets++;
	}
}

static void on_tcp(struct wdd_stack *st, struct wdd_socket *s, const struct wdd_read *r)
{
	if (r->flags & WDD_RST) {
		on_reset(s);
		return;
	}
	if (r->flags & WDD_ACK) {
		if ((int32_t)(r->ack - s->snd_next) > 0)
			st->faults.bad_acks++;
		else if ((int32_t)(r->ack - s->snd_una) > 0)
			s->snd_una = r->ack;
	}
	if (r->flags & WDD_SYN) {
		if (!s->bridge && !s->established) {
			s->established = true;
			s->rcv_next = r->seq + 1;
		}
		wdd_flow_segment(s, WDD_ACK, NULL, 0);
		return;
	}
	if (!r->payload_len && !(r->flags & WDD_FIN))
		return;
	if (r->seq == s->rcv_next && !s->fin_seen) {
		s->rcv_next += r->payload_len + !!(r->flags & WDD_FIN);
		take_data(s, r->payload, r->payload_len);
		if (r->flags & WDD_FIN) {
			s->fin_seen = true;
			if (s->bridge)
				shutdown(s->real, SD_SEND);
		}
	} else if ((int32_t)(r->seq + r->payload_len - s->rcv_next) > 0) {
		st->faults.gaps++;
	}
	wdd_flow_segment(s, WDD_ACK, NULL, 0);
}

static void on_udp(struct wdd_socket *s, const struct wdd_read *r)
{
	if (s->bridge) {
		send(s->real, (const char *)r->payload, (int)r->payload_len, 0);
	} else {
		struct wdd_datagram *d = malloc(sizeof(*d) + r->payload_len),
				    **tail = &s->datagrams;

		if (!d)
			return;
		d->next = NULL;
		d->len = r->payload_len;
		memcpy(d->bytes, r->payload, r->payload_len);
		while (*tail)
			tail = &(*tail)->next;
		*tail = d;
	}
}

/* An ICMP error: the program whose packet it quotes is told. */
static void on_icmp(struct wdd_stack *st, const struct wdd_output *out, const struct wdd_read *r)
{
	struct wdd_read q;
	uint32_t off = r->k.l4_off + 8;
	uint8_t *quote;

	st->faults.icmp++;
	/* Quotes are cut: the length in the quoted header is of the whole. */
	quote = calloc(1, 65600);
	if (!quote || off >= out->len) {
		free(quote);
		return;
	}
	memcpy(quote, out->bytes + off, out->len - off);
	if (wdd_read_packet(&q, quote, 65600)) {
		struct wdd_socket *s = wdd_flow_find(st, q.k.proto, &q.src, &q.dst);

		if (s)
			s->refused = true;
		else
			st->faults.strays++;
	}
	free(quote);
}

static void arrive(struct wdd_stack *st, const struct wdd_output *out)
{
	struct wdd_socket *s;
	struct wdd_read r;

	if (!wdd_read_packet(&r, out->bytes, out->len))
		return;
	st->faults.bad_sums += r.bad_sums != 0;
	if (r.k.proto == 1 || r.k.proto == 58) {
		on_icmp(st, out, &r);
		return;
	}
	if (r.k.proto != 6 && r.k.proto != 17)
		return;
	s = wdd_flow_find(st, r.k.proto, &r.dst, &r.src);
	if (s && s->bridge && r.flags & WDD_SYN && (s->reset || (s->fin_seen && s->fin_sent)))
		s = NULL; /* the port is used again */
	if (!s && (r.k.proto == 17 || (r.flags & (WDD_SYN | WDD_ACK)) == WDD_SYN)) {
		s = wdd_bridge_new(st, &r);
		if (s && r.k.proto == 6) {
			wdd_flow_segment(s, WDD_SYN | WDD_ACK, NULL, 0);
			return;
		}
	}
	if (s && r.k.proto == 6) {
		on_tcp(st, s, &r);
	} else if (s) {
		on_udp(s, &r);
	} else if (r.k.proto == 6 && !(r.flags & WDD_RST)) {
		struct wdd_socket nobody = { .st = st,
					     .proto = 6,
					     .local = r.dst,
					     .remote = r.src,
					     .snd_next = r.ack,
					     .rcv_next = r.seq + r.payload_len +
							 ((r.flags & (WDD_SYN | WDD_FIN)) != 0) };

		st->faults.strays += !(r.flags & WDD_SYN);
		wdd_flow_segment(&nobody, WDD_RST | WDD_ACK, NULL, 0);
	} else if (r.k.proto == 17) {
		st->faults.strays++;
	}
}

static bool may_go_out(const struct wdd_stack *st, const struct wdd_output *out)
{
	struct wdd_read r;

	if (!wdd_read_packet(&r, out->bytes, out->len))
		return false;
	for (unsigned i = 0; i < st->let_out_cnt; i++)
		if (wdd_end_eq(&r.dst, &st->let_out[i]))
			return true;
	return false;
}

void wdd_stack_let_out(struct wdd_stack *st, struct wdd_end to)
{
	EnterCriticalSection(&st->lock);
	if (st->let_out_cnt < sizeof(st->let_out) / sizeof(*st->let_out))
		st->let_out[st->let_out_cnt++] = to;
	LeaveCriticalSection(&st->lock);
}

static DWORD WINAPI dispatch(void *arg)
{
	struct wdd_stack *st = arg;

	EnterCriticalSection(&st->lock);
	while (!st->stopping) {
		struct wdd_output *out = wdd_host_try(st->host);

		if (!out) {
			LeaveCriticalSection(&st->lock);
			wdd_host_some(st->host, 100);
			EnterCriticalSection(&st->lock);
			continue;
		}
		if (out->fate == WDD_TO_NETWORK && may_go_out(st, out)) {
			free(out);
		} else if (out->fate == WDD_TO_NETWORK) {
			struct wdd_output **tail = &st->escaped;

			st->faults.escaped++;
			while (*tail)
				tail = &(*tail)->next;
			out->next = NULL;
			*tail = out;
		} else {
			if (out->fate == WDD_TO_STACK)
				arrive(st, out);
			free(out);
		}
		WakeAllConditionVariable(&st->changed);
	}
	LeaveCriticalSection(&st->lock);
	return 0;
}

/* ---- the whole ---- */

struct wdd_stack *wdd_stack_start(struct wdd_host *host, uint32_t if_idx, uint32_t sub_if_idx)
{
	struct wdd_stack *st = calloc(1, sizeof(*st));
	WSADATA wsa;

	if (!st || WSAStartup(MAKEWORD(2, 2), &wsa))
		return NULL;
	st->host = host;
	st->if_idx = if_idx;
	st->sub_if_idx = sub_if_idx;
	InitializeCriticalSection(&st->lock);
	InitializeConditionVariable(&st->changed);
	st->dispatcher = CreateThread(NULL, 0, dispatch, st, 0, NULL);
	return st;
}

void wdd_stack_stop(struct wdd_stack *st)
{
	EnterCriticalSection(&st->lock);
	st->stopping = true;
	WakeAllConditionVariable(&st->changed);
	LeaveCriticalSection(&st->lock);
	WaitForSingleObject(st->dispatcher, INFINITE);
	CloseHandle(st->dispatcher);
	for (unsigned i = 0; i < FLOWS_MAX; i++)
		if (st->flows[i]) {
			if (st->flows[i]->bridge)
				wdd_bridge_stop(st->flows[i]);
			free(st->flows[i]->in);
			free(st->flows[i]);
		}
	while (st->escaped) {
		struct wdd_output *out = st->escaped;

		st->escaped = out->next;
		free(out);
	}
	DeleteCriticalSection(&st->lock);
	free(st);
	WSACleanup();
}

struct wdd_faults wdd_stack_faults(struct wdd_stack *st)
{
	struct wdd_faults f;

	EnterCriticalSection(&st->lock);
	f = st->faults;
	LeaveCriticalSection(&st->lock);
	return f;
}

struct wdd_output *wdd_stack_take_escaped(struct wdd_stack *st)
{
	uint64_t end = GetTickCount64() + WDD_HOST_PATIENCE_MS;
	struct wdd_output *out;

	EnterCriticalSection(&st->lock);
	while (!(out = st->escaped) && wdd_flow_wait(st, end))
		;
	if (out)
		st->escaped = out->next;
	LeaveCriticalSection(&st->lock);
	return out;
}

bool wdd_stack_peer(struct wdd_stack *st, uint8_t proto, uint16_t real_port, struct wdd_end *ret)
{
	bool found = false;

	EnterCriticalSection(&st->lock);
	for (unsigned i = 0; i < FLOWS_MAX && !found; i++) {
		const struct wdd_socket *s = st->flows[i];

		found = s && s->used && s->bridge && s->proto == proto && s->real_port == real_port;
		if (found)
			*ret = s->remote;
	}
	LeaveCriticalSection(&st->lock);
	return found;
}
