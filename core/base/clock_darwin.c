/* SPDX-License-Identifier: Apache-2.0 */
/* clock_darwin.c - the system's clocks and random source; see clock.h */
#include "core/base/clock.h"

#include <stdlib.h>
#include <time.h>

#include "core/base/hash.h"

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * MF_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Goes on while the machine sleeps, as CLOCK_MONOTONIC does here; CLOCK_UPTIME_RAW would not. */
static uint64_t monotonic(void *ctx)
{
	(void)ctx;
	return read_clock(CLOCK_MONOTONIC);
}

static uint64_t wall(void *ctx)
{
	(void)ctx;
	return read_clock(CLOCK_REALTIME);
}

const struct mf_clock mf_clock_system = { .monotonic = monotonic, .wall = wall };

int64_t mf_clock_utc_offset(int64_t unix_s)
{
	time_t at = (time_t)unix_s;
	struct tm tm;

	return localtime_r(&at, &tm) ? (int64_t)tm.tm_gmtoff : 0;
}

uint64_t mf_hash_seed(void)
{
	uint64_t seed;

	arc4random_buf(&seed, sizeof(seed)); /* cannot fail and does not wait */
	return seed;
}
