/* SPDX-License-Identifier: Apache-2.0 */
/* http_service_h2_none.c - the HTTP service of a Moonfence that was built without nghttp2: HTTP/1 only */
#include "proxies/http_service_int.h"

bool mf_http_service_has_http2(void)
{
	return false;
}

int mf_http_h2_new(struct mf_http_conn *c)
{
	(void)c;
	return MF_E_UNSUPPORTED;
}

void mf_http_h2_free(struct mf_http_conn *c)
{
	(void)c;
}

int mf_http_h2_recv(struct mf_http_conn *c, const uint8_t *bytes, size_t len)
{
	(void)c;
	(void)bytes;
	(void)len;
	return MF_E_UNSUPPORTED;
}

bool mf_http_h2_run(struct mf_http_conn *c)
{
	(void)c;
	return false;
}

bool mf_http_h2_in_request(const struct mf_http_conn *c)
{
	(void)c;
	return false;
}

void mf_http_h2_expire(struct mf_http_conn *c)
{
	(void)c;
}

void mf_http_h2_end(struct mf_http_conn *c)
{
	(void)c;
}

bool mf_http_h2_ended(const struct mf_http_conn *c)
{
	(void)c;
	return true;
}

void mf_http_h2_answer(struct mf_http_conn *c, int32_t stream, const struct mf_http_answer *a,
		       bool head)
{
	(void)c;
	(void)stream;
	(void)a;
	(void)head;
}
