/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace.c - see pace.h
 *
 * Turns. WebSockets that are held stand in a queue. In each tick those at its head whose buckets have something are let go, and are charged one piece
 * beforehand, so that as many go as there are pieces in the bucket, however many wait: a server's answer comes in a later turn of the
 * loop. What a WebSocket has not used of that by the next tick is given back.
 */
#include "proxies/gateway/pace.h"

#include "proxies/gateway/gateway_int.h"

enum {
	TICK_MIN_MS = 5,
	TICK_MAX_MS = 500,
	BURST_MIN = MF_GW_CHUNK, /* a piece: less would not be a burst */
	FLOW_BURST_MIN = 10,
};

static uint64_t now_ns(void)
{
	return mf_now_ms() * UINT64_C(1000000);
}

static struct mf_gw_meter *meter_of(struct mf_gateway *gw, struct mf_gw_party who,
				    enum mf_gateway_scope scope)
{
	switch (scope) {
	case MF_GW_OF_SESSION:
		return &who.member->meter;
	case MF_GW_OF_ADDRESS:
		return who.address ? mf_gw_address_meter(who.address) : NULL;
	default:
		return &gw->house->meter;
	}
}

static uint64_t burst_of(uint64_t byte_rate)
{
	return byte_rate > BURST_MIN ? byte_rate : BURST_MIN;
}

/* Above zero, which is "none yet". */
static uint64_t window_of(const struct mf_gateway *gw, uint64_t ns)
{
	return ns / 1000000000 / gw->opt.quota_window_s + 1;
}

/* --- bytes ---------------------------------------------------------------------------------------------------------------- */

enum mf_gateway_refusal mf_gw_find_used_up(struct mf_gateway *gw, struct mf_gw_party who)
{
	static const enum mf_gateway_refusal reasons[MF_GW_SCOPE_NUM] = {
		[MF_GW_OF_SESSION] = MF_GW_REFUSED_MEMBER_BYTES,
		[MF_GW_OF_ADDRESS] = MF_GW_REFUSED_ADDRESS_BYTES,
		[MF_GW_OF_ALL] = MF_GW_REFUSED_ALL_BYTES,
	};
	uint64_t window;

	if (!gw->metered)
		return MF_GW_REFUSED_NUM;
	window = window_of(gw, now_ns());
	for (unsigned i = 0; i < MF_GW_SCOPE_NUM; i++) {
		const struct mf_gw_meter *m = meter_of(gw, who, i);
		uint64_t max = gw->opt.limits[i].bytes;

		if (m && max && mf_quota_used(&m->quota, window) >= max)
			return reasons[i];
	}
	return MF_GW_REFUSED_NUM;
}

enum mf_gw_pace mf_gw_ask_bytes(struct mf_gateway *gw, struct mf_gw_party who,
				uint64_t *ret_wait_ns)
{
	uint64_t now, wait = 0;

	if (!gw->metered)
		return MF_GW_GO;
	if (mf_gw_find_used_up(gw, who) != MF_GW_REFUSED_NUM)
		return MF_GW_OVER;
	now = now_ns();
	for (unsigned i = 0; i < MF_GW_SCOPE_NUM; i++) {
		struct mf_gw_meter *m = meter_of(gw, who, i);
		uint64_t rate = gw->opt.limits[i].byte_rate, more;

		if (!m || !rate)
			continue;
		more = mf_pace_wait(&m->bytes, rate, burst_of(rate), now);
		wait = more > wait ? more : wait;
	}
	if (ret_wait_ns)
		*ret_wait_ns = wait;
	return wait ? MF_GW_WAIT : MF_GW_GO;
}

static void charge_rates(struct mf_gateway *gw, struct mf_gw_party who, size_t len)
{
	uint64_t now = now_ns();

	for (unsigned i = 0; i < MF_GW_SCOPE_NUM; i++) {
		struct mf_gw_meter *m = meter_of(gw, who, i);

		if (m && gw->opt.limits[i].byte_rate)
			mf_pace_charge(&m->bytes, gw->opt.limits[i].byte_rate, len, now);
	}
}

