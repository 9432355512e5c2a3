/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcapng_write.h - a pcapng file of packets with comments: one section, nanoseconds, little-endian
 *
 * Interfaces are described when their first packet is written. Until mf_pcapng_close() the file has the name PATH.part, so
 * that what was at PATH stays until there is a whole file to take its place.
 */
#ifndef MF_CAPTURE_PCAPNG_WRITE_H
#define MF_CAPTURE_PCAPNG_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/span.h"

#define MF_PCAPNG_COMMENT_MAX 2000 /* bytes; what is longer is cut */

struct mf_pcapng_packet {
	struct mf_span head, body; /* written one behind the other: link header and packet */
	uint32_t wire_len;	   /* of both, as on the wire */
	uint64_t time_ns;	   /* since 1970-01-01T00:00:00Z */
	uint32_t interface;	   /* any number; with @link it names an interface */
	uint16_t link;		   /* LINKTYPE_ */
	uint8_t direction;	   /* enum mf_pcap_direction */
	const char *comment;	   /* UTF-8, or NULL */
};

struct mf_pcapng;

/** mf_pcapng_open() - Return: 0, MF_E_IO, MF_E_NOMEM */
int mf_pcapng_open(const char *path, const char *program, struct mf_pcapng **ret,
		   struct mf_err *err);

/* Where bytes go that go into no file. Return: 0, or an errno */
typedef int (*mf_pcapng_sink)(void *ctx, const void *ptr, size_t len);
/** mf_pcapng_open_sink() - The same into something else; Return: 0, MF_E_NOMEM */
int mf_pcapng_open_sink(mf_pcapng_sink sink, void *ctx, const char *program,
			struct mf_pcapng **ret);

/** mf_pcapng_write() - Return: 0; MF_E_IO (also told by mf_pcapng_close()); MF_E_LIMIT: too many interfaces */
int mf_pcapng_write(struct mf_pcapng *w, const struct mf_pcapng_packet *pkt);

/** mf_pcapng_close() - Give the file its name; @keep false: throw it away. Return: 0, MF_E_IO; @w is gone in any case */
int mf_pcapng_close(struct mf_pcapng *w, bool keep, struct mf_err *err);

#endif
