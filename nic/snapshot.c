/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c - sections of a device's state, written and read with checked lengths */
#include "nic/snapshot.h"

#include "core/base/err.h"

static const char magic[4] = { 'M', 'F', 'N', 'S' };

/* ---- writing ---- */

static void end_section(struct mf_snap_writer *w)
{
	if (w->section && w->ptr && w->len <= w->cap)
		mf_store_le32(w->ptr + w->section + 4,
			      (uint32_t)(w->len - w->section - MF_SNAP_SECTION_LEN));
	w->section = 0;
}

void mf_snap_begin(struct mf_snap_writer *w, void *ptr, size_t cap, enum mf_snap_device device,
		   uint16_t version)
{
	memset(w, 0, sizeof(*w));
	w->ptr = ptr;
	w->cap = cap;
	mf_snap_put(w, magic, sizeof(magic));
	mf_snap_put_u16(w, MF_SNAP_FORMAT);
	mf_snap_put_u16(w, (uint16_t)device);
	mf_snap_put_u16(w, version);
	mf_snap_put_u16(w, 0);
	mf_snap_put_u32(w, 0); // the length, by mf_snap_end()
}

void mf_snap_section(struct mf_snap_writer *w, uint16_t tag)
{
	size_t at = w->len;

	end_section(w);
	mf_snap_put_u16(w, tag);
	mf_snap_put_u16(w, 0);
	mf_snap_put_u32(w, 0);
	w->section = at;
}

void mf_snap_put(struct mf_snap_writer *w, const void *ptr, size_t len)
{
	if (w->ptr && len && w->len <= w->cap && len <= w->cap - w->len)
		memcpy(w->ptr + w->len, ptr, len);
	w->len += len;
}

void mf_snap_put_u8(struct mf_snap_writer *w, uint8_t v)
{
	mf_snap_put(w, &v, 1);
}

void mf_snap_put_u16(struct mf_snap_writer *w, uint16_t v)
{
	uint8_t b[2];

	mf_store_le16(b, v);
	mf_snap_put(w, b, sizeof(b));
}

void mf_snap_put_u32(struct mf_snap_writer *w, uint32_t v)
{
	uint8_t b[4];

	mf_store_le32(b, v);
	mf_snap_put(w, b, sizeof(b));
}

void mf_snap_put_u64(struct mf_snap_writer *w, uint64_t v)
{
	uint8_t b[8];

	mf_store_le64(b, v);
	mf_snap_put(w, b, sizeof(b));
}

size_t mf_snap_end(struct mf_snap_writer *w)
{
	end_section(w);
	if (!w->ptr)
		return w->len;
	if (w->len > w->cap || w->len > UINT32_MAX)
		return 0;
	mf_store_le32(w->ptr + MF_SNAP_HEADER_LEN - 4, (uint32_t)w->len);
	return w->len;
}

/* ---- reading ---- */

static int fail(struct mf_snap_reader *r, int code, const char *why)
{
	if (!r->code) {
		r->code = code;
		r->why = why;
		r->rest.len = r->section.len = 0;
	}
	return r->code;
}

int mf_snap_open(struct mf_snap_reader *r, const void *ptr, size_t len, enum mf_snap_device device,
		 uint16_t version_max)
{
	const uint8_t *p = ptr;

	memset(r, 0, sizeof(*r));
	if (len < MF_SNAP_HEADER_LEN || memcmp(p, magic, sizeof(magic)))
		return fail(r, MF_E_BAD, "it is no snapshot of a device");
	if (mf_load_le16(p + 4) != MF_SNAP_FORMAT)
		return fail(r, MF_E_UNSUPPORTED, "its format is of another version");
	if (mf_load_le16(p + 6) != device)
		return fail(r, MF_E_UNSUPPORTED, "it is of another kind of device");
	r->version = mf_load_le16(p + 8);
	if (r->version < 1 || r->version > version_max)
		return fail(r, MF_E_UNSUPPORTED, "it is of another version of this device");
	if (mf_load_le16(p + 10) || mf_load_le32(p + 12) != len)
		return fail(r, MF_E_BAD, "its header does not fit its length");
	r->rest = mf_span_of(p + MF_SNAP_HEADER_LEN, len - MF_SNAP_HEADER_LEN);
	return 0;
}

void mf_snap_enter(struct mf_snap_reader *r, uint16_t tag)
{
	uint32_t len;

	if (r->code)
		return;
	r->tag = tag;
	if (r->section.len) {
		fail(r, MF_E_BAD, "a section is too long");
		return;
	}
	if (r->rest.len < MF_SNAP_SECTION_LEN) {
		fail(r, MF_E_BAD, "a section is missing");
		return;
	}
	len = mf_load_le32(r->rest.ptr + 4);
	if (mf_load_le16(r->rest.ptr) != tag || mf_load_le16(r->rest.ptr + 2) ||
	    len > r->rest.len - MF_SNAP_SECTION_LEN) {
		fail(r, MF_E_BAD, "a section is not what must stand there, or too long");
		return;
	}
	r->section = mf_span_of(r->rest.ptr + MF_SNAP_SECTION_LEN, len);
	r->rest = mf_span_sub(r->rest, MF_SNAP_SECTION_LEN + len, SIZE_MAX);
}

void mf_snap_get(struct mf_snap_reader *r, void *ptr, size_t len)
{
	if (!len)
		return;
	if (len > r->section.len) {
		fail(r, MF_E_BAD, "a section is too short");
		memset(ptr, 0, len);
		return;
	}
	memcpy(ptr, r->section.ptr, len);
	r->section = mf_span_sub(r->section, len, SIZE_MAX);
}

uint8_t mf_snap_get_u8(struct mf_snap_reader *r)
{
	uint8_t v;

	mf_snap_get(r, &v, 1);
	return v;
}

uint16_t mf_snap_get_u16(struct mf_snap_reader *r)
{
	uint8_t b[2];

	mf_snap_get(r, b, sizeof(b));
	return mf_load_le16(b);
}

uint32_t mf_snap_get_u32(struct mf_snap_reader *r)
{
	uint8_t b[4];

	mf_snap_get(r, b, sizeof(b));
	return mf_load_le32(b);
}

uint64_t mf_snap_get_u64(struct mf_snap_reader *r)
{
	uint8_t b[8];

	mf_snap_get(r, b, sizeof(b));
	return mf_load_le64(b);
}

int mf_snap_refuse(struct mf_snap_reader *r, const char *why)
{
	return fail(r, MF_E_BAD, why);
}

int mf_snap_close(struct mf_snap_reader *r, struct mf_err *err)
{
	if (r->section.len)
		fail(r, MF_E_BAD, "its last section is too long");
	if (r->rest.len)
		fail(r, MF_E_BAD, "something stands behind its last section");
	if (!r->code)
		return 0;
	return mf_err_set(err, r->code, "The snapshot is refused: %s (section %u).", r->why,
			  r->tag);
}
