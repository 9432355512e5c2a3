/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_access.h - who may ask a gateway, and through whom: what `moonfence gateway` is told of that */
#ifndef MF_CLI_GATEWAY_ACCESS_H
#define MF_CLI_GATEWAY_ACCESS_H

#include "core/match/cidr_set.h"
#include "proxies/forwarded.h"
#include "proxies/gateway/gateway.h"
#include "proxies/gateway/targets.h"

enum {
	MF_ACCESS_PROXIES_MAX = 64,
	MF_ACCESS_HOSTS_MAX = 64,
	MF_ACCESS_BLOCKED_MAX = 256,
	MF_ACCESS_SETS_MAX = 8,
};

struct mf_gateway_access {
	struct mf_cidr proxies[MF_ACCESS_PROXIES_MAX];
	struct mf_forwarding forwarding;
	bool proxy_protocol;
	char *hosts[MF_ACCESS_HOSTS_MAX];
	size_t host_cnt;
	struct mf_cidr blocked[MF_ACCESS_BLOCKED_MAX];
	size_t blocked_cnt;
	unsigned auth_sets[MF_ACCESS_SETS_MAX];
	size_t auth_set_cnt;
	struct mf_gateway_targets targets;
	bool has_targets;
	char *base_path, *public_origin; /* of --public-url */
};

struct mf_usage;

/* Each takes one value of an option. Return: 0; an exit status, and what was wrong has been said */
int mf_gateway_access_add_proxy(const struct mf_usage *usage, struct mf_gateway_access *a,
				const char *value);
int mf_gateway_access_set_field(const struct mf_usage *usage, struct mf_gateway_access *a,
				const char *value);
int mf_gateway_access_add_host(const struct mf_usage *usage, struct mf_gateway_access *a,
			       const char *value);
int mf_gateway_access_add_blocked(const struct mf_usage *usage, struct mf_gateway_access *a,
				  const char *value);
/* "session,jwt": either; "session+key": both. *ret_kinds: all that are named */
int mf_gateway_access_set_auth(const struct mf_usage *usage, struct mf_gateway_access *a,
			       const char *value, unsigned *ret_kinds);
int mf_gateway_access_set_public_url(const struct mf_usage *usage, struct mf_gateway_access *a,
				     const char *value);

/* Destinations: @option is the one of --tcp-ports and the like, without its dashes */
int mf_gateway_access_add_target(const struct mf_usage *usage, struct mf_gateway_access *a,
				 const char *option, const char *value);

/** mf_gateway_access_apply() - Into the options of a gateway, which borrow from @a */
void mf_gateway_access_apply(struct mf_gateway_access *a, struct mf_gateway_options *o);
void mf_gateway_access_done(struct mf_gateway_access *a);

#endif
