/* SPDX-License-Identifier: Apache-2.0 */
/*
 * house.h - what gateways of several threads have together, and how they speak to each other
 *
 *	mf_gateway_house_new(&o, &house, &err);
 *	for each thread: options.house = house; mf_gateway_new(its base, its proxy, its HTTP service, &options, &gw[i], &err);
 *	... each thread runs its loop ...
 *	when all have ended, in one thread: each HTTP service, gateway and proxy is freed; mf_gateway_house_free(house);
 *
 * A gateway has one thread, its loop's: connections, flows, WebSockets and counters are that thread's alone, and nothing of them is
 * locked. Shared are the members (who they are, their names, what they have open), the number of WebSockets, the keys, and the rates of addresses. All else goes by messages: a task is run once in the loop of the gateway it was given to.
 *
 * What can be on one thread only (guests' networks, a UDP socket with its sessions) is the first gateway's, mf_gateway_house_get(house, 0):
 * it is made first, and freed first. Upgrades for it that come to others go there with their connections (home.c). For a request that is
 * answered, what is needed of it is sent there by a task, and the answer back by another; the exchange waits that long.
 */
#ifndef MF_PROXIES_GATEWAY_HOUSE_H
#define MF_PROXIES_GATEWAY_HOUSE_H

#include "core/base/err.h"

struct mf_gateway;
struct mf_gateway_house;

enum { MF_GATEWAY_THREADS_MAX = 64 };

/* Zero means the default. */
struct mf_gateway_house_options {
	size_t size;
	uint32_t members_max;	/* 65,536 */
	uint32_t addresses_max; /* 65,536 */
	uint32_t
		keep_member_ms; /* one that is idle: 600,000; at least as long as quotas shall be known */
};

/** mf_gateway_house_new() - Return: 0; MF_E_INVAL, MF_E_NOMEM, MF_E_UNSUPPORTED (no WebSockets) */
int mf_gateway_house_new(const struct mf_gateway_house_options *options,
			 struct mf_gateway_house **ret, struct mf_err *err);
/** mf_gateway_house_free() - When its gateways have gone; NULL is fine */
void mf_gateway_house_free(struct mf_gateway_house *house);

/** mf_gateway_house_get() - The gateway that was made as the @i-th; NULL: there is none. While none is being made: any thread */
struct mf_gateway *mf_gateway_house_get(const struct mf_gateway_house *house, size_t i);
size_t mf_gateway_house_count(const struct mf_gateway_house *house);

/* Something to be done in a gateway's loop; part of what its sender made for it, and the receiver's from then on. */
struct mf_gateway_task {
	struct mf_gateway_task *next;
	void (*run)(struct mf_gateway_task *task, struct mf_gateway *gw);
};

/**
 * mf_gateway_post() - From any thread; never waits, and keeps order between one thread and one gateway
 * Tasks that are left when the gateway is freed are run by mf_gateway_free(), in its thread.
 * Return: 0; MF_E_CLOSED: that gateway has gone, and @task is still the caller's
 */
int mf_gateway_post(struct mf_gateway_house *house, size_t to, struct mf_gateway_task *task);

/**
 * mf_gateway_go_round() - Call @each in every gateway's loop, one after the other beginning with @gw's, then @done in @gw's again
 * From @gw's thread. With one gateway both have been called on return. Never two @each at a time, so that they may write to one place.
 * Where a gateway has gone meanwhile it is left out; if @gw itself has, @done is called with NULL in the thread that ends all.
 * Return: 0; MF_E_NOMEM: nothing was called
 */
int mf_gateway_go_round(struct mf_gateway *gw, void (*each)(void *ctx, struct mf_gateway *gw),
			void (*done)(void *ctx, struct mf_gateway *gw), void *ctx);

#endif
