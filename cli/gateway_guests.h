/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_guests.h - the network of guests whose frames come to moonfence gateway (proxies/gateway/frames.h)
 *
 * Each guest is alone on a network of its own and has the same address there, 10.0.2.15; those of a room are on one, with
 * addresses from .15 on. What ends their connections is lwIP, in this process, for all of them (vm_stack.h). It tells them
 * apart by an address of 100.64.0.0/10 that each is given on the way there: policies and events see that as the client.
 *
 *	mf_gateway_guests_new(&options, &guests, &err);
 *	session.ops = ..., gateway_options.frames = mf_gateway_guests_frames(guests);
 *	mf_gateway_guests_begin(guests, base, proxy, gateway, &err);
 *	...
 *	mf_gateway_free(gateway); mf_proxy_stop(proxy); mf_gateway_guests_free(guests);
 *
 * Linux only. Belongs to the thread of its loop; at most one in a process (lwIP).
 */
#ifndef MF_CLI_GATEWAY_GUESTS_H
#define MF_CLI_GATEWAY_GUESTS_H

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/policy/session.h"
#include "proxies/gateway/frames.h"

struct event_base;
struct mf_gateway;
struct mf_gateway_guests;
struct mf_proxy;

struct mf_gateway_guests_options {
	struct mf_gateway_l2_options l2;
	const char *pcap_dir; /* a file for each wire; NULL: none */
	const struct mf_log *log;
};

/** mf_gateway_guests_new() - Return: 0; MF_E_UNSUPPORTED (no lwIP on this system), MF_E_IO, MF_E_NOMEM, MF_E_INVAL */
int mf_gateway_guests_new(const struct mf_gateway_guests_options *options,
			  struct mf_gateway_guests **ret, struct mf_err *err);
void mf_gateway_guests_free(struct mf_gateway_guests *guests); /* NULL is fine */

const struct mf_gateway_frames *mf_gateway_guests_frames(const struct mf_gateway_guests *guests);

/** mf_gateway_guests_get_ops() - How the proxies answer their datagrams */
void mf_gateway_guests_get_ops(struct mf_gateway_guests *guests, struct mf_session_ops *ret);

/** mf_gateway_guests_begin() - Return: 0, MF_E_NOMEM */
int mf_gateway_guests_begin(struct mf_gateway_guests *guests, struct event_base *base,
			    struct mf_proxy *proxy, struct mf_gateway *gateway, struct mf_err *err);
/** mf_gateway_guests_end() - Before the proxies stop: nothing is handed on to them any more; NULL is fine */
void mf_gateway_guests_end(struct mf_gateway_guests *guests);

#endif
