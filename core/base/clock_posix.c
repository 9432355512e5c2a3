/* SPDX-License-Identifier: Apache-2.0 */
/* clock_posix.c - the system's clocks and random source; see clock.h */
#include "core/base/clock.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "core/base/hash.h"

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * MF_NS_PER_S + (uint64_t)ts.tv_nsec;
}

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

static uint64_t cpu(void *ctx)
{
	(void)ctx;
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

const struct mf_clock mf_clock_system = { .monotonic = monotonic, .wall = wall, .cpu = cpu };

int64_t mf_clock_utc_offset(int64_t unix_s)
{
	time_t at = (time_t)unix_s;
	struct tm tm;

	return localtime_r(&at, &tm) ? (int64_t)tm.tm_gmtoff : 0;
}

uint64_t mf_hash_seed(void)
{
	uint64_t seed;

	// Fails only where the kernel or a filter does not know the call: the clock must do then.
	if (getentropy(&seed, sizeof(seed)) != 0)
		seed = mf_hash_u64(monotonic(NULL), (uint64_t)(uintptr_t)&seed);
	return seed;
}
