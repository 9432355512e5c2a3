/* SPDX-License-Identifier: Apache-2.0 */
/* cond.h - waiting on a condition variable until a moment of the monotonic clock, which macOS and Windows do in their own ways */
#ifndef MF_BASE_COND_H
#define MF_BASE_COND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/*
 * winpthreads knows the wall clock only, but turns the moment into a length of time when the wait begins: the clock would
 * have to be set between mf_cond_in_ms() and the wait to matter.
 */
#ifdef _WIN32
#define MF_COND_CLOCK CLOCK_REALTIME
#else
#define MF_COND_CLOCK CLOCK_MONOTONIC
#endif

/** mf_cond_init() - A condition variable for mf_cond_wait_until(); Return: 0 or an errno */
static inline int mf_cond_init(pthread_cond_t *c)
{
#if defined(__APPLE__) || defined(_WIN32)
	return pthread_cond_init(c, NULL);
#else
	pthread_condattr_t attr;
	int r;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, MF_COND_CLOCK);
	r = pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
	return r;
#endif
}

/** mf_cond_in_ms() - The moment @ms milliseconds from now */
static inline struct timespec mf_cond_in_ms(uint32_t ms)
{
	struct timespec t;

	clock_gettime(MF_COND_CLOCK, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

/** mf_cond_wait_until() - Wait for a signal; may return early, as all such waits; Return: false once @until is over */
static inline bool mf_cond_wait_until(pthread_cond_t *c, pthread_mutex_t *lock,
				      const struct timespec *until)
{
#ifdef __APPLE__
	struct timespec left;

	clock_gettime(CLOCK_MONOTONIC, &left);
	left.tv_sec = until->tv_sec - left.tv_sec;
	left.tv_nsec = until->tv_nsec - left.tv_nsec;
	if (left.tv_nsec < 0) {
		left.tv_sec--;
		left.tv_nsec += 1000000000;
	}
	return left.tv_sec >= 0 && pthread_cond_timedwait_relative_np(c, lock, &left) == 0;
#else
	return pthread_cond_timedwait(c, lock, until) == 0;
#endif
}

#endif
