/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_packets.h - the packets of a capture backend that has any, in the loop that also runs the proxies
 *
 *	mf_run_packets_begin(base, capture, proxy, on_event, ctx, &packets, &err);
 *	mf_run_packets_dispatch(packets);    // instead of event_base_dispatch()
 *	mf_run_packets_end(packets);
 *
 * With a backend that has no packets all of this does nothing but run the loop.
 */
#ifndef MF_CLI_RUN_PACKETS_H
#define MF_CLI_RUN_PACKETS_H

#include "core/base/err.h"

struct event_base;
struct mf_capture;
struct mf_proxy;
struct mf_run_packets;

/**
 * mf_run_packets_begin() - Carry packets, and let the proxies judge flows before their first packet is answered
 * @on_event: called when the capture has an event that its descriptor does not announce
 * Return: 0, MF_E_NOMEM
 */
int mf_run_packets_begin(struct event_base *base, struct mf_capture *capture,
			 struct mf_proxy *proxy, void (*on_event)(void *ctx), void *ctx,
			 struct mf_run_packets **ret, struct mf_err *err);

/** mf_run_packets_dispatch() - Run the loop until event_base_loopbreak() */
void mf_run_packets_dispatch(struct mf_run_packets *p);

void mf_run_packets_end(struct mf_run_packets *p);

#endif
