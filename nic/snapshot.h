/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - a device's state as bytes: versioned, length-checked, the same on every machine
 *
 *	"MFNS" | format u16 | device u16 | device's version u16 | 0 u16 | length of all u32 | sections
 *	section: tag u16 | 0 u16 | length u32 | bytes
 *
 * Little-endian. Sections come in the order in which the device writes them; none may be missing or left over. Reader and
 * writer keep their first error, so a device writes and reads straight through and looks once at the end; after an error
 * everything reads as 0. A snapshot is an outside input: what a device reads it still has to judge (mf_snap_refuse()).
 */
#ifndef MF_NIC_SNAPSHOT_H
#define MF_NIC_SNAPSHOT_H

#include "nic/guest_memory.h"

#define MF_SNAP_FORMAT	    1
#define MF_SNAP_HEADER_LEN  16
#define MF_SNAP_SECTION_LEN 8 /* before a section's bytes */

enum mf_snap_device { MF_SNAP_E1000 = 1, MF_SNAP_VIRTIO_NET = 2 };

struct mf_snap_writer {
	uint8_t *ptr; /* NULL: only counts */
	size_t cap, len;
	size_t section; /* where the open section's head stands; 0: none */
};

/** mf_snap_begin() - Write a header; @ptr NULL only counts what a snapshot takes */
void mf_snap_begin(struct mf_snap_writer *w, void *ptr, size_t cap, enum mf_snap_device device,
		   uint16_t version);
/** mf_snap_section() - Begin a section; the one before it ends */
void mf_snap_section(struct mf_snap_writer *w, uint16_t tag);
void mf_snap_put(struct mf_snap_writer *w, const void *ptr, size_t len);
void mf_snap_put_u8(struct mf_snap_writer *w, uint8_t v);
void mf_snap_put_u16(struct mf_snap_writer *w, uint16_t v);
void mf_snap_put_u32(struct mf_snap_writer *w, uint32_t v);
void mf_snap_put_u64(struct mf_snap_writer *w, uint64_t v);
/** mf_snap_end() - Return: length of the snapshot; 0: it did not fit into @cap */
size_t mf_snap_end(struct mf_snap_writer *w);

struct mf_snap_reader {
	struct mf_span rest, section; /* behind the open section; what is left of it */
	uint16_t version, tag;
	int code; /* the first error, 0: none */
	const char *why;
};

/** mf_snap_open() - Read a header; Return: 0, or MF_E_BAD / MF_E_UNSUPPORTED, kept in @code */
int mf_snap_open(struct mf_snap_reader *r, const void *ptr, size_t len, enum mf_snap_device device,
		 uint16_t version_max);
/** mf_snap_enter() - Go on to the next section, which must be @tag; the one before must have been read to its end */
void mf_snap_enter(struct mf_snap_reader *r, uint16_t tag);
void mf_snap_get(struct mf_snap_reader *r, void *ptr, size_t len);
uint8_t mf_snap_get_u8(struct mf_snap_reader *r);
uint16_t mf_snap_get_u16(struct mf_snap_reader *r);
uint32_t mf_snap_get_u32(struct mf_snap_reader *r);
uint64_t mf_snap_get_u64(struct mf_snap_reader *r);
/** mf_snap_refuse() - What was read cannot be: MF_E_BAD with @why (static text) unless there is an error already; Return: the error */
int mf_snap_refuse(struct mf_snap_reader *r, const char *why);
/** mf_snap_close() - All must have been read; Return: 0, or the first error with a sentence in @err */
int mf_snap_close(struct mf_snap_reader *r, struct mf_err *err);

#endif
