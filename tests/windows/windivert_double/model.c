/* SPDX-License-Identifier: Apache-2.0 */
/* model.c - handles, their queues and the way of packets between them; inject.c has what is sent back; see model.h */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_internal.h"

struct wdd_model *wdd_model_new(uint64_t (*now_ms)(void *ctx), int64_t (*timestamp)(void *ctx),
				void *ctx)
{
	struct wdd_model *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->now_ms = now_ms;
	m->timestamp = timestamp;
	m->ctx = ctx;
	m->outputs_tail = &m->outputs;
	m->version[0] = m->version[1] = 2;
	return m;
}

static void free_queue(struct wdd_handle *h)
{
	while (h->queue) {
		struct wdd_queued *q = h->queue;

		h->queue = q->next;
		free(q);
	}
	h->queue_tail = &h->queue;
	h->queue_cnt = 0;
	h->queue_bytes = 0;
}

void wdd_model_free(struct wdd_model *m)
{
	struct wdd_output *out;

	if (!m)
		return;
	for (unsigned i = 0; i < WDD_HANDLES_MAX; i++)
		if (m->handles[i].used) {
			free_queue(&m->handles[i]);
			free(m->handles[i].filter);
		}
	while ((out = wdd_model_take_output(m)))
		free(out);
	free(m);
}

void wdd_model_add_local(struct wdd_model *m, const struct wdd_ip *ip)
{
	if (m->locals_cnt < WDD_LOCALS_MAX)
		m->locals[m->locals_cnt++] = *ip;
}

bool wdd_is_local(const struct wdd_model *m, const struct wdd_ip *ip)
{
	for (unsigned i = 0; i < m->locals_cnt; i++)
		if (memcmp(&m->locals[i], ip, sizeof(*ip)) == 0)
			return true;
	return wdd_ip_is_loopback(ip);
}

uint32_t wdd_refuse(struct wdd_model *m, uint32_t code)
{
	if (code < sizeof(m->counts.refused) / sizeof(m->counts.refused[0]))
		m->counts.refused[code]++;
	return code;
}

uint32_t wdd_fail_now(struct wdd_model *m, enum wdd_call call)
{
	if (m->fail_skip[call]) {
		m->fail_skip[call]--;
		return 0;
	}
	if (!m->fail_times[call])
		return 0;
	m->fail_times[call]--;
	return m->fail_code[call];
}

void wdd_model_fail(struct wdd_model *m, enum wdd_call call, uint32_t code, unsigned skip,
		    unsigned times)
{
	m->fail_skip[call] = skip;
	m->fail_code[call] = code;
	m->fail_times[call] = times;
	m->changes++;
}

struct wdd_handle *wdd_handle_of(struct wdd_model *m, unsigned handle)
{
	struct wdd_handle *h = &m->handles[handle % WDD_HANDLES_MAX];

	return h->used && h->number == handle ? h : NULL;
}

static bool flags_are_right(int layer, uint64_t flags)
{
	const uint64_t sniff = 1, drop = 2, recv_only = 4, send_only = 8;

	if (flags & ~(uint64_t)0x3f || (flags & sniff && flags & drop) ||
	    (flags & recv_only && flags & send_only))
		return false;
	switch (layer) {
	case WDD_NETWORK:
	case WDD_FORWARD:
		return true;
	case WDD_FLOW:
	case WDD_REFLECT:
		return (flags & (sniff | recv_only)) == (sniff | recv_only);
	case WDD_SOCKET:
		return (flags & recv_only) != 0;
	default:
		return false;
	}
}

uint32_t wdd_model_open(struct wdd_model *m, const char *filter, int layer, int priority,
			uint64_t flags, unsigned *ret_handle)
{
	uint32_t code = wdd_fail_now(m, WDD_CALL_OPEN);
	struct wdd_filter *f;
	struct wdd_handle *h = NULL;

	if (code)
		return wdd_refuse(m, code);
	if (priority < -30000 || priority > 30000 || !flags_are_right(layer, flags))
		return wdd_refuse(m, 87);
	f = wdd_filter_compile(filter, layer, NULL, NULL);
	if (!f)
		return wdd_refuse(m, 87);
	for (unsigned i = 0; i < WDD_HANDLES_MAX && !h; i++)
		if (!m->handles[i].used) {
			h = &m->handles[i];
			/* never the same twice: a receiver of a closed handle must not meet a new one */
			*ret_handle = ++m->opened * WDD_HANDLES_MAX + i;
		}
	if (!h) {
		free(f);
		return wdd_refuse(m, 1450);
	}
	*h = (struct wdd_handle){ .used = true,
				  .number = *ret_handle,
				  .filter = f,
				  .layer = layer,
				  .priority = priority,
				  .flags = flags,
				  .queue_len = 4096,
				  .queue_time = 2000,
				  .queue_size = 4194304,
				  .serial = ++m->serial };
	h->queue_tail = &h->queue;
	m->counts.opened++;
	m->changes++;
	return 0;
}

