/* SPDX-License-Identifier: Apache-2.0 */
/* craft.h - packets for scripts and tests, with right checksums, made without the product's code */
#ifndef WDD_CRAFT_H
#define WDD_CRAFT_H

#include "filter.h"

#define WDD_FIN 0x01
#define WDD_SYN 0x02
#define WDD_RST 0x04
#define WDD_PSH 0x08
#define WDD_ACK 0x10

struct wdd_end {
	struct wdd_ip ip;
	uint16_t port;
};

/** wdd_end_of() - From text; ends the program when it is no address */
struct wdd_end wdd_end_of(const char *ip, uint16_t port);
struct wdd_ip wdd_ip_of(const char *ip);
bool wdd_ip_is4(const struct wdd_ip *ip);
bool wdd_end_eq(const struct wdd_end *a, const struct wdd_end *b);

/* All return the packet's length; @buf has room for 60 bytes more than the payload. */
uint32_t wdd_craft_tcp(uint8_t *buf, struct wdd_end src, struct wdd_end dst, uint8_t flags,
		       uint32_t seq, uint32_t ack, const void *payload, uint32_t len);
uint32_t wdd_craft_udp(uint8_t *buf, struct wdd_end src, struct wdd_end dst, const void *payload,
		       uint32_t len);
/** wdd_craft_fragment() - Bytes @off to @off + @n (multiples of 8 but at the end) of @pkt's transport as a fragment */
uint32_t wdd_craft_fragment(uint8_t *buf, const uint8_t *pkt, uint32_t pkt_len, uint32_t off,
			    uint32_t n, uint32_t id);

/* What a test looks at. */
struct wdd_read {
	struct wdd_pkt k;
	struct wdd_end src, dst;
	uint8_t flags;
	uint32_t seq, ack;
	const uint8_t *payload;
	uint32_t payload_len;
	uint32_t bad_sums;
};
bool wdd_read_packet(struct wdd_read *r, const uint8_t *pkt, uint32_t len);

#endif
