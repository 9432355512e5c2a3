/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_guests_nolinux.c - see gateway_guests.h, where there is no lwIP */
#include "cli/gateway_guests.h"

int mf_gateway_guests_new(const struct mf_gateway_guests_options *options,
			  struct mf_gateway_guests **ret, struct mf_err *err)
{
	(void)options;
	*ret = NULL;
	return mf_err_set(err, MF_E_UNSUPPORTED, "Ethernet frames are taken on Linux only");
}

void mf_gateway_guests_free(struct mf_gateway_guests *guests)
{
	(void)guests;
}

const struct mf_gateway_frames *mf_gateway_guests_frames(const struct mf_gateway_guests *guests)
{
	(void)guests;
	return NULL;
}

void mf_gateway_guests_get_ops(struct mf_gateway_guests *guests, struct mf_session_ops *ret)
{
	(void)guests;
	(void)ret;
}

int mf_gateway_guests_begin(struct mf_gateway_guests *guests, struct event_base *base,
			    struct mf_proxy *proxy, struct mf_gateway *gateway, struct mf_err *err)
{
	(void)guests;
	(void)base;
	(void)proxy;
	(void)gateway;
	return mf_err_set(err, MF_E_UNSUPPORTED, "Ethernet frames are taken on Linux only");
}

void mf_gateway_guests_end(struct mf_gateway_guests *guests)
{
	(void)guests;
}
