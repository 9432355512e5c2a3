/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dev_worker.h - a thread that looks up owners of listeners, one batch at a time, so that the event loop does not wait
 */
#ifndef MF_PROXIES_DEV_WORKER_H
#define MF_PROXIES_DEV_WORKER_H

#include "proxies/dev_servers_int.h"

/* Listeners in a batch. */
#define MF_DEV_BATCH_MAX 64

struct mf_dev_worker;

/* From the loop; @facts may be changed and are gone after the call. The worker is free for the next batch. */
typedef void (*mf_dev_worker_fn)(void *ctx, struct mf_dev_facts *facts, size_t cnt);

/** mf_dev_worker_start() - Return: 0, MF_E_NOMEM, MF_E_IO */
int mf_dev_worker_start(struct event_base *base,
			void (*look_up)(struct mf_dev_facts *facts, size_t cnt),
			mf_dev_worker_fn fn, void *ctx, struct mf_dev_worker **ret);

/** mf_dev_worker_ask() - @facts: copied, at most MF_DEV_BATCH_MAX; Return: false while a batch is under way */
bool mf_dev_worker_ask(struct mf_dev_worker *w, const struct mf_dev_facts *facts, size_t cnt);
bool mf_dev_worker_is_busy(const struct mf_dev_worker *w);

/**
 * mf_dev_worker_stop() - NULL is fine
 * Waits for a batch under way, some seconds at most: a thread that hangs in a dead file system is left behind, and ends when
 * it can.
 */
void mf_dev_worker_stop(struct mf_dev_worker *w);

#endif
