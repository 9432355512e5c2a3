/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup.h - the addresses of a name, asked for as its member would: dns and dns_answer judge, and the name is tied to what they leave
 */
#ifndef MF_PROXIES_GATEWAY_LOOKUP_H
#define MF_PROXIES_GATEWAY_LOOKUP_H

#include "core/base/addr.h"
#include "core/wire/dns_wire.h"

struct mf_gateway;
struct mf_gw_lookup;
struct mf_gw_member;

enum { MF_GW_LOOKUP_MAX = 8 };

/* One of its two questions. */
struct mf_gw_lookup_question {
	struct mf_gw_lookup *lookup;
	struct mf_dns_query q;
	bool asked;
};

/* Where it lies is its owner's business. The first three are what came of it. */
struct mf_gw_lookup {
	struct mf_addr addrs[MF_GW_LOOKUP_MAX]; /* as they came */
	size_t addr_cnt;
	bool denied; /* by a policy, at least one of the questions */

	struct mf_gateway *gw;
	void (*done)(struct mf_gw_lookup *l);
	struct mf_gw_lookup_question questions[2];
};

/** mf_gw_lookup_begin() - @l zeroed; @name canonical; @done is called once, maybe from in here, unless it is cancelled */
void mf_gw_lookup_begin(struct mf_gw_lookup *l, struct mf_gateway *gw, struct mf_gw_member *member,
			const struct mf_endpoint *client, const char *name,
			void (*done)(struct mf_gw_lookup *l));
/** mf_gw_lookup_cancel() - Any time, also where it is over or was never begun */
void mf_gw_lookup_cancel(struct mf_gw_lookup *l);
bool mf_gw_lookup_is_over(const struct mf_gw_lookup *l);

#endif
