/* SPDX-License-Identifier: Apache-2.0 */
/* thread_posix.c - see thread.h */
#include "core/base/thread.h"

#include <signal.h>

int mf_thread_start(pthread_t *ret_thread, void *(*run)(void *arg), void *arg)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(ret_thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}
