/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_flows.h - what the kernel remembers of redirected datagrams, to be forgotten with their rules (Linux)
 *
 * A rule decides about the first datagram of a flow, and connection tracking leads the rest after it, for half a minute and longer:
 * whoever asks from the same port again would reach a port that nobody listens on any more.
 */
#ifndef MF_CAPTURE_HOST_FLOWS_H
#define MF_CAPTURE_HOST_FLOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * mf_host_flows_forget() - Let the kernel forget every UDP flow that was redirected to one of these ports of 127.0.0.1 or ::1
 * @answered: only those that have had an answer; the others may still wait for theirs
 * Needs CAP_NET_ADMIN. Cost: a walk through the table of connections. What goes wrong is not told: flows also end by
 * themselves.
 */
void mf_host_flows_forget(const uint16_t *ports, size_t cnt, bool answered);

#endif