/* ---- queues ---- */

static void drop_first(struct wdd_model *m, struct wdd_handle *h, enum wdd_loss loss)
{
	struct wdd_queued *q = h->queue;

	h->queue = q->next;
	if (!h->queue)
		h->queue_tail = &h->queue;
	h->queue_cnt--;
	h->queue_bytes -= q->len;
	if (loss != WDD_LOSS_NONE)
		wdd_emit(m, WDD_VANISHED, loss, q->origin, q->addr, q->bytes, q->len);
	free(q);
}

static bool too_old(const struct wdd_model *m, const struct wdd_handle *h,
		    const struct wdd_queued *q)
{
	return m->now_ms(m->ctx) - q->time_ms > h->queue_time;
}

static void enqueue(struct wdd_model *m, struct wdd_handle *h, const uint8_t *addr,
		    const uint8_t *bytes, uint32_t len, enum wdd_origin origin)
{
	struct wdd_queued *q = malloc(sizeof(*q) + len);

	if (!q)
		return;
	while (h->queue && too_old(m, h, h->queue))
		drop_first(m, h, WDD_LOSS_AGE);
	while (h->queue &&
	       (h->queue_cnt + 1 > h->queue_len || h->queue_bytes + len > h->queue_size))
		drop_first(m, h, WDD_LOSS_QUEUE);
	q->next = NULL;
	q->time_ms = m->now_ms(m->ctx);
	q->origin = origin;
	memcpy(q->addr, addr, WDD_ADDRESS_SIZE);
	q->len = len;
	if (len)
		memcpy(q->bytes, bytes, len);
	*h->queue_tail = q;
	h->queue_tail = &q->next;
	h->queue_cnt++;
	h->queue_bytes += len;
	m->changes++;
}

uint32_t wdd_model_recv(struct wdd_model *m, unsigned handle, uint8_t *buf, uint32_t room,
			uint32_t *ret_len, uint8_t *addrs, uint32_t addrs_max, uint32_t *ret_cnt)
{
	struct wdd_handle *h = wdd_handle_of(m, handle);
	uint32_t code, len = 0, cnt = 0;

	*ret_len = *ret_cnt = 0;
	if (!h)
		return 995; /* closed under the receiver */
	if (h->flags & 8 || addrs_max > WDD_BATCH_MAX)
		return 87;
	code = wdd_fail_now(m, WDD_CALL_RECV);
	if (code)
		return code;
	while (h->queue && too_old(m, h, h->queue))
		drop_first(m, h, WDD_LOSS_AGE);
	if (!h->queue)
		return h->shut_recv ? 232 : WDD_WAIT;
	code = 0;
	while (h->queue && cnt < addrs_max) {
		struct wdd_queued *q = h->queue;
		uint32_t n = q->len;

		if (n > room - len) {
			if (cnt)
				break;
			n = room;
			code = 122;
		}
		if (n)
			memcpy(buf + len, q->bytes, n);
		memcpy(addrs + (size_t)cnt * WDD_ADDRESS_SIZE, q->addr, WDD_ADDRESS_SIZE);
		len += n;
		cnt++;
		drop_first(m, h, WDD_LOSS_NONE);
		if (code)
			break;
	}
	m->counts.seen += cnt;
	*ret_len = len;
	*ret_cnt = cnt;
	return code;
}

/* ---- the way of a packet ---- */

/* The receiving handle of the highest priority under @below (serial numbers break ties: the older one first). */
static struct wdd_handle *next_handle(struct wdd_model *m, int layer, int below, uint64_t after)
{
	struct wdd_handle *best = NULL;

	for (unsigned i = 0; i < WDD_HANDLES_MAX; i++) {
		struct wdd_handle *h = &m->handles[i];

		if (!h->used || h->layer != layer || h->flags & 8)
			continue;
		if (h->priority > below || (h->priority == below && h->serial <= after))
			continue;
		if (!best || h->priority > best->priority ||
		    (h->priority == best->priority && h->serial < best->serial))
			best = h;
	}
	return best;
}

