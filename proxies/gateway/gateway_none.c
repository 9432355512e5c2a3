/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_none.c - the gateway, where Moonfence was built without WebSockets */
#include "proxies/gateway/gateway.h"
#include "proxies/gateway/house.h"

#include <string.h>

int mf_gateway_new(struct event_base *base, struct mf_proxy *proxy, struct mf_http_service *http,
		   const struct mf_gateway_options *options, struct mf_gateway **ret,
		   struct mf_err *err)
{
	(void)base;
	(void)proxy;
	(void)http;
	(void)options;
	(void)ret;
	return mf_err_set(err, MF_E_UNSUPPORTED, "Moonfence was built without WebSockets");
}

void mf_gateway_drain(struct mf_gateway *gw)
{
	(void)gw;
}

size_t mf_gateway_open(const struct mf_gateway *gw)
{
	(void)gw;
	return 0;
}

int mf_gateway_house_new(const struct mf_gateway_house_options *options,
			 struct mf_gateway_house **ret, struct mf_err *err)
{
	(void)options;
	(void)ret;
	return mf_err_set(err, MF_E_UNSUPPORTED, "Moonfence was built without WebSockets");
}

void mf_gateway_house_free(struct mf_gateway_house *house)
{
	(void)house;
}

int mf_gateway_post(struct mf_gateway_house *house, size_t to, struct mf_gateway_task *task)
{
	(void)house;
	(void)to;
	(void)task;
	return MF_E_CLOSED;
}

int mf_gateway_go_round(struct mf_gateway *gw, void (*each)(void *ctx, struct mf_gateway *gw),
			void (*done)(void *ctx, struct mf_gateway *gw), void *ctx)
{
	(void)gw;
	(void)each;
	(void)done;
	(void)ctx;
	return MF_E_NOMEM;
}

size_t mf_gateway_stop(struct mf_gateway *gw)
{
	(void)gw;
	return 0;
}

void mf_gateway_free(struct mf_gateway *gw)
{
	(void)gw;
}

void mf_gateway_get_stats(const struct mf_gateway *gw, struct mf_gateway_stats *ret)
{
	(void)gw;
	memset(ret, 0, sizeof(*ret));
}
