/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cidr_set.h - a set of networks of both families with a number attached to each
 *
 *	mf_cidr_set_builder_add_text(b, "10.0.0.0/8", 10, 7, &err);
 *	mf_cidr_set_find(set, &addr)            // lowest number of all networks that hold addr: a first match
 *	mf_cidr_set_find_longest(set, &addr)    // number of the narrowest network
 *
 * Networks nest or are disjoint, so they cut each family's address space into intervals that belong to one innermost
 * network each. The set is the sorted array of interval starts (binary search, behind a table of the first 16 bits when
 * there are many) and a forest of networks, each knowing the network around it and the lowest number on the way out.
 *
 * A sealed set never changes: any number of threads may read it.
 */
#ifndef MF_MATCH_CIDR_SET_H
#define MF_MATCH_CIDR_SET_H

#include "core/base/addr.h"
#include "core/base/err.h"
#include "core/match/domain_set.h" /* MF_MATCH_NONE */

/* One network; host bits are zero. */
struct mf_cidr {
	struct mf_addr addr;
	uint8_t bits; /* 0..32 or 0..128 */
};

/**
 * mf_cidr_parse() - "10.0.0.0/8", "2001:db8::/32", or a bare address (/32, /128)
 * Host bits are cleared. A network inside ::ffff:0:0/96 is its IPv4 network ("::ffff:10.0.0.0/104" is 10.0.0.0/8).
 * Return: 0 or MF_E_SYNTAX
 */
int mf_cidr_parse(const char *text, size_t len, struct mf_cidr *ret);

/** mf_cidr_has() - Whether @addr lies in @net; families never match one another */
bool mf_cidr_has(const struct mf_cidr *net, const struct mf_addr *addr);

#define MF_CIDR_TEXT_MAX (MF_ADDR_TEXT_MAX + 4)
/** mf_cidr_format() - "10.0.0.0/8"; Return: @buf of at least MF_CIDR_TEXT_MAX bytes */
const char *mf_cidr_format(const struct mf_cidr *net, char *buf, size_t size);

struct mf_cidr_set;
struct mf_cidr_set_builder;

/** mf_cidr_set_builder_new() - @max: most networks, 0 for 4,194,304; Return: 0, MF_E_NOMEM */
int mf_cidr_set_builder_new(uint32_t max, struct mf_cidr_set_builder **ret_b, struct mf_err *err);
void mf_cidr_set_builder_free(struct mf_cidr_set_builder *b);

/** mf_cidr_set_builder_add() - @value: not MF_MATCH_NONE; Return: 0, MF_E_INVAL, MF_E_LIMIT, MF_E_NOMEM */
int mf_cidr_set_builder_add(struct mf_cidr_set_builder *b, const struct mf_cidr *net,
			    uint32_t value, struct mf_err *err);
/** mf_cidr_set_builder_add_text() - mf_cidr_parse() and add; also MF_E_SYNTAX */
int mf_cidr_set_builder_add_text(struct mf_cidr_set_builder *b, const char *text, size_t len,
				 uint32_t value, struct mf_err *err);

/** mf_cidr_set_builder_seal() - Make the set; the builder is freed, also on failure; Return: 0, MF_E_NOMEM */
int mf_cidr_set_builder_seal(struct mf_cidr_set_builder *b, struct mf_cidr_set **ret_set,
			     struct mf_err *err);
void mf_cidr_set_free(struct mf_cidr_set *set);

/** mf_cidr_set_has() - Whether any network holds @addr; no allocation, no lock */
bool mf_cidr_set_has(const struct mf_cidr_set *set, const struct mf_addr *addr);
/** mf_cidr_set_find() - Lowest value of all networks that hold @addr, or MF_MATCH_NONE */
uint32_t mf_cidr_set_find(const struct mf_cidr_set *set, const struct mf_addr *addr);
/** mf_cidr_set_find_longest() - Value (the lowest, if several) of the longest prefix, or MF_MATCH_NONE */
uint32_t mf_cidr_set_find_longest(const struct mf_cidr_set *set, const struct mf_addr *addr);
/** mf_cidr_set_find_all() - All values, longest prefix first; Return: how many; the first @cap are in @values */
size_t mf_cidr_set_find_all(const struct mf_cidr_set *set, const struct mf_addr *addr,
			    uint32_t *values, size_t cap);

uint32_t mf_cidr_set_count(const struct mf_cidr_set *set); /* different networks and values */
size_t mf_cidr_set_bytes(const struct mf_cidr_set *set);

#endif
