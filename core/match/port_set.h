/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_set.h - a set of port numbers: sorted ranges, and a map of 65,536 bits once there are many
 *
 * Filled by one thread, then only read: reads are safe from any number of threads.
 */
#ifndef MF_MATCH_PORT_SET_H
#define MF_MATCH_PORT_SET_H

#include "core/base/err.h"

struct mf_port_range {
	uint16_t first, last; /* both included */
};

struct mf_port_set {
	struct mf_port_range *ranges; /* sorted, disjoint, not adjacent */
	uint32_t range_cnt, range_room;
	uint64_t *map; /* 1,024 words, or NULL while ranges are few */
};

#define MF_PORT_SET_INIT \
	{                \
		0        \
	}

/** mf_port_set_done() - Free what it holds; it is empty then */
void mf_port_set_done(struct mf_port_set *set);

/** mf_port_set_add() - Add @first to @last, both included; Return: 0, MF_E_INVAL (first > last), MF_E_NOMEM */
int mf_port_set_add(struct mf_port_set *set, uint16_t first, uint16_t last);

/**
 * mf_port_set_add_text() - "80", "8000-8999", or several with commas and blanks: "80, 443, 8000-8999"
 * Return: 0, MF_E_SYNTAX (what is wrong is in @err; nothing is added), MF_E_NOMEM
 */
int mf_port_set_add_text(struct mf_port_set *set, const char *text, size_t len, struct mf_err *err);

/** mf_port_range_parse() - "80" or "8000-8999", no leading zeros; Return: 0, MF_E_SYNTAX */
int mf_port_range_parse(const char *text, size_t len, struct mf_port_range *ret);

bool mf_port_set_has(const struct mf_port_set *set, uint16_t port);

#endif
