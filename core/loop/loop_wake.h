/* SPDX-License-Identifier: Apache-2.0 */
/* loop_wake.h - another thread has something for an event loop */
#ifndef MF_LOOP_WAKE_H
#define MF_LOOP_WAKE_H

struct event_base;
struct mf_loop_wake;

/** mf_loop_wake_new() - @fn is called in the loop, once or more, after each mf_loop_wake(); NULL without memory or descriptors */
struct mf_loop_wake *mf_loop_wake_new(struct event_base *base, void (*fn)(void *ctx), void *ctx);

/** mf_loop_wake() - From any thread; never waits. @wake: a struct mf_loop_wake, as a callback's context */
void mf_loop_wake(void *wake);

/** mf_loop_wake_free() - When no thread calls mf_loop_wake() any more. NULL is fine */
void mf_loop_wake_free(struct mf_loop_wake *w);

#endif
