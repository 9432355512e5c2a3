/* SPDX-License-Identifier: Apache-2.0 */
/* http2_body.h - the body of a message that nghttp2 sends as far as the peer lets it: for the DoH client and our own server */
#ifndef MF_PROXIES_HTTP2_BODY_H
#define MF_PROXIES_HTTP2_BODY_H

#include <nghttp2/nghttp2.h>
#include <string.h>

struct mf_http2_body {
	uint8_t *ptr; /* the stream's */
	size_t len, at;
};

/** mf_http2_body_read() - A nghttp2_data_source_read_callback; source->ptr is the struct mf_http2_body */
static inline ssize_t mf_http2_body_read(nghttp2_session *session, int32_t id, uint8_t *buf,
					 size_t len, uint32_t *flags, nghttp2_data_source *source,
					 void *ctx)
{
	struct mf_http2_body *b = source->ptr;
	size_t left = b->len - b->at;

	(void)session;
	(void)id;
	(void)ctx;
	if (left > len)
		left = len;
	memcpy(buf, b->ptr + b->at, left);
	b->at += left;
	if (b->at == b->len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)left;
}

#endif
