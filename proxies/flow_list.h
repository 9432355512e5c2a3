/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_list.h - the connections and flows that the proxies have now: whose they are, where they meant to go, where they go
 *
 * Threads: that of the loop. Cost: a look at each that is there, and a sort of them; nothing while nobody asks.
 */
#ifndef MF_PROXIES_FLOW_LIST_H
#define MF_PROXIES_FLOW_LIST_H

#include "core/names/canonical.h"
#include "core/policy/session.h"

struct mf_proxy;

struct mf_flow_row {
	uint64_t id; /* grows with each that begins */
	enum mf_proto proto;
	struct mf_endpoint client, server; /* the program's end; where it meant to go */
	struct mf_endpoint to; /* the other end of our own socket; family 0: none (yet), or no IP */
	char host[MF_NAME_ROOM]; /* "": no name is known */
	const char *
		state; /* static: "judged", "waiting" (for a person), "opening", "open", "ending" */
	uint64_t idle_ms,
		age_ms; /* one of them: of UDP and ICMP since the last datagram, of TCP since the beginning */
	uint64_t to_server, to_client; /* bytes */
};

/**
 * mf_flow_list() - The newest first
 * @before: only those that began before the one with this id; 0: all
 * Return: how many of @rows are filled in, at most @cap; *@ret_more: there are older ones. 0 without memory, too
 */
size_t mf_flow_list(struct mf_proxy *proxy, uint64_t before, struct mf_flow_row *rows, size_t cap,
		    bool *ret_more);

#endif
