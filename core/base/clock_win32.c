/* SPDX-License-Identifier: Apache-2.0 */
/* clock_win32.c - Windows' clocks and random source */
#include "core/base/clock.h"

#include <windows.h>

#include <bcrypt.h>

#include "core/base/hash.h"

#define FILETIME_PER_S UINT64_C(10000000)
#define FILETIME_1970  UINT64_C(116444736000000000) /* 100 ns steps from 1601 to 1970 */

static uint64_t monotonic(void *ctx)
{
	LARGE_INTEGER now, frequency;
	uint64_t s, rest;

	(void)ctx;
	/* Neither can fail since Windows XP; the frequency is fixed at boot and read from a shared page. */
	QueryPerformanceFrequency(&frequency);
	QueryPerformanceCounter(&now);
	s = (uint64_t)now.QuadPart / (uint64_t)frequency.QuadPart;
	rest = (uint64_t)now.QuadPart % (uint64_t)frequency.QuadPart;
	return s * MF_NS_PER_S + rest * MF_NS_PER_S / (uint64_t)frequency.QuadPart;
}

static uint64_t from_filetime(const FILETIME *t)
{
	return (uint64_t)t->dwHighDateTime << 32 | t->dwLowDateTime;
}

static uint64_t wall(void *ctx)
{
	FILETIME t;

	(void)ctx;
	GetSystemTimePreciseAsFileTime(&t);
	return (from_filetime(&t) - FILETIME_1970) * 100;
}

/* Who runs when the scheduler's tick comes is charged with all of it. */
static uint64_t cpu(void *ctx)
{
	FILETIME created, ended, kernel, user;

	(void)ctx;
	if (!GetThreadTimes(GetCurrentThread(), &created, &ended, &kernel, &user))
		return 0;
	return (from_filetime(&kernel) + from_filetime(&user)) * 100;
}

const struct mf_clock mf_clock_system = {
	.monotonic = monotonic, .wall = wall, .cpu = cpu, .cpu_error_ns = 16 * MF_NS_PER_MS
};

int64_t mf_clock_utc_offset(int64_t unix_s)
{
	/* As far as a FILETIME goes forwards, and SystemTimeToTzSpecificLocalTime() backwards. */
	static const int64_t least = -11644473600 + 86400 * 2, most = INT64_C(900000000000);
	SYSTEMTIME utc, local;
	FILETIME t, back;
	uint64_t at;

	if (unix_s < least || unix_s > most)
		return 0;
	at = (uint64_t)(unix_s + (int64_t)(FILETIME_1970 / FILETIME_PER_S)) * FILETIME_PER_S;
	t.dwHighDateTime = (DWORD)(at >> 32);
	t.dwLowDateTime = (DWORD)at;
	if (!FileTimeToSystemTime(&t, &utc) ||
	    !SystemTimeToTzSpecificLocalTime(NULL, &utc, &local) ||
	    !SystemTimeToFileTime(&local, &back))
		return 0;
	return ((int64_t)from_filetime(&back) - (int64_t)at) / (int64_t)FILETIME_PER_S;
}

uint64_t mf_hash_seed(void)
{
	uint64_t seed;

	if (BCryptGenRandom(NULL, (PUCHAR)&seed, sizeof(seed), BCRYPT_USE_SYSTEM_PREFERRED_RNG))
		seed = mf_hash_u64(monotonic(NULL), (uint64_t)(uintptr_t)&seed);
	return seed;
}
