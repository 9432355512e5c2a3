/* SPDX-License-Identifier: Apache-2.0 */
/* thread.h - threads of ours in somebody else's process */
#ifndef MF_BASE_THREAD_H
#define MF_BASE_THREAD_H

#include <pthread.h>

/** mf_thread_start() - pthread_create() of a thread to which no signal of the process is delivered; Return: 0 or an errno */
int mf_thread_start(pthread_t *ret_thread, void *(*run)(void *arg), void *arg);

/**
 * mf_thread_give_way() - From now on the calling thread has the processor after those that serve requests
 * It still gets a part where all processors are busy (Linux: as nice 10 more, of this thread alone). Where it is not permitted nothing happens.
 */
void mf_thread_give_way(void);

#endif
