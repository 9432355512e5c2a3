/* SPDX-License-Identifier: Apache-2.0 */
/* house.c - see house.h */
#include <stdlib.h>

#include "core/loop/loop_wake.h"
#include "proxies/gateway/gateway_int.h"

enum { KEEP_MEMBER_MS = 600000, MEMBERS_MAX = 65536, ADDRESSES_MAX = 65536 };

int mf_gateway_house_new(const struct mf_gateway_house_options *options,
			 struct mf_gateway_house **ret, struct mf_err *err)
{
	struct mf_gateway_house *h;

	if (options->size != sizeof(*options))
		return mf_err_set(err, MF_E_INVAL, "options of another size");
	h = calloc(1, sizeof(*h));
	if (h) {
		h->members = mf_gw_members_new(
			options->members_max ? options->members_max : MEMBERS_MAX,
			options->keep_member_ms ? options->keep_member_ms : KEEP_MEMBER_MS);
		h->addresses = mf_gw_addresses_new(options->addresses_max ? options->addresses_max
									  : ADDRESSES_MAX);
		h->keys = mf_keyring_new();
	}
	if (!h || !h->members || !h->addresses || !h->keys) {
		mf_gateway_house_free(h);
		return mf_err_set(err, MF_E_NOMEM, "no memory for the gateway");
	}
	*ret = h;
	return 0;
}

void mf_gateway_house_free(struct mf_gateway_house *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->cnt; i++)
		pthread_mutex_destroy(&h->seats[i].lock);
	mf_gw_members_free(h->members);
	mf_gw_addresses_free(h->addresses);
	mf_keyring_free(h->keys);
	free(h);
}

struct mf_gateway *mf_gateway_house_get(const struct mf_gateway_house *h, size_t i)
{
	return i < h->cnt ? h->seats[i].gw : NULL;
}

size_t mf_gateway_house_count(const struct mf_gateway_house *h)
{
	return h->cnt;
}

/* --- tasks ---------------------------------------------------------------------------------------------------------------- */

/* Those that are there now: what they send in turn has its turn behind the loop's other events. */
static void run_tasks(void *ctx)
{
	struct mf_gw_seat *s = ctx;
	struct mf_gateway_task *t, *next;

	pthread_mutex_lock(&s->lock);
	t = s->first;
	s->first = NULL;
	s->last = &s->first;
	pthread_mutex_unlock(&s->lock);
	for (; t; t = next) {
		next = t->next;
		t->run(t, s->gw);
	}
}

int mf_gateway_post(struct mf_gateway_house *h, size_t to, struct mf_gateway_task *task)
{
	struct mf_gw_seat *s = &h->seats[to];
	bool wake = false;

	if (to >= h->cnt)
		return MF_E_CLOSED;
	pthread_mutex_lock(&s->lock);
	if (!s->gw) {
		pthread_mutex_unlock(&s->lock);
		return MF_E_CLOSED;
	}
	wake = !s->first;
	task->next = NULL;
	*s->last = task;
	s->last = &task->next;
	/* inside the lock: the wake is freed by who has taken the seat away under it */
	if (wake)
		mf_loop_wake(s->wake);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int mf_gw_house_enter(struct mf_gateway_house *h, struct mf_gateway *gw, struct event_base *base,
		      size_t *ret_seat)
{
	struct mf_gw_seat *s = &h->seats[h->cnt];

	if (h->cnt == MF_GATEWAY_THREADS_MAX)
		return MF_E_FULL;
	s->wake = mf_loop_wake_new(base, run_tasks, s);
	if (!s->wake)
		return MF_E_NOMEM;
	pthread_mutex_init(&s->lock, NULL);
	s->last = &s->first;
	s->gw = gw;
	*ret_seat = h->cnt++;
	return 0;
}

void mf_gw_house_leave(struct mf_gateway_house *h, size_t seat)
{
	struct mf_gw_seat *s = &h->seats[seat];
	bool more = true;

	while (more) {
		run_tasks(s);
		pthread_mutex_lock(&s->lock);
		more = s->first;
		if (!more)
			s->gw = NULL;
		pthread_mutex_unlock(&s->lock);
	}
	mf_loop_wake_free(s->wake);
	s->wake = NULL;
}

/* --- rounds --------------------------------------------------------------------------------------------------------------- */

struct round {
	struct mf_gateway_task task;
	struct mf_gateway_house *house;
	size_t from, steps; /* seats behind the first */
	void (*each)(void *ctx, struct mf_gateway *gw);
	void (*done)(void *ctx, struct mf_gateway *gw);
	void *ctx;
};

static void go_on(struct round *r, struct mf_gateway *gw)
{
	size_t cnt = r->house->cnt;

	while (++r->steps < cnt)
		if (mf_gateway_post(r->house, (r->from + r->steps) % cnt, &r->task) == 0)
			return;
	/* back where it began */
	if (cnt > 1 && r->steps == cnt && mf_gateway_post(r->house, r->from, &r->task) == 0)
		return;
	r->done(r->ctx, cnt > 1 ? NULL : gw);
	free(r);
}

static void run_round(struct mf_gateway_task *t, struct mf_gateway *gw)
{
	struct round *r = (struct round *)((char *)t - offsetof(struct round, task));

	if (r->steps >= r->house->cnt) {
		r->done(r->ctx, gw);
		free(r);
		return;
	}
	r->each(r->ctx, gw);
	go_on(r, gw);
}

int mf_gateway_go_round(struct mf_gateway *gw, void (*each)(void *ctx, struct mf_gateway *gw),
			void (*done)(void *ctx, struct mf_gateway *gw), void *ctx)
{
	struct round *r = calloc(1, sizeof(*r));

	if (!r)
		return MF_E_NOMEM;
	r->task.run = run_round;
	r->house = gw->house;
	r->from = gw->seat;
	r->each = each;
	r->done = done;
	r->ctx = ctx;
	each(ctx, gw);
	go_on(r, gw);
	return 0;
}
