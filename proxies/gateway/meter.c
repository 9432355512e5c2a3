/* SPDX-License-Identifier: Apache-2.0 */
/* meter.c - see meter.h */
#include "proxies/gateway/meter.h"

#define NS UINT64_C(1000000000)

/* How long @n tokens take to come, rounded up: what is rounded is never given away. */
static uint64_t ns_for(uint64_t n, uint64_t rate)
{
	return n / rate * NS + (n % rate * NS + rate - 1) / rate;
}

uint64_t mf_pace_wait(struct mf_pace *p, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	uint64_t full_at = atomic_load(&p->full_at_ns), may_at = now_ns + ns_for(burst, rate);

	return full_at > may_at ? full_at - may_at : 0;
}

void mf_pace_charge(struct mf_pace *p, uint64_t rate, uint64_t n, uint64_t now_ns)
{
	uint64_t full_at = atomic_load(&p->full_at_ns), cost = ns_for(n, rate), next;

	do {
		next = (full_at > now_ns ? full_at : now_ns) + cost;
	} while (!atomic_compare_exchange_weak(&p->full_at_ns, &full_at, next));
}

void mf_pace_refund(struct mf_pace *p, uint64_t rate, uint64_t n)
{
	atomic_fetch_sub(&p->full_at_ns, ns_for(n, rate));
}

bool mf_pace_take(struct mf_pace *p, uint64_t rate, uint64_t burst, uint64_t n, uint64_t now_ns)
{
	uint64_t full_at = atomic_load(&p->full_at_ns), cost = ns_for(n, rate), next;

	do {
		next = (full_at > now_ns ? full_at : now_ns) + cost;
		if (next > now_ns + ns_for(burst, rate))
			return false;
	} while (!atomic_compare_exchange_weak(&p->full_at_ns, &full_at, next));
	return true;
}

uint64_t mf_quota_used(const struct mf_quota *q, uint64_t window)
{
	return atomic_load(&q->window) == window ? atomic_load(&q->used) : 0;
}

void mf_quota_add(struct mf_quota *q, uint64_t window, uint64_t n)
{
	uint64_t was = atomic_load(&q->window);

	/* whoever sees the new window first empties it */
	if (was != window && atomic_compare_exchange_strong(&q->window, &was, window))
		atomic_store(&q->used, 0);
	atomic_fetch_add(&q->used, n);
}
