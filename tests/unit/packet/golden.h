/* SPDX-License-Identifier: Apache-2.0 */
/* golden.h - reader of tests/data/packet/golden.txt */
#ifndef MF_TESTS_PACKET_GOLDEN_H
#define MF_TESTS_PACKET_GOLDEN_H

#include "core/packet/view.h"
#include "tests/unit/test.h"

/* One packet of the file; @bytes is a heap block of exactly @len bytes, so that sanitizers see a read past its end. */
struct golden {
	char name[128];
	enum mf_view_link link;
	uint8_t *bytes;
	size_t len;
	char text[2 * MF_VIEW_TEXT_MAX]; /* what mf_view_format() must say */
	char sums
		[64]; /* "IP4 TRANSPORT", each good, bad, none or unknown; "" where nothing is read */
};

/* Calls @fn for every packet; fails the test if the file has none or does not parse. Return: how many */
unsigned golden_each(void (*fn)(const struct golden *g, void *ctx), void *ctx);

/* A copy of the golden packet @name without its link header, in @buf; Return: its length (fails the test if unknown) */
size_t golden_ip(const char *name, uint8_t *buf, size_t room);

/* The packet as a view read to the transport layer; fails the test if that does not work. */
struct mf_view golden_view(const uint8_t *pkt, size_t len, enum mf_view_link link);

#endif
