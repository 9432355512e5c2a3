/* SPDX-License-Identifier: Apache-2.0 */
/*
 * correlation.h - host names <-> addresses of one session, as its own DNS answers tied them
 *
 *	mf_names_learn(names, &answer);              // before the answer is released to the program
 *	mf_names_recent(names, &addr, host)          // "the name" of a connection
 *	mf_names_has(names, &addr, sni, sni_len)     // does this name belong to this address?
 *
 * How it works
 *
 * An address has up to names_per_addr names and a name any number of addresses; each pair (a tie) has an expiry of its
 * own: the record's TTL, at least ttl_floor_s, at most ttl_cap_s, from the last answer that contained it. An answer that
 * leaves an address out does not touch that address's tie: it runs out in its own time. While a connection made under a
 * tie is open (mf_names_hold()), the tie lives up to grace_s longer.
 * All members of a CNAME chain are tied to the final addresses: the name that was asked, and each alias; a tie knows
 * which it is, and the chain can be read back.
 *
 * Bounds: addr_max addresses; when they are used up, the address least recently asked about or learnt goes (one with
 * open connections last), and a counter moves. Names without ties are freed. Each learn sweeps a few entries, so
 * clean-up costs no full scan.
 *
 * Threads: a mutex inside; results are copied out. One table belongs to one session and is never shared by two.
 */
#ifndef MF_NAMES_CORRELATION_H
#define MF_NAMES_CORRELATION_H

#include "core/base/addr.h"
#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/names/canonical.h"

/* Every member may be 0. */
struct mf_names_options {
	uint32_t addr_max; /* addresses: 65,536 */
	uint32_t
		names_per_addr; /* 32, at most 64; the tie that expires first gives way to a new one */
	uint32_t ttl_floor_s; /* 60 */
	uint32_t ttl_cap_s;   /* 3,600 */
	uint32_t
		ttl_fixed_s; /* not 0: every tie lives so long whatever its record says (agentsh: 300) */
	uint32_t grace_s;	      /* 3,600 */
	const struct mf_clock *clock; /* mf_clock_system */
};

struct mf_names;

int mf_names_new(const struct mf_names_options *options, struct mf_names **ret_names,
		 struct mf_err *err);
void mf_names_free(struct mf_names *names);

#define MF_NAMES_ALIASES_MAX \
	16 /* members of a CNAME chain beside the question; more are an error */

/* One DNS answer. Names need not be canonical. */
struct mf_names_answer {
	const char *question;
	size_t question_len;
	const char *const *aliases; /* targets of the CNAMEs in order, NUL-terminated */
	size_t alias_cnt;
	const struct mf_addr *addrs;
	size_t addr_cnt;
	uint32_t ttl_s; /* the smallest of the chain */
};

/**
 * mf_names_learn() - Tie the names of an answer to its addresses; in force when it returns
 * Return: 0, MF_E_SYNTAX (a name that is none), MF_E_LIMIT (too many aliases), MF_E_NOMEM. On failure some of the
 *         addresses may have been tied: do not release the answer.
 */
int mf_names_learn(struct mf_names *names, const struct mf_names_answer *answer);

/** mf_names_has() - Whether @name (canonical or not) is tied to @addr now, asked for or as an alias */
bool mf_names_has(struct mf_names *names, const struct mf_addr *addr, const char *name, size_t len);

/** mf_names_recent() - The name most recently asked for that led to @addr; Return: its length, 0 if it has none */
size_t mf_names_recent(struct mf_names *names, const struct mf_addr *addr,
		       char ret_name[MF_NAME_ROOM]);

struct mf_names_item {
	char name[MF_NAME_ROOM];
	uint8_t len;
	bool alias;	       /* stood in a CNAME chain, and was not itself asked for */
	uint32_t expires_in_s; /* 0: kept by an open connection only */
};

/** mf_names_list() - All names of @addr, most recent first, questions before aliases; Return: how many were filled in */
size_t mf_names_list(struct mf_names *names, const struct mf_addr *addr,
		     struct mf_names_item *items, size_t cap);

/**
 * mf_names_walk() - The addresses that have names, one a call, in no order, as mf_names_list(); does not count as asking
 * Between calls the table may change. @at: where to go on; 0 at first. Return: how many names, 0: no more addresses
 */
size_t mf_names_walk(struct mf_names *names, uint32_t *at, struct mf_addr *ret_addr,
		     struct mf_names_item *items, size_t cap);

/** mf_names_addrs() - The addresses of @name; Return: how many there are; the first @cap are in @addrs */
size_t mf_names_addrs(struct mf_names *names, const char *name, size_t len, struct mf_addr *addrs,
		      size_t cap);

/** mf_names_chain() - The aliases between @question and @addr as last seen, in order; Return: how many were filled in */
size_t mf_names_chain(struct mf_names *names, const struct mf_addr *addr, const char *question,
		      size_t len, struct mf_names_item *items, size_t cap);

/**
 * mf_names_hold() - A connection to @addr was opened: its live ties now last up to grace_s longer
 * Pair each hold that returned true with one mf_names_release(). Return: false when @addr has no names.
 */
bool mf_names_hold(struct mf_names *names, const struct mf_addr *addr);
void mf_names_release(struct mf_names *names, const struct mf_addr *addr);

/** mf_names_sweep() - Look at up to @budget addresses and drop what has expired; Return: ties dropped */
size_t mf_names_sweep(struct mf_names *names, size_t budget);

struct mf_names_stats {
	uint32_t addrs, names, ties; /* now */
	uint64_t learned;	     /* answers */
	uint64_t evicted_addrs;	     /* for want of room */
	uint64_t evicted_ties;	     /* names_per_addr */
	uint64_t expired_ties;
	size_t bytes; /* memory now */
};
void mf_names_get_stats(struct mf_names *names, struct mf_names_stats *ret);

#endif
