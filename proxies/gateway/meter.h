/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meter.h - how much may go, and how fast: token buckets and quotas that threads share without a lock
 *
 * A bucket is kept as the one moment at which it will be full again (the generic cell rate algorithm, ITU-T I.371), so that charging it is
 * one atomic addition, and it may be charged for what has gone already: then it is in debt, and nothing goes until that is paid.
 *
 * Who reads from a socket cannot know before how much comes: he asks mf_pace_wait() first, reads, and charges what it was. So a bucket is
 * overdrawn by one read at most for each thread, and in the long run the rate is exact.
 *
 * Times are nanoseconds of a clock that does not jump, and above zero. Zeroed: full buckets, nothing used.
 */
#ifndef MF_PROXIES_GATEWAY_METER_H
#define MF_PROXIES_GATEWAY_METER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define MF_PACE_RATE_MAX UINT64_C(10000000000) /* a second */

struct mf_pace {
	_Atomic uint64_t full_at_ns; /* in the past: it is full */
};

/** mf_pace_wait() - @rate a second, above 0; @burst: what it holds; Return: ns until anything may go, 0: now */
uint64_t mf_pace_wait(struct mf_pace *p, uint64_t rate, uint64_t burst, uint64_t now_ns);
/** mf_pace_charge() - @n has gone, or is about to, whether it may or not */
void mf_pace_charge(struct mf_pace *p, uint64_t rate, uint64_t n, uint64_t now_ns);
/** mf_pace_refund() - @n that was charged has not gone */
void mf_pace_refund(struct mf_pace *p, uint64_t rate, uint64_t n);
/** mf_pace_take() - @n at once, or nothing; Return: whether there was as much */
bool mf_pace_take(struct mf_pace *p, uint64_t rate, uint64_t burst, uint64_t n, uint64_t now_ns);

/* So much, and no more until the next window. */
struct mf_quota {
	_Atomic uint64_t window, used;
};

/** mf_quota_used() - In @window, a number that grows */
uint64_t mf_quota_used(const struct mf_quota *q, uint64_t window);
/** mf_quota_add() - What another thread adds while a window begins may be lost: a read's worth */
void mf_quota_add(struct mf_quota *q, uint64_t window, uint64_t n);

/* Of one session, address, or all. */
struct mf_gw_meter {
	struct mf_pace bytes, flows;
	struct mf_quota quota;
};

#endif
