/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expiry.h - what was opened with a token and ends when the token's time is over
 *
 * The time is the member's, not the token's: a browser that shows a newer token, by whatever request, keeps what it has open. Only gateways
 * that have seen the newer token know of it.
 */
#ifndef MF_PROXIES_GATEWAY_EXPIRY_H
#define MF_PROXIES_GATEWAY_EXPIRY_H

#include <stdint.h>

struct event;
struct event_base;
struct mf_gw_member;

/* Zeroed: it does not run. */
struct mf_gw_expiry {
	struct event *timer;
	struct mf_gw_member *member; /* borrowed */
	void (*over)(void *ctx);
	void *ctx;
};

/** mf_gw_expiry_raise() - The member has shown something that is good until then, in milliseconds since 1970; any thread */
void mf_gw_expiry_raise(struct mf_gw_member *member, int64_t until_ms);
/** mf_gw_expiry_start() - @over is called from the loop, once. Return: 0, MF_E_NOMEM */
int mf_gw_expiry_start(struct mf_gw_expiry *e, struct event_base *base, struct mf_gw_member *member,
		       void (*over)(void *ctx), void *ctx);
void mf_gw_expiry_stop(struct mf_gw_expiry *e);

/** mf_gw_now_ms() - Since 1970: what tokens are held against */
int64_t mf_gw_now_ms(void);

#endif
