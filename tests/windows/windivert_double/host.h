/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.h - the script's side of the double: a named pipe's server around the model, in the test's process or another
 *
 *	host = wdd_host_start();                // sets WDD_PIPE in this process' environment
 *	... the code under test opens WinDivert.dll ...
 *	wdd_host_play(host, &(struct wdd_play){ .outbound = true, .if_idx = 7 }, syn, len);
 *	out = wdd_host_next(host);              // waits for a packet to leave the model
 *
 * The queues' clock stands still unless wdd_host_advance() moves it; the packets' timestamps are the real counter's.
 * Waiting is bounded: after WDD_HOST_PATIENCE_MS a wait gives up, which a test takes for its failure.
 */
#ifndef WDD_HOST_H
#define WDD_HOST_H

#include "model.h"

#define WDD_HOST_PATIENCE_MS 60000

struct wdd_host;

struct wdd_host *wdd_host_start(void);
/** wdd_host_stop() - Break all connections and wait for the threads */
void wdd_host_stop(struct wdd_host *host);

bool wdd_host_play(struct wdd_host *host, const struct wdd_play *how, const uint8_t *pkt,
		   uint32_t len);
bool wdd_host_event(struct wdd_host *host, const struct wdd_socket_event *ev);
void wdd_host_fail(struct wdd_host *host, enum wdd_call call, uint32_t code, unsigned skip,
		   unsigned times);
void wdd_host_add_local(struct wdd_host *host, const struct wdd_ip *ip);
void wdd_host_set_version(struct wdd_host *host, unsigned major, unsigned minor);
void wdd_host_advance(struct wdd_host *host, uint64_t ms);

/** wdd_host_next() - The next packet that left the model, waiting for it; NULL after the patience. free() it */
struct wdd_output *wdd_host_next(struct wdd_host *host);
/** wdd_host_try() - The same without waiting */
struct wdd_output *wdd_host_try(struct wdd_host *host);
/** wdd_host_some() - Wait, at most @ms, until wdd_host_try() has something */
void wdd_host_some(struct wdd_host *host, unsigned ms);

/** wdd_host_wait() - Until @cond holds, which is asked under the lock; Return: false after the patience */
bool wdd_host_wait(struct wdd_host *host, bool (*cond)(const struct wdd_model *m, void *ctx),
		   void *ctx);
/** wdd_host_drained() - Wait until readers have taken all that was queued at @layer */
bool wdd_host_drained(struct wdd_host *host, int layer);
/** wdd_host_opened() - Wait until @cnt handles are open */
bool wdd_host_opened(struct wdd_host *host, unsigned cnt);
struct wdd_counts wdd_host_counts(struct wdd_host *host);

#endif
