/* SPDX-License-Identifier: Apache-2.0 */
/* house_int.h - the inside of house.h, for gateways */
#ifndef MF_PROXIES_GATEWAY_HOUSE_INT_H
#define MF_PROXIES_GATEWAY_HOUSE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "proxies/gateway/house.h"
#include "proxies/gateway/meter.h"

struct mf_gw_addresses;
struct mf_keyring;
struct mf_loop_wake;
struct event_base;

/* Where one gateway's tasks wait. */
struct mf_gw_seat {
	pthread_mutex_t lock;
	struct mf_gateway *gw; /* NULL: gone */
	struct mf_loop_wake *wake;
	struct mf_gateway_task *first, **last;
};

struct mf_gateway_house {
	struct mf_gw_members *members;
	atomic_uint sockets;	    /* WebSockets, and requests on their way to be one */
	atomic_uint relay_sessions; /* relay_session.c */
	struct mf_keyring *keys;    /* where none were given */
	struct mf_gw_addresses *addresses;
	struct mf_gw_meter meter;	  /* of all */
	struct mf_pace refusals;	  /* that are told as events */
	_Atomic uint64_t refusals_untold; /* since one was */
	struct mf_gw_seat seats[MF_GATEWAY_THREADS_MAX];
	size_t cnt;
};

/* A seat for @gw. Return: 0, MF_E_FULL, MF_E_NOMEM */
int mf_gw_house_enter(struct mf_gateway_house *house, struct mf_gateway *gw,
		      struct event_base *base, size_t *ret_seat);
/* Runs what is left of its tasks; nobody reaches it afterwards */
void mf_gw_house_leave(struct mf_gateway_house *house, size_t seat);

#endif
