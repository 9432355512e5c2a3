/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member.h - the browsers that a gateway serves: one member a session token's "sid", or an address where nobody says who he is
 *
 * A member is what policies see as session.id, what its own DNS answers tied to addresses, and what its limits are counted by. It lives
 * as long as something of it is open, and a while longer, so that names it looked up are known when it connects; the one that was
 * idle for longest gives way when there are too many.
 *
 * Threads: any; who has a reference may use the member. One lock for who is there, which is taken when a connection begins or ends, not for
 * what it does; counts and the table of names are used without it.
 */
#ifndef MF_PROXIES_GATEWAY_MEMBER_H
#define MF_PROXIES_GATEWAY_MEMBER_H

#include <stdatomic.h>

#include "core/policy/session.h"
#include "proxies/gateway/meter.h"
#include "proxies/gateway/token.h"
#include "proxies/gateway/udp_peers.h"

struct mf_gw_members;

struct mf_gw_member {
	struct mf_session_member pub; /* what flows point at */
	struct mf_gw_members *all;
	struct mf_gw_member *hash_next, *idle_prev, *idle_next;
	uint64_t hash, idle_since_ms;
	atomic_bool relay_session;	   /* of the UDP relay; relay_session.c's */
	struct mf_rate tokens;		   /* that it may ask for; under the lock */
	atomic_uint refs;		   /* 0: idle; from and to 0 under the lock */
	atomic_uint flows, sockets, wires; /* open now; whoever opens them counts */
	struct mf_gw_meter meter;
	_Atomic int64_t
		until_ms; /* since 1970, when what it has shown is over; 0: it has shown nothing; expiry.c's */
	char id[MF_TOKEN_SID_MAX];
};

/** mf_gw_members_new() - @max: members at the same time; @keep_ms: idle for so long; Return: NULL without memory */
struct mf_gw_members *mf_gw_members_new(uint32_t max, uint32_t keep_ms);
void mf_gw_members_free(struct mf_gw_members *all);

/** mf_gw_member_get() - A reference to the one of this name; Return: NULL: too many that are not idle, or no memory */
struct mf_gw_member *mf_gw_member_get(struct mf_gw_members *all, const char *id);
struct mf_gw_member *mf_gw_member_ref(struct mf_gw_member *m);
void mf_gw_member_unref(struct mf_gw_member *m); /* NULL is fine */

/** mf_gw_member_keep_names() - From now on its DNS answers tie names; without memory they tie nothing */
void mf_gw_member_keep_names(struct mf_gw_member *m);

/** mf_gw_member_take_token() - Whether it may ask for a token of the relay now: @rate a second, with bursts of as many */
bool mf_gw_member_take_token(struct mf_gw_member *m, uint64_t rate);

size_t mf_gw_members_count(struct mf_gw_members *all);

#endif
