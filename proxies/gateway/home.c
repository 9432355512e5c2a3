/* SPDX-License-Identifier: Apache-2.0 */
/*
 * home.c - what a process has once is at home in the first gateway of a house: guests' networks (lwIP), WebRTC (one UDP port, usrsctp)
 *
 * Upgrades for it that come to another thread go there with their whole connection, before anything of them has been counted or
 * judged; so all that is said and done about them is in one thread, as if there were no other. Offers of WebRTC are requests like
 * any other, and may come by HTTP/2: these stay, and what they ask for is sent (front_offer.c).
 */
#include <stdlib.h>

#include "proxies/gateway/gateway_int.h"

struct passage {
	struct mf_gateway_task task; /* first */
	struct mf_http_conn *conn;
};

bool mf_gw_is_home(const struct mf_gateway *gw)
{
	return gw->seat == 0;
}

static bool is_one_of(struct mf_span path, const char *const *list, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		if (mf_span_eq(path, mf_span_str(list[i])))
			return true;
	return false;
}

bool mf_gw_leaves(void *ctx, const struct mf_http_request *req)
{
	static const char *const tunnels[] = { "/l2", "/l2/", "/eth", "/eth/" };
	static const char *const signals[] = { "/webrtc/signal" };
	const struct mf_gateway *gw = ctx;
	struct mf_span path;

	if (mf_gw_is_home(gw) || !mf_http_find_field(req, "upgrade").len)
		return false;
	path = mf_gw_path(gw, req);
	return (gw->opt.frames && (is_one_of(path, tunnels, MF_ARRAY_SIZE(tunnels)) ||
				   is_one_of(path, &gw->raw_route.path, 1))) ||
	       (gw->opt.webrtc.wanted && is_one_of(path, signals, MF_ARRAY_SIZE(signals)));
}

static void arrive(struct mf_gateway_task *t, struct mf_gateway *home)
{
	struct passage *p = (struct passage *)t;

	if (home->http) {
		home->stats.arrived++;
		mf_http_service_adopt(home->http, p->conn);
	} else {
		mf_http_conn_drop(p->conn);
	}
	free(p);
}

void mf_gw_left(void *ctx, struct mf_http_conn *conn)
{
	struct passage *p = malloc(sizeof(*p));
	struct mf_gateway *gw = ctx;

	if (p) {
		*p = (struct passage){ .task.run = arrive, .conn = conn };
		if (mf_gateway_post(gw->house, 0, &p->task) == 0)
			return;
	}
	free(p);
	mf_http_conn_drop(conn);
}