static void refund_rates(struct mf_gateway *gw, struct mf_gw_party who, size_t len)
{
	for (unsigned i = 0; i < MF_GW_SCOPE_NUM; i++) {
		struct mf_gw_meter *m = meter_of(gw, who, i);

		if (m && gw->opt.limits[i].byte_rate)
			mf_pace_refund(&m->bytes, gw->opt.limits[i].byte_rate, len);
	}
}

static void charge_quotas(struct mf_gateway *gw, struct mf_gw_party who, size_t len)
{
	uint64_t window = window_of(gw, now_ns());

	for (unsigned i = 0; i < MF_GW_SCOPE_NUM; i++) {
		struct mf_gw_meter *m = meter_of(gw, who, i);

		if (m && gw->opt.limits[i].bytes)
			mf_quota_add(&m->quota, window, len);
	}
}

void mf_gw_charge_bytes(struct mf_gateway *gw, struct mf_gw_party who, size_t len)
{
	if (!gw->metered)
		return;
	charge_rates(gw, who, len);
	charge_quotas(gw, who, len);
}

enum mf_gw_pace mf_gw_take_bytes(struct mf_gateway *gw, struct mf_gw_party who, size_t len)
{
	enum mf_gw_pace pace = mf_gw_ask_bytes(gw, who, NULL);

	if (pace == MF_GW_GO)
		mf_gw_charge_bytes(gw, who, len);
	return pace;
}

/* --- connections ---------------------------------------------------------------------------------------------------------- */

/* A minute's rate: each costs sixty of a second's. */
static bool take_one(struct mf_pace *p, uint32_t per_minute)
{
	uint64_t burst = per_minute < FLOW_BURST_MIN ? FLOW_BURST_MIN : per_minute;

	return per_minute == 0 || mf_pace_take(p, per_minute, 60 * burst, 60, now_ns());
}

bool mf_gw_take_flow(struct mf_gateway *gw, struct mf_gw_member *member,
		     const struct mf_addr *address)
{
	const struct mf_gateway_limit *l = gw->opt.limits;
	uint32_t rate = l[MF_GW_OF_ADDRESS].flow_rate;

	return take_one(&member->meter.flows, l[MF_GW_OF_SESSION].flow_rate) &&
	       (rate == 0 ||
		mf_gw_address_take(gw->house->addresses, address, MF_GW_RATE_FLOWS, rate,
				   rate < FLOW_BURST_MIN ? FLOW_BURST_MIN : rate)) &&
	       take_one(&gw->house->meter.flows, l[MF_GW_OF_ALL].flow_rate);
}

/* --- WebSockets ----------------------------------------------------------------------------------------------------------- */

static struct mf_gw_party party_of(const struct mf_gw_front *f)
{
	return (struct mf_gw_party){ f->member, f->address };
}

static void leave_queue(struct mf_gw_front *f)
{
	struct mf_gateway *gw = f->gw;

	*(f->turn_prev ? &f->turn_prev->turn_next : &gw->turn_first) = f->turn_next;
	*(f->turn_next ? &f->turn_next->turn_prev : &gw->turn_last) = f->turn_prev;
	f->turn_prev = f->turn_next = NULL;
	f->turn = MF_GW_TURN_NONE;
}

static void enter_queue(struct mf_gw_front *f, enum mf_gw_turn turn)
{
	struct mf_gateway *gw = f->gw;

	f->turn = turn;
	f->turn_next = NULL;
	f->turn_prev = gw->turn_last;
	*(gw->turn_last ? &gw->turn_last->turn_next : &gw->turn_first) = f;
	gw->turn_last = f;
}

