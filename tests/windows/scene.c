/* SPDX-License-Identifier: Apache-2.0 */
/* scene.c - see scene.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <windows.h>

#include "scene.h"

static uint64_t clock_now(void *ctx)
{
	return ((struct scene *)ctx)->now_ns;
}

static int decide(void *ctx, const struct mf_flow_question *q, struct mf_flow_verdict *ret)
{
	struct scene *s = ctx;

	s->decided++;
	s->decided_pid = q->pid;
	s->decided_flow = *q->flow;
	if (s->decide_code)
		return s->decide_code;
	*ret = (struct mf_flow_verdict){ .answer = s->answer };
	return 0;
}

static void on_event(void *ctx, const struct mf_pipeline_event *ev)
{
	struct scene *s = ctx;

	s->events[ev->kind]++;
	s->event_closed = ev->fail_closed;
}

static void on_wake(void *ctx)
{
	SetEvent(((struct scene *)ctx)->waked);
}

/* The system's tables: nothing but s->owner. */
static int read_owners(void *ctx, uint8_t proto, uint8_t family, struct mf_owner_row *rows,
		       size_t max)
{
	const struct scene *s = ctx;

	if (!s->owner.pid || s->owner.flow.proto != proto || s->owner.flow.family != family)
		return 0;
	if (max)
		rows[0] = s->owner;
	return 1;
}

static int process_began(void *ctx, uint32_t pid, uint64_t *ret_ns)
{
	(void)pid;
	*ret_ns = ((struct scene *)ctx)->began_ns;
	return 0;
}

int scene_begin(void **state)
{
	static struct mf_owner_source owners = { .read = read_owners };
	struct scene *s = calloc(1, sizeof(*s));
	struct wdd_ip four = wdd_ip_of("10.0.0.5"), six = wdd_ip_of("2001:db8::5");

	if (!s)
		return -1;
	s->host = wdd_host_start();
	wdd_host_add_local(s->host, &four);
	wdd_host_add_local(s->host, &six);
	s->waked = CreateEventA(NULL, FALSE, FALSE, NULL);
	s->now_ns = 1000 * MF_NS_PER_S;
	s->clock = (struct mf_clock){ .monotonic = clock_now, .wall = clock_now, .ctx = s };
	s->answer = MF_FLOW_PROXY;
	s->isn = 1000;
	owners.ctx = s;
	s->po = (struct mf_pipeline_options){ .size = sizeof(s->po),
					      .scope = MF_SCOPE_PIDS,
					      .method4 = MF_METHOD_LOOPBACK,
					      .method6 = MF_METHOD_REFLECT,
					      .tcp_port = SCENE_TCP,
					      .udp_port = SCENE_UDP,
					      .dns_port = SCENE_DNS,
					      .own_pid = SCENE_SELF };
	s->wo = (struct mf_windivert_options){ .size = sizeof(s->wo),
					       .clock = &s->clock,
					       .wake = on_wake,
					       .wake_ctx = s,
					       .owners = &owners,
					       .process_began = process_began,
					       .process_ctx = s };
	*state = s;
	return 0;
}

