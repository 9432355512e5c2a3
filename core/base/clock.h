/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - time as an interface, so that tests move it by hand */
#ifndef MF_BASE_CLOCK_H
#define MF_BASE_CLOCK_H

#include <stdint.h>

struct mf_clock {
	uint64_t (*monotonic)(void *ctx); /* nanoseconds, any zero point */
	uint64_t (*wall)(void *ctx);	  /* nanoseconds since 1970-01-01T00:00:00Z */
	void *ctx;
	/* Nanoseconds that the calling thread has computed, never more than monotonic time; NULL: nobody knows. */
	uint64_t (*cpu)(void *ctx);
	uint64_t cpu_error_ns; /* what @cpu may say too much about a span */
};

#define MF_NS_PER_US UINT64_C(1000)
#define MF_NS_PER_MS UINT64_C(1000000)
#define MF_NS_PER_S  UINT64_C(1000000000)

/* The system's clocks. */
extern const struct mf_clock mf_clock_system;

/** mf_clock_utc_offset() - Seconds that local time is ahead of UTC at a moment (seconds since 1970-01-01T00:00:00Z) */
int64_t mf_clock_utc_offset(int64_t unix_s);

static inline uint64_t mf_clock_now(const struct mf_clock *c)
{
	return c->monotonic(c->ctx);
}

static inline uint64_t mf_clock_wall(const struct mf_clock *c)
{
	return c->wall(c->ctx);
}

#endif
