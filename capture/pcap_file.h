/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcap_file.h - packets of a capture file: pcap (microseconds and nanoseconds) and pcapng, either byte order
 *
 *	mf_pcap_open("trace.pcapng", &file, &err);
 *	while ((r = mf_pcap_next(file, &record, &err)) > 0)
 *		...                             // record.ptr lives until the next call, and may be changed
 *	mf_pcap_close(file);
 *
 * A reader of our own: it takes several interfaces with different link types, time resolutions and offsets in one file,
 * reads the same on every system, and holds one packet in memory whatever the file says of itself. A capture is hostile
 * input: lengths are checked against hard bounds before they are believed.
 *
 * A file that ends inside of a packet (a capture that was interrupted) ends there, and says so in mf_pcap_cut().
 */
#ifndef MF_CAPTURE_PCAP_FILE_H
#define MF_CAPTURE_PCAP_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/span.h"

#define MF_PCAP_PACKET_MAX     262144 /* captured bytes of a packet; what tcpdump allows as well */
#define MF_PCAP_BLOCK_MAX      16777216 /* bytes of a pcapng block */
#define MF_PCAP_INTERFACES_MAX 1024	/* of a section */

/* Numbers of link types as they stand in files (LINKTYPE_). */
enum mf_pcap_link {
	MF_LINK_NULL = 0,
	MF_LINK_ETHERNET = 1,
	MF_LINK_RAW_BSD = 12, /* raw IP as some systems number it */
	MF_LINK_RAW_OPENBSD = 14,
	MF_LINK_RAW = 101,
	MF_LINK_LOOP = 108,
	MF_LINK_SLL = 113,
	MF_LINK_IP4 = 228,
	MF_LINK_IP6 = 229,
	MF_LINK_SLL2 = 276,
};

/* Which way a packet went, where the capture says it. */
enum mf_pcap_direction { MF_PCAP_UNKNOWN, MF_PCAP_INBOUND, MF_PCAP_OUTBOUND };

struct mf_pcap_record {
	uint8_t *ptr;
	uint32_t len;	   /* bytes that are there */
	uint32_t wire_len; /* bytes that the packet had */
	uint64_t
		time_ns; /* since 1970-01-01T00:00:00Z; the packet's before where it has none of its own */
	uint64_t number; /* 1 for the first packet of the file */
	uint32_t interface;
	uint16_t link;	   /* LINKTYPE_, maybe none of enum mf_pcap_link */
	uint8_t direction; /* enum mf_pcap_direction */
};

struct mf_pcap;

/** mf_pcap_open() - @path: "-" is standard input
 * Return: 0; MF_E_IO; MF_E_SYNTAX (neither pcap nor pcapng, a version that is not known); MF_E_NOMEM */
int mf_pcap_open(const char *path, struct mf_pcap **ret, struct mf_err *err);

/** mf_pcap_open_memory() - The same for bytes in memory, borrowed until mf_pcap_close() */
int mf_pcap_open_memory(struct mf_span bytes, struct mf_pcap **ret, struct mf_err *err);

/** mf_pcap_next() - The next packet
 * Return: 1; 0 at the end; MF_E_IO, MF_E_SYNTAX (the file contradicts itself; @err says where), MF_E_NOMEM, MF_E_LIMIT */
int mf_pcap_next(struct mf_pcap *file, struct mf_pcap_record *ret, struct mf_err *err);

/** mf_pcap_cut() - The file ended inside of a packet */
bool mf_pcap_cut(const struct mf_pcap *file);

void mf_pcap_close(struct mf_pcap *file);

#endif
