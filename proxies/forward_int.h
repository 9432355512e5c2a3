/* SPDX-License-Identifier: Apache-2.0 */
/* forward_int.h - what the parts of domain forwarding share; not for anybody outside proxies/forward*.c */
#ifndef MF_PROXIES_FORWARD_INT_H
#define MF_PROXIES_FORWARD_INT_H

#include "core/observe/metrics.h"
#include "proxies/forward.h"
#include "proxies/proxy.h"
#include "proxies/router.h"

#define MF_FORWARD_DETAIL_ROOM 160

struct mf_forward_health {
	bool ok;
	char detail[MF_FORWARD_DETAIL_ROOM];
	uint64_t since_ms; /* since 1970 */
};

struct mf_forward_client; /* of one address: how many connections it has */

#define MF_FORWARD_CLIENT_BUCKETS 256

struct mf_forward {
	struct mf_forward_options opt;
	struct mf_forward_config config;
	struct mf_forward_routes *routes;
	struct mf_router router;
	struct mf_session session; /* where the owner has none */
	struct mf_proxy *proxy;
	struct mf_metrics *metrics;
	struct mf_endpoint listeners[MF_FORWARD_LISTENERS_MAX];
	struct mf_forward_client *clients[MF_FORWARD_CLIENT_BUCKETS];
	uint64_t seed;
	uint32_t open;
	uint64_t full_told_ms; /* when it was said last that there are too many */
	uint64_t started_ms;
	struct mf_forward_health health[MF_FORWARD_PART_NUM];
	struct mf_counter *accepted, *passed, *bytes_to_server, *bytes_to_client;
	struct mf_counter *errors[MF_FORWARD_E_NUM];
	struct mf_gauge *open_gauge;
	struct mf_histogram *latency;
};

uint64_t mf_forward_wall_ms(void);
/* forward_report.c */
bool mf_forward_init_metrics(struct mf_forward *f);
void mf_forward_count_route(struct mf_forward *f, const struct mf_forward_route *route);

static inline void mf_forward_count(struct mf_forward *f, enum mf_forward_error e)
{
	mf_counter_add(f->errors[e], 1);
}

#endif
