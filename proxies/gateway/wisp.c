/* SPDX-License-Identifier: Apache-2.0 */
/* wisp.c - see wisp.h */
#include "proxies/gateway/wisp.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "proxies/gateway/host.h"

static uint16_t get_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get_u32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void drop(struct mf_wisp_reader *r)
{
	free(r->buf);
	memset(r, 0, sizeof(*r));
}

void mf_wisp_reader_done(struct mf_wisp_reader *r)
{
	drop(r);
}

static int read_data(struct mf_wisp_reader *r, struct mf_span bytes, bool ends,
		     struct mf_wisp_packet *ret)
{
	ret->payload = bytes;
	ret->begins = !r->told_head;
	ret->ends = ends;
	r->told_head = true;
	return ret->begins || ends || bytes.len ? 1 : 0;
}

/* Every packet but DATA: whole, or not at all. */
static int read_whole(struct mf_wisp_reader *r, struct mf_span bytes, bool ends,
		      struct mf_wisp_packet *ret)
{
	if (ends && r->kept == 0) { /* most packets come in one piece */
		ret->payload = bytes;
		ret->too_long = bytes.len > MF_WISP_KEPT_MAX;
	} else {
		if (!r->buf && !(r->buf = malloc(MF_WISP_KEPT_MAX)))
			return MF_E_NOMEM;
		if (bytes.len > MF_WISP_KEPT_MAX - (size_t)r->kept || r->kept > MF_WISP_KEPT_MAX)
			r->kept = MF_WISP_KEPT_MAX + 1;
		if (bytes.len && r->kept <= MF_WISP_KEPT_MAX) {
			memcpy(r->buf + r->kept, bytes.ptr, bytes.len);
			r->kept += (uint32_t)bytes.len;
		}
		if (!ends)
			return 0;
		ret->payload = mf_span_of(r->buf, r->kept);
		ret->too_long = r->kept > MF_WISP_KEPT_MAX;
	}
	if (ret->too_long)
		ret->payload.len = 0;
	return 1;
}

int mf_wisp_read(struct mf_wisp_reader *r, struct mf_span bytes, bool begins, bool ends,
		 struct mf_wisp_packet *ret)
{
	size_t len;
	int res;

	if (begins)
		drop(r);
	len = MF_WISP_HEAD - (size_t)r->head_len;
	if (len > bytes.len)
		len = bytes.len;
	if (len)
		memcpy(r->head + r->head_len, bytes.ptr, len);
	r->head_len = (uint8_t)(r->head_len + len);
	if (r->head_len < MF_WISP_HEAD)
		return ends ? MF_E_BAD : 0;
	bytes = mf_span_sub(bytes, len, bytes.len);
	*ret = (struct mf_wisp_packet){ .type = r->head[0], .stream = get_u32(r->head + 1) };
	res = ret->type == MF_WISP_DATA ? read_data(r, bytes, ends, ret)
					: read_whole(r, bytes, ends, ret);
	return res;
}

void mf_wisp_head_write(uint8_t type, uint32_t stream, uint8_t out[MF_WISP_HEAD])
{
	out[0] = type;
	for (unsigned i = 0; i < 4; i++)
		out[1 + i] = (uint8_t)(stream >> 8 * i);
}

int mf_wisp_connect_read(struct mf_span payload, struct mf_wisp_connect *ret)
{
	if (payload.len < 4 || payload.len > 3 + MF_WISP_HOST_MAX)
		return MF_E_BAD;
	ret->type = payload.ptr[0];
	ret->port = get_u16(payload.ptr + 1);
	ret->host = mf_span_sub(payload, 3, payload.len);
	return 0;
}

int mf_wisp_next_extension(struct mf_span *list, struct mf_wisp_extension *ret)
{
	uint32_t len;

	if (list->len == 0)
		return 0;
	if (list->len < 5)
		return MF_E_BAD;
	len = get_u32(list->ptr + 1);
	if (len > list->len - 5)
		return MF_E_BAD;
	ret->id = list->ptr[0];
	ret->payload = mf_span_sub(*list, 5, len);
	*list = mf_span_sub(*list, 5 + (size_t)len, list->len);
	return 1;
}

int mf_wisp_info_read(struct mf_span payload, struct mf_wisp_info *ret)
{
	struct mf_wisp_extension ext;
	struct mf_span list;
	int r;

	if (payload.len < 2)
		return MF_E_BAD;
	ret->major = payload.ptr[0];
	ret->minor = payload.ptr[1];
	ret->extensions = list = mf_span_sub(payload, 2, payload.len);
	while ((r = mf_wisp_next_extension(&list, &ext)) == 1)
		;
	return r;
}

int mf_wisp_password_read(struct mf_span payload, struct mf_span *ret_name,
			  struct mf_span *ret_password)
{
	size_t name, head = 1;

	if (payload.len == 0)
		return MF_E_BAD;
	name = payload.ptr[0];
	if (payload.len >= 3 && 3 + name + get_u16(payload.ptr + 1) == payload.len)
		head = 3;
	if (name > payload.len - head)
		return MF_E_BAD;
	*ret_name = mf_span_sub(payload, head, name);
	*ret_password = mf_span_sub(payload, head + name, payload.len);
	return 0;
}

int mf_wisp_key_read(struct mf_span payload, struct mf_wisp_key_proof *ret)
{
	const size_t sha256 = 32, sha512 = 64;
	size_t hash;

	if (payload.len != 1 + sha256 + MF_WISP_SIGNATURE &&
	    payload.len != 1 + sha512 + MF_WISP_SIGNATURE)
		return MF_E_BAD;
	if (payload.ptr[0] != MF_WISP_ED25519)
		return MF_E_BAD;
	hash = payload.len - 1 - MF_WISP_SIGNATURE;
	ret->hash = mf_span_sub(payload, 1, hash);
	ret->signature = mf_span_sub(payload, 1 + hash, MF_WISP_SIGNATURE);
	return 0;
}

/* The last of @path's segments, without its slash, which is cut off with it. */
static struct mf_span cut_last(struct mf_span *path)
{
	size_t at = path->len;
	struct mf_span last;

	while (at && path->ptr[at - 1] != '/')
		at--;
	last = mf_span_sub(*path, at, path->len);
	*path = mf_span_sub(*path, 0, at ? at - 1 : 0);
	return last;
}

int mf_wisp_path_read(struct mf_span rest, struct mf_wisp_path *ret)
{
	struct mf_span last;
	uint16_t port;

	memset(ret, 0, sizeof(*ret));
	if (rest.len && rest.ptr[0] != '/')
		return MF_E_BAD;
	last = cut_last(&rest);
	if (mf_gw_target_read(last, &ret->host, &ret->port) == 0 &&
	    mf_gw_port_read(ret->port, &port) == 0) {
		ret->wsproxy = true;
		last = cut_last(&rest);
	} else if (last.len == 0) { /* the slash at the end */
		last = cut_last(&rest);
	}
	ret->token = last; /* what lies before it is nobody's business */
	return 0;
}
