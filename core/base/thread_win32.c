/* SPDX-License-Identifier: Apache-2.0 */
/* thread_win32.c - see thread.h: winpthreads */
#include "core/base/thread.h"

#include <windows.h>

/* Windows has no signals that could interrupt a thread. */
int mf_thread_start(pthread_t *ret_thread, void *(*run)(void *arg), void *arg)
{
	return pthread_create(ret_thread, NULL, run, arg);
}

void mf_thread_give_way(void)
{
	(void)SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_BELOW_NORMAL);
}
