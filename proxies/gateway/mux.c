/* SPDX-License-Identifier: Apache-2.0 */
/* mux.c - see mux.h */
#include "proxies/gateway/mux.h"

#include <moonfence/moonfence.h>
#include <stdlib.h>

#include "core/base/bytes.h"
#include "core/base/utf8.h"

/* The head is whole: where its payload will go. Return: 0; MF_E_BAD, MF_E_NOMEM */
static int begin_payload(struct mf_mux_reader *r)
{
	r->left = mf_load_be32(r->head + 5);
	r->kept = 0;
	if (r->left > MF_MUX_FRAME_MAX)
		return MF_E_BAD;
	if (r->head[0] == MF_MUX_DATA || r->left == 0 || r->left > MF_MUX_KEPT_MAX)
		return 0;
	if (r->left > r->kept_max) {
		uint8_t *more = realloc(r->buf, r->left);

		if (!more)
			return MF_E_NOMEM;
		r->buf = more;
		r->kept_max = r->left;
	}
	return 0;
}

static struct mf_span take(struct mf_span *bytes, size_t len)
{
	struct mf_span s = mf_span_sub(*bytes, 0, len);

	*bytes = mf_span_sub(*bytes, s.len, bytes->len);
	return s;
}

int mf_mux_read(struct mf_mux_reader *r, struct mf_span *bytes, struct mf_mux_frame *ret)
{
	bool begins = false;
	uint32_t whole;
	struct mf_span s;

	if (r->head_len < MF_MUX_HEAD) {
		s = take(bytes, MF_MUX_HEAD - r->head_len);
		if (s.len)
			memcpy(r->head + r->head_len, s.ptr, s.len);
		r->head_len = (uint8_t)(r->head_len + s.len);
		if (r->head_len < MF_MUX_HEAD)
			return 0;
		if (begin_payload(r) < 0)
			return r->left > MF_MUX_FRAME_MAX ? MF_E_BAD : MF_E_NOMEM;
		begins = true;
	}
	whole = mf_load_be32(r->head + 5);
	*ret = (struct mf_mux_frame){ .type = r->head[0], .stream = mf_load_be32(r->head + 1) };
	s = take(bytes, r->left);
	r->left -= (uint32_t)s.len;
	if (ret->type == MF_MUX_DATA) {
		/* an empty piece says nothing, unless the frame is empty */
		if (s.len == 0 && r->left)
			return 0;
		ret->begins = begins || whole == r->left + s.len;
		ret->payload = s;
		ret->ends = r->left == 0;
	} else {
		ret->too_long = whole > MF_MUX_KEPT_MAX;
		if (!ret->too_long && s.len) {
			memcpy(r->buf + r->kept, s.ptr, s.len);
			r->kept += (uint32_t)s.len;
		}
		if (r->left)
			return 0;
		ret->begins = ret->ends = true;
		if (!ret->too_long)
			ret->payload = mf_span_of(r->buf, r->kept);
	}
	if (r->left == 0)
		r->head_len = 0;
	return 1;
}

bool mf_mux_reader_is_idle(const struct mf_mux_reader *r)
{
	return r->head_len == 0;
}

void mf_mux_reader_done(struct mf_mux_reader *r)
{
	free(r->buf);
	*r = (struct mf_mux_reader){ 0 };
}

/* --- payloads ----------------------------------------------------------------------------------------------------------- */

static bool is_utf8(struct mf_span s)
{
	uint32_t c;

	for (size_t at = 0; at < s.len;) {
		at += mf_utf8_decode(s.ptr + at, s.len - at, &c);
		if (c >= MF_UTF8_BAD)
			return false;
	}
	return true;
}

static bool is_host_text(struct mf_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
			return false;
	return is_utf8(s);
}

int mf_mux_open_read(struct mf_span p, struct mf_mux_open *ret)
{
	size_t host_len, meta_len;

	if (p.len < 6)
		return MF_E_BAD;
	host_len = mf_load_be16(p.ptr);
	if (host_len == 0 || host_len > MF_MUX_HOST_MAX || p.len < 6 + host_len)
		return MF_E_BAD;
	ret->host = mf_span_sub(p, 2, host_len);
	ret->port = mf_load_be16(p.ptr + 2 + host_len);
	meta_len = mf_load_be16(p.ptr + 4 + host_len);
	if (meta_len > MF_MUX_META_MAX || p.len != 6 + host_len + meta_len ||
	    !is_host_text(ret->host))
		return MF_E_BAD;
	return 0;
}

int mf_mux_close_read(struct mf_span payload)
{
	return payload.len == 1 ? payload.ptr[0] : MF_E_BAD;
}

int mf_mux_error_read(struct mf_span p, struct mf_span *ret_text)
{
	if (p.len < 4 || p.len != 4u + mf_load_be16(p.ptr + 2))
		return MF_E_BAD;
	*ret_text = mf_span_sub(p, 4, p.len);
	if (ret_text->len > MF_MUX_TEXT_MAX || !is_utf8(*ret_text))
		return MF_E_BAD;
	return mf_load_be16(p.ptr);
}

void mf_mux_head_write(uint8_t type, uint32_t stream, uint32_t len, uint8_t out[MF_MUX_HEAD])
{
	out[0] = type;
	mf_store_be32(out + 1, stream);
	mf_store_be32(out + 5, len);
}

size_t mf_mux_error_write(uint32_t stream, enum mf_mux_error code, const char *text,
			  uint8_t out[MF_MUX_HEAD + 4 + MF_MUX_TEXT_MAX])
{
	size_t len = strlen(text);

	if (len > MF_MUX_TEXT_MAX) {
		len = MF_MUX_TEXT_MAX;
		while (len && ((uint8_t)text[len] & 0xc0) == 0x80)
			len--;
	}
	mf_mux_head_write(MF_MUX_ERROR, stream, (uint32_t)len + 4, out);
	mf_store_be16(out + MF_MUX_HEAD, (uint16_t)code);
	mf_store_be16(out + MF_MUX_HEAD + 2, (uint16_t)len);
	memcpy(out + MF_MUX_HEAD + 4, text, len);
	return MF_MUX_HEAD + 4 + len;
}