static void tick_in(struct mf_gateway *gw, uint64_t wait_ns)
{
	uint64_t ms = (wait_ns + 999999) / 1000000;
	struct timeval tv;

	ms = ms < TICK_MIN_MS ? TICK_MIN_MS : ms > TICK_MAX_MS ? TICK_MAX_MS : ms;
	tv = (struct timeval){ (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
	event_add(&gw->tick, &tv);
}

/* What it was given and has not used. */
void mf_gw_front_settle(struct mf_gw_front *f)
{
	if (f->advance)
		refund_rates(f->gw, party_of(f), f->advance);
	f->advance = 0;
}

void mf_gw_front_let_go(struct mf_gw_front *f)
{
	mf_gw_front_settle(f);
	if (f->turn != MF_GW_TURN_NONE)
		leave_queue(f);
}

void mf_gw_front_moved(struct mf_gw_front *f, size_t len)
{
	struct mf_gateway *gw = f->gw;
	size_t paid = len < f->advance ? len : f->advance;
	enum mf_gw_pace pace;
	uint64_t wait = 0;

	if (!gw->metered)
		return;
	charge_quotas(gw, party_of(f), len);
	f->advance -= (uint32_t)paid;
	if (len > paid)
		charge_rates(gw, party_of(f), len - paid);
	if (f->turn == MF_GW_TURN_WAITS)
		return;
	pace = f->advance ? MF_GW_GO : mf_gw_ask_bytes(gw, party_of(f), &wait);
	if (pace == MF_GW_GO && mf_gw_find_used_up(gw, party_of(f)) != MF_GW_REFUSED_NUM)
		pace = MF_GW_OVER;
	if (pace == MF_GW_GO)
		return;
	if (f->turn == MF_GW_TURN_HAS)
		leave_queue(f);
	enter_queue(f, MF_GW_TURN_WAITS);
	mf_ws_hold(f->ws, true);
	if (pace == MF_GW_OVER) {
		event_active(&gw->tick, EV_TIMEOUT, 0);
		return;
	}
	gw->stats.held++;
	if (!event_pending(&gw->tick, EV_TIMEOUT, NULL))
		tick_in(gw, wait);
}

static void cut(struct mf_gw_front *f)
{
	struct mf_gateway *gw = f->gw;
	enum mf_gateway_refusal why = mf_gw_find_used_up(gw, party_of(f));

	gw->stats.cut++;
	if (why != MF_GW_REFUSED_NUM)
		mf_gw_refused_as(gw, &f->client, f->member->id, f->kind->name, why, 1008);
	mf_gw_front_end(f, 1008, "byte quota exceeded");
}

/* Each that stands in the queue once; whoever comes to stand there meanwhile stands behind them. */
static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_gateway *gw = ctx;
	uint64_t wait, soonest = UINT64_MAX;
	size_t cnt = 0;
	bool some_go = false;

	(void)fd;
	(void)what;
	for (struct mf_gw_front *f = gw->turn_first; f; f = f->turn_next) {
		cnt++;
		mf_gw_front_settle(f);
	}
	/* letting one go may end it, but no other */
	for (; cnt && gw->turn_first; cnt--) {
		struct mf_gw_front *f = gw->turn_first;
		bool waited = f->turn == MF_GW_TURN_WAITS;

		leave_queue(f);
		if (!waited)
			continue;
		switch (mf_gw_ask_bytes(gw, party_of(f), &wait)) {
		case MF_GW_OVER:
			cut(f);
			break;
		case MF_GW_WAIT:
			soonest = wait < soonest ? wait : soonest;
			enter_queue(f, MF_GW_TURN_WAITS);
			break;
		case MF_GW_GO:
			some_go = true;
			f->advance = MF_GW_CHUNK;
			charge_rates(gw, party_of(f), f->advance);
			enter_queue(f, MF_GW_TURN_HAS);
			mf_ws_hold(f->ws, false);
			break;
		}
	}
	if (gw->turn_first)
		tick_in(gw, some_go ? 0 : soonest);
}

void mf_gw_pace_init(struct mf_gateway *gw)
{
	for (unsigned i = 0; i < MF_GW_SCOPE_NUM; i++)
		gw->metered |= gw->opt.limits[i].bytes || gw->opt.limits[i].byte_rate;
	event_assign(&gw->tick, gw->base, -1, 0, on_tick, gw);
}

void mf_gw_pace_free(struct mf_gateway *gw)
{
	event_del(&gw->tick);
}