void scene_open(struct scene *s)
{
	const struct mf_pipeline_ops ops = { .decide = decide, .event = on_event, .ctx = s };
	struct mf_err err = { 0 };

	s->wo.capture = (struct mf_wd_capture){ .method4 = s->po.method4,
						.method6 = s->po.method6,
						.tcp_port = s->po.tcp_port,
						.udp_port = s->po.udp_port,
						.dns_port = s->po.dns_port,
						.dns_only = s->wo.capture.dns_only };
	if (mf_windivert_new(&s->wo, &s->wd, &err))
		fail_msg("%s", err.msg);
	if (mf_pipeline_new(&s->po, mf_windivert_backend(s->wd), &ops, &s->pipeline, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(mf_pipeline_add_pid(s->pipeline, SCENE_PID), 0);
}

void scene_close(struct scene *s)
{
	if (s->wd)
		mf_windivert_stop(s->wd);
	mf_pipeline_free(s->pipeline);
	s->pipeline = NULL;
	mf_windivert_free(s->wd);
	s->wd = NULL;
}

int scene_end(void **state)
{
	struct scene *s = *state;

	scene_close(s);
	wdd_host_stop(s->host);
	CloseHandle(s->waked);
	free(s);
	return 0;
}

void scene_run(struct scene *s)
{
	while (mf_pipeline_run(s->pipeline, s->now_ns) > 0)
		;
}

void scene_until(struct scene *s, bool (*cond)(struct scene *s))
{
	uint64_t end = GetTickCount64() + WDD_HOST_PATIENCE_MS;

	for (;;) {
		scene_run(s);
		if (cond(s))
			return;
		if (GetTickCount64() > end)
			fail_msg("what the scenario waits for does not happen");
		WaitForSingleObject(s->waked, 20);
	}
}

uint32_t scene_play(struct scene *s, bool outbound, const uint8_t *pkt, uint32_t len)
{
	assert_true(wdd_host_play(s->host,
				  &(struct wdd_play){ .outbound = outbound,
						      .if_idx = SCENE_IF,
						      .sub_if_idx = SCENE_SUB_IF },
				  pkt, len));
	return len;
}

void scene_tcp(struct scene *s, bool outbound, struct wdd_end from, struct wdd_end to,
	       uint8_t flags, uint32_t seq, uint32_t ack, const char *payload)
{
	uint8_t pkt[2048];

	scene_play(s, outbound, pkt,
		   wdd_craft_tcp(pkt, from, to, flags, seq, ack, payload,
				 payload ? (uint32_t)strlen(payload) : 0));
}

void scene_syn(struct scene *s, struct wdd_end from, struct wdd_end to)
{
	scene_tcp(s, true, from, to, WDD_SYN, s->isn, 0, NULL);
}

void scene_udp(struct scene *s, bool outbound, struct wdd_end from, struct wdd_end to,
	       const char *payload)
{
	uint8_t pkt[2048];

	scene_play(s, outbound, pkt,
		   wdd_craft_udp(pkt, from, to, payload, (uint32_t)strlen(payload)));
}

void scene_event(struct scene *s, int event, uint32_t pid, uint8_t proto, struct wdd_end local,
		 struct wdd_end remote)
{
	struct wdd_socket_event ev = { .event = event,
				       .pid = pid,
				       .local = local.ip,
				       .remote = remote.ip,
				       .local_port = local.port,
				       .remote_port = remote.port,
				       .proto = proto,
				       .outbound = event != WDD_ACCEPT };
	LARGE_INTEGER now, per_s;

	QueryPerformanceCounter(&now);
	QueryPerformanceFrequency(&per_s);
	ev.timestamp = now.QuadPart + (int64_t)(s->ahead_ns / MF_NS_PER_MS) * per_s.QuadPart / 1000;
	assert_true(wdd_host_event(s->host, &ev));
}

void scene_any(struct scene *s, struct scene_out *ret)
{
	uint64_t end = GetTickCount64() + WDD_HOST_PATIENCE_MS;

	for (;;) {
		if (s->pipeline)
			scene_run(s);
		ret->raw = wdd_host_try(s->host);
		if (ret->raw)
			break;
		if (GetTickCount64() > end)
			fail_msg("no packet came out");
		WaitForSingleObject(s->waked, 20);
	}
	assert_true(wdd_read_packet(&ret->r, ret->raw->bytes, ret->raw->len));
	ret->bits = wdd_load32(ret->raw->addr + 8);
	ret->if_idx = wdd_load32(ret->raw->addr + 16);
}

void scene_next(struct scene *s, enum wdd_fate fate, struct scene_out *ret)
{
	scene_any(s, ret);
	if (ret->raw->fate != fate)
		fail_msg("a packet's fate is %d (lost because of %d) instead of %d", ret->raw->fate,
			 ret->raw->loss, fate);
	assert_int_equal(ret->r.bad_sums, 0);
}

void scene_done(struct scene_out *out)
{
	free(out->raw);
}

void scene_expect(struct scene *s, enum wdd_fate fate, struct wdd_end from, struct wdd_end to)
{
	struct scene_out out;

	scene_next(s, fate, &out);
	assert_memory_equal(&out.r.src.ip, &from.ip, 16);
	assert_memory_equal(&out.r.dst.ip, &to.ip, 16);
	assert_int_equal(out.r.src.port, from.port);
	assert_int_equal(out.r.dst.port, to.port);
	scene_done(&out);
}

static bool all_taken(struct scene *s)
{
	struct mf_windivert_stats st;
	struct wdd_counts c = wdd_host_counts(s->host);

	mf_windivert_get_stats(s->wd, &st);
	/* each diverted packet was read, each of them went through the pipeline; and each event was read and queued */
	return c.diverted == st.packets && scene_stats(s).captured == st.packets &&
	       c.seen == c.diverted + c.events - c.events_blocked &&
	       st.events + st.pids_reused == c.events - c.events_blocked;
}

void scene_expect_nothing(struct scene *s)
{
	struct wdd_output *out;

	scene_until(s, all_taken);
	scene_run(s);
	out = wdd_host_try(s->host);
	if (out)
		fail_msg("a packet came out, its fate is %d", out->fate);
}

struct mf_pipeline_stats scene_stats(struct scene *s)
{
	struct mf_pipeline_stats st;

	mf_pipeline_get_stats(s->pipeline, &st);
	return st;
}
