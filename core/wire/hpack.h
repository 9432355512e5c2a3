/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hpack.h - the header blocks of HTTP/2 requests, read for whom they are for (RFC 7541)
 *
 * A decoder of its own, because most of a full one's work is not needed: of a field whose name is none of the few below,
 * only the sizes are kept, which the dynamic table must account for. Memory is bounded by the table's limit.
 */
#ifndef MF_WIRE_HPACK_H
#define MF_WIRE_HPACK_H

#include <stdbool.h>

#include "core/base/span.h"

/* A client may use more than the 4,096 bytes that it starts with only where its server says so; few do. */
#define MF_HPACK_TABLE_MAX   16384
#define MF_HPACK_ENTRIES_MAX (MF_HPACK_TABLE_MAX / 32)
#define MF_HPACK_VALUE_MAX   1024 /* bytes of a value that is kept; a longer :authority is no name */

enum mf_hpack_name {
	MF_HPACK_OTHER, /* any other field */
	MF_HPACK_AUTHORITY,
	MF_HPACK_METHOD,
	MF_HPACK_HOST,
	MF_HPACK_PROTOCOL, /* of an extended CONNECT (RFC 8441) */
	MF_HPACK_NAME_NUM
};

struct mf_hpack_entry;

struct mf_hpack {
	struct mf_hpack_entry *entries[MF_HPACK_ENTRIES_MAX]; /* a ring */
	uint32_t newest, cnt;
	uint32_t size, limit; /* bytes, as RFC 7541 §4.1 counts */
};

void mf_hpack_init(struct mf_hpack *h);
void mf_hpack_done(struct mf_hpack *h);

/* Called for each field of a block whose name is one of the few. Return: 0 or MF_E_*, which ends the reading */
typedef int (*mf_hpack_field_fn)(void *ctx, enum mf_hpack_name name, struct mf_span value);

/**
 * mf_hpack_read() - Read one whole header block
 * Return: 0; MF_E_BAD: no such block, a table or value over the limits (the decoder is of no use any more); MF_E_NOMEM;
 *         what @fn returned
 */
int mf_hpack_read(struct mf_hpack *h, struct mf_span block, mf_hpack_field_fn fn, void *ctx);

#endif
