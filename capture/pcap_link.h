/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcap_link.h - the IP packet inside of a captured frame, made readable where the capture did not keep all of it
 *
 * Link types: Ethernet (up to four VLAN tags), raw IP, Linux cooked v1 and v2, null and loop of the BSDs.
 *
 * Two kinds of packet do not say what they are. One that was cut at the snapshot length announces more bytes than are
 * there; one that was captured before segmentation in hardware may have a length of 0. Both are mended in place: the IP
 * length (and UDP's) become what is there, so that the headers can be read; mf_pcap_unmend() brings them back.
 */
#ifndef MF_CAPTURE_PCAP_LINK_H
#define MF_CAPTURE_PCAP_LINK_H

#include "capture/pcap_file.h"
#include "core/packet/view.h"

struct mf_pcap_ip {
	uint8_t *ptr;	   /* the IP packet, inside of the record */
	uint32_t len;	   /* bytes that are there, without link padding */
	uint32_t link_len; /* bytes of link header before it */
	uint32_t missing;  /* bytes of the IP packet that were cut off */
	uint8_t direction; /* enum mf_pcap_direction */
	bool ip_mended, udp_mended;
	uint16_t ip_length, udp_length; /* as captured */
	uint32_t udp_at;		/* of the UDP header in @ptr */
	struct mf_view view;		/* of @ptr, read as far as mf_pcap_find_ip() could */
};

/**
 * mf_pcap_find_ip() - Read a record to its transport header
 * @stats: counters of views, or NULL
 * Return: 0; MF_E_UNSUPPORTED (a link type that is not read); MF_E_NOT_MINE (no IP in it, or a transport that views do not
 *         read); MF_E_BAD (malformed, or cut before the end of its headers)
 */
int mf_pcap_find_ip(const struct mf_pcap_record *rec, struct mf_view_stats *stats,
		    struct mf_pcap_ip *ret);

/** mf_pcap_unmend() - The lengths as they were, in a packet that may have been rewritten meanwhile */
void mf_pcap_unmend(const struct mf_pcap_ip *ip, uint8_t *pkt);

/** mf_pcap_link_known() - Whether packets of this LINKTYPE_ can be read */
bool mf_pcap_link_known(uint16_t link);

#endif