void wdd_route(struct wdd_model *m, const uint8_t *addr, const uint8_t *bytes, uint32_t len,
	       int below, uint64_t after, enum wdd_origin origin)
{
	uint8_t copy[WDD_ADDRESS_SIZE];
	struct wdd_pkt k;
	struct wdd_handle *h;
	bool outbound = wdd_load32(addr + 8) & WDD_OUTBOUND;

	if (wdd_pkt_parse(bytes, len, &k))
		return;
	while ((h = next_handle(m, WDD_NETWORK, below, after))) {
		below = h->priority;
		after = h->serial;
		if (h->shut_recv || (!outbound && k.fragment && !(h->flags & 0x20)) ||
		    !wdd_filter_match(h->filter, addr, &k))
			continue;
		memcpy(copy, addr, sizeof(copy));
		if (h->flags & 1) {
			wdd_store32(copy + 8, wdd_load32(addr + 8) | WDD_SNIFFED);
			enqueue(m, h, copy, bytes, len, origin);
			m->counts.sniffed++;
			continue;
		}
		if (h->flags & 2) {
			wdd_emit(m, WDD_VANISHED, WDD_LOSS_DROP, origin, addr, bytes, len);
			return;
		}
		enqueue(m, h, addr, bytes, len, origin);
		m->counts.diverted++;
		return;
	}
	wdd_arrive(m, addr, &k, origin);
}

bool wdd_model_play(struct wdd_model *m, const struct wdd_play *how, const uint8_t *pkt,
		    uint32_t len)
{
	uint8_t addr[WDD_ADDRESS_SIZE] = { 0 };
	int64_t now = m->timestamp(m->ctx);
	uint32_t bits = WDD_NETWORK | WDD_PACKET << 8;
	struct wdd_pkt k;

	if (wdd_pkt_parse(pkt, len, &k) || k.len != len)
		return false;
	memcpy(addr, &now, 8);
	bits |= how->outbound ? WDD_OUTBOUND : 0;
	bits |= how->impostor ? WDD_IMPOSTOR : 0;
	bits |= k.version == 6 ? WDD_IS_IPV6 : 0;
	if (how->outbound && wdd_is_local(m, &k.dst))
		bits |= WDD_LOOPBACK; /* seen once, on the way out */
	bits |= how->offload ? 0 : WDD_IP_OK | WDD_TCP_OK | WDD_UDP_OK;
	wdd_store32(addr + 8, bits);
	wdd_store32(addr + 16, how->if_idx);
	wdd_store32(addr + 20, how->sub_if_idx);
	m->counts.played++;
	wdd_route(m, addr, pkt, len, 30001, 0, WDD_PLAYED);
	return true;
}

static void store_words(uint8_t *p, const struct wdd_ip *ip)
{
	for (int i = 0; i < 4; i++)
		wdd_store32(p + 4 * i, wdd_be32(ip->b + 12 - 4 * i));
}

bool wdd_model_event(struct wdd_model *m, const struct wdd_socket_event *ev)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	int layer =
		ev->event == WDD_ESTABLISHED || ev->event == WDD_DELETED ? WDD_FLOW : WDD_SOCKET;
	uint8_t addr[WDD_ADDRESS_SIZE] = { 0 };
	int64_t now = ev->timestamp ? ev->timestamp : m->timestamp(m->ctx);
	uint32_t bits = (uint32_t)layer | (uint32_t)ev->event << 8 | WDD_SNIFFED;
	uint64_t id = ++m->serial, after = 0;
	int below = 30001;
	struct wdd_handle *h;
	bool passed = true;

	memcpy(addr, &now, 8);
	bits |= ev->outbound ? WDD_OUTBOUND : 0;
	bits |= memcmp(ev->local.b, mapped, 12) == 0 ? 0 : WDD_IS_IPV6;
	bits |= wdd_is_local(m, &ev->remote) ? WDD_LOOPBACK : 0;
	wdd_store32(addr + 8, bits);
	memcpy(addr + 16, &id, 8);
	wdd_store32(addr + 32, ev->pid);
	store_words(addr + 36, &ev->local);
	store_words(addr + 52, &ev->remote);
	memcpy(addr + 68, &ev->local_port, 2);
	memcpy(addr + 70, &ev->remote_port, 2);
	addr[72] = ev->proto;
	m->counts.events++;
	while ((h = next_handle(m, layer, below, after))) {
		below = h->priority;
		after = h->serial;
		if (h->shut_recv || !wdd_filter_match(h->filter, addr, NULL))
			continue;
		if (!(h->flags & 1)) {
			/* SOCKET without SNIFF blocks every event that matches */
			wdd_store32(addr + 8, bits & ~WDD_SNIFFED);
			passed = false;
		}
		enqueue(m, h, addr, NULL, 0, WDD_PLAYED);
	}
	m->counts.events_blocked += !passed;
	return passed;
}

