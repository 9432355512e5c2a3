/* SPDX-License-Identifier: Apache-2.0 */
/* dns_h2_none.c - HTTP/2 where nghttp2 is not there: refused when it is set up */
#include "core/base/err.h"
#include "proxies/dns_h2.h"

bool mf_dns_h2_supported(void)
{
	return false;
}

int mf_dns_h2_new(const char *authority, const char *path, mf_dns_h2_fn fn, void *ctx,
		  struct mf_dns_h2 **ret)
{
	(void)authority;
	(void)path;
	(void)fn;
	(void)ctx;
	*ret = NULL;
	return MF_E_UNSUPPORTED;
}

void mf_dns_h2_free(struct mf_dns_h2 *h)
{
	(void)h;
}

int32_t mf_dns_h2_ask(struct mf_dns_h2 *h, struct mf_span msg, void *token)
{
	(void)h;
	(void)msg;
	(void)token;
	return MF_E_UNSUPPORTED;
}

void mf_dns_h2_forget(struct mf_dns_h2 *h, int32_t stream)
{
	(void)h;
	(void)stream;
}

int mf_dns_h2_recv(struct mf_dns_h2 *h, const uint8_t *bytes, size_t len)
{
	(void)h;
	(void)bytes;
	(void)len;
	return MF_E_BAD;
}

int mf_dns_h2_pull(struct mf_dns_h2 *h, const uint8_t **ret)
{
	(void)h;
	*ret = NULL;
	return 0;
}

bool mf_dns_h2_ended(const struct mf_dns_h2 *h)
{
	(void)h;
	return true;
}
