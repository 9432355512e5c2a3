/* SPDX-License-Identifier: Apache-2.0 */
/* port_model.c - the double's rules, asked of the model itself; see port.h */
#include "port.h"

static struct wdd_model *model;
static uint64_t clock_ms;

static uint64_t now_ms(void *ctx)
{
	(void)ctx;
	return clock_ms;
}

static int64_t timestamp(void *ctx)
{
	(void)ctx;
	return (int64_t)clock_ms * 10000;
}

void port_begin(void)
{
	clock_ms = 1000000;
	model = wdd_model_new(now_ms, timestamp, NULL);
}

void port_end(void)
{
	wdd_model_free(model);
}

uint32_t port_open(const char *filter, int layer, int priority, uint64_t flags, uintptr_t *ret)
{
	unsigned h = 0;
	uint32_t code = wdd_model_open(model, filter, layer, priority, flags, &h);

	*ret = h;
	return code;
}

uint32_t port_recv(uintptr_t h, uint8_t *buf, uint32_t room, uint32_t *ret_len, uint8_t *addrs,
		   uint32_t *cnt)
{
	return wdd_model_recv(model, (unsigned)h, buf, room, ret_len, addrs, *cnt, cnt);
}

uint32_t port_send(uintptr_t h, const uint8_t *pkts, uint32_t len, const uint8_t *addrs,
		   uint32_t cnt)
{
	uint32_t sent;

	return wdd_model_send(model, (unsigned)h, pkts, len, addrs, cnt, &sent);
}

uint32_t port_shutdown(uintptr_t h, int how)
{
	return wdd_model_shutdown(model, (unsigned)h, how);
}

uint32_t port_close(uintptr_t h)
{
	return wdd_model_close(model, (unsigned)h);
}

uint32_t port_set(uintptr_t h, int param, uint64_t value)
{
	return wdd_model_set_param(model, (unsigned)h, param, value);
}

uint32_t port_get(uintptr_t h, int param, uint64_t *ret)
{
	return wdd_model_get_param(model, (unsigned)h, param, ret);
}

bool port_play(const struct wdd_play *how, const uint8_t *pkt, uint32_t len)
{
	return wdd_model_play(model, how, pkt, len);
}

bool port_event(const struct wdd_socket_event *ev)
{
	return wdd_model_event(model, ev);
}

void port_fail(enum wdd_call call, uint32_t code, unsigned times)
{
	wdd_model_fail(model, call, code, 0, times);
}

void port_add_local(const struct wdd_ip *ip)
{
	wdd_model_add_local(model, ip);
}

void port_advance(uint64_t ms)
{
	clock_ms += ms;
}

struct wdd_output *port_take(void)
{
	return wdd_model_take_output(model);
}

struct wdd_counts port_counts(void)
{
	return *wdd_model_counts(model);
}