/* ---- the rest of the calls ---- */

uint32_t wdd_model_shutdown(struct wdd_model *m, unsigned handle, int how)
{
	struct wdd_handle *h = wdd_handle_of(m, handle);

	if (!h)
		return 6;
	if (how < 1 || how > 3)
		return 87;
	h->shut_recv |= (how & 1) != 0;
	h->shut_send |= (how & 2) != 0;
	m->changes++;
	return 0;
}

uint32_t wdd_model_close(struct wdd_model *m, unsigned handle)
{
	struct wdd_handle *h = wdd_handle_of(m, handle);
	struct wdd_handle gone;

	if (!h)
		return 6;
	gone = *h;
	if (!gone.queue)
		gone.queue_tail = &gone.queue;
	memset(h, 0, sizeof(*h)); /* first: what goes on must not meet it again */
	while (gone.queue) {
		struct wdd_queued *q = gone.queue;

		if (gone.layer == WDD_NETWORK && !(gone.flags & 1)) {
			if (too_old(m, &gone, q)) {
				wdd_emit(m, WDD_VANISHED, WDD_LOSS_AGE, q->origin, q->addr,
					 q->bytes, q->len);
			} else {
				m->counts.reinjected++;
				wdd_route(m, q->addr, q->bytes, q->len, gone.priority, gone.serial,
					  WDD_REINJECTED);
			}
		}
		gone.queue = q->next;
		free(q);
	}
	free(gone.filter);
	m->counts.closed++;
	m->changes++;
	return 0;
}

uint32_t wdd_model_set_param(struct wdd_model *m, unsigned handle, int param, uint64_t value)
{
	struct wdd_handle *h = wdd_handle_of(m, handle);

	if (!h)
		return 6;
	switch (param) {
	case 0:
		if (value < 32 || value > 16384)
			return 87;
		h->queue_len = value;
		return 0;
	case 1:
		if (value < 100 || value > 16000)
			return 87;
		h->queue_time = value;
		return 0;
	case 2:
		if (value < 65535 || value > 33554432)
			return 87;
		h->queue_size = value;
		return 0;
	default:
		return 87;
	}
}

uint32_t wdd_model_get_param(struct wdd_model *m, unsigned handle, int param, uint64_t *ret)
{
	struct wdd_handle *h = wdd_handle_of(m, handle);

	if (!h)
		return 6;
	if (param < 0 || param > 4)
		return 87;
	*ret = param == 0   ? h->queue_len
	       : param == 1 ? h->queue_time
	       : param == 2 ? h->queue_size
			    : m->version[param - 3];
	return 0;
}

void wdd_model_set_version(struct wdd_model *m, unsigned major, unsigned minor)
{
	m->version[0] = major;
	m->version[1] = minor;
}

struct wdd_output *wdd_model_take_output(struct wdd_model *m)
{
	struct wdd_output *out = m->outputs;

	if (out) {
		m->outputs = out->next;
		if (!m->outputs)
			m->outputs_tail = &m->outputs;
	}
	return out;
}

bool wdd_model_has_output(const struct wdd_model *m)
{
	return m->outputs != NULL;
}

const struct wdd_counts *wdd_model_counts(const struct wdd_model *m)
{
	return &m->counts;
}

uint64_t wdd_model_changes(const struct wdd_model *m)
{
	return m->changes;
}

unsigned wdd_model_queued(const struct wdd_model *m, int layer)
{
	unsigned n = 0;

	for (unsigned i = 0; i < WDD_HANDLES_MAX; i++)
		if (m->handles[i].used && m->handles[i].layer == layer)
			n += m->handles[i].queue_cnt;
	return n;
}

unsigned wdd_model_open_handles(const struct wdd_model *m)
{
	return (unsigned)(m->counts.opened - m->counts.closed);
}
