/* SPDX-License-Identifier: Apache-2.0 */
/* thread.h - threads of ours in somebody else's process */
#ifndef MF_BASE_THREAD_H
#define MF_BASE_THREAD_H

#include <pthread.h>

/** mf_thread_start() - pthread_create() of a thread to which no signal of the process is delivered; Return: 0 or an errno */
int mf_thread_start(pthread_t *ret_thread, void *(*run)(void *arg), void *arg);

#endif
